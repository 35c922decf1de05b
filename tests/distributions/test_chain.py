"""Chains of distributions and the model they make."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_dgm as dgm
from keras_dgm.distributions import Bernoulli, Chain, Normal

X = (np.random.default_rng(0).random((5, 6)) < 0.5).astype("float32")


def chain():
    layer = Chain([Bernoulli((4,)), Normal((3,)), Bernoulli((2,))])
    layer.build((None, 6))
    return layer


def test_log_probability_is_the_sum_of_the_parts():
    layer = chain()
    values, log_prob = layer.sample_and_log_prob(X, (7,), seed=1)
    assert [tuple(v.shape) for v in values] == [(7, 5, 4), (7, 5, 3), (7, 5, 2)]
    first, second, third = layer.parts
    total = (
        first.log_prob(values[0], X)
        + second.log_prob(values[1], values[0])
        + third.log_prob(values[2], values[1])
    )
    np.testing.assert_allclose(log_prob, total, rtol=1e-5)
    np.testing.assert_allclose(layer.log_prob(values, X), total, rtol=1e-5)
    joint = layer.distribution(X).log_prob(list(layer.sample(X, seed=2)))
    np.testing.assert_allclose(joint, layer.log_prob(layer.sample(X, seed=2), X), rtol=1e-4)


def test_a_chain_as_likelihood_joins_the_prior():
    one = dgm.models.LatentVariableModel(Bernoulli((3,)), Chain([Bernoulli((4,)), Bernoulli((6,))]))
    assert one.latent_shape == ((3,), (4,)) and one.event_shape == (6,)
    x, h = one.sample(8, seed=0)
    assert tuple(x.shape) == (8, 6) and [tuple(v.shape) for v in h] == [(8, 3), (8, 4)]
    expected = one.prior.log_prob(h) + one.likelihood.log_prob(x, h[-1])
    np.testing.assert_allclose(one.log_prob(x, h), expected, rtol=1e-5)


def test_two_stochastic_layers_learn_and_come_back(tmp_path):
    generative = dgm.models.LatentVariableModel(
        Chain([Normal((2,)), Normal((3,), network=dgm.networks.mlp([8]))]), Bernoulli((6,))
    )
    inference = Chain([Normal((3,), network=dgm.networks.mlp([8])), Normal((2,))])
    model = dgm.VAE(generative, inference, seed=0)
    model.compile(keras.optimizers.Adam(0.05))
    data = np.repeat(X, 20, axis=0)
    history = model.fit(data, batch_size=25, epochs=12, verbose=0).history
    assert history["elbo"][-1] > history["elbo"][0] + 0.5
    h = model.infer(X)
    assert [tuple(part.shape) for part in h] == [(5, 2), (5, 3)]
    assert model.infer(X, num_resamples=4)[0].shape == (5, 2)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(again.log_likelihood(X, 50), model.log_likelihood(X, 50), rtol=1e-6)


def test_errors():
    with pytest.raises(ValueError, match="one distribution layer at least"):
        Chain([])
    with pytest.raises(ValueError, match="tuple of as many values"):
        chain().log_prob(ops.zeros((5, 4)), X)
    generative = dgm.models.LatentVariableModel(Normal((2,)), Bernoulli((6,)))
    with pytest.raises(ValueError, match="as many stochastic layers"):
        dgm.VAE(generative, Chain([Normal((3,)), Normal((2,))]))
    with pytest.raises(ValueError, match="must be the same"):
        dgm.VAE(generative, Normal((3,)))
