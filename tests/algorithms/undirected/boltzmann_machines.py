"""Machines with their oracles, and small binary data."""

import numpy as np

from keras_dgm import models, testing


def small_rbm(visible, hidden, seed=0, scale=1.0):
    """An RBM and its oracle with the same weights."""
    oracle = testing.EnumerableRBM.random(visible, hidden, seed=seed, scale=scale)
    rbm = models.RBM((visible,), hidden)
    for variable, value in zip(rbm.trainable_variables, oracle.parameters):
        variable.assign(value)
    return rbm, oracle


def data_rows(oracle):
    """Eight rows of four bits, one of them twice."""
    return oracle.states[[0, 3, 5, 5, 6, 9, 15, 12]].astype("float32")


def bars(num_rows, seed=0):
    """Rows of eight bits: four bits drawn at odds of their own, and their copies."""
    bits = np.random.default_rng(seed).random((num_rows, 4)) < [0.8, 0.3, 0.5, 0.5]
    return np.concatenate([bits, bits], axis=1).astype("float32")


ENTROPY_OF_BARS = float(-sum(p * np.log(p) + (1 - p) * np.log(1 - p) for p in (0.8, 0.3, 0.5, 0.5)))
