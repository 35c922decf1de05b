"""What the invertible transforms share."""

import keras
from keras import ops


class Transform(keras.layers.Layer):
    """An invertible map of vectors y = f(z) with a tractable log-determinant.

    What depends on a context, or is learned for all contexts alike, are the transform's
    parameters, one vector a name for each event: a `Flow` computes them from the context, or
    keeps them as weights. Networks that take z itself are the transform's own.

    A subclass gives `parameter_shapes`, `forward_and_log_det` and `inverse_and_log_det`, and
    creates its networks in `build`.
    """

    min_size = 1

    def build(self, size, conditional=False):
        """Creates the weights.

        Args:
            size: length of z.
            conditional: whether there is a context.
        """
        if size < self.min_size:
            raise ValueError(
                f"{type(self).__name__} needs vectors of length {self.min_size} at least; the "
                f"base's events have {size}."
            )
        self.size, self.conditional = int(size), bool(conditional)
        self.built = True

    def parameter_shapes(self, size, conditional):
        """Dictionary from parameter name to its shape for one event."""
        return {}

    def forward_and_log_det(self, z, parameters):
        """`(y, log |det dy/dz|)`, z (..., size), the second (...,)."""
        raise NotImplementedError

    def inverse_and_log_det(self, y, parameters):
        """`(z, log |det dy/dz|)`: the inverse, with the forward map's log-determinant at z."""
        raise NotImplementedError

    def get_build_config(self):
        """None: the owner builds its parts in its constructor."""
        return None

    def build_from_config(self, config):
        """Nothing to do."""


@keras.saving.register_keras_serializable(package="keras_dgm")
class Inverted(Transform):
    """The inverse of a transform as a transform.

    `Inverted(InverseAutoregressive(...))` is a masked autoregressive flow: one pass for a
    density, as many as dimensions for a draw.

    Args:
        transform: the transform to invert.
    """

    def __init__(self, transform, **kwargs):
        super().__init__(**kwargs)
        self.transform = transform

    def build(self, size, conditional=False):
        self.transform.build(size, conditional)
        super().build(size, conditional)

    def parameter_shapes(self, size, conditional):
        return self.transform.parameter_shapes(size, conditional)

    def forward_and_log_det(self, z, parameters):
        y, log_det = self.transform.inverse_and_log_det(z, parameters)
        return y, -log_det

    def inverse_and_log_det(self, y, parameters):
        z, log_det = self.transform.forward_and_log_det(y, parameters)
        return z, -log_det

    def get_config(self):
        return {
            **super().get_config(),
            "transform": keras.saving.serialize_keras_object(self.transform),
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["transform"] = keras.saving.deserialize_keras_object(config["transform"])
        return cls(**config)


@keras.saving.register_keras_serializable(package="keras_dgm")
class Reverse(Transform):
    """The order of the coordinates turned round, between steps that treat them unalike."""

    def forward_and_log_det(self, z, parameters):
        return ops.flip(z, axis=-1), ops.zeros(ops.shape(z)[:-1], "float32")

    def inverse_and_log_det(self, y, parameters):
        return self.forward_and_log_det(y, parameters)


@keras.saving.register_keras_serializable(package="keras_dgm")
class DiagonalScaling(Transform):
    """y = exp(s) z with learned s, the last step of NICE (Dinh et al. 2014, section 3.3)."""

    def parameter_shapes(self, size, conditional):
        return {"log_scale": (size,)}

    def forward_and_log_det(self, z, parameters):
        log_scale = parameters["log_scale"]
        return z * ops.exp(log_scale), _as_rows(log_scale, z)

    def inverse_and_log_det(self, y, parameters):
        log_scale = parameters["log_scale"]
        return y * ops.exp(-log_scale), _as_rows(log_scale, y)


def _as_rows(log_scale, z):
    """Sum of the log-scales for each row of z."""
    return ops.broadcast_to(ops.sum(log_scale, axis=-1), ops.shape(z)[:-1])


def apply_network(network, inputs, context):
    """A network of z, or of [z, context], on any number of leading axes.

    Args:
        network: from (rows, size), or a list with (rows, context size), to (rows, ...).
        inputs: (..., size).
        context: (..., context size) with as many leading axes or fewer, or None.

    Returns:
        float32 (..., *network's output).
    """
    leading = ops.shape(inputs)[:-1]
    folded = ops.reshape(inputs, (-1, inputs.shape[-1]))
    if context is not None:
        shape = (*leading, context.shape[-1])
        context = ops.reshape(ops.broadcast_to(context, shape), (-1, context.shape[-1]))
        folded = [folded, context]
    out = ops.cast(network(folded), "float32")
    return ops.reshape(out, (*leading, *out.shape[1:]))
