"""The residual blocks of the SN-GAN paper."""

import keras
from keras import layers

from keras_dgm.networks.adversarial import generator_normalization
from keras_dgm.networks.checks import check_choice, check_pair, check_positive
from keras_dgm.networks.normalization import (
    ACTIVATION_NORMALIZATIONS,
    KERNEL_NORMALIZATIONS,
    wrap_kernel,
)


@keras.saving.register_keras_serializable(package="keras_dgm")
class ResidualBlock(layers.Layer):
    """Two 3x3 convolutions and a shortcut, up, down or at one size.

    Miyato et al. 2018, Figure 8 and their code (after Gulrajani et al. 2017):
    - residual: normalise, ReLU, [up], convolve, normalise, ReLU, convolve, [down];
    - shortcut: [up], 1x1 convolution if the size or the channels change, [down];
    - a critic's first block (`first=True`) has no activation before its first convolution, since
      its input is the image.
    Up is nearest-neighbour by two, down is average pooling by two.

    Args:
        filters: channels of both convolutions.
        resample: None, "up" or "down".
        normalization: None, "batch" or "layer", before each ReLU.
        kernel_normalization: None, "spectral" or "weight", of each convolution.
        num_classes: makes the batch normalisation conditional; inputs are then `[x, labels]`.
        first: a critic's first block.

    Raises:
        ValueError: for unknown names, `num_classes` without "batch", inputs that do not fit.
    """

    def __init__(
        self,
        filters,
        resample=None,
        normalization=None,
        kernel_normalization=None,
        num_classes=None,
        first=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = check_positive("filters", filters)
        self.resample = check_choice("resample", resample, (None, "up", "down"))
        self.normalization = check_choice("normalization", normalization, ACTIVATION_NORMALIZATIONS)
        self.kernel_normalization = check_choice(
            "kernel_normalization", kernel_normalization, KERNEL_NORMALIZATIONS
        )
        if num_classes is not None and normalization != "batch":
            raise ValueError(
                f"num_classes={num_classes!r} came with normalization={normalization!r}; expected "
                "'batch', whose scale and shift become the class's."
            )
        self.num_classes = num_classes
        self.first = bool(first)
        self.takes_condition = num_classes is not None

    def _convolution(self, size, name, gain):
        # Glorot's uniform initialiser; in the residual branch with gain sqrt(2), as in the paper's
        # code.
        convolution = layers.Conv2D(
            self.filters,
            size,
            padding="same",
            kernel_initializer=keras.initializers.VarianceScaling(gain, "fan_avg", "uniform"),
            dtype=self.dtype_policy,
            name=name,
        )
        return wrap_kernel(convolution, self.kernel_normalization)

    def build(self, input_shape):
        if self.takes_condition:
            x, labels = check_pair(input_shape, "ResidualBlock", "labels")
        else:
            x, labels = input_shape, None
        if len(x) != 4:
            raise ValueError(
                f"ResidualBlock came with inputs of shape {tuple(x)}; expected feature maps of "
                "shape (batch, height, width, channels)."
            )
        if self.resample == "down" and any(side is not None and side % 2 for side in x[1:3]):
            raise ValueError(
                f"ResidualBlock(resample='down') came with feature maps of {x[1]}x{x[2]}; expected "
                "even sides."
            )
        # Height and width change on the way and shape no weight.
        x = (x[0], None, None, x[-1])
        hidden = (*x[:-1], self.filters)
        self.convolution_1 = self._convolution(3, "convolution_1", 2.0)
        self.convolution_2 = self._convolution(3, "convolution_2", 2.0)
        self.convolution_1.build(x)
        self.convolution_2.build(hidden)
        self.shortcut = None
        if self.resample is not None or x[-1] != self.filters:
            self.shortcut = self._convolution(1, "shortcut", 1.0)
            self.shortcut.build(x)
        self.normalization_1 = [] if self.first else self._normalization(x, labels)
        self.normalization_2 = self._normalization(hidden, labels)
        self.up = layers.UpSampling2D(2, interpolation="nearest", dtype=self.dtype_policy)
        self.down = layers.AveragePooling2D(2, dtype=self.dtype_policy)

    def _normalization(self, shape, labels):
        """A list of no or one built layer."""
        found = generator_normalization(
            self.normalization, self.num_classes, dtype=self.dtype_policy
        )
        for layer in found:
            layer.build([shape, labels] if self.takes_condition else shape)
        return found

    def _normalize(self, normalization, x, labels, training):
        for layer in normalization:
            x = layer([x, labels] if self.takes_condition else x, training=training)
        return x

    def call(self, inputs, training=None):
        if self.takes_condition:
            x, labels = check_pair(inputs, "ResidualBlock", "labels")
        else:
            x, labels = inputs, None
        residual = x
        if not self.first:
            residual = self._normalize(self.normalization_1, residual, labels, training)
            residual = keras.activations.relu(residual)
        if self.resample == "up":
            residual = self.up(residual)
        residual = self.convolution_1(residual, training=training)
        residual = self._normalize(self.normalization_2, residual, labels, training)
        residual = self.convolution_2(keras.activations.relu(residual), training=training)
        # A 1x1 convolution commutes with average pooling and with nearest-neighbour upsampling. At
        # the smaller size it gives the numbers of the paper's order for a quarter of the products.
        if self.resample == "down":
            residual, x = self.down(residual), self.down(x)
        if self.shortcut is not None:
            x = self.shortcut(x, training=training)
        return residual + (self.up(x) if self.resample == "up" else x)

    def compute_output_shape(self, input_shape):
        x = input_shape[0] if self.takes_condition else input_shape
        batch, height, width, _ = x
        if self.resample == "up":
            height, width = 2 * height, 2 * width
        elif self.resample == "down":
            height, width = height // 2, width // 2
        return (batch, height, width, self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "resample": self.resample,
            "normalization": self.normalization,
            "kernel_normalization": self.kernel_normalization,
            "num_classes": self.num_classes,
            "first": self.first,
        }
