"""Small generators and critics whose answers are known."""

import keras
import numpy as np
from keras import ops

from keras_dgm import networks
from keras_dgm.models import ImplicitModel


@keras.saving.register_keras_serializable(package="tests")
class Point(keras.layers.Layer):
    """G(e) = theta, whatever the noise."""

    def build(self, input_shape):
        self.theta = self.add_weight(shape=(), initializer="ones", name="theta")

    def call(self, noise):
        return 0.0 * noise + self.theta


@keras.saving.register_keras_serializable(package="tests")
class Slope(keras.layers.Layer):
    """V(x) = - psi x, the sign with which both players of the Dirac-GAN start at one."""

    def build(self, input_shape):
        self.psi = self.add_weight(shape=(1, 1), initializer="ones", name="psi")

    def call(self, x):
        return -ops.matmul(x, self.psi)


@keras.saving.register_keras_serializable(package="tests")
class Affine(keras.layers.Layer):
    """G(e) = loc + exp(log_scale) e."""

    def __init__(self, loc=0.0, log_scale=0.0, **kwargs):
        super().__init__(**kwargs)
        self.start = (loc, log_scale)

    def build(self, input_shape):
        loc, log_scale = (keras.initializers.Constant(value) for value in self.start)
        self.loc = self.add_weight(shape=(), initializer=loc, name="loc")
        self.log_scale = self.add_weight(shape=(), initializer=log_scale, name="log_scale")

    def call(self, noise):
        return self.loc + ops.exp(self.log_scale) * noise


@keras.saving.register_keras_serializable(package="tests")
class Quadratic(keras.layers.Layer):
    """V(x) = a + b x + c x^2, which the log ratio of two normal densities is."""

    def __init__(self, start=(0.0, 0.0, 0.0), **kwargs):
        super().__init__(**kwargs)
        self.start = tuple(float(value) for value in start)

    def build(self, input_shape):
        start = np.array(self.start, "float32")
        self.coefficients = self.add_weight(
            shape=(3,), initializer=lambda shape, dtype: ops.convert_to_tensor(start, dtype)
        )

    def call(self, x):
        a, b, c = ops.unstack(ops.convert_to_tensor(self.coefficients), 3)
        return a + b * x + c * x * x

    def compute_output_shape(self, input_shape):
        return input_shape


def normal_log_ratio(data, model):
    """(a, b, c) of log N(x; data) - log N(x; model), each (mean, sd)."""
    (m0, s0), (m1, s1) = data, model
    return np.array(
        [
            np.log(s1 / s0) - m0**2 / (2 * s0**2) + m1**2 / (2 * s1**2),
            m0 / s0**2 - m1 / s1**2,
            -0.5 / s0**2 + 0.5 / s1**2,
        ]
    )


def plane_model(seed=0, **kwargs):
    """A generator of the plane."""
    keras.utils.set_random_seed(seed)
    return ImplicitModel(2, networks.mlp([8], output_units=2), **kwargs)


def plane_critic(normalization=None):
    """A smooth critic of the plane."""
    return networks.mlp([8], "tanh", output_units=1, normalization=normalization)


def plane_rows(rows, seed=0):
    """Points of the plane."""
    return np.random.default_rng(seed).normal(1.0, 0.5, (rows, 2)).astype("float32")


def values(variables):
    """The variables as NumPy arrays."""
    return [ops.convert_to_numpy(variable) for variable in variables]
