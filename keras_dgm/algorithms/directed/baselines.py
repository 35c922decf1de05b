"""Networks that predict the learning signal from what a layer is given."""

import keras
from keras import ops

from keras_dgm.networks import mlp


def build_baselines(baseline, context_shapes):
    """One network with one output for each context.

    Args:
        baseline: None for perceptrons of 100 tanh units, a network from a context to (rows, 1), or
            a list of networks, one for each context.
        context_shapes: shapes of one context.

    Returns:
        List of built networks.

    Raises:
        ValueError: another number of networks, or of outputs.
    """
    if baseline is None:
        networks = [mlp([100], "tanh", output_units=1) for _ in context_shapes]
    else:
        networks = list(baseline) if isinstance(baseline, (list, tuple)) else [baseline]
    if len(networks) != len(context_shapes):
        raise ValueError(
            f"{len(context_shapes)} baselines are needed, for contexts of the shapes "
            f"{list(context_shapes)}; received {len(networks)}. Give a list with one network each."
        )
    for network, shape in zip(networks, context_shapes):
        if not network.built:
            network.build((None, *shape))
        output = tuple(network.compute_output_shape((None, *shape)))
        if output != (None, 1):
            raise ValueError(
                f"A baseline gives one number a row, shape (None, 1); {network.name!r} gives "
                f"{output} for contexts of shape {(None, *shape)}."
            )
    return networks


def baseline_value(network, context, context_shape, training=None):
    """b(context), shape (...,), for contexts (..., *context_shape)."""
    leading = ops.shape(context)[: len(context.shape) - len(context_shape)]
    if len(leading) != 1:
        context = ops.reshape(context, (-1, *context_shape))
    value = ops.cast(network(context, training=training), "float32")
    return ops.reshape(value, leading)


def serialize(networks):
    """The networks' configurations, a list."""
    return [keras.saving.serialize_keras_object(network) for network in networks]


def deserialize(configs):
    """Networks from their configurations, or what was given if it is none."""
    if isinstance(configs, (list, tuple)) and all(isinstance(c, dict) for c in configs):
        return [keras.saving.deserialize_keras_object(config) for config in configs]
    return configs
