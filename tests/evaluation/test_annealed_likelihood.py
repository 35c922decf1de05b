"""Annealing from the prior to the posterior against closed forms and enumeration."""

import numpy as np
import pytest
from keras import ops

import keras_dgm as dgm
from keras_dgm import backend, evaluation, sampling, testing
from keras_dgm.distributions import Bernoulli, Chain, Normal


def linear_gaussian():
    """(oracle, generative) of the same weights."""
    oracle = testing.LinearGaussianModel.random(3, 2, 0)
    likelihood = Normal((3,), scale="shared")
    generative = dgm.models.LatentVariableModel(Normal((2,)), likelihood)
    raw = [np.log(np.expm1(oracle.scale)), oracle.kernel, oracle.bias]
    for variable, value in zip(generative.trainable_variables, raw):
        variable.assign(np.reshape(value, variable.shape).astype("float32"))
    return oracle, generative


def test_both_directions_bracket_the_closed_form():
    oracle, generative = linear_gaussian()
    kernel = sampling.HMC(0.2, num_leapfrog_steps=3, num_steps=1)
    x, h = generative.sample(40, backend.as_seed(1))
    x, h = ops.convert_to_numpy(x), ops.convert_to_numpy(h)
    exact = oracle.log_marginal(x)
    options = {"kernel": kernel, "num_temperatures": 60, "rows": 40}
    lower = evaluation.annealed_log_likelihood(generative, x, num_chains=64, **options)
    np.testing.assert_allclose(lower, exact, atol=0.4)
    one = evaluation.annealed_log_likelihood(generative, x, num_chains=1, **options)
    upper = evaluation.annealed_log_likelihood(generative, x, posterior=h, **options)
    assert one.mean() < exact.mean() < upper.mean()


def test_the_weights_are_unbiased_and_a_carried_kernel_is_told_from_them(monkeypatch):
    """Mean weights over many chains; moves at the temperature before the right one are biased."""
    oracle, generative = linear_gaussian()
    x = np.array([[0.5, -0.2, 0.3]], "float32")
    exact = oracle.log_marginal(x)[0]

    def estimate(kernel):
        return evaluation.annealed_log_likelihood(
            generative, x, kernel, num_temperatures=8, num_chains=20000, schedule="linear"
        )[0]

    kernel = sampling.HMC(0.25, num_leapfrog_steps=3, num_steps=1)
    assert estimate(kernel) == pytest.approx(exact, abs=0.05)

    class Ahead(sampling.HMC):
        """Wrong: leaves a sharper law unchanged than the weights suppose."""

        def sample(self, target, state, seed):
            return super().sample(target.path.at(target.beta + 0.3), state, seed)

    assert abs(estimate(Ahead(0.25, num_leapfrog_steps=3, num_steps=1)) - exact) > 0.1


@pytest.mark.parametrize("latents", [[3], [3, 2]], ids=["one", "two"])
def test_discrete_latents_against_enumeration(latents):
    oracle = testing.EnumerableModel.random(pixels=4, latents=latents, seed=0)
    prior = [Bernoulli((size,)) for size in reversed(latents)]
    prior = Chain(prior) if len(prior) > 1 else prior[0]
    generative = dgm.models.LatentVariableModel(prior, Bernoulli((4,)))
    for variable, value in zip(generative.trainable_variables, oracle.generative_parameters):
        variable.assign(np.reshape(value, variable.shape).astype("float32"))
    x = testing.binary_states(4)[::3].astype("float32")
    exact = np.array([oracle.log_marginal(row[None])[0] for row in x])
    got = evaluation.annealed_log_likelihood(
        generative, x, num_temperatures=30, num_chains=3000, seed=1
    )
    np.testing.assert_allclose(got, exact, atol=0.06)


def test_refusals():
    _, generative = linear_gaussian()
    x = np.zeros((2, 3), "float32")
    with pytest.raises(ValueError, match="would be biased"):
        evaluation.annealed_log_likelihood(generative, x, sampling.Langevin(0.1))
    with pytest.raises(ValueError, match="as many draws; received 3"):
        evaluation.annealed_log_likelihood(generative, x, posterior=np.zeros((3, 2)))
    with pytest.raises(ValueError, match="shape"):
        evaluation.annealed_log_likelihood(generative, np.zeros((2, 4)))
