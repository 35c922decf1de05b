"""The linear Helmholtz machine of the oracle as the library's own parts, critics exact."""

import keras
import numpy as np
from keras import ops

from keras_dgm import networks
from keras_dgm.distributions import Normal
from keras_dgm.models import LatentVariableModel


@keras.saving.register_keras_serializable(package="tests")
class LogNormalDensity(keras.layers.Layer):
    """c(x) = constant + linear x + square x^2: log N(x; 0, scale^2) + shift at the start."""

    def __init__(self, scale=1.0, shift=0.0, **kwargs):
        super().__init__(**kwargs)
        self.scale, self.shift = scale, shift

    def build(self, input_shape):
        constant = self.shift - np.log(self.scale) - 0.5 * np.log(2 * np.pi)
        start = np.array([constant, 0.0, -0.5 / self.scale**2], "float32")
        self.coefficients = self.add_weight(
            shape=(3,), initializer=lambda shape, dtype: ops.convert_to_tensor(start, dtype)
        )

    def call(self, x):
        constant, linear, square = ops.unstack(ops.convert_to_tensor(self.coefficients), 3)
        return constant + linear * x + square * x * x

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "scale": self.scale, "shift": self.shift}


def line(slope, scale):
    """N(slope context, scale^2) over a line, with a learned scale."""
    layer = Normal(1, scale="shared")
    layer.build((None, 1))
    layer.head_loc.kernel.assign([[slope]])
    layer.shared_raw_scale.assign([np.log(np.expm1(scale))])
    return layer


def linear_machine(algorithm, oracle, latent_critic=True, critic_shift=0.0, **kwargs):
    """An algorithm at the parameters of a `LinearHelmholtzMachine`, its critics exact."""
    a, log_tau, b, log_sigma = oracle.parameters
    generative = LatentVariableModel(Normal(1), line(b, np.exp(log_sigma)))
    visible = LogNormalDensity(oracle.data_scale, critic_shift)
    latent = LogNormalDensity() if latent_critic else False
    return algorithm(generative, line(a, np.exp(log_tau)), visible, latent, seed=0, **kwargs)


def oracle_order(gradients, oracle):
    """An algorithm's gradients of encoder and decoder as d/d(a, log tau, b, log sigma)."""
    out = []
    for player, scale in (("encoder", oracle.parameters[1]), ("decoder", oracle.parameters[3])):
        by_shape = {np.shape(g): np.float64(g) for g in gradients[player][::-1]}
        raw_scale = np.float64(gradients[player][0]).item()
        # d log softplus(raw) / d raw = sigmoid(raw) / softplus(raw) = (1 - exp(-s)) / s.
        s = np.exp(scale)
        out += [by_shape[(1, 1)].item(), raw_scale / (-np.expm1(-s) / s)]
    return np.array(out)


def exact_rows(scale, rows=500, mean=0.0):
    """Points whose mean and mean square are those of N(mean, scale^2)."""
    x = np.random.default_rng(0).normal(size=rows)
    x = (x - x.mean()) / x.std()
    return (mean + scale * x[:, None]).astype("float32")


def plane_machine(algorithm, seed=0, latent_critic=True, latent_size=2, **kwargs):
    """Small networks over the plane."""
    keras.utils.set_random_seed(seed)
    generative = LatentVariableModel(
        Normal(latent_size), Normal(2, networks.mlp([8], "tanh"), scale="shared")
    )
    inference = Normal(latent_size, networks.mlp([8], "tanh"))
    visible = networks.mlp([8], "tanh", output_units=1)
    latent = networks.mlp([8], "tanh", output_units=1) if latent_critic else False
    return algorithm(generative, inference, visible, latent, seed=seed, **kwargs)


def plane_rows(rows, seed=0):
    """Points of the plane."""
    return np.random.default_rng(seed).normal(1.0, 0.5, (rows, 2)).astype("float32")


def values(variables):
    """The variables as NumPy arrays."""
    return [ops.convert_to_numpy(variable) for variable in variables]
