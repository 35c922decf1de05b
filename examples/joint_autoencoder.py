"""An encoder that cannot follow its decoder: what each learning rule makes of it.

    python examples/joint_autoencoder.py --output mismatch

One decoder (two Gaussian latents, a network of two hidden layers) is trained on two moons,
once with an encoder of the same size and once with a mere linear one of fixed spread. The
rules that fit q by the ELBO bend p(x) until q suits it, so their log p(x) falls with the encoder.
Rules that only propose from q and weigh or accept what it gives, as joint stochastic
approximation does (Ou 2019, section 3.2.3), aim at the likelihood whatever q is: a poor encoder
costs them mixing, and no bias where the chains or the weights can make up for it.

Prints and writes (`table.md`, `samples.png`), for each rule and encoder: the held-out
log-likelihood in nats, by quadrature over the latent plane and not by a bound, and the ELBO of the
encoder beside it.
"""

import argparse
import pathlib

import keras
import numpy as np
from keras import ops
from matplotlib.figure import Figure

import keras_dgm as dgm
from keras_dgm.plotting import figures

BATCH = 100
# Each rule, and what it takes besides the two sides of the model.
RULES = {
    "VAE": (dgm.VAE, {"num_samples": 10}),
    "IWAE": (dgm.IWAE, {"num_samples": 10}),
    "wake-sleep": (dgm.WakeSleep, {"num_samples": 10}),
    "RWS": (dgm.ReweightedWakeSleep, {"num_samples": 10}),
    "JSA": (dgm.JSA, {"num_samples": 10, "num_data": None}),
}
ENCODERS = ("network", "linear")


def build(rule, encoder, num_data, options):
    """A rule with its own copy of the two sides."""
    keras.utils.set_random_seed(options.seed)
    tanh = {"activation": "tanh"}
    likelihood = dgm.distributions.Normal(
        (2,), network=dgm.networks.mlp([64, 64], **tanh), scale="shared"
    )
    generative = dgm.models.LatentVariableModel(dgm.distributions.Normal((2,)), likelihood)
    if encoder == "network":
        inference = dgm.distributions.Normal((2,), network=dgm.networks.mlp([64, 64], **tanh))
    else:
        inference = dgm.distributions.Normal((2,), scale="shared")
    cls, extra = RULES[rule]
    extra = {name: num_data if name == "num_data" else value for name, value in extra.items()}
    model = cls(generative, inference, seed=options.seed, **extra)
    steps = options.epochs * (num_data // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(options.learning_rate, steps)
    model.compile(keras.optimizers.Adam(rate), steps_per_execution=num_data // BATCH)
    return model


def log_density(model, x, half_width=5.0, resolution=320):
    """log p(x) in nats by quadrature over the latent plane; NumPy (batch,)."""
    line = np.linspace(-half_width, half_width, resolution, dtype="float32")
    h = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    likelihood = model.generative.likelihood
    found = likelihood.from_parameters(likelihood(ops.convert_to_tensor(h)))
    mean = ops.convert_to_numpy(found.mean()).astype("float64")
    scale = ops.convert_to_numpy(found.stddev()).astype("float64")
    base = -0.5 * np.sum(h.astype("float64") ** 2, axis=1) - np.log(2 * np.pi)
    base = base + 2 * np.log(line[1] - line[0])
    base = base - np.sum(np.log(scale), axis=1) - np.log(2 * np.pi)
    scaled = mean / scale
    values = []
    for part in np.array_split(np.asarray(x, "float64"), -(-len(x) // 20)):
        distance = np.sum((part[:, None] / scale - scaled) ** 2, axis=2)
        values.append(np.logaddexp.reduce(base - 0.5 * distance, axis=1))
    return np.concatenate(values)


def table(results):
    """Markdown."""
    lines = [
        "| rule | encoder | log p(x), quadrature | ELBO of the encoder |",
        "| --- | --- | --- | --- |",
    ]
    for (rule, encoder), found in results.items():
        lines.append(
            f"| {rule} | {encoder} | {found['nats']:.3f} +- {found['error']:.3f} "
            f"| {found['elbo']:.3f} |"
        )
    return "\n".join(lines)


def draw(results, data, path):
    """Samples of every model over the data."""
    rules = list(dict.fromkeys(rule for rule, _ in results))
    figure = Figure(figsize=(2.6 * len(rules), 5.4), layout="constrained")
    grid = figure.subplots(len(ENCODERS), len(rules), squeeze=False)
    for (rule, encoder), found in results.items():
        axes = grid[ENCODERS.index(encoder), rules.index(rule)]
        axes.plot(*data[:1000].T, ".", color="0.75", markersize=2)
        axes.plot(*found["samples"].T, ".", color="C0", markersize=2)
        axes.set_title(f"{rule}, {encoder} encoder\n{found['nats']:.2f} nats", fontsize="medium")
        axes.set_xlim(*data[:, 0].min() + [-0.3, np.ptp(data[:, 0]) + 0.3])
        axes.set_ylim(*data[:, 1].min() + [-0.3, np.ptp(data[:, 1]) + 0.3])
        axes.set_aspect("equal")
        axes.set_xticks([])
        axes.set_yticks([])
        figures.soften(axes)
    figures.save_png(figure, path)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rules", nargs="*", default=list(RULES), choices=list(RULES))
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("mismatch"))
    options = parser.parse_args()
    data = dgm.datasets.load("two_moons")
    train, test = data.train.images, data.test.images[:1000]
    train = train[: min(5000, len(train)) // BATCH * BATCH]

    results = {}
    for rule in options.rules:
        for encoder in ENCODERS:
            model = build(rule, encoder, len(train), options)
            model.fit(train, batch_size=BATCH, epochs=options.epochs, verbose=0)
            nats = log_density(model, test)
            results[rule, encoder] = {
                "nats": nats.mean(),
                "error": nats.std(ddof=1) / np.sqrt(len(nats)),
                "elbo": float(np.mean(model.log_likelihood(np.repeat(test, 20, axis=0), 1))),
                "samples": model.sample(1000, seed=1),
            }
            print(f"{rule}, {encoder} encoder: {nats.mean():.3f} nats", flush=True)

    text = table(results)
    print(f"\n{text}\n\n{options.epochs} epochs of {len(train)} points, {dgm.backend.name()}")
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "table.md").write_text(text + "\n")
    draw(results, train, options.output / "samples.png")
    print(f"Written: {options.output}/table.md, {options.output}/samples.png")


if __name__ == "__main__":
    main()
