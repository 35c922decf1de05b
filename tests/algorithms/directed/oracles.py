"""The library's models with the weights of the exact ones."""

import numpy as np

import keras_dgm as dgm
from keras_dgm import testing
from keras_dgm.distributions import Bernoulli, Chain, MultivariateNormal, Normal


def belief_network(latents, seed=0, scale=1.0):
    """(oracle, generative, inference): a sigmoid belief network with enumerated states."""
    oracle = testing.EnumerableModel.random(pixels=4, latents=latents, seed=seed, scale=scale)
    prior = [Bernoulli((size,)) for size in reversed(latents)]
    inference = [Bernoulli((size,)) for size in latents]
    deep = len(latents) > 1
    generative = dgm.models.LatentVariableModel(Chain(prior) if deep else prior[0], Bernoulli((4,)))
    inference = Chain(inference) if deep else inference[0]
    inference.build((None, 4))
    assign(generative.trainable_variables, oracle.generative_parameters)
    assign(inference.trainable_variables, oracle.inference_parameters)
    return oracle, generative, inference


def linear_gaussian(visible, latent, seed=0, full_covariance=False):
    """(oracle, generative, inference): a linear-Gaussian model in closed form."""
    oracle = testing.LinearGaussianModel.random(visible, latent, seed, full_covariance)
    generative = dgm.models.LatentVariableModel(
        Normal((latent,)), Normal((visible,), scale="shared")
    )
    family = MultivariateNormal if full_covariance else Normal
    inference = family((latent,), scale="shared")
    inference.build((None, visible))
    raw = [inverse_softplus(oracle.scale), oracle.kernel, oracle.bias]
    assign(generative.trainable_variables, raw)
    if full_covariance:
        matrix = np.linalg.cholesky(oracle.inference_covariance)
        oracle.inference_scale = matrix
        rows, columns = np.tril_indices(latent, -1)
        unit = np.log(np.e - 1.0)
        raw_scale = np.concatenate(
            [inverse_softplus(np.diag(matrix)) - unit, matrix[rows, columns]]
        )
    else:
        raw_scale = inverse_softplus(oracle.inference_scale)
    assign(
        inference.trainable_variables, [raw_scale, oracle.inference_kernel, oracle.inference_bias]
    )
    return oracle, generative, inference


def raw_gradient(oracle, gradients):
    """Gradients of a diagonal linear-Gaussian oracle in the layers' order and raw scales."""
    kernel, bias, scale = gradients["generative"]
    theta = [scale * softplus_slope(oracle.scale), kernel, bias]
    kernel, bias, scale = gradients["inference"]
    phi = [scale * softplus_slope(oracle.inference_scale), kernel, bias]
    return {"generative": theta, "inference": phi}


def joint(gradients):
    """One player for both sides."""
    return {"joint": [*gradients["generative"], *gradients["inference"]]}


def assign(variables, values):
    """Gives variables the values, shapes agreeing."""
    assert len(variables) == len(values), [v.path for v in variables]
    for variable, value in zip(variables, values):
        variable.assign(np.asarray(value, "float32").reshape(variable.shape))


def inverse_softplus(value):
    return np.log(np.expm1(value))


def softplus_slope(value):
    """d softplus(raw) / d raw where softplus(raw) = value."""
    return 1.0 - np.exp(-value)
