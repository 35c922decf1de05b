"""Adversarial and symmetric rules on a ring of 8 and a grid of 25 Gaussians: who finds the modes?

    python examples/mixture_of_gaussians.py --quick
    python examples/mixture_of_gaussians.py --steps 10000 --seeds 5 --methods gan fgan_kl

For each rule, from 2 500 samples: how many modes have a sample within three standard deviations,
and the share of samples that are so near to one (% high quality; exact draws have 98.9). Means over
`--seeds` runs, beside published figures. A picture for each rule goes to `--output`.

All rules have the same networks (128-128-128, no normalisation) and the same optimiser. The noise
has as many dimensions as the data, which are scaled to unit variance. What it takes: a small
zero-centred gradient penalty, no momentum, a learning rate that falls to zero.
"""

import argparse
import pathlib
import time

import keras
import numpy as np

import keras_dgm as dgm
from keras_dgm import networks
from keras_dgm.algorithms.adversarial.penalties import GradientPenalty
from keras_dgm.distributions import Normal
from keras_dgm.evaluation.mode_coverage import mode_coverage
from keras_dgm.models import ImplicitModel, LatentVariableModel

HIDDEN = [128, 128, 128]
NUM_SAMPLES = 2_500
# PacGAN paper (Lin et al. 2018), modes and % high quality of 2 500 samples.
PUBLISHED = {
    "ring8": {"gan": (6.3, 98.2), "bigan": (6.6, 97.6)},
    "grid25": {"gan": (17.3, 94.8), "bigan": (24.1, 95.7)},
}
EXTENT = {"ring8": (-1.5, 1.5, -1.5, 1.5), "grid25": (-5, 5, -5, 5)}


def generator():
    """x = G(e), e two standard normal numbers."""
    return ImplicitModel(2, networks.mlp(HIDDEN, "relu", output_units=2))


def critic(inputs="x"):
    """V(x), or V(x, z)."""
    make = networks.mlp if inputs == "x" else networks.joint_mlp
    return make(HIDDEN, "leaky_relu", output_units=1)


def shrunk(weight=0.0125):
    """weight E |grad V|^2 between data and samples."""
    return {"penalties": [GradientPenalty(weight, target=0.0)]}


def fgan(divergence):
    """A variational divergence minimiser."""
    return lambda options: dgm.FGAN(generator(), critic(), divergence, **shrunk(), **options)


def extended_helmholtz_machine(options):
    """A decoder whose means the critic looks at, with a fixed standard deviation."""
    generative = LatentVariableModel(Normal(2), Normal(2, networks.mlp(HIDDEN, "relu"), scale=0.2))
    inference = Normal(2, networks.mlp(HIDDEN, "relu"))
    return dgm.EHM(
        generative,
        inference,
        critic(),
        critic(),
        visible="mean",
        penalties=[GradientPenalty(1.0, target=0.0)],
        **{**options, "critic_steps": 2},
    )


RULES = {
    "gan": lambda options: dgm.GAN(generator(), critic(), **shrunk(), **options),
    "fgan_kl": fgan("kl"),
    "fgan_reverse_kl": fgan("reverse_kl"),
    "fgan_squared_hellinger": fgan("squared_hellinger"),
    "wgan_gp": lambda options: dgm.WGANGP(
        generator(), critic(), penalty_weight=1.0, critic_steps=2, **options
    ),
    "bigan": lambda options: dgm.BiGAN(
        generator(), Normal(2, networks.mlp(HIDDEN, "relu")), critic("pair"), **shrunk(), **options
    ),
    "ehm": extended_helmholtz_machine,
}


def train(rule, data, scale, steps, seed, batch_size=128):
    """A model of the rule after `steps` moves of the generator."""
    keras.utils.set_random_seed(seed)
    model = RULES[rule]({"ema_decay": 0.99, "seed": seed})

    def optimizer(player):
        moves = steps * (model.critic_steps if player in model.critics else 1)
        rate = keras.optimizers.schedules.CosineDecay(2e-3, moves)
        return keras.optimizers.Adam(rate, beta_1=0.0, beta_2=0.99)

    model.compile({p: optimizer(p) for p in model.players}, steps_per_execution=50)
    rows = steps * batch_size * model.critic_steps
    x = data.train.images / scale
    # One long epoch: what happens between two of them costs time.
    x = np.tile(x, (-(-rows // len(x)), 1))[:rows]
    model.fit(x, batch_size=batch_size, epochs=1, verbose=0)
    return model


def draw_picture(points, name, data, title, path):
    """The samples, on a map of the true density."""
    dgm.plotting.density_2d(data.log_prob, points, EXTENT[name], 400, title, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=10_000, help="moves of the generator")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each rule")
    parser.add_argument("--methods", nargs="+", default=list(RULES), choices=list(RULES))
    parser.add_argument("--data", nargs="+", default=list(PUBLISHED), choices=list(PUBLISHED))
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("mixtures"))
    parser.add_argument("--quick", action="store_true", help="500 steps of each rule")
    options = parser.parse_args()
    steps = 500 if options.quick else options.steps
    options.output.mkdir(parents=True, exist_ok=True)
    for name in options.data:
        data = dgm.datasets.load(name)
        scale = float(data.train.images.std())
        exact = mode_coverage(data.test.images[:NUM_SAMPLES], data.means, data.stddev)
        print(f"{name}, {steps} steps, {options.seeds} seeds; exact draws: {exact}")
        print(f"{'':<24}{'modes':>7}{'% good':>8}{'published':>15}{'seconds':>9}", flush=True)
        for rule in options.methods:
            begin = time.perf_counter()
            found = []
            for seed in range(options.seeds):
                model = train(rule, data, scale, steps, seed)
                means = {"mean": True} if rule == "ehm" else {}
                points = scale * model.sample(NUM_SAMPLES, seed=seed, **means)
                coverage = mode_coverage(points, data.means, data.stddev)
                found.append((coverage.modes, 100 * coverage.high_quality))
                path = options.output / f"{name}_{rule}_{seed}.png"
                draw_picture(points, name, data, f"{rule}: {coverage}", path)
            modes, good = np.mean(found, axis=0)
            published = " / ".join(map(str, PUBLISHED[name].get(rule, ()))) or "-"
            seconds = (time.perf_counter() - begin) / options.seeds
            row = f"{rule:<24}{modes:>7.1f}{good:>8.1f}{published:>15}{seconds:>9.0f}"
            print(row, flush=True)
    print(f"Pictures are in {options.output}.")


if __name__ == "__main__":
    main()
