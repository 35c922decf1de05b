"""The rows of the benchmark: sizes, data and first weights, in NumPy alone."""

import dataclasses
import math

import numpy as np

PIXELS = 784
_UNIT = math.log(math.e - 1.0)


@dataclasses.dataclass(frozen=True)
class Workload:
    """One row.

    Args:
        name: what `--rows` takes.
        family: which formula of `formulas.FAMILIES` it is.
        batch: rows of data a step (chains, for samplers).
        steps: steps in one timed repeat.
        num_samples: K, where there are draws for each row of data.
        options: what else the family takes.
    """

    name: str
    family: str
    batch: int = 100
    steps: int = 50
    num_samples: int = 1
    options: dict = dataclasses.field(default_factory=dict)

    def __getitem__(self, key):
        return self.options[key]

    @property
    def is_training(self):
        """Whether a step moves weights (or estimates or samples)."""
        return self.family not in ("iw_likelihood", "langevin", "annealing")

    @property
    def rows_a_step(self):
        """Rows of data that a step reads."""
        return self.batch * self.options.get("critic_steps", 1)

    def data(self, rows=None):
        """Images (rows, 784) of 0. and 1., or (rows, 28, 28, 1) in [-1, 1] for GANs."""
        rows = rows or self.steps * self.rows_a_step
        generator = np.random.default_rng(7)
        smooth = generator.random((16, 28, 28)).repeat(1, axis=0)
        for _ in range(3):
            smooth = (smooth + np.roll(smooth, 1, 1) + np.roll(smooth, 1, 2)) / 3.0
        means = 1.0 / (1.0 + np.exp(-40.0 * (smooth - 0.58)))
        kind = generator.integers(0, 16, rows)
        images = (generator.random((rows, 28, 28), dtype="float32") < means[kind]).astype("float32")
        if self.family == "gan":
            return 2.0 * images[..., None] - 1.0
        return images.reshape(rows, PIXELS)

    def weights(self):
        """First weights: dictionary from player to a list of float32 arrays, in Keras' order."""
        generator = np.random.default_rng(11)
        make = _Weights(generator)
        return getattr(make, self.family if self.family in _SHARED else _LATENT)(self)


_LATENT = "latent"
_SHARED = ("sbn", "gan", "random_field", "langevin", "rbm", "annealing")


class _Weights:
    def __init__(self, generator):
        self.generator = generator

    def kernel(self, *shape, scale=None):
        scale = scale or math.sqrt(2.0 / (shape[0] + shape[-1]))
        return (scale * self.generator.standard_normal(shape)).astype("float32")

    def dense(self, *sizes):
        layers = []
        for inputs, outputs in zip(sizes[:-1], sizes[1:]):
            layers += [self.kernel(inputs, outputs), np.zeros(outputs, "float32")]
        return layers

    def latent(self, workload):
        raw_scale = [self.kernel(200, 50), np.full(50, _UNIT, "float32")]
        return {
            "generative": self.dense(50, 200, 200, PIXELS),
            "inference": [*self.dense(PIXELS, 200, 200, 50), *raw_scale],
        }

    def sbn(self, workload):
        prior = np.zeros(200, "float32")
        return {
            "generative": [prior, *self.dense(200, 200), *self.dense(200, PIXELS)],
            "inference": [*self.dense(PIXELS, 200), *self.dense(200, 200)],
        }

    def gan(self, workload):
        width, small = workload["width"], 0.02

        def kernel(*shape):
            return self.kernel(*shape, scale=small)

        def norm(channels):
            return [np.ones(channels, "float32"), np.zeros(channels, "float32")]

        def zeros(size):
            return np.zeros(size, "float32")

        return {
            "generator": [
                kernel(64, 49 * 2 * width),
                *norm(2 * width),
                kernel(4, 4, width, 2 * width),
                *norm(width),
                kernel(4, 4, 1, width),
                zeros(1),
            ],
            "critic": [
                kernel(4, 4, 1, width),
                zeros(width),
                kernel(4, 4, width, 2 * width),
                zeros(2 * width),
                kernel(49 * 2 * width, 1),
                zeros(1),
            ],
        }

    def random_field(self, workload):
        return {
            "field": self.dense(PIXELS, 500, 250, 1),
            "generator": self.dense(50, 200, 200, PIXELS),
        }

    def langevin(self, workload):
        return {"field": self.dense(2, 100, 100, 1)}

    def rbm(self, workload):
        bias = np.zeros(PIXELS, "float32")
        return {"field": [self.kernel(PIXELS, 200, scale=0.01), bias, np.zeros(200, "float32")]}

    def annealing(self, workload):
        bias = self.generator.standard_normal(PIXELS).astype("float32") - 1.0
        hidden = np.full(200, -0.5, "float32")
        return {"field": [self.kernel(PIXELS, 200, scale=0.05), bias, hidden]}


# Enough of them in a repeat that the beginning of an epoch does not count for much.
_STEPS = {(1, 20): 100, (1, 100): 50, (5, 20): 40, (5, 100): 20, (50, 20): 10, (50, 100): 5}


def _rows():
    for batch, steps in ((20, 100), (100, 50)):
        yield Workload(f"vae-b{batch}", "vae", batch, steps)
        for k in (1, 5, 50):
            yield Workload(f"iwae{k}-b{batch}", "iwae", batch, _STEPS[k, batch], k)
    for rule in ("rws", "vimco", "jsa"):
        yield Workload(f"sbn-{rule}", "sbn", 100, 10, 10, {"rule": rule})
    gan = {"width": 32, "penalty": False}
    yield Workload("dcgan-1", "gan", 64, 8, 1, {**gan, "critic_steps": 1})
    yield Workload("dcgan-5", "gan", 64, 3, 1, {**gan, "critic_steps": 5})
    yield Workload("wgan-gp", "gan", 64, 2, 1, {"width": 32, "penalty": True, "critic_steps": 5})
    yield Workload(
        "inrf-sgld10", "random_field", 100, 10, 1, {"sampler_steps": 10, "step_size": 1e-3}
    )
    yield Workload("rbm-cd1", "rbm", 100, 100, 1, {"gibbs_steps": 1, "persistent": False})
    yield Workload("rbm-pcd25", "rbm", 100, 20, 1, {"gibbs_steps": 25, "persistent": True})
    yield Workload("iw5000", "iw_likelihood", 20, 1, 5000, {"chunk": 50})
    yield Workload("sgld-1000x1000", "langevin", 1000, 1, 1, {"moves": 1000, "step_size": 0.01})
    yield Workload("ais-500", "annealing", 100, 1, 1, {"temperatures": 500})


WORKLOADS = {workload.name: workload for workload in _rows()}


def shortened(workload, divide):
    """The workload with fewer steps a repeat."""
    return dataclasses.replace(workload, steps=max(1, workload.steps // divide))
