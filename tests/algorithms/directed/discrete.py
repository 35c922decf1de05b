"""Discrete models for the tests of the rules: categorical ones, fixed draws, counted passes."""

import keras
import numpy as np
from keras import ops
from oracles import assign

import keras_dgm as dgm
from keras_dgm import testing
from keras_dgm.distributions import Bernoulli, Chain, OneHotCategorical

DRAWS, COPIES = 60, 400
BINARY = np.array([[1.0, 0, 1, 1], [0, 0, 1, 0]], "float32")


def check(algorithm, exact, x=BINARY, draws=DRAWS, copies=COPIES):
    """The report on an algorithm's gradients."""
    return testing.check_gradient_estimator(algorithm, exact, draws, data=x, batch_copies=copies)


def categorical_network(seed=0, variables=2, classes=3):
    """(oracle, generative, inference) with one layer of one-hot variables."""
    rng = np.random.default_rng(seed)
    width = variables * classes

    def weights(inputs, outputs):
        return [rng.normal(size=(inputs, outputs)), rng.normal(size=outputs)]

    oracle = testing.EnumerableModel(
        rng.normal(size=width),
        [testing.BernoulliNetwork(weights(width, 4))],
        [testing.CategoricalNetwork(weights(4, width), classes)],
        learned_prior=True,
    )
    shape = (variables, classes)
    generative = dgm.models.LatentVariableModel(
        OneHotCategorical(shape, learned=True), Bernoulli((4,))
    )
    inference = OneHotCategorical(shape)
    inference.build((None, 4))
    assign(generative.trainable_variables, oracle.generative_parameters)
    assign(inference.trainable_variables, oracle.inference_parameters)
    return oracle, generative, inference


class FixedBernoulli(Bernoulli):
    """A Bernoulli layer whose draws are given: `values` (num_samples, batch, *event)."""

    def __init__(self, values, **kwargs):
        super().__init__(values.shape[2:], **kwargs)
        self.values = np.asarray(values, "float32")

    def sample_from(self, parameters, sample_shape, seed):
        return ops.convert_to_tensor(self.values)


def with_fixed_draws(oracle, num_samples, seed=0):
    """(inference, states): an inference side with known draws, and their numbers in the tables.

    `states` has shape (num_samples, rows).
    """
    rng, rows = np.random.default_rng(seed), len(BINARY)
    widths = [layer.dimension for layer in oracle.inference_layers]
    draws = [rng.integers(0, 2, size=(num_samples, rows, w)).astype("float32") for w in widths]
    inference = [FixedBernoulli(values) for values in draws]
    inference = Chain(inference) if len(draws) > 1 else inference[0]
    inference.build((None, 4))
    assign(inference.trainable_variables, oracle.inference_parameters)
    flat = [values.reshape(num_samples * rows, -1) for values in draws]
    return inference, oracle.state_index(*flat).reshape(num_samples, rows)


class Counter(keras.layers.Layer):
    """Passes its input on and notes how many rows went by, in `passes`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.passes = []

    def call(self, inputs):
        self.passes.append(inputs.shape[0])
        return inputs

    def compute_output_shape(self, input_shape):
        return input_shape


def counted_network(num_latents=5, pixels=4):
    """(generative, inference, counters): one Bernoulli layer, passes of both sides counted."""
    counters = {"generative": Counter(), "inference": Counter()}
    prior = Bernoulli((num_latents,))
    likelihood = Bernoulli((pixels,), network=counters["generative"])
    inference = Bernoulli((num_latents,), network=counters["inference"])
    return dgm.models.LatentVariableModel(prior, likelihood), inference, counters
