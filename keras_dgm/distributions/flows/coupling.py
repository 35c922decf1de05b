"""Coupling layers: NICE and RealNVP."""

import keras
from keras import ops

from keras_dgm.distributions.flows.transform import Transform, apply_network
from keras_dgm.networks.conditional import ConcatenateCondition, ConditionalSequential
from keras_dgm.networks.perceptron import mlp


class _Coupling(Transform):
    """One half of the coordinates moves the other by a network; see the two families.

    Args:
        hidden_units: widths of the network's hidden layers.
        swap: whether the second half moves the first. Alternate it from step to step.
        activation: of the hidden layers.
        context_size: numbers that the network is given of a context.
    """

    min_size = 2
    outputs_per_coordinate = 1

    def __init__(self, hidden_units=(64, 64), swap=False, activation="relu", context_size=32, **kw):
        super().__init__(**kw)
        self.hidden_units = [int(units) for units in hidden_units]
        self.swap = bool(swap)
        self.activation = activation
        self.context_size = int(context_size)

    def build(self, size, conditional=False):
        super().build(size, conditional)
        self.kept_size = size // 2 if not self.swap else size - size // 2
        self.moved_size = size - self.kept_size
        hidden = mlp(self.hidden_units, activation=self.activation)
        out = keras.layers.Dense(
            self.outputs_per_coordinate * self.moved_size, kernel_initializer="zeros"
        )
        if conditional:
            self.network = ConditionalSequential([ConcatenateCondition(flatten=True), hidden, out])
            self.network.build([(None, self.kept_size), (None, self.context_size)])
        else:
            self.network = keras.Sequential([hidden, out])
            self.network.build((None, self.kept_size))

    def parameter_shapes(self, size, conditional):
        return {"context": (self.context_size,)} if conditional else {}

    def _halves(self, value):
        """`(kept, moved)`."""
        first, second = value[..., : self.size // 2], value[..., self.size // 2 :]
        return (second, first) if self.swap else (first, second)

    def _together(self, kept, moved):
        return ops.concatenate([moved, kept] if self.swap else [kept, moved], axis=-1)

    def _outputs(self, kept, parameters):
        return apply_network(self.network, kept, parameters.get("context"))

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_units": self.hidden_units,
            "swap": self.swap,
            "activation": self.activation,
            "context_size": self.context_size,
        }


@keras.saving.register_keras_serializable(package="keras_dgm")
class AdditiveCoupling(_Coupling):
    """y_a = z_a, y_b = z_b + m(z_a), volume preserving (NICE, Dinh et al. 2014, Eq. 3.2).

    - log-determinant: 0;
    - inverse: z_b = y_b - m(y_a), one pass.

    The identity at the start. See `_Coupling` for the arguments.
    """

    def forward_and_log_det(self, z, parameters):
        kept, moved = self._halves(z)
        moved = moved + self._outputs(kept, parameters)
        return self._together(kept, moved), ops.zeros(ops.shape(z)[:-1], "float32")

    def inverse_and_log_det(self, y, parameters):
        kept, moved = self._halves(y)
        moved = moved - self._outputs(kept, parameters)
        return self._together(kept, moved), ops.zeros(ops.shape(y)[:-1], "float32")


@keras.saving.register_keras_serializable(package="keras_dgm")
class AffineCoupling(_Coupling):
    """y_a = z_a, y_b = z_b exp(s(z_a)) + t(z_a) (RealNVP, Dinh et al. 2017, Eq. 7, 8).

    - log-determinant: sum of s;
    - inverse: z_b = (y_b - t) exp(-s), one pass.

    s is kept within (-c, c) by c tanh(./c), c = `max_log_scale`. The identity at the start.

    Args:
        max_log_scale: c.
        others: see `_Coupling`.
    """

    outputs_per_coordinate = 2

    def __init__(self, *args, max_log_scale=3.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.max_log_scale = check_max_log_scale(max_log_scale)

    def _shift_and_log_scale(self, kept, parameters):
        shift, raw = ops.split(self._outputs(kept, parameters), 2, axis=-1)
        return shift, bounded(raw, self.max_log_scale)

    def forward_and_log_det(self, z, parameters):
        kept, moved = self._halves(z)
        shift, log_scale = self._shift_and_log_scale(kept, parameters)
        moved = moved * ops.exp(log_scale) + shift
        return self._together(kept, moved), ops.sum(log_scale, axis=-1)

    def inverse_and_log_det(self, y, parameters):
        kept, moved = self._halves(y)
        shift, log_scale = self._shift_and_log_scale(kept, parameters)
        moved = (moved - shift) * ops.exp(-log_scale)
        return self._together(kept, moved), ops.sum(log_scale, axis=-1)

    def get_config(self):
        return {**super().get_config(), "max_log_scale": self.max_log_scale}


def check_max_log_scale(value):
    """A positive number."""
    if not float(value) > 0.0:
        raise ValueError(f"`max_log_scale` is positive; received {value!r}.")
    return float(value)


def bounded(raw, limit):
    """A log-scale within (-limit, limit), with slope one at zero."""
    return limit * ops.tanh(raw / limit)
