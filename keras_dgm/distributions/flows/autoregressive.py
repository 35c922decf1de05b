"""Inverse autoregressive flows."""

import keras
from keras import ops

from keras_dgm import backend
from keras_dgm.distributions.flows.coupling import bounded, check_max_log_scale
from keras_dgm.distributions.flows.transform import Transform, apply_network
from keras_dgm.networks.autoregressive import autoregressive_mlp


@keras.saving.register_keras_serializable(package="keras_dgm")
class InverseAutoregressive(Transform):
    """y_i = exp(s_i) z_i + m_i, where m_i and s_i see z_1..z_{i-1} and the context.

    Kingma et al. 2016, Eq. 10; Ou 2019, section 3.2.1 item 4.

    - log-determinant: sum of s;
    - forward: one pass of a masked perceptron, so that a posterior draws and weighs in one pass;
    - inverse: as many passes as dimensions, one coordinate after the other. Only rules that hold
      the draws constant, and densities of given values, need it; `Inverted` turns the costs
      round (the masked autoregressive flow, for models of their own).

    s is kept within (-c, c) by c tanh(./c). The identity at the start.

    Args:
        hidden_units: widths of the masked perceptron's hidden layers.
        right_to_left: whether the last coordinate comes first. Alternate it from step to step.
        activation: of the hidden layers.
        context_size: numbers that the perceptron is given of a context.
        max_log_scale: c.
    """

    def __init__(
        self,
        hidden_units=(64, 64),
        right_to_left=False,
        activation="relu",
        context_size=32,
        max_log_scale=3.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.hidden_units = [int(units) for units in hidden_units]
        self.right_to_left = bool(right_to_left)
        self.activation = activation
        self.context_size = int(context_size)
        self.max_log_scale = check_max_log_scale(max_log_scale)

    def build(self, size, conditional=False):
        super().build(size, conditional)
        self.network = autoregressive_mlp(
            size,
            self.hidden_units,
            params_per_dim=2,
            activation=self.activation,
            order="right_to_left" if self.right_to_left else "left_to_right",
            context_size=self.context_size if conditional else None,
            output_initializer="zeros",
        )
        shape = (None, size)
        self.network.build([shape, (None, self.context_size)] if conditional else shape)

    def parameter_shapes(self, size, conditional):
        return {"context": (self.context_size,)} if conditional else {}

    def _shift_and_log_scale(self, z, parameters):
        out = apply_network(self.network, z, parameters.get("context"))
        return out[..., 0], bounded(out[..., 1], self.max_log_scale)

    def forward_and_log_det(self, z, parameters):
        shift, log_scale = self._shift_and_log_scale(z, parameters)
        return z * ops.exp(log_scale) + shift, ops.sum(log_scale, axis=-1)

    def inverse_and_log_det(self, y, parameters):
        def one_more(_, z):
            # After pass i the first i coordinates in the order are right, and stay so.
            shift, log_scale = self._shift_and_log_scale(z, parameters)
            return (y - shift) * ops.exp(-log_scale)

        z = backend.fori_loop(self.size, one_more, y)
        _, log_scale = self._shift_and_log_scale(z, parameters)
        return z, ops.sum(log_scale, axis=-1)

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_units": self.hidden_units,
            "right_to_left": self.right_to_left,
            "activation": self.activation,
            "context_size": self.context_size,
            "max_log_scale": self.max_log_scale,
        }
