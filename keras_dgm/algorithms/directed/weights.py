"""Importance weights: samples lead, (num_samples, batch)."""

import math

from keras import ops


def log_mean_exp(log_weights):
    """log (1/K) sum_k w_k over the leading axis, shape (batch,)."""
    return ops.logsumexp(log_weights, axis=0) - math.log(log_weights.shape[0])


def normalized(log_weights):
    """w_k / sum_j w_j for each data point, constants to every gradient."""
    return ops.stop_gradient(
        ops.exp(log_weights - ops.logsumexp(log_weights, axis=0, keepdims=True))
    )


def effective_sample_size(log_weights):
    """1 / sum_k w~_k^2, between 1 and K, shape (batch,)."""
    both = 2.0 * ops.logsumexp(log_weights, axis=0) - ops.logsumexp(2.0 * log_weights, axis=0)
    return ops.exp(both)


def resampling_entropy(log_weights):
    """H(w~) = -sum_k w~_k log w~_k in nats, between 0 and log K (Bachman & Precup 2015, Eq. 23)."""
    log_normalized = log_weights - ops.logsumexp(log_weights, axis=0, keepdims=True)
    weights = ops.exp(log_normalized)
    return -ops.sum(ops.where(weights > 0, weights * log_normalized, 0.0), axis=0)


def pick(samples, kept):
    """Row `kept[b]` of the leading axis for each b: (K, batch, ...) to (batch, ...)."""
    index = ops.reshape(kept, (1, -1, *([1] * (len(samples.shape) - 2))))
    index = ops.broadcast_to(index, (1, *ops.shape(samples)[1:]))
    return ops.take_along_axis(samples, index, axis=0)[0]
