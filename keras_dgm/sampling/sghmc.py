"""Stochastic gradient Hamiltonian Monte Carlo."""

import keras
from keras import ops, tree

from keras_dgm.sampling.base import (
    Sampler,
    check_positive,
    normal_like,
    per_part,
    row_norm,
    value_and_gradient,
)
from keras_dgm.sampling.langevin import NO_NOISE, clip_rows, optional


@keras.saving.register_keras_serializable(package="keras_dgm")
class SGHMC(Sampler):
    """SGHMC (Chen et al. 2014): v <- beta v + c grad u(x) + sigma xi, x <- x + v.

    At temperature 1 sigma^2 = 2 (1 - beta) c (the default). There is no correction: on N(0, 1)
    the stationary variance is (1 + beta) / (1 + beta - c/2), which tends to 1 as c goes to 0.
    With a noise scale of its own the chain has the temperature sigma^2 / (2 (1 - beta) c), which
    `temperature` reports.

    Cost per step: one pass and one input gradient of the network.

    Statistics: `acceptance` (1, nothing is refused), `step_norm` (mean |v|), `gradient_norm`
    (mean |grad u| before clipping), `clipped` (share of the gradients that were).

    Args:
        step_size: c, positive, or a tuple with one for each part of the state.
        momentum: beta, in [0, 1); 0 is Langevin dynamics with s = 2 c.
        num_steps: steps of a call. Velocities start at zero in each call.
        noise_scale: sigma (a number for all parts), or None for temperature 1.
        clip_gradient: largest norm of a row's gradient, or None; see `Langevin`.

    Raises:
        ValueError: a step size or noise scale that is not positive, a momentum outside [0, 1).
    """

    statistics = ("acceptance", "step_norm", "gradient_norm", "clipped")

    def __init__(
        self, step_size=0.01, momentum=0.9, num_steps=20, noise_scale=None, clip_gradient=None
    ):
        super().__init__(num_steps)
        self.step_size = check_positive("step_size", step_size, NO_NOISE)
        if not 0.0 <= float(momentum) < 1.0:
            raise ValueError(f"`momentum` lies in [0, 1); received {momentum!r}.")
        self.momentum = float(momentum)
        self.noise_scale = optional("noise_scale", noise_scale, NO_NOISE)
        self.clip_gradient = optional("clip_gradient", clip_gradient)

    def _noise(self, c):
        if self.noise_scale is not None:
            return self.noise_scale
        return (2.0 * (1.0 - self.momentum) * c) ** 0.5

    @property
    def temperature(self):
        """sigma^2 / (2 (1 - beta) c): 1 for samples of p."""
        sizes = self.step_size if isinstance(self.step_size, tuple) else (self.step_size,)
        values = tuple(self._noise(c) ** 2 / (2.0 * (1.0 - self.momentum) * c) for c in sizes)
        return values if isinstance(self.step_size, tuple) else values[0]

    def initialize(self, target, state):
        """The states at rest."""
        velocity = tree.map_structure(lambda x: ops.zeros(ops.shape(x), "float32"), state)
        return {"state": state, "velocity": velocity}

    def step(self, target, carry, seed):
        """One move of every chain."""
        state = carry["state"]
        _, gradient = value_and_gradient(target, state)
        gradient, norm, clipped = clip_rows(gradient, self.clip_gradient)
        velocity = tree.map_structure(
            lambda v, g, n, c: self.momentum * v + c * g + self._noise(c) * n,
            carry["velocity"],
            gradient,
            normal_like(state, seed),
            per_part(self.step_size, state),
        )
        new = tree.map_structure(lambda x, v: x + ops.cast(v, x.dtype), state, velocity)
        return {"state": new, "velocity": velocity}, {
            "acceptance": ops.ones((), "float32"),
            "step_norm": ops.mean(row_norm(velocity)),
            "gradient_norm": ops.mean(norm),
            "clipped": clipped,
        }

    def get_config(self):
        return {
            **super().get_config(),
            "step_size": self.step_size,
            "momentum": self.momentum,
            "noise_scale": self.noise_scale,
            "clip_gradient": self.clip_gradient,
        }
