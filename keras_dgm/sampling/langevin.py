"""Langevin dynamics, unadjusted and adjusted."""

import keras
from keras import ops, tree

from keras_dgm import backend
from keras_dgm.sampling.base import (
    Sampler,
    check_positive,
    choose_rows,
    normal_like,
    per_part,
    row_norm,
    row_scale,
    row_sum,
    value_and_gradient,
)

NO_NOISE = (
    " A chain without noise (temperature zero) climbs to a mode and samples nothing; for that, "
    "use an optimiser on the potential."
)


@keras.saving.register_keras_serializable(package="keras_dgm")
class Langevin(Sampler):
    """Stochastic gradient Langevin dynamics (SGLD): x <- x + c grad u(x) + sigma xi.

    With c = s/2 and sigma = sqrt(s) (the defaults for a step size s) the law of the chain tends
    to p proportional to exp u as s goes to 0; there is no correction, so at any s > 0 it is a
    little off: on N(0, 1) the stationary variance is 1 / (1 - s/4). Papers and releases often
    give c and sigma independently; the chain then has the temperature sigma^2 / (2 c), which
    `temperature` reports, and tends to p^(1/temperature).

    Cost per step: one pass and one input gradient of the network.

    Statistics: `acceptance` (1, nothing is refused), `step_norm` (mean |x' - x|),
    `gradient_norm` (mean |grad u| before clipping), `clipped` (share of the gradients that were).

    Args:
        step_size: s, positive, or a tuple with one for each part of the state.
        num_steps: steps of a call.
        gradient_coefficient: c, s/2 by default.
        noise_scale: sigma, sqrt(s) by default. Given with `gradient_coefficient`, `step_size`
            has no effect.
        clip_gradient: largest norm of a row's gradient over all parts, a tuple with one for each
            part, or None. The chain then no longer tends to p where the gradient is clipped;
            `clipped` says how often it is.

    Raises:
        ValueError: a step size or noise scale that is not positive.
    """

    statistics = ("acceptance", "step_norm", "gradient_norm", "clipped")

    def __init__(
        self,
        step_size=0.01,
        num_steps=20,
        gradient_coefficient=None,
        noise_scale=None,
        clip_gradient=None,
    ):
        super().__init__(num_steps)
        self.step_size = check_positive("step_size", step_size, NO_NOISE)
        self.gradient_coefficient = optional("gradient_coefficient", gradient_coefficient)
        self.noise_scale = optional("noise_scale", noise_scale, NO_NOISE)
        self.clip_gradient = optional("clip_gradient", clip_gradient)

    @property
    def coefficients(self):
        """`(c, sigma)`, each a number or a tuple with one for each part."""
        half = _map(lambda s: 0.5 * s, self.step_size)
        root = _map(lambda s: s**0.5, self.step_size)
        c = half if self.gradient_coefficient is None else self.gradient_coefficient
        return c, root if self.noise_scale is None else self.noise_scale

    @property
    def temperature(self):
        """sigma^2 / (2 c): 1 for samples of p, less for samples nearer its modes."""
        c, sigma = self.coefficients
        if isinstance(c, tuple) or isinstance(sigma, tuple):
            size = len(c) if isinstance(c, tuple) else len(sigma)
            c, sigma = _spread(c, size), _spread(sigma, size)
            return tuple(one * one / (2.0 * other) for one, other in zip(sigma, c))
        return sigma * sigma / (2.0 * c)

    def step(self, target, carry, seed):
        """One move of every chain."""
        state = carry["state"]
        _, gradient = value_and_gradient(target, state)
        gradient, norm, clipped = clip_rows(gradient, self.clip_gradient)
        c, sigma = (per_part(one, state) for one in self.coefficients)
        noise = normal_like(state, seed)
        move = tree.map_structure(lambda g, c, n, s: c * g + s * n, gradient, c, noise, sigma)
        new = tree.map_structure(lambda x, m: x + ops.cast(m, x.dtype), state, move)
        return {"state": new}, {
            "acceptance": ops.ones((), "float32"),
            "step_norm": ops.mean(row_norm(move)),
            "gradient_norm": ops.mean(norm),
            "clipped": clipped,
        }

    def get_config(self):
        return {
            **super().get_config(),
            "step_size": self.step_size,
            "gradient_coefficient": self.gradient_coefficient,
            "noise_scale": self.noise_scale,
            "clip_gradient": self.clip_gradient,
        }


@keras.saving.register_keras_serializable(package="keras_dgm")
class MALA(Sampler):
    """Metropolis-adjusted Langevin: the step of `Langevin`, accepted or refused, exact at any s.

    Proposal N(x + (s/2) grad u(x), s I), accepted with probability
    min(1, exp(u(x') - u(x)) q(x | x') / q(x' | x)).

    Cost per step: one pass and one input gradient (those of the present state are carried along).

    Statistics: `acceptance`, `step_norm` (mean |x' - x| over all chains, refused moves counting
    as 0), `gradient_norm`.

    Args:
        step_size: s, positive, or a tuple with one for each part of the state.
        num_steps: steps of a call.
    """

    is_exact = True
    statistics = ("acceptance", "step_norm", "gradient_norm")

    def __init__(self, step_size=0.01, num_steps=20):
        super().__init__(num_steps)
        self.step_size = check_positive("step_size", step_size, NO_NOISE)

    def initialize(self, target, state):
        """The states with their potentials and gradients."""
        value, gradient = value_and_gradient(target, state)
        return {"state": state, "value": value, "gradient": gradient}

    def step(self, target, carry, seed):
        """One proposal for every chain."""
        first, second = backend.split_seed(seed, 2)
        state, gradient = carry["state"], carry["gradient"]
        size = per_part(self.step_size, state)
        noise = normal_like(state, first)
        new = tree.map_structure(
            lambda x, g, n, s: x + 0.5 * s * g + s**0.5 * n, state, gradient, noise, size
        )
        value, new_gradient = value_and_gradient(target, new)
        # log q(x | x') - log q(x' | x); the forward noise is known.
        back = tree.map_structure(
            lambda x, y, g, s: (x - y - 0.5 * s * g) / s**0.5, state, new, new_gradient, size
        )
        ratio = value - carry["value"]
        ratio = ratio - 0.5 * row_sum(tree.map_structure(ops.square, back))
        ratio = ratio + 0.5 * row_sum(tree.map_structure(ops.square, noise))
        accept = ops.log(backend.uniform(ops.shape(ratio), second)) < ratio
        move = tree.map_structure(lambda a, b: a - b, new, state)
        accepted = ops.cast(accept, "float32")
        return {
            "state": choose_rows(accept, new, state),
            "value": ops.where(accept, value, carry["value"]),
            "gradient": choose_rows(accept, new_gradient, gradient),
        }, {
            "acceptance": ops.mean(accepted),
            "step_norm": ops.mean(accepted * row_norm(move)),
            "gradient_norm": ops.mean(row_norm(gradient)),
        }

    def get_config(self):
        return {**super().get_config(), "step_size": self.step_size}


def clip_rows(gradient, largest):
    """`(gradient, norms before, share clipped)`: rows longer than `largest` shortened to it.

    With a tuple each part is shortened by itself; a row counts as clipped if a part of it was.
    """
    norm = row_norm(gradient)
    if largest is None:
        return gradient, norm, ops.zeros((), "float32")
    if isinstance(largest, tuple):
        limits = tree.flatten(per_part(largest, gradient))
        parts, long = [], norm < 0.0
        for part, limit in zip(tree.flatten(gradient), limits):
            length = row_norm(part)
            long = ops.logical_or(long, length > limit)
            parts.append(row_scale(ops.minimum(limit / ops.maximum(length, 1e-30), 1.0), part))
        share = ops.mean(ops.cast(long, "float32"))
        return tree.pack_sequence_as(gradient, parts), norm, share
    long = norm > largest
    factor = ops.where(long, largest / ops.maximum(norm, 1e-30), 1.0)
    return row_scale(factor, gradient), norm, ops.mean(ops.cast(long, "float32"))


def optional(name, value, hint=""):
    """None, or what `check_positive` makes of the value."""
    return None if value is None else check_positive(name, value, hint)


def _map(fn, value):
    return tuple(map(fn, value)) if isinstance(value, tuple) else fn(value)


def _spread(value, size):
    return value if isinstance(value, tuple) else (value,) * size
