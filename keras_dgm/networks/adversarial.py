"""What the generators and critics of images share: conditioning and heads."""

import keras
from keras import layers

from keras_dgm.networks.checks import check_choice, check_positive
from keras_dgm.networks.class_conditional import ConditionalBatchNormalization, ProjectionHead
from keras_dgm.networks.conditional import (
    ConcatenateCondition,
    ConditionalSequential,
    takes_condition,
)
from keras_dgm.networks.normalization import (
    ACTIVATION_NORMALIZATIONS,
    KERNEL_NORMALIZATIONS,
    check_normalization,
    normalization_layers,
    wrap_kernel,
)


def sequential(stack, name):
    """A ConditionalSequential if any layer takes a condition, a keras.Sequential if none does."""
    if any(takes_condition(layer) for layer in stack):
        return ConditionalSequential(stack, name=name)
    return keras.Sequential(stack, name=name)


def check_conditioning(conditioning, num_classes, choices, needs_classes):
    """Checks the pair (conditioning, num_classes) of a builder."""
    check_choice("conditioning", conditioning, (None, *choices))
    if conditioning is None and num_classes is not None:
        listed = " or ".join(repr(choice) for choice in choices)
        raise ValueError(
            f"num_classes={num_classes!r} came without conditioning; give conditioning={listed}."
        )
    if conditioning == needs_classes and num_classes is None:
        raise ValueError(
            f"conditioning={conditioning!r} came without num_classes; expected the number of "
            "classes."
        )
    if num_classes is not None:
        check_positive("num_classes", num_classes)


def check_generator(normalization, conditioning, num_classes):
    """Checks a generator's normalisation and conditioning."""
    check_normalization(normalization, ACTIVATION_NORMALIZATIONS)
    check_conditioning(conditioning, num_classes, ("concatenate", "batch_norm"), "batch_norm")
    if conditioning == "batch_norm" and normalization != "batch":
        raise ValueError(
            f"conditioning='batch_norm' came with normalization={normalization!r}; expected "
            "'batch'."
        )


def check_critic(normalization, conditioning, num_classes, include_head):
    """Checks a critic's normalisation and conditioning."""
    check_normalization(normalization)
    check_conditioning(conditioning, num_classes, ("concatenate", "projection"), "projection")
    if conditioning == "projection" and not include_head:
        raise ValueError(
            "conditioning='projection' came with include_head=False; the projection is the head. "
            "Leave conditioning out and put a ProjectionHead on the features."
        )


def condition_input(conditioning, num_classes):
    """The first layer of a network whose condition is concatenated to its input, in a list."""
    return [ConcatenateCondition(num_classes)] if conditioning == "concatenate" else []


def generator_normalization(normalization, num_classes, **kwargs):
    """A generator's normalisation of feature maps, conditional where `num_classes` is given."""
    if num_classes is not None:
        return [ConditionalBatchNormalization(num_classes, **kwargs)]
    return normalization_layers(normalization, images=True, **kwargs)


def critic_head(normalization, conditioning, num_classes, include_head):
    """From a vector of features to a logit of shape (batch, 1)."""
    if not include_head:
        return []
    kernel_normalization = normalization if normalization in KERNEL_NORMALIZATIONS else None
    if conditioning == "projection":
        return [ProjectionHead(num_classes, normalization=kernel_normalization)]
    return [wrap_kernel(layers.Dense(1), kernel_normalization)]
