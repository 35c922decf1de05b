"""The residual generator and critic of the SN-GAN paper at 32 pixels."""

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
from keras_dgm.networks.normalization import KERNEL_NORMALIZATIONS, wrap_kernel
from keras_dgm.networks.pooling import GlobalSumPooling2D
from keras_dgm.networks.residual_block import ResidualBlock
from keras_dgm.networks.self_attention import SelfAttention2D

_SIDES = (32,)


def resnet_generator(
    image_shape=(32, 32, 3),
    width=256,
    normalization="batch",
    spectral_normalization=False,
    attention=False,
    conditioning=None,
    num_classes=None,
    output_activation="tanh",
    name=None,
):
    """The residual generator of Miyato et al. 2018, Table 4: a latent vector to a 32x32 image.

    Dense to 4x4x`width`, three residual blocks up, normalisation, ReLU, 3x3 convolution, tanh.

    Args:
        image_shape: (32, 32, channels).
        width: channels of every block, 256 in the paper.
        normalization: None, "batch" or "layer".
        spectral_normalization: on all kernels, as in SAGAN.
        attention: a self-attention block at 16x16, after the second residual block (Zhang et al.
            2019).
        conditioning: None; "concatenate" (the condition is appended to the latent vector);
            "batch_norm" (conditional batch normalisation in the blocks, Miyato & Koyama 2018).
        num_classes: number of classes.
        output_activation: of the image.
        name: of the network.

    Returns:
        A network, not built, (batch, latent size) to (batch, *image_shape): `keras.Sequential`, or
        `ConditionalSequential` of `[latent, condition]`.

    Raises:
        ValueError: for another image size, an unknown normalisation or conditioning.
    """
    channels = check_image_side(image_shape, _SIDES, "resnet_generator")[2]
    width = check_positive("width", width)
    check_generator(normalization, conditioning, num_classes)
    kind = "spectral" if spectral_normalization else None
    block_classes = num_classes if conditioning == "batch_norm" else None
    stack = condition_input(conditioning, num_classes)
    stack += [wrap_kernel(layers.Dense(4 * 4 * width), kind), layers.Reshape((4, 4, width))]
    for index in range(3):
        stack.append(
            ResidualBlock(
                width,
                resample="up",
                normalization=normalization,
                kernel_normalization=kind,
                num_classes=block_classes,
            )
        )
        if attention and index == 1:
            stack.append(SelfAttention2D(spectral_normalization=spectral_normalization))
    # The last normalisation is not conditional in the paper's code either.
    stack += generator_normalization(normalization, None)
    last = layers.Conv2D(channels, 3, padding="same", activation=output_activation)
    stack += [layers.Activation("relu"), wrap_kernel(last, kind)]
    return sequential(stack, name)


def resnet_critic(
    image_shape=(32, 32, 3),
    width=128,
    normalization="spectral",
    attention=False,
    conditioning=None,
    num_classes=None,
    include_head=True,
    name=None,
):
    """The residual critic of Miyato et al. 2018, Table 4: a 32x32 image to a logit.

    Residual blocks down, down, level, level, then ReLU, global sum pooling and a Dense layer to one
    unit without activation.

    Args:
        image_shape: (32, 32, channels).
        width: channels of every block, 128 in the paper.
        normalization: None, "batch", "layer", "spectral" (the paper's) or "weight".
        attention: a self-attention block at 16x16, after the first residual block.
        conditioning: None; "concatenate" (the condition becomes channels of the input);
            "projection" (Miyato & Koyama 2018).
        num_classes: number of classes.
        include_head: False ends in the pooled features, (batch, width).
        name: of the network.

    Returns:
        A network, not built, (batch, *image_shape) to (batch, 1): `keras.Sequential`, or
        `ConditionalSequential` of `[image, condition]`.

    Raises:
        ValueError: for another image size, an unknown normalisation or conditioning.
    """
    check_image_side(image_shape, _SIDES, "resnet_critic")
    width = check_positive("width", width)
    check_critic(normalization, conditioning, num_classes, include_head)
    kernel_normalization = normalization if normalization in KERNEL_NORMALIZATIONS else None
    activation_normalization = None if kernel_normalization else normalization
    stack = condition_input(conditioning, num_classes)
    for index, resample in enumerate(("down", "down", None, None)):
        stack.append(
            ResidualBlock(
                width,
                resample=resample,
                normalization=activation_normalization,
                kernel_normalization=kernel_normalization,
                first=index == 0,
            )
        )
        if attention and index == 0:
            stack.append(SelfAttention2D(spectral_normalization=normalization == "spectral"))
    stack += [layers.Activation("relu"), GlobalSumPooling2D()]
    stack += critic_head(normalization, conditioning, num_classes, include_head)
    return sequential(stack, name)
