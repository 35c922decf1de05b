"""Small fields and generators whose answers are known."""

import keras
import numpy as np
from keras import ops

from keras_dgm import networks
from keras_dgm.models import RandomField


@keras.saving.register_keras_serializable(package="tests")
class QuadraticPotential(keras.layers.Layer):
    """u(x) = sum_i (a x_i - exp(b) x_i^2 / 2): a normal density of variance exp(-b) each."""

    def __init__(self, linear=0.0, log_precision=0.0, **kwargs):
        super().__init__(**kwargs)
        self.start = (float(linear), float(log_precision))

    def build(self, input_shape):
        linear, log_precision = (keras.initializers.Constant(value) for value in self.start)
        self.linear = self.add_weight(shape=(), initializer=linear, name="linear")
        self.log_precision = self.add_weight(
            shape=(), initializer=log_precision, name="log_precision"
        )

    def call(self, x):
        terms = self.linear * x - 0.5 * ops.exp(self.log_precision) * x * x
        return ops.sum(terms, axis=-1, keepdims=True)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 1)

    def get_config(self):
        linear, log_precision = self.start
        return {**super().get_config(), "linear": linear, "log_precision": log_precision}


def normal_field(variance=1.0, mean=0.0, size=1):
    """A field that is N(mean, variance) in each of `size` coordinates."""
    network = QuadraticPotential(mean / variance, -np.log(variance))
    return RandomField(network, event_shape=(size,))


def plane_field(seed=0, hidden_units=(8,), **kwargs):
    """A smooth field of the plane that is normal far out."""
    keras.utils.set_random_seed(seed)
    classes = kwargs.get("num_classes") or 1
    network = networks.mlp(list(hidden_units), "tanh", output_units=classes)
    return RandomField(network, event_shape=(2,), linear_and_squared=True, **kwargs)


def values(variables):
    """The variables as NumPy arrays."""
    return [ops.convert_to_numpy(variable) for variable in variables]
