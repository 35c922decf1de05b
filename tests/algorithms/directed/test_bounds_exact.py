"""VAE and IWAE against enumeration and closed forms."""

import numpy as np
import pytest
from keras import ops
from oracles import belief_network, joint, linear_gaussian, raw_gradient

import keras_dgm as dgm
from keras_dgm import testing
from keras_dgm.algorithms.directed import vae

DRAWS, COPIES = 60, 400
BINARY = np.array([[1.0, 0, 1, 1], [0, 0, 1, 0]], "float32")


def report(algorithm, exact, x, draws=DRAWS, copies=COPIES, **options):
    return testing.check_gradient_estimator(
        algorithm, exact, draws, data=x, batch_copies=copies, **options
    )


@pytest.mark.parametrize("latents", [[3], [3, 2]])
def test_score_function_is_unbiased_on_discrete_latents(latents):
    oracle, generative, inference = belief_network(latents)
    model = dgm.VAE(generative, inference, estimator="score_function", num_samples=4, seed=0)
    exact = joint(oracle.loss_gradient("elbo", BINARY))
    found = report(model, exact, BINARY)
    assert found.passed(), found


class _UnweightedScore(dgm.VAE):
    """Wrong: the score of q without the learning signal's reconstruction part."""

    def _score_function(self, x, seed, weight):
        h, log_q = self.draw(x, self.num_samples, seed, stop_gradient=True)
        log_prior = self.generative.log_prior(h)
        log_likelihood = self.generative.log_likelihood(x, h)
        signal = ops.stop_gradient(log_prior - log_q)
        terms = self._terms(ops.mean(log_q), log_likelihood, log_q - log_prior)
        return -ops.mean(log_likelihood + log_prior + signal * log_q), terms


def test_the_check_rejects_a_wrong_score_function():
    oracle, generative, inference = belief_network([3])
    model = _UnweightedScore(generative, inference, estimator="score_function", seed=0)
    exact = joint(oracle.loss_gradient("elbo", BINARY))
    assert not report(model, exact, BINARY).passed()


@pytest.mark.parametrize("estimator", vae.ESTIMATORS)
def test_every_estimator_of_the_elbo_is_unbiased(estimator):
    oracle, generative, inference = linear_gaussian(3, 2)
    x = oracle.sample(4, np.random.default_rng(1))[0].astype("float32")
    model = dgm.VAE(generative, inference, estimator=estimator, num_samples=3, seed=0)
    exact = joint(raw_gradient(oracle, oracle.loss_gradient("elbo", x)))
    found = report(model, exact, x)
    assert found.passed(), found


def test_full_covariance_elbo_and_score_function():
    oracle, generative, inference = linear_gaussian(3, 2, full_covariance=True)
    x = oracle.sample(4, np.random.default_rng(1))[0].astype("float32")
    exact = oracle.loss_gradient("elbo", x)["inference"][:2]
    copies = np.repeat(x, COPIES, axis=0)
    for estimator in ("reparameterized", "analytic_kl", "analytic_entropy", "score_function"):
        model = dgm.VAE(generative, inference, estimator=estimator, num_samples=3, seed=0)

        def draw(seed, model=model):
            return model.estimate_gradients(copies, seed)["joint"][-2:]

        found = testing.check_gradient_estimator(draw, exact, DRAWS)
        assert found.passed(), f"{estimator}: {found}"
    with_exact = oracle.with_exact_inference()
    np.testing.assert_allclose(with_exact.elbo(x), oracle.log_marginal(x), rtol=1e-9)


def test_path_derivative_has_no_variance_at_the_posterior():
    oracle, generative, inference = linear_gaussian(3, 1)
    exact = oracle.with_exact_inference()
    raw = [np.log(np.expm1(np.atleast_1d(np.squeeze(exact.inference_covariance)) ** 0.5))]
    for variable, value in zip(
        inference.trainable_variables, [*raw, exact.inference_kernel, exact.inference_bias]
    ):
        variable.assign(np.reshape(value, variable.shape).astype("float32"))
    x = oracle.sample(5, np.random.default_rng(1))[0].astype("float32")

    def spread(estimator):
        model = dgm.VAE(generative, inference, estimator=estimator, seed=0)
        draws = [model.estimate_gradients(x, seed)["joint"] for seed in range(20)]
        phi = np.array([np.concatenate([g.ravel() for g in d[-3:]]) for d in draws])
        return phi.std(axis=0).max()

    assert spread("path_derivative") < 1e-4
    assert spread("reparameterized") > 1e-2
    model = dgm.VAE(generative, inference, seed=0)
    model.compile("sgd")
    elbo = model.evaluate(x, verbose=0, return_dict=True)["elbo"]
    assert elbo == pytest.approx(float(np.mean(oracle.log_marginal(x))), rel=1e-5)


@pytest.mark.parametrize("estimator", ["iwae", "dreg"])
def test_importance_weighted_gradients_are_unbiased(estimator):
    oracle, generative, inference = linear_gaussian(2, 1)
    x = oracle.sample(3, np.random.default_rng(1))[0].astype("float32")
    exact = joint(raw_gradient(oracle, oracle.loss_gradient("iw_bound", x, num_samples=2)))
    model = dgm.IWAE(generative, inference, num_samples=2, estimator=estimator, seed=0)
    found = report(model, exact, x, copies=1000)
    assert found.passed(), found


def test_path_derivative_of_the_bound_is_biased_as_documented():
    oracle, generative, inference = linear_gaussian(2, 1)
    x = oracle.sample(3, np.random.default_rng(1))[0].astype("float32")
    exact = joint(raw_gradient(oracle, oracle.loss_gradient("iw_bound", x, num_samples=2)))
    model = dgm.IWAE(generative, inference, num_samples=2, estimator="path_derivative", seed=0)
    assert not report(model, exact, x, copies=1000).passed()


class _OverTheBatch(dgm.IWAE):
    """Wrong: weights normalised over the batch as well."""

    def bound_terms(self, log_likelihood, log_prior, log_q):
        terms = super().bound_terms(log_likelihood, log_prior, log_q)
        log_weights = log_likelihood + log_prior - log_q
        return {**terms, "iw_bound": ops.logsumexp(log_weights) - np.log(log_weights.shape[0])}


def test_the_check_rejects_weights_normalised_over_the_batch():
    oracle, generative, inference = linear_gaussian(2, 1)
    x = oracle.sample(3, np.random.default_rng(1))[0].astype("float32")
    exact = joint(raw_gradient(oracle, oracle.loss_gradient("iw_bound", x, num_samples=2)))
    model = _OverTheBatch(generative, inference, num_samples=2, seed=0)
    assert not report(model, exact, x, copies=100).passed()


def test_bounds_are_ordered_and_reported_as_bounds():
    oracle, generative, inference = linear_gaussian(3, 1)
    x = oracle.sample(6, np.random.default_rng(1))[0].astype("float32")
    many = np.repeat(x, 500, axis=0)
    found = {}
    for num_samples in (1, 2, 8):
        model = dgm.IWAE(generative, inference, num_samples=num_samples, seed=0)
        model.compile("sgd")
        logs = model.evaluate(many, batch_size=3000, verbose=0, return_dict=True)
        found[num_samples] = logs["iw_bound"]
    exact = [float(np.mean(oracle.iw_bound(x, k))) for k in (1, 2)]
    assert found[1] == pytest.approx(exact[0], abs=0.1)
    assert found[2] == pytest.approx(exact[1], abs=0.1)
    top = float(np.mean(oracle.log_marginal(x)))
    assert found[1] < found[2] < found[8] < top
    # The surrogate sum of normalised weights times log-weights would be above the bound.
    model = dgm.IWAE(generative, inference, num_samples=5000, seed=0)
    np.testing.assert_allclose(
        model.log_likelihood(x, num_samples=5000), oracle.log_marginal(x), atol=0.05
    )


def test_log_likelihood_is_exact_on_an_enumerable_model_and_does_not_depend_on_chunks():
    # Small weights, so that the importance weights have a moderate variance.
    oracle, generative, inference = belief_network([3, 2], scale=0.3)
    model = dgm.VAE(generative, inference, estimator="score_function", seed=0)
    x = np.repeat(BINARY, 3, axis=0)
    exact = oracle.log_marginal(x)
    by_chunks = model.log_likelihood(x, num_samples=4000, rows=4, chunk=64)
    np.testing.assert_allclose(by_chunks, exact, atol=0.05)
    at_once = model.log_likelihood(x, num_samples=4000, rows=6, chunk=4000)
    np.testing.assert_allclose(at_once, exact, atol=0.05)


def test_resampling_approaches_the_posterior():
    oracle, generative, inference = belief_network([3])
    model = dgm.VAE(generative, inference, estimator="score_function", seed=0)
    x = np.repeat(BINARY[:1], 4000, axis=0)
    exact = oracle.posterior(BINARY)[0] @ oracle.states[0]
    resampled = model.infer(x, num_resamples=50, seed=1).mean(axis=0)
    plain = model.infer(x, seed=1).mean(axis=0)
    assert np.abs(resampled - exact).max() < 0.05
    assert np.abs(plain - exact).max() > 0.1
