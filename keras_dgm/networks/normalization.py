"""The five normalisations that builders take, by name."""

from keras import layers

from keras_dgm.networks.checks import check_choice
from keras_dgm.networks.spectral_normalization import SpectralNormalization
from keras_dgm.networks.weight_normalization import WeightNormalization

# The running moments of Keras' default, 0.99, lag behind a generator that is trained for minutes.
BATCH_NORM_MOMENTUM = 0.9
NORM_EPSILON = 1e-5

ACTIVATION_NORMALIZATIONS = (None, "batch", "layer")
KERNEL_NORMALIZATIONS = (None, "spectral", "weight")
NORMALIZATIONS = (None, "batch", "layer", "spectral", "weight")


def check_normalization(normalization, choices=NORMALIZATIONS):
    """Returns the name, or raises a ValueError that lists the known ones."""
    return check_choice("normalization", normalization, choices)


def wrap_kernel(layer, normalization):
    """The layer with its kernel reparametrised, "spectral" or "weight", or as it is."""
    if normalization == "spectral":
        return SpectralNormalization(layer)
    if normalization == "weight":
        return WeightNormalization(layer)
    return layer


def normalization_layers(normalization, images=False, **kwargs):
    """A list of no or one layer that normalises activations, "batch" or "layer".

    On images "layer" normalises over height, width and channels with a scale a channel, as
    Gulrajani et al. 2017 do in critics with a gradient penalty.
    """
    kwargs["epsilon"] = NORM_EPSILON
    if normalization == "batch":
        return [layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, **kwargs)]
    if normalization == "layer" and images:
        return [layers.GroupNormalization(groups=1, **kwargs)]
    if normalization == "layer":
        return [layers.LayerNormalization(**kwargs)]
    return []
