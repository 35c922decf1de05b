"""Multi-layer perceptrons."""

import keras
from keras import layers

from keras_dgm.networks.checks import check_positive, check_units, fresh_initializer
from keras_dgm.networks.conditional import ConcatenateCondition, ConditionalSequential
from keras_dgm.networks.normalization import (
    check_normalization,
    normalization_layers,
    wrap_kernel,
)


def dense_layers(
    hidden_units,
    activation="relu",
    output_units=None,
    output_activation=None,
    normalization=None,
    dropout=0.0,
    kernel_initializer="glorot_uniform",
):
    """The layers of a perceptron after flattening; see `mlp`."""
    hidden_units = check_units("hidden_units", hidden_units)
    check_normalization(normalization)
    if not 0.0 <= dropout < 1.0:
        raise ValueError(f"dropout={dropout!r} came; expected a rate in [0, 1).")

    def dense(units, **kwargs):
        kernel_initializer_ = fresh_initializer(kernel_initializer)
        layer = layers.Dense(units, kernel_initializer=kernel_initializer_, **kwargs)
        return wrap_kernel(layer, normalization)

    stack = []
    for units in hidden_units:
        if normalization in ("batch", "layer"):
            stack.append(dense(units, use_bias=False))
            stack.extend(normalization_layers(normalization))
            stack.append(layers.Activation(activation))
        else:
            stack.append(dense(units, activation=activation))
        if dropout:
            stack.append(layers.Dropout(dropout))
    if output_units is not None:
        units = check_positive("output_units", output_units)
        stack.append(dense(units, activation=output_activation))
    elif output_activation is not None:
        raise ValueError(
            f"output_activation={output_activation!r} came without output_units; expected both, or "
            "neither for a network that ends in its last hidden layer."
        )
    return stack


def mlp(
    hidden_units,
    activation="relu",
    output_units=None,
    output_activation=None,
    normalization=None,
    dropout=0.0,
    kernel_initializer="glorot_uniform",
    name=None,
):
    """A multi-layer perceptron over the flattened input.

    Each hidden layer is Dense, normalisation, activation, dropout. `mlp([])` only flattens, which
    makes a linear model of the head put on it. The result is not built: its owner calls
    `network.build((None, *shape))`, or it is built at its first call.

    Args:
        hidden_units: list of widths.
        activation: of the hidden layers; "leaky_relu" has slope 0.2.
        output_units: width of a last Dense layer (without normalisation of its outputs), for a
            critic or a generator. None ends in the last hidden layer, for a network whose owner
            adds a head of its own, as distribution layers do.
        output_activation: of that last layer; None is linear.
        normalization: None, "batch" or "layer" (of the hidden layers' outputs, before the
            activation), "spectral" or "weight" (of all kernels).
        dropout: rate after each hidden layer.
        kernel_initializer: of all Dense layers.
        name: of the network.

    Returns:
        `keras.Sequential`, (batch, ...) to (batch, units).

    Raises:
        ValueError: for a width below 1, an unknown normalisation, a rate outside [0, 1).
    """
    stack = dense_layers(
        hidden_units,
        activation,
        output_units,
        output_activation,
        normalization,
        dropout,
        kernel_initializer,
    )
    return keras.Sequential([layers.Flatten(), *stack], name=name)


def joint_mlp(
    hidden_units,
    activation="relu",
    output_units=None,
    output_activation=None,
    normalization=None,
    dropout=0.0,
    kernel_initializer="glorot_uniform",
    num_classes=None,
    name=None,
):
    """A multi-layer perceptron over two inputs, `[x, condition]`, flattened and concatenated.

    For conditional models (`num_classes` given: the condition is an integer label), critics of
    pairs (BiGAN, adversarial variational Bayes) and inference networks that take noise.

    Args:
        num_classes: number of classes of a label; None for a vector or an image.
        hidden_units, activation, output_units, output_activation, normalization, dropout,
            kernel_initializer, name: as in `mlp`.

    Returns:
        `ConditionalSequential`, ((batch, ...), (batch, ...)) to (batch, units).
    """
    stack = dense_layers(
        hidden_units,
        activation,
        output_units,
        output_activation,
        normalization,
        dropout,
        kernel_initializer,
    )
    return ConditionalSequential(
        [ConcatenateCondition(num_classes=num_classes, flatten=True), *stack], name=name
    )


def joint_critic(
    body,
    hidden_units,
    activation="leaky_relu",
    output_units=1,
    normalization=None,
    dropout=0.0,
    num_classes=None,
    name=None,
):
    """A critic of pairs `[x, h]` that looks at x through a network of its own first.

    BiGAN on images: `joint_critic(dcgan_critic((28, 28, 1), include_head=False), [128])`.

    Args:
        body: network on x alone.
        hidden_units: widths of the layers over body(x) and h, concatenated.
        output_units: numbers returned, 1 for a logit.
        num_classes: number of classes if h is a label.
        activation, normalization, dropout, name: as in `mlp`, for the layers after the body.

    Returns:
        `ConditionalSequential`, ((batch, ...), (batch, ...)) to (batch, output_units).
    """
    stack = dense_layers(
        hidden_units,
        activation,
        output_units,
        normalization=normalization,
        dropout=dropout,
    )
    return ConditionalSequential(
        [body, ConcatenateCondition(num_classes=num_classes, flatten=True), *stack], name=name
    )


def random_field_mlp(
    hidden_units=(100, 100), activation="leaky_relu", normalization="weight", name=None
):
    """A scalar potential u(x) over vectors, with the defaults of the two-dimensional mixture.

    Song & Ou 2018 (inclusive neural random fields): 2-100-100-1, leaky ReLU of slope 0.2, weight
    normalisation on every layer.

    Returns:
        `keras.Sequential`, (batch, ...) to (batch, 1).
    """
    return mlp(hidden_units, activation, output_units=1, normalization=normalization, name=name)


def mixture_generator(
    event_size=2, hidden_units=(50, 50), activation="relu", normalization="batch", name=None
):
    """The generator of the two-dimensional mixture: h to 50-50-2, ReLU and batch normalisation.

    Song & Ou 2018; the batch normalisation is the one that the entropy surrogate of exclusive
    random fields reads.

    Returns:
        `keras.Sequential`, (batch, latent size) to (batch, event_size).
    """
    return mlp(
        hidden_units, activation, output_units=event_size, normalization=normalization, name=name
    )
