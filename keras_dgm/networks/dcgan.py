"""DCGAN's generator and critic at 28, 32 and 64 pixels."""

import keras
from keras import layers

from keras_dgm.networks.adversarial import (
    check_critic,
    check_generator,
    condition_input,
    critic_head,
    generator_normalization,
    sequential,
)
from keras_dgm.networks.checks import check_image_side, check_positive
from keras_dgm.networks.normalization import normalization_layers, wrap_kernel

# Side of the image: side of the smallest feature maps, doubled at each layer.
_SMALLEST = {28: 7, 32: 4, 64: 4}


def _levels(image_shape, builder):
    """The smallest side and how often it is doubled to give the image's."""
    side = check_image_side(image_shape, tuple(_SMALLEST), builder)[0]
    smallest = _SMALLEST[side]
    return smallest, (side // smallest).bit_length() - 1


def _initializer():
    return keras.initializers.RandomNormal(stddev=0.02)


def dcgan_generator(
    image_shape,
    width=64,
    normalization="batch",
    spectral_normalization=False,
    conditioning=None,
    num_classes=None,
    output_activation="tanh",
    name=None,
):
    """DCGAN's generator: a latent vector to an image, by transposed convolutions.

    Radford et al. 2016. Dense to the smallest maps (7x7 at 28 pixels, 4x4 at 32 and 64), then
    transposed convolutions (kernel 4, stride 2) that halve the channels down to `width`, each with
    normalisation and ReLU, and a last one to the image. Kernels start from N(0, 0.02^2).

    Args:
        image_shape: (28, 28, c), (32, 32, c) or (64, 64, c).
        width: channels of the layer before the image; the first layer has 2, 4 or 8 times as many.
        normalization: None, "batch" or "layer", of each hidden layer.
        spectral_normalization: on all kernels, as SAGAN has it on both sides.
        conditioning: None; "concatenate" (the condition is appended to the latent vector: a label
            if `num_classes` is given, else a vector or an image); "batch_norm" (conditional batch
            normalisation, labels only).
        num_classes: number of classes.
        output_activation: of the image, "tanh" for data in [-1, 1], "sigmoid" for [0, 1], None.
        name: of the network.

    Returns:
        A network, not built, (batch, latent size) to (batch, *image_shape): `keras.Sequential`, or
        `ConditionalSequential` of `[latent, condition]`.

    Raises:
        ValueError: for another image size, an unknown normalisation or conditioning.
    """
    channels = check_image_side(image_shape, tuple(_SMALLEST), "dcgan_generator")[2]
    smallest, doublings = _levels(image_shape, "dcgan_generator")
    width = check_positive("width", width)
    check_generator(normalization, conditioning, num_classes)
    kind = "spectral" if spectral_normalization else None
    conditional_classes = num_classes if conditioning == "batch_norm" else None

    def normalized(linear):
        return [
            wrap_kernel(linear, kind),
            *generator_normalization(normalization, conditional_classes),
            layers.Activation("relu"),
        ]

    def up(filters, **kwargs):
        return layers.Conv2DTranspose(
            filters, 4, strides=2, padding="same", kernel_initializer=_initializer(), **kwargs
        )

    biased = normalization is None
    filters = width * 2 ** (doublings - 1)
    dense = layers.Dense(
        smallest * smallest * filters, use_bias=biased, kernel_initializer=_initializer()
    )
    stack = condition_input(conditioning, num_classes)
    first, *rest = normalized(dense)
    stack += [first, layers.Reshape((smallest, smallest, filters)), *rest]
    for level in range(doublings - 2, -1, -1):
        stack += normalized(up(width * 2**level, use_bias=biased))
    stack.append(wrap_kernel(up(channels, activation=output_activation), kind))
    return sequential(stack, name)


def dcgan_critic(
    image_shape,
    width=64,
    normalization=None,
    conditioning=None,
    num_classes=None,
    include_head=True,
    name=None,
):
    """DCGAN's discriminator: an image to a logit, by convolutions of stride two.

    Radford et al. 2016: convolutions (kernel 4, stride 2, leaky ReLU 0.2) whose channels double
    from `width` on, down to 7x7 at 28 pixels and 4x4 at 32 and 64, flattened, then a Dense layer to
    one unit without activation. The first layer's outputs are not normalised.

    Args:
        image_shape: (28, 28, c), (32, 32, c) or (64, 64, c).
        width: channels of the first convolution.
        normalization: None, "batch", "layer" (over height, width and channels; the one that goes
            with a gradient penalty), "spectral" or "weight" (of all kernels, the head's included).
        conditioning: None; "concatenate" (the condition becomes channels of the input: a label if
            `num_classes` is given, else a vector or an image); "projection" (labels only).
        num_classes: number of classes.
        include_head: False ends in the flattened features, for heads of one's own (an auxiliary
            classifier, a critic of pairs).
        name: of the network.

    Returns:
        A network, not built, (batch, *image_shape) to (batch, 1): `keras.Sequential`, or
        `ConditionalSequential` of `[image, condition]`.

    Raises:
        ValueError: for another image size, an unknown normalisation or conditioning.
    """
    _, doublings = _levels(image_shape, "dcgan_critic")
    width = check_positive("width", width)
    check_critic(normalization, conditioning, num_classes, include_head)
    stack = condition_input(conditioning, num_classes)
    for level in range(doublings):
        normalized = normalization in ("batch", "layer") and level > 0
        convolution = layers.Conv2D(
            width * 2**level,
            4,
            strides=2,
            padding="same",
            use_bias=not normalized,
            kernel_initializer=_initializer(),
        )
        stack.append(wrap_kernel(convolution, normalization))
        if normalized:
            stack += normalization_layers(normalization, images=True)
        stack.append(layers.LeakyReLU(negative_slope=0.2))
    stack.append(layers.Flatten())
    stack += critic_head(normalization, conditioning, num_classes, include_head)
    return sequential(stack, name)
