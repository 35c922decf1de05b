"""Targets whose law is known, and samplers as functions of NumPy states."""

import numpy as np
from keras import ops

from keras_dgm import backend, models, testing


class _Nothing:
    variables = ()


def kernel(sampler, target, owner=None):
    """The sampler as `check_stationarity` wants it: (states, seed) -> states, compiled once."""
    program = backend.compiled(
        owner or _Nothing(), lambda state, seed: sampler.sample(target, state, seed).state
    )

    def call(states, seed):
        states = np.asarray(states, "float32")
        out = program(ops.convert_to_tensor(states), ops.convert_to_tensor(np.asarray(seed)))
        return ops.convert_to_numpy(out)

    return call


def normal(x):
    """u of N(0, I)."""
    return -0.5 * ops.sum(ops.square(x), axis=-1)


def double_well(x):
    """u(x) = x^2 - x^4 / 4 on the line: two modes, tails lighter than a Gaussian's."""
    x = x[..., 0]
    return ops.square(x) - 0.25 * ops.square(ops.square(x))


def double_well_law():
    """`(draw_exact, cdf)` of `double_well`."""
    grid = testing.GridDensity(
        lambda x: x[:, 0] ** 2 - 0.25 * x[:, 0] ** 4, [(-4.5, 4.5)], num_points=4001
    )

    def draw_exact(num_chains, seed):
        return grid.sample(num_chains, np.random.default_rng(seed)).astype("float32")

    return draw_exact, grid.cdf()


def small_rbm(visible, hidden, seed=0, scale=1.0):
    """An RBM and its oracle with the same weights."""
    oracle = testing.EnumerableRBM.random(visible, hidden, seed=seed, scale=scale)
    rbm = models.RBM((visible,), hidden)
    for variable, value in zip(rbm.trainable_variables, oracle.parameters):
        variable.assign(value)
    return rbm, oracle
