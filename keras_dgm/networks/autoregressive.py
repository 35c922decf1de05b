"""Masked layers and networks in which output i depends on the inputs before i alone."""

import keras
import numpy as np
from keras import layers, ops

from keras_dgm.networks.checks import check_positive, check_units, fresh_initializer
from keras_dgm.networks.conditional import ConcatenateCondition, ConditionalSequential


@keras.saving.register_keras_serializable(package="keras_dgm")
class MaskedDense(layers.Layer):
    """A Dense layer whose unit of degree b sees the inputs of degrees at most b.

    MADE (Germain et al. 2015), Eq. 8, 9: W is multiplied by a mask that is one where
    output degree >= input degree, or, with `strict=True`, output degree > input degree, and zero
    elsewhere. Stacks of it are autoregressive: an input of degree 0 reaches all units (a context),
    an output of degree 0 none of positive degree.

    Args:
        input_degrees: an integer for each input.
        output_degrees: an integer for each unit.
        strict: whether equal degrees are disconnected.
        activation: of the outputs.
        use_bias: whether there is a bias.
        kernel_initializer: of the kernel, before masking.
        bias_initializer: of the bias.

    Raises:
        ValueError: for inputs whose last axis does not match `input_degrees`.
    """

    def __init__(
        self,
        input_degrees,
        output_degrees,
        strict=False,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.input_degrees = [int(degree) for degree in input_degrees]
        self.output_degrees = [int(degree) for degree in output_degrees]
        self.strict = bool(strict)
        self.activation = keras.activations.get(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        before = np.asarray(self.input_degrees)[:, None]
        after = np.asarray(self.output_degrees)[None, :]
        self.mask = (after > before if self.strict else after >= before).astype("float32")

    def build(self, input_shape):
        if input_shape[-1] != len(self.input_degrees):
            raise ValueError(
                f"MaskedDense came with inputs of shape {tuple(input_shape)}; expected a last axis "
                f"of {len(self.input_degrees)}, one for each of its input degrees."
            )
        self.kernel = self.add_weight(
            name="kernel", shape=self.mask.shape, initializer=self.kernel_initializer
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(self.mask.shape[1],), initializer=self.bias_initializer
            )

    def call(self, inputs):
        mask = ops.convert_to_tensor(self.mask, dtype=self.compute_dtype)
        outputs = ops.matmul(inputs, self.kernel * mask)
        if self.bias is not None:
            outputs = outputs + self.bias
        return outputs if self.activation is None else self.activation(outputs)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], len(self.output_degrees))

    def get_config(self):
        return {
            **super().get_config(),
            "input_degrees": self.input_degrees,
            "output_degrees": self.output_degrees,
            "strict": self.strict,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }


def _positions(order, event_size):
    """For each dimension the position, from 1, in which it is generated."""
    if order == "left_to_right":
        return list(range(1, event_size + 1))
    if order == "right_to_left":
        return list(range(event_size, 0, -1))
    positions = None if isinstance(order, str) else [int(position) for position in order]
    if positions is None or sorted(positions) != list(range(event_size)):
        raise ValueError(
            f"order={order!r} came; expected 'left_to_right', 'right_to_left' or a permutation of "
            f"0 .. {event_size - 1} that gives each dimension's position."
        )
    return [position + 1 for position in positions]


def autoregressive_mlp(
    event_size,
    hidden_units,
    params_per_dim=1,
    activation="relu",
    order="left_to_right",
    context_size=None,
    kernel_initializer="glorot_uniform",
    output_initializer=None,
    name=None,
):
    """A perceptron whose outputs for dimension i depend on the dimensions before i only (MADE).

    Germain et al. 2015. One pass gives the parameters of every conditional p(x_i | x_<i): the body
    of inverse and masked autoregressive flows and of NADE-like distributions. Hidden degrees are
    spread evenly over the event, so a layer narrower than the event still sees all of it.

    Args:
        event_size: number of dimensions D of the flattened event.
        hidden_units: widths of the hidden layers, at least one.
        params_per_dim: numbers returned for each dimension, 2 for a shift and a log scale.
        activation: of the hidden layers.
        order: "left_to_right", "right_to_left", or for each dimension its position 0 .. D - 1.
        context_size: length of a context vector that every output may see; the inputs are then
            `[x, context]`.
        kernel_initializer: of the hidden layers.
        output_initializer: of the last layer, "zeros" to start a flow at the identity; None takes
            `kernel_initializer`.
        name: of the network.

    Returns:
        A network, not built, (batch, ...) to (batch, event_size, params_per_dim):
        `keras.Sequential`, or `ConditionalSequential` of `[x, context]`.

    Raises:
        ValueError: for sizes below 1, no hidden layer, an order that is no permutation.
    """
    event_size = check_positive("event_size", event_size)
    params_per_dim = check_positive("params_per_dim", params_per_dim)
    hidden_units = check_units("hidden_units", hidden_units)
    if not hidden_units:
        raise ValueError("hidden_units=[] came; expected at least one hidden layer.")
    positions = _positions(order, event_size)
    degrees = list(positions)
    lowest = min(1, event_size - 1)
    if context_size is not None:
        degrees += [0] * check_positive("context_size", context_size)
        lowest = 0
    stack = []
    for units in hidden_units:
        hidden = np.round(np.linspace(lowest, event_size - 1, units)).astype(int).tolist()
        stack.append(
            MaskedDense(
                degrees,
                hidden,
                activation=activation,
                kernel_initializer=fresh_initializer(kernel_initializer),
            )
        )
        degrees = hidden
    if output_initializer is None:
        output_initializer = kernel_initializer
    stack.append(
        MaskedDense(
            degrees,
            np.repeat(positions, params_per_dim),
            strict=True,
            kernel_initializer=fresh_initializer(output_initializer),
        )
    )
    stack.append(layers.Reshape((event_size, params_per_dim)))
    if context_size is not None:
        return ConditionalSequential([ConcatenateCondition(flatten=True), *stack], name=name)
    return keras.Sequential([layers.Flatten(), *stack], name=name)
