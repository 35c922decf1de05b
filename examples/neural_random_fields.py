"""Random fields and generators on a mixture of 32 Gaussians: who finds the modes?

    python examples/neural_random_fields.py --quick
    python examples/neural_random_fields.py --iterations 20000 --methods inclusive nce

The data are 1 600 points of four rings of eight modes (Song & Ou 2018). Two figures are printed
for each rule, beside what perfect samples score: how many modes 100 samples cover (within three
standard deviations; mean over 100 such draws), and the share of 10 000 samples within three
standard deviations of a mode. A picture for each rule goes to `--output`.

The figures need long runs: 125 000 iterations of the inclusive field, ten minutes on an idle
processor, and `ITERATIONS` of the others, some minutes more. `--quick` shows in two minutes that
all runs, and no more.
"""

import argparse
import pathlib
import time

import keras
import numpy as np

import keras_dgm as dgm
from keras_dgm import networks
from keras_dgm.distributions import Normal
from keras_dgm.evaluation.mode_coverage import mode_coverage
from keras_dgm.models import ImplicitModel, RandomField
from keras_dgm.sampling import Langevin

# Gradients are clipped, and u^2 is penalised a little: plain Langevin learning diverges here.
CHAIN = {"step_size": 0.008, "num_steps": 20, "clip_gradient": 20.0}
PENALTY = {"potential_penalty": 1e-4}
EXTENT = (-6, 6, -6, 6)
ITERATIONS = {"inclusive": 125_000, "wgan_gp": 20_000}
OTHERS = 40_000


def generator():
    """x = G(h), h two standard normal numbers, through 50-50 ReLU with batch normalisation."""
    return ImplicitModel(2, networks.mixture_generator())


def field(spread=False):
    """u(x) by 100-100 leaky ReLU with weight normalisation; `spread` tilts a wide Gaussian."""
    reference = Normal(2, scale=4.0) if spread else None
    return RandomField(networks.random_field_mlp(), event_shape=(2,), reference=reference)


def inclusive():
    """x moves along the field, h along the generator's joint density, each with its own step."""
    sampler = Langevin(step_size=(0.008, 0.001), num_steps=20, clip_gradient=(20.0, 20.0))
    return dgm.InclusiveNRF(field(), generator(), sampler, noise_scale=0.1, seed=0, **PENALTY)


RULES = {
    "gan": lambda: dgm.GAN(generator(), networks.mlp([100, 100], "leaky_relu", 1), seed=0),
    "wgan_gp": lambda: dgm.WGANGP(
        generator(), networks.mlp([100, 100], "leaky_relu", 1), critic_steps=5, seed=0
    ),
    "exclusive": lambda: dgm.ExclusiveNRF(field(), generator(), seed=0, **PENALTY),
    "cd": lambda: dgm.ContrastiveDivergence(
        field(spread=True), sampler=Langevin(**CHAIN), seed=0, **PENALTY
    ),
    "sml": lambda: dgm.StochasticMaximumLikelihood(
        field(spread=True),
        sampler=Langevin(**CHAIN),
        num_chains=100,
        buffer_size=2_000,
        reset_fraction=0.02,
        seed=0,
        **PENALTY,
    ),
    "inclusive": inclusive,
    "nce": lambda: dgm.NCE(field(spread=True), Normal(2, scale=4.0), noise_ratio=5.0, seed=0),
}


def train(model, x, iterations):
    """Adam with a rate that is constant for 60 % of the iterations, then falls to nothing."""
    # Long epochs and many steps in one call: what happens between two of them costs time.
    steps = min(800, iterations)
    epochs = max(1, round(iterations / steps))
    model.compile(keras.optimizers.Adam(1e-3, beta_1=0.0), steps_per_execution=min(200, steps))

    def rate(epoch, _=None):
        return 1e-3 * min(1.0, (1.0 - epoch / epochs) / 0.4)

    model.fit(
        np.resize(x, (100 * steps, 2)),
        batch_size=100,
        epochs=epochs,
        callbacks=[keras.callbacks.LearningRateScheduler(rate)],
        verbose=0,
    )


def samplers(name, model, steps):
    """What is drawn from a trained model: `(label, function of (count, seed))`."""
    if name == "inclusive":
        return [
            ("inclusive, generation", lambda n, s: model.sample(n, seed=s, revise=False)),
            ("inclusive, revision", lambda n, s: model.sample(n, seed=s)),
        ]
    if name in ("cd", "sml", "nce"):
        chain = Langevin(**{**CHAIN, "num_steps": steps})
        label = f"{name}, {steps} Langevin steps"
        return [(label, lambda n, s: model.sample(n, seed=s, sampler=chain))]
    return [(name, lambda n, s: model.sample(n, seed=s))]


def figures(points, data):
    """`(modes covered by 100 samples, share of samples at a mode)`."""
    groups = points.reshape(-1, 100, 2)
    coverage = [mode_coverage(g, data.means, data.stddev).modes for g in groups]
    whole = mode_coverage(points, data.means, data.stddev)
    return np.mean(coverage), whole.high_quality


def draw_picture(name, model, points, path):
    """Samples, over the field's density where the rule has one."""
    if hasattr(model, "potential"):
        dgm.plotting.density_2d(model.potential, points[:1000], EXTENT, 150, name, path)
        return
    low, high = EXTENT[:2]
    grid, _, _ = np.histogram2d(*points.T, bins=100, range=[[low, high]] * 2)
    log_density = np.log(grid.T + 1e-3)
    dgm.plotting.density_2d(log_density, points[:1000], EXTENT, title=name, path=path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, help="of every rule; by default ITERATIONS")
    parser.add_argument("--methods", nargs="+", default=list(RULES), choices=list(RULES))
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("random_fields"))
    parser.add_argument("--quick", action="store_true", help="400 iterations of each rule")
    options = parser.parse_args()
    if options.quick:
        options.iterations = 400
    count, steps = (1_000, 50) if options.quick else (10_000, 1_000)
    options.output.mkdir(parents=True, exist_ok=True)

    data = dgm.datasets.load("mixture32")
    x = data.train.images
    perfect = data.test.images[np.random.default_rng(0).permutation(len(data.test.images))]
    print(f"{'':<28}{'modes of 32':>12}{'at a mode':>11}{'seconds':>9}")
    rows = [("perfect samples", figures(perfect[:10_000], data), None)]

    for name in options.methods:
        iterations = options.iterations or ITERATIONS.get(name, OTHERS)
        keras.utils.set_random_seed(0)
        model = RULES[name]()
        begin = time.perf_counter()
        try:
            train(model, x, iterations)
        except ValueError as error:
            print(f"{name}: {error}")
            continue
        seconds = time.perf_counter() - begin
        for label, sample in samplers(name, model, steps):
            points = sample(count, 1)
            rows.append((label, figures(points, data), seconds))
        draw_picture(name, model, points, options.output / f"{name}.png")
        if name == "nce":
            print(f"log Z by NCE: {model.log_partition:.3f}")
    for label, (covered, realistic), seconds in rows:
        timing = "" if seconds is None else f"{seconds:.0f}"
        print(f"{label:<28}{covered:>12.1f}{realistic:>11.3f}{timing:>9}")
    print(f"Pictures are in {options.output}.")


if __name__ == "__main__":
    main()
