"""The ready-made deep models."""

import keras
import numpy as np
import pytest

import keras_dgm as dgm
from keras_dgm.distributions import (
    Bernoulli,
    Chain,
    DiscretizedLogistic,
    MultivariateNormal,
    Normal,
)


def sizes(variables):
    return [int(np.prod(v.shape)) for v in variables]


def test_belief_network_with_affine_layers():
    generative, inference = dgm.models.sigmoid_belief_network([5, 3], (2, 2, 1))
    assert generative.latent_shape == ((3,), (5,))
    assert inference.event_shape == ((5,), (3,))
    # The prior's logits, p(h_1 | h_2), p(x | h_1); q(h_1 | x), q(h_2 | h_1).
    assert sizes(generative.trainable_variables) == [3, 15, 5, 20, 4]
    model = dgm.VIMCO(generative, inference, num_samples=2, seed=0)
    assert sizes(inference.trainable_variables) == [20, 5, 15, 3]
    x = model.sample(7, seed=0)
    assert x.shape == (7, 2, 2, 1) and set(np.unique(x)) <= {0.0, 1.0}


def test_one_layer_is_no_chain_and_the_prior_may_be_fixed():
    generative, inference = dgm.models.sigmoid_belief_network(5, (4,), learned_prior=False)
    assert isinstance(generative.prior, Bernoulli) and isinstance(inference, Bernoulli)
    assert generative.prior.trainable_variables == []
    generative, _ = dgm.models.sigmoid_belief_network([5], (4,))
    assert sizes(generative.prior.trainable_variables) == [5]


def test_hidden_units_mirror():
    generative, inference = dgm.models.sigmoid_belief_network(
        [5, 3], (4,), hidden_units=[[10, 7], [6]], activation="leaky_relu"
    )
    dgm.WakeSleep(generative, inference)
    units = [
        [layer.units for layer in part.network.layers if isinstance(layer, keras.layers.Dense)]
        for part in (*inference.parts, generative.prior.parts[1], generative.likelihood)
    ]
    assert units == [[10, 7], [6], [6], [7, 10]]
    assert generative.prior.parts[0].network is None


def test_deep_latent_gaussian_model_has_a_constant_matrix():
    generative, inference = dgm.models.deep_latent_gaussian_model(
        [4, 2], (8, 8, 1), hidden_units=[10]
    )
    top, below = generative.prior.parts
    assert isinstance(top, Normal) and top.trainable_variables == []
    assert isinstance(below, MultivariateNormal) and below.scale == "shared"
    assert isinstance(inference, Chain)
    model = dgm.IWAE(generative, inference, num_samples=2, seed=0)
    h = np.random.default_rng(0).normal(size=(3, 2)).astype("float32")
    matrices = keras.ops.convert_to_numpy(below.scale_matrix(below(h)))
    assert matrices.shape == (4, 4) and np.allclose(matrices, np.tril(matrices))
    assert model.sample(3, seed=0).shape == (3, 8, 8, 1)
    diagonal, _ = dgm.models.deep_latent_gaussian_model([4, 2], (4,), noise="diagonal")
    assert isinstance(diagonal.prior.parts[1], Normal)
    single, q = dgm.models.deep_latent_gaussian_model([4], (4,))
    assert isinstance(single.prior, Normal) and isinstance(q, Normal)


def test_likelihoods():
    generative, _ = dgm.models.deep_latent_gaussian_model([2], (4,), likelihood="normal")
    assert isinstance(generative.likelihood, Normal)
    given = DiscretizedLogistic((8, 8, 1))
    generative, _ = dgm.models.deep_latent_gaussian_model([2], (8, 8, 1), likelihood=given)
    assert generative.likelihood is given


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match=r"received \[\]"):
        dgm.models.sigmoid_belief_network([], (4,))
    with pytest.raises(ValueError, match="each 1 at least"):
        dgm.models.sigmoid_belief_network([5, 0], (4,))
    with pytest.raises(ValueError, match="one such list for each of the 2"):
        dgm.models.sigmoid_belief_network([5, 3], (4,), hidden_units=[[3]])
    with pytest.raises(ValueError, match="'bernoulli', 'normal'"):
        dgm.models.sigmoid_belief_network([5], (4,), likelihood="poisson")
    with pytest.raises(ValueError, match="`event_shape` is"):
        dgm.models.sigmoid_belief_network([5], (4,), likelihood=Bernoulli((5,)))
    with pytest.raises(ValueError, match="'full' or 'diagonal'"):
        dgm.models.deep_latent_gaussian_model([2], (4,), noise="isotropic")
