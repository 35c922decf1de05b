"""Functions that TensorFlow and JAX do in ways of their own."""

import tensorflow as tf


def fold_axes(tensor, count):
    """The first `count` axes folded into one."""
    return tf.reshape(tensor, (-1, *tensor.shape[count:]))


def unfold_axes(tensor, sizes, shape):
    """What became of what `fold_axes` folded, (*sizes, *shape)."""
    return tf.reshape(tensor, (*sizes, *shape))
