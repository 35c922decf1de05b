"""Closed forms for rules on linear-Gaussian models, and their gradients in the layers' weights."""

import numpy as np
from keras import ops

from keras_dgm import testing

LOG_TWO_PI = np.log(2.0 * np.pi)


def expected_log_normal(mean, covariance, scale):
    """E[log N(residual; 0, diag(scale^2))] for a residual of this mean and covariance."""
    squares = (mean**2 + np.diag(covariance)) / scale**2
    return np.sum(-0.5 * squares - np.log(scale) - 0.5 * LOG_TWO_PI)


def entropy(scale):
    """Entropy of N(., diag(scale^2))."""
    return np.sum(np.log(scale) + 0.5 * (1.0 + LOG_TWO_PI))


def values_of(layers):
    """Weights of layers as float64 arrays: a list of lists."""
    return [
        [np.array(ops.convert_to_numpy(v), "float64") for v in layer.trainable_variables]
        for layer in layers
    ]


def loss_gradient(model, layers, bound, data):
    """Minus the gradient of a mean of closed-form bounds, in the order of the joint player.

    Args:
        model: the algorithm.
        layers: layers that hold all of its weights.
        bound: function of (the layers' weights, one x) to a float.
        data: (batch, event).
    """
    start = values_of(layers)
    sizes = np.cumsum([len(part) for part in start])[:-1]

    def objective(flat):
        parts = [list(part) for part in _split(flat, sizes)]
        return -np.mean([bound(parts, x) for x in np.asarray(data, "float64")])

    flat = [value for part in start for value in part]
    gradients = testing.numeric_gradient(objective, flat)
    variables = [v for layer in layers for v in layer.trainable_variables]
    by_variable = {id(v): g for v, g in zip(variables, gradients)}
    return {"joint": [by_variable[id(v)] for v in model.player_variables("joint")]}


def _split(flat, sizes):
    starts = [0, *sizes]
    ends = [*sizes, len(flat)]
    return [flat[a:b] for a, b in zip(starts, ends)]
