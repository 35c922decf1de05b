"""Stateless random numbers on TensorFlow. A seed is an int32 tensor of shape (2,)."""

import numpy as np
import tensorflow as tf


def as_seed(seed):
    """Turns an integer or a pair of integers into a seed tensor."""
    if isinstance(seed, (int, np.integer)):
        value = np.array([int(seed) & 0xFFFFFFFF, (int(seed) >> 32) & 0xFFFFFFFF], np.uint32)
        return tf.constant(value.view(np.int32))
    return tf.cast(tf.convert_to_tensor(seed), tf.int32)


def split_seed(seed, num):
    """Returns `num` independent seeds, as a list."""
    bits = tf.random.stateless_uniform([num, 2], seed, minval=None, maxval=None, dtype=tf.int32)
    return tf.unstack(bits)


def fold_in(seed, data):
    """A seed made of a seed and an integer (a tensor will do)."""
    return tf.random.fold_in(as_seed(seed), tf.cast(data, tf.int32))


def normal(shape, seed, dtype="float32"):
    """Standard normal draws."""
    return tf.random.stateless_normal(shape, as_seed(seed), dtype=dtype)


def uniform(shape, seed, minval=0.0, maxval=1.0, dtype="float32"):
    """Uniform draws in [minval, maxval)."""
    return tf.random.stateless_uniform(shape, as_seed(seed), minval, maxval, dtype=dtype)


def permutation(num, seed):
    """A random order of 0 .. num - 1, int32."""
    return tf.random.experimental.stateless_shuffle(tf.range(num), as_seed(seed))
