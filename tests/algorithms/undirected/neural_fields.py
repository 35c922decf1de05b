"""Small fields and generators whose answers are known."""

import keras
import numpy as np
from keras import ops

from keras_dgm import distributions, networks
from keras_dgm.models import LatentVariableModel, RandomField


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


def linear_generator(slope=0.8, scale=0.6, size=1):
    """x = slope h + scale e: h standard normal, x normal of variance slope^2 + scale^2."""
    model = LatentVariableModel(distributions.Normal(size), distributions.Normal(size, scale=scale))
    kernel, bias = model.likelihood.trainable_variables
    kernel.assign(slope * np.eye(size, dtype="float32"))
    bias.assign(np.zeros(size, "float32"))
    return model


def linear_moves(step, slope, scale, precision=1.0, latent_moves=True):
    """Covariance of (x, h) after one Langevin step, from the generator's own, as a 2 x 2 matrix.

    x moves along - precision x, h along grad_h log q(x, h); both with noise of variance `step`.
    """
    start = np.array([[slope**2 + scale**2, slope], [slope, 1.0]])
    along_h = [slope / scale**2, -(slope**2) / scale**2 - 1.0]
    move = np.eye(2) + 0.5 * step * np.array([[-precision, 0.0], along_h])
    noise = step * np.eye(2)
    if not latent_moves:
        move[1], noise[1, 1] = (0.0, 1.0), 0.0
    return move @ start @ move.T + noise


def teaching_gradient(covariance, slope, scale):
    """Exact gradient of - E log q(x, h) in (kernel, bias) for (x, h) of this covariance."""
    residual = covariance[0, 1] - slope * covariance[1, 1]
    return [np.array([[-residual / scale**2]]), np.array([0.0])]
