"""What a network gives: its shape, and the range that its last activation confines it to."""

import keras
import numpy as np

_RANGES = {
    "sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "hard_tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
    "relu": (0.0, np.inf),
    "softplus": (0.0, np.inf),
    "exponential": (0.0, np.inf),
}

_SHAPES = (keras.layers.Flatten, keras.layers.Reshape)


def output_shape(network, shape):
    """Shape of what a network gives for inputs of a shape, the batch's axis None.

    Args:
        network: a built Keras layer, whether or not it implements `compute_output_shape`.
        shape: `(None, ...)`, or a list of such; `(None,)` stands for integer labels.
    """

    def tensor(shape):
        dtype = "int32" if len(shape) == 1 else "float32"
        return keras.KerasTensor(tuple(shape), dtype=dtype)

    inputs = [tensor(part) for part in shape] if isinstance(shape, list) else tensor(shape)
    return tuple(network.compute_output_spec(inputs).shape)


def output_range(network):
    """`(low, high)` of the network's outputs as its last layer's activation tells, or None.

    Looks into `keras.Sequential`, `ConditionalSequential`, wrappers (spectral normalisation) and
    functional models; a layer of another kind is not known to have a range.
    """
    layer = _last_layer(network)
    activation = getattr(layer, "activation", None)
    return _RANGES.get(getattr(activation, "__name__", None))


def _last_layer(layer):
    """The layer that computes the output last, up to its shape."""
    while True:
        inner = [part for part in getattr(layer, "layers", ()) if not isinstance(part, _SHAPES)]
        if isinstance(layer, keras.layers.Wrapper):
            layer = layer.layer
        elif isinstance(layer, keras.Model) and not isinstance(layer, keras.Sequential):
            history = getattr(getattr(layer, "output", None), "_keras_history", None)
            if history is None:
                return layer
            layer = history.operation
        elif inner:
            layer = inner[-1]
        else:
            return layer
