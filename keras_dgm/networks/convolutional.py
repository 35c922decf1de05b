"""Strided convolutional encoder and decoder bodies, for images of any size that strides divide."""

import keras
from keras import layers

from keras_dgm.networks.checks import (
    check_image_shape,
    check_positive,
    check_units,
    fresh_initializer,
)
from keras_dgm.networks.normalization import (
    check_normalization,
    normalization_layers,
    wrap_kernel,
)


def _check_strides(image_shape, filters):
    height, width, channels = check_image_shape(image_shape)
    filters = check_units("filters", filters)
    factor = 2 ** len(filters)
    if height % factor or width % factor:
        raise ValueError(
            f"image_shape={(height, width, channels)} came with {len(filters)} strides of two; "
            f"expected height and width to be multiples of {factor}. Give fewer filters or pad the "
            "images."
        )
    return (height // factor, width // factor), filters


def _block(make, normalization, activation):
    """A linear layer, its normalisation and its activation."""
    normalized = normalization in ("batch", "layer")
    linear = wrap_kernel(make(use_bias=not normalized), normalization)
    return [
        linear,
        *normalization_layers(normalization, images=True),
        layers.Activation(activation),
    ]


def conv_encoder(
    image_shape,
    filters=(32, 64),
    kernel_size=4,
    activation="relu",
    hidden_units=(),
    normalization=None,
    kernel_initializer="glorot_uniform",
    name=None,
):
    """Convolutions of stride two, one for each entry of `filters`, then flattened features.

    At 28x28 and the default filters the feature maps are 14x14x32 and 7x7x64. There is no head: a
    distribution layer adds its own.

    Args:
        image_shape: (height, width, channels), each side a multiple of 2 ** len(filters). The
            channels may grow at build time, by a label concatenated to the image.
        filters: channels of each convolution, from the image inwards.
        kernel_size: of each convolution.
        activation: after each layer.
        hidden_units: widths of Dense layers over the flattened features.
        normalization: None, "batch", "layer", "spectral" or "weight".
        kernel_initializer: of all layers.
        name: of the network.

    Returns:
        `keras.Sequential`, (batch, height, width, channels) to (batch, features), not built.

    Raises:
        ValueError: for sides that the strides do not divide, an unknown normalisation.
    """
    _, filters = _check_strides(image_shape, filters)
    check_normalization(normalization)
    check_positive("kernel_size", kernel_size)
    hidden_units = check_units("hidden_units", hidden_units)
    stack = []
    for channels in filters:
        stack += _block(
            lambda use_bias, channels=channels: layers.Conv2D(
                channels,
                kernel_size,
                strides=2,
                padding="same",
                use_bias=use_bias,
                kernel_initializer=fresh_initializer(kernel_initializer),
            ),
            normalization,
            activation,
        )
    stack.append(layers.Flatten())
    for units in hidden_units:
        dense = layers.Dense(
            units, activation, kernel_initializer=fresh_initializer(kernel_initializer)
        )
        stack.append(wrap_kernel(dense, normalization))
    return keras.Sequential(stack, name=name)


def conv_decoder(
    image_shape,
    filters=(64, 32),
    kernel_size=4,
    activation="relu",
    hidden_units=(),
    normalization=None,
    kernel_initializer="glorot_uniform",
    name=None,
):
    """A latent vector to feature maps of the image's height and width, by transposed convolutions.

    The mirror of `conv_encoder`: Dense layers, then a Dense layer to the smallest map with
    `filters[0]` channels, then one transposed convolution of stride two for each entry of
    `filters`. It ends in (height, width, filters[-1]) after the activation, with no head: a
    distribution layer maps these channels to its parameters. The latent vector may have any size.

    Args:
        image_shape: (height, width, channels), each side a multiple of 2 ** len(filters); the
            channels are the head's business.
        filters: channels of each transposed convolution, from the latent vector outwards.
        kernel_size: of each transposed convolution; an even one leaves no chequerboard.
        activation: after each layer.
        hidden_units: widths of Dense layers over the latent vector.
        normalization: None, "batch", "layer", "spectral" or "weight".
        kernel_initializer: of all layers.
        name: of the network.

    Returns:
        `keras.Sequential`, (batch, ...) to (batch, height, width, filters[-1]), not built.

    Raises:
        ValueError: for sides that the strides do not divide, no filters, an unknown normalisation.
    """
    (height, width), filters = _check_strides(image_shape, filters)
    if not filters:
        raise ValueError("filters=[] came; expected at least one transposed convolution.")
    check_normalization(normalization)
    check_positive("kernel_size", kernel_size)
    stack = [layers.Flatten()]
    for units in [*check_units("hidden_units", hidden_units), height * width * filters[0]]:
        dense = layers.Dense(
            units, activation, kernel_initializer=fresh_initializer(kernel_initializer)
        )
        stack.append(wrap_kernel(dense, normalization))
    stack.append(layers.Reshape((height, width, filters[0])))
    for channels in filters:
        stack += _block(
            lambda use_bias, channels=channels: layers.Conv2DTranspose(
                channels,
                kernel_size,
                strides=2,
                padding="same",
                use_bias=use_bias,
                kernel_initializer=fresh_initializer(kernel_initializer),
            ),
            normalization,
            activation,
        )
    return keras.Sequential(stack, name=name)
