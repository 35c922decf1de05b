"""The inference gap and its parts against closed forms and enumeration."""

import numpy as np
import pytest
from keras import ops

import keras_dgm as dgm
from keras_dgm import testing
from keras_dgm.distributions import Bernoulli, Normal
from keras_dgm.evaluation import inference_gap
from keras_dgm.testing.numeric import inverse_softplus


def assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(np.asarray(value, "float32").reshape(variable.shape))


@pytest.fixture(scope="module")
def linear_gaussian():
    """(oracle, model, x): two latents, correlated a posteriori, and a diagonal q off its best."""
    oracle = testing.LinearGaussianModel.random(3, 2, seed=0)
    generative = dgm.models.LatentVariableModel(Normal((2,)), Normal((3,), scale="shared"))
    inference = Normal((2,))
    model = dgm.VAE(generative, inference, seed=0)
    raw = [inverse_softplus(oracle.scale), oracle.kernel, oracle.bias]
    assign(generative.trainable_variables, raw)
    scale = inverse_softplus(oracle.inference_scale)
    kernel, bias = oracle.inference_kernel, oracle.inference_bias
    assign(inference.trainable_variables, [kernel, bias, np.zeros((3, 2)), scale])
    x = oracle.sample(10, np.random.default_rng(1))[0].astype("float32")
    return oracle, model, x


def test_linear_gaussian_gaps_are_the_closed_forms(linear_gaussian):
    oracle, model, x = linear_gaussian
    options = {"num_samples": 500_000, "chunk": 20_000, "num_steps": 600}
    options["optimization_samples"] = 128
    gap = inference_gap(model, x, **options)
    assert abs(gap.log_likelihood.mean() - oracle.log_marginal(x).mean()) < 1e-3
    assert abs(gap.approximation.mean() - oracle.approximation_gap()) < 1e-3
    assert abs(gap.amortization.mean() - oracle.amortization_gap(x).mean()) < 1e-3
    np.testing.assert_allclose(gap.amortization, oracle.amortization_gap(x), atol=0.01)
    np.testing.assert_allclose(gap.total, gap.approximation + gap.amortization)
    # Without the optimisation there is no amortisation gap to be seen: the steps find it.
    exact = oracle.log_marginal(x)
    still = inference_gap(model, x, exact, num_steps=1, learning_rate=0.0, num_samples=1000)
    assert abs(still.amortization.mean()) < 1e-6 < gap.amortization.mean()


def test_discrete_latents_by_score_functions():
    """One binary latent: the best q is the posterior, so the approximation gap is zero."""
    oracle = testing.EnumerableModel.random(pixels=4, latents=[1], seed=3, scale=1.5)
    generative = dgm.models.LatentVariableModel(Bernoulli((1,)), Bernoulli((4,)))
    inference = Bernoulli((1,))
    model = dgm.NVIL(generative, inference, seed=0)
    assign(generative.trainable_variables, oracle.generative_parameters)
    assign(inference.trainable_variables, oracle.inference_parameters)
    x = np.array([[1.0, 0, 1, 1], [0, 0, 1, 0], [1, 1, 0, 0]], "float32")
    exact = oracle.log_marginal(x)
    gap = inference_gap(model, x, exact, num_samples=100_000, chunk=20_000, num_steps=400)
    np.testing.assert_allclose(gap.approximation, 0.0, atol=0.01)
    np.testing.assert_allclose(gap.amortization, oracle.exclusive_kl(x), atol=0.02)
    assert gap.amortization.max() > 0.1


def test_a_chain_of_layers_and_partial_batches():
    oracle = testing.EnumerableModel.random(pixels=4, latents=[3, 2], seed=0)
    generative, inference = dgm.models.sigmoid_belief_network([3, 2], (4,), learned_prior=False)
    model = dgm.VIMCO(generative, inference, num_samples=2, seed=0)
    assign(generative.trainable_variables, oracle.generative_parameters)
    assign(inference.trainable_variables, oracle.inference_parameters)
    x = np.array([[1.0, 0, 1, 1], [0, 0, 1, 0], [1, 1, 0, 0]], "float32")
    options = {"num_samples": 20_000, "chunk": 5000, "num_steps": 200, "rows": 2}
    gap = inference_gap(model, x, oracle.log_marginal(x), **options)
    np.testing.assert_allclose(gap.elbo, oracle.elbo(x), atol=0.05)
    assert np.all(gap.amortization > 0.05) and np.all(gap.approximation > -0.02)
    assert gap.history[-20:].mean() > gap.history[:5].mean()
    again = inference_gap(model, x, oracle.log_marginal(x), **options)
    np.testing.assert_array_equal(gap.best_elbo, again.best_elbo)
    assert "approximation" in str(gap)


def test_the_weights_are_left_alone(linear_gaussian):
    _, model, x = linear_gaussian
    before = [ops.convert_to_numpy(v) for v in model.trainable_variables]
    inference_gap(model, x, num_samples=100, num_steps=5)
    for variable, value in zip(model.trainable_variables, before):
        np.testing.assert_array_equal(ops.convert_to_numpy(variable), value)


def test_errors_say_what_to_do(linear_gaussian):
    _, model, x = linear_gaussian
    with pytest.raises(ValueError, match="one value for each of the 10 rows"):
        inference_gap(model, x, log_likelihood=np.zeros(3))
    with pytest.raises(ValueError, match="2 at least, received 1"):
        inference_gap(model, x, optimization_samples=1)
    with pytest.raises(ValueError, match="expected"):
        inference_gap(model, x[:, :2])
