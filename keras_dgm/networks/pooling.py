"""Reductions of feature maps."""

import keras
from keras import layers, ops

from keras_dgm.networks.checks import check_positive


@keras.saving.register_keras_serializable(package="keras_dgm")
class GlobalSumPooling2D(layers.Layer):
    """Sums feature maps over space: (batch, height, width, channels) to (batch, channels).

    The last pooling of the residual critic of Miyato et al. 2018. The sum runs in float32 under
    mixed precision, where a sum over 64 places would lose digits.

    Raises:
        ValueError: for inputs that are not of rank 4.
    """

    def build(self, input_shape):
        if len(input_shape) != 4:
            raise ValueError(
                f"GlobalSumPooling2D came with inputs of shape {tuple(input_shape)}; expected "
                "feature maps of shape (batch, height, width, channels)."
            )

    def call(self, inputs):
        total = ops.sum(ops.cast(inputs, self.variable_dtype), axis=(1, 2))
        return ops.cast(total, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])


@keras.saving.register_keras_serializable(package="keras_dgm")
class MinibatchStddev(layers.Layer):
    """Appends the batch's own spread as a constant channel, against mode collapse.

    Karras et al. 2018, section 3: the standard deviation of each feature over the samples of a
    group, averaged over all features. A critic that sees it can tell a batch of like samples from a
    varied one. Its outputs then depend on the whole batch: a gradient penalty, which takes each
    sample's gradient by itself, does not go with it.

    Args:
        group_size: samples a group; the batch must be a multiple of it. None takes the batch as one
            group, of any size.
        epsilon: added to the variance under the root.

    Inputs are (batch, ..., channels), outputs (batch, ..., channels + 1).

    Raises:
        ValueError: for a group size below 2, inputs of rank 1, and a batch known to be no multiple
            of the group.
    """

    def __init__(self, group_size=None, epsilon=1e-8, **kwargs):
        super().__init__(**kwargs)
        if group_size is not None and check_positive("group_size", group_size) < 2:
            raise ValueError("group_size=1 came; the spread of one sample is zero. Expected >= 2.")
        self.group_size = group_size
        self.epsilon = epsilon

    def build(self, input_shape):
        if len(input_shape) < 2:
            raise ValueError(
                f"MinibatchStddev came with inputs of shape {tuple(input_shape)}; expected "
                "(batch, ..., channels)."
            )

    def call(self, inputs):
        batch = ops.shape(inputs)[0]
        group = batch if self.group_size is None else self.group_size
        if self.group_size is not None and isinstance(batch, int) and batch % group:
            raise ValueError(
                f"MinibatchStddev: a batch of {batch} came, no multiple of group_size={group}. "
                "Drop the remainder, or give group_size=None."
            )
        x = ops.cast(inputs, self.variable_dtype)
        num_groups = 1 if self.group_size is None else -1
        x = ops.reshape(x, (num_groups, group, *ops.shape(inputs)[1:]))
        spread = ops.sqrt(ops.var(x, axis=1, keepdims=True) + self.epsilon)
        spread = ops.mean(spread, axis=tuple(range(2, len(x.shape))), keepdims=True)
        channel = ops.ones_like(x[..., :1]) * spread
        channel = ops.reshape(channel, (batch, *ops.shape(inputs)[1:-1], 1))
        return ops.concatenate([inputs, ops.cast(channel, inputs.dtype)], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] + 1)

    def get_config(self):
        return {**super().get_config(), "group_size": self.group_size, "epsilon": self.epsilon}
