"""Discrete draws from the backend's uniform numbers, the same arithmetic on both backends."""

from keras import ops


def _uniform(shape, seed):
    from keras_dgm import backend

    return backend.uniform(shape, seed)


def bernoulli(probabilities, seed):
    """Independent draws of 0. or 1. with the given probabilities, shape and dtype kept."""
    probabilities = ops.convert_to_tensor(probabilities)
    draws = _uniform(ops.shape(probabilities), seed)
    return ops.cast(draws < ops.cast(probabilities, "float32"), probabilities.dtype)


def gumbel(shape, seed):
    """Standard Gumbel draws, float32."""
    tiny = 1.1754944e-38
    return -ops.log(-ops.log(ops.maximum(_uniform(shape, seed), tiny)))


def categorical(logits, seed):
    """Class numbers (int32) drawn from softmax(logits) over the last axis."""
    logits = ops.convert_to_tensor(logits)
    noise = gumbel(ops.shape(logits), seed)
    return ops.cast(ops.argmax(ops.cast(logits, "float32") + noise, axis=-1), "int32")
