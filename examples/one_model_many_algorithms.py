"""One sigmoid belief network, every rule for discrete latents, the same number of network passes.

    python examples/one_model_many_algorithms.py --seeds 3 --output one_model

The model, its starting weights, the data (8x8 digits, binarised) and the optimiser are the same
for all; one class name differs. A pass is one row through one of the two networks. Rules take
different numbers of them in a step, and train until each has used up the same number for each
training picture.

Prints and writes (`table.md`, `comparison.png`), for each rule: the held-out negative
log-likelihood in nats (importance weighting with 500 draws; mean and standard error over seeds),
the time of a step, and the variance of theta's and phi's gradients, summed over parameters, all
measured at the same weights with the same number of draws.
"""

import argparse
import pathlib
import time

import keras
import numpy as np
from matplotlib.figure import Figure

import keras_dgm as dgm
from keras_dgm.plotting import figures

BATCH = 50
CHECKPOINTS = 8
# Each rule with what it takes, and the passes of a step for each picture with K draws:
# the generative network's, then the inference network's.
RULES = {
    "REINFORCE": (dgm.VariationalREINFORCE, {}, lambda k: k + 1),
    "NVIL": (dgm.NVIL, {}, lambda k: k + 1),
    "MuProp": (dgm.MuProp, {}, lambda k: (k + 1) + 2),
    "VIMCO": (dgm.VIMCO, {}, lambda k: k + 1),
    "Gumbel-softmax": (dgm.GumbelSoftmax, {"temperature": 0.5}, lambda k: k + 1),
    "straight-through": (dgm.GumbelSoftmax, {"straight_through": True}, lambda k: k + 1),
    "wake-sleep": (dgm.WakeSleep, {}, lambda k: (k + 1) + 2),
    "RWS, wake phi": (dgm.ReweightedWakeSleep, {}, lambda k: k + 1),
    "RWS, both phi": (dgm.ReweightedWakeSleep, {"phi_update": "both"}, lambda k: (k + 1) + 2),
    "JSA": (dgm.JSA, {"num_data": None}, lambda k: (k + 1) + 1),
}


def build(name, options, train, seed):
    """A rule with its own copy of the model, which starts from the same weights for a seed."""
    keras.utils.set_random_seed(seed)
    generative, inference = dgm.models.sigmoid_belief_network([options.latents], (8, 8, 1))
    cls, extra, _ = RULES[name]
    extra = {key: len(train) if key == "num_data" else value for key, value in extra.items()}
    model = cls(generative, inference, num_samples=options.num_samples, seed=seed, **extra)
    generative.likelihood.init_bias(train)
    model.compile(keras.optimizers.Adam(options.learning_rate))
    return model


def held_out(model, test):
    """Nats a picture, less is better."""
    return -float(np.mean(model.log_likelihood(test, 500, chunk=100)))


def train_one(name, options, train, test, seed):
    """(nats at the checkpoints, seconds a step)."""
    model = build(name, options, train, seed)
    epochs = options.passes // RULES[name][2](options.num_samples)
    marks = np.linspace(0, epochs, CHECKPOINTS + 1).astype(int)
    steps, nats, fastest = len(train) // BATCH, [held_out(model, test)], np.inf
    for number, (done, until) in enumerate(zip(marks[:-1], marks[1:])):
        start = time.perf_counter()
        model.fit(train, batch_size=BATCH, initial_epoch=done, epochs=until, verbose=0)
        if number:  # the first stretch compiles
            fastest = min(fastest, (time.perf_counter() - start) / (steps * (until - done)))
        nats.append(held_out(model, test))
    return nats, fastest


def gradient_variance(name, options, train, reference):
    """Summed variance of theta's and phi's gradient at the reference's weights."""
    model = build(name, options, train, seed=0)
    for side in ("generative", "inference"):
        pairs = zip(getattr(model, side).variables, getattr(reference, side).variables)
        for variable, value in pairs:
            variable.assign(keras.ops.convert_to_numpy(value))
    if "baseline" in model.players:  # is fitted first, with the model held
        still = keras.optimizers.SGD(0.0)
        model.compile({"joint": still, "baseline": keras.optimizers.Adam(3e-3)})
        model.fit(train, batch_size=BATCH, epochs=20, verbose=0)
    batch = train[:BATCH]
    found = dgm.evaluation.gradient_snr(model, batch, (options.num_samples,), num_draws=200)
    return float(found.variance["generative"][0]), float(found.variance["inference"][0])


def table(results, options):
    """Markdown, the best rule first."""
    lines = [
        "| rule | held-out NLL | ms a step | passes a step | Var theta | Var phi |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in ranked(results):
        found = results[name]
        mean, error = mean_and_error(found["nats"])
        spread = f" +- {error[-1]:.2f}" if len(found["nats"]) > 1 else ""
        theta, phi = found["variance"]
        lines.append(
            f"| {name} | {mean[-1]:.2f}{spread} | {1e3 * found['seconds']:.2f} "
            f"| {RULES[name][2](options.num_samples)} | {theta:.3g} | {phi:.3g} |"
        )
    return "\n".join(lines)


def mean_and_error(nats):
    """Mean and standard error over seeds, at every checkpoint."""
    nats = np.array(nats)
    error = nats.std(axis=0, ddof=1) / np.sqrt(len(nats)) if len(nats) > 1 else 0.0 * nats[0]
    return nats.mean(axis=0), error


def ranked(results):
    """Names, the lowest held-out figure first."""
    return sorted(results, key=lambda name: np.mean([run[-1] for run in results[name]["nats"]]))


def draw(results, options, path):
    """Curves over passes, final figures with error bars, variances."""
    names = ranked(results)
    colors = dict(zip(RULES, [f"C{number}" for number in range(len(RULES))]))
    figure = Figure(figsize=(12.5, 4.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=[1.3, 1, 1])
    passes = np.linspace(0, options.passes, CHECKPOINTS + 1)
    for name in names:
        mean, error = mean_and_error(results[name]["nats"])
        left.plot(passes[1:], mean[1:], color=colors[name], marker="o", markersize=3, label=name)
        left.fill_between(
            passes[1:], (mean - error)[1:], (mean + error)[1:], color=colors[name], alpha=0.2
        )
    left.set_xlabel("passes for each training picture")
    left.set_ylabel("held-out NLL, nats")
    left.set_title("Equal passes of the networks")
    left.legend(frameon=False, fontsize="small")
    rows = np.arange(len(names))[::-1]
    for row, name in zip(rows, names):
        mean, error = mean_and_error(results[name]["nats"])
        middle.errorbar(mean[-1], row, xerr=error[-1], fmt="o", color=colors[name], capsize=3)
        right.plot(results[name]["variance"][1], row, "o", color=colors[name])
        right.plot(results[name]["variance"][0], row, "s", color=colors[name], mfc="none")
    middle.set_title("Held-out NLL at the end, nats")
    right.set_title("Gradient variance at equal weights")
    right.plot([], [], "ko", label="phi")
    right.plot([], [], "ks", mfc="none", label="theta")
    right.legend(frameon=False, fontsize="small")
    right.set_xscale("log")
    middle.set_yticks(rows, names)
    right.set_yticks(rows, [])
    for axes in (left, middle, right):
        axes.grid(color="0.92")
        figures.soften(axes)
    figures.save_png(figure, path)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rules", nargs="*", default=list(RULES), choices=list(RULES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--passes", type=int, default=480, help="for each training picture")
    parser.add_argument("--num-samples", type=int, default=5, help="K, draws of h for each picture")
    parser.add_argument("--latents", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=5e-3)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("one_model"))
    options = parser.parse_args()
    data = dgm.datasets.load("digits", binarize="threshold")
    train, test = data.train.images, data.test.images
    train = train[: len(train) // BATCH * BATCH]

    reference = build("RWS, wake phi", options, train, seed=0)
    reference.fit(train, batch_size=BATCH, epochs=15, verbose=0)
    results = {}
    for name in options.rules:
        runs = [train_one(name, options, train, test, seed) for seed in range(options.seeds)]
        results[name] = {
            "nats": [nats for nats, _ in runs],
            "seconds": min(seconds for _, seconds in runs),
            "variance": gradient_variance(name, options, train, reference),
        }
        mean, error = mean_and_error(results[name]["nats"])
        print(f"{name}: {mean[-1]:.2f} +- {error[-1]:.2f} nats", flush=True)

    text = table(results, options)
    print(
        f"\n{text}\n\nK = {options.num_samples}, {options.passes} passes for each of {len(train)} "
        f"training pictures, {options.seeds} seeds, {dgm.backend.name()}"
    )
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "table.md").write_text(text + "\n")
    draw(results, options, options.output / "comparison.png")
    print(f"Written: {options.output}/table.md, {options.output}/comparison.png")


if __name__ == "__main__":
    main()
