"""Self-attention over feature maps."""

import keras
from keras import layers, ops

from keras_dgm.networks.checks import check_positive
from keras_dgm.networks.normalization import wrap_kernel


@keras.saving.register_keras_serializable(package="keras_dgm")
class SelfAttention2D(layers.Layer):
    """y = x + gamma v(softmax(f(x) g(x)^T) h(x)), the self-attention block of SAGAN.

    Zhang et al. 2019, Eq. 1-3. f (queries), g (keys) and h (values) are 1x1 convolutions to
    channels / `reduction`, channels / `reduction` and channels / `value_reduction`; v is one back
    to the input's channels. Keys and values are max-pooled by two in height and width, as in the
    authors' code, which quarters the cost to height^2 width^2 / 4 products a channel. gamma is one
    trainable number that starts at zero, so the block begins as the identity. The softmax runs in
    the dtype of the variables.

    Inputs and outputs have shape (batch, height, width, channels).

    Args:
        reduction: divides the channels of queries and keys (8 in the paper).
        value_reduction: divides the channels of the values (8 in the paper, 2 in its code).
        pool: max-pool keys and values.
        spectral_normalization: on all four convolutions.

    Raises:
        ValueError: for inputs of another rank or with fewer channels than `reduction`.
    """

    def __init__(
        self, reduction=8, value_reduction=2, pool=True, spectral_normalization=False, **kwargs
    ):
        super().__init__(**kwargs)
        self.reduction = check_positive("reduction", reduction)
        self.value_reduction = check_positive("value_reduction", value_reduction)
        self.pool = bool(pool)
        self.spectral_normalization = bool(spectral_normalization)

    def build(self, input_shape):
        if len(input_shape) != 4:
            raise ValueError(
                f"SelfAttention2D came with inputs of shape {tuple(input_shape)}; expected feature "
                "maps of shape (batch, height, width, channels)."
            )
        channels = input_shape[-1]
        if channels < max(self.reduction, self.value_reduction):
            raise ValueError(
                f"SelfAttention2D came with {channels} channels, fewer than its reduction "
                f"{max(self.reduction, self.value_reduction)}; give a smaller reduction or more "
                "channels."
            )
        kind = "spectral" if self.spectral_normalization else None

        def pointwise(filters, name):
            convolution = layers.Conv2D(
                filters, 1, use_bias=False, dtype=self.dtype_policy, name=name
            )
            return wrap_kernel(convolution, kind)

        self.query = pointwise(channels // self.reduction, "query")
        self.key = pointwise(channels // self.reduction, "key")
        self.value = pointwise(channels // self.value_reduction, "value")
        self.projection = pointwise(channels, "projection")
        for layer in (self.query, self.key, self.value):
            layer.build(input_shape)
        self.projection.build((*input_shape[:-1], channels // self.value_reduction))
        self.gamma = self.add_weight(name="gamma", shape=(), initializer="zeros")

    def _places(self, features, pool):
        """(batch, height, width, channels) to (batch, places, channels)."""
        if pool and self.pool:
            features = ops.max_pool(features, 2, strides=2, padding="same")
        shape = ops.shape(features)
        return ops.reshape(features, (shape[0], shape[1] * shape[2], features.shape[-1]))

    def call(self, inputs, training=None):
        query = self._places(self.query(inputs, training=training), pool=False)
        key = self._places(self.key(inputs, training=training), pool=True)
        value = self._places(self.value(inputs, training=training), pool=True)
        logits = ops.matmul(query, ops.swapaxes(key, 1, 2))
        weights = ops.softmax(ops.cast(logits, self.variable_dtype), axis=-1)
        attended = ops.matmul(ops.cast(weights, self.compute_dtype), value)
        attended = ops.reshape(attended, (*ops.shape(inputs)[:-1], value.shape[-1]))
        return inputs + self.gamma * self.projection(attended, training=training)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "reduction": self.reduction,
            "value_reduction": self.value_reduction,
            "pool": self.pool,
            "spectral_normalization": self.spectral_normalization,
        }
