"""Signal-to-noise ratios: exact where there is an exact one, and the published slopes."""

import numpy as np
import pytest

import keras_dgm as dgm
from keras_dgm import testing
from keras_dgm.distributions import Bernoulli, Normal
from keras_dgm.evaluation import gradient_snr
from keras_dgm.testing.numeric import inverse_softplus


def assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(np.asarray(value, "float32").reshape(variable.shape))


def near_the_posterior(**options):
    """IWAE on a linear-Gaussian model whose q is the posterior but for a little, and a batch."""
    oracle = testing.LinearGaussianModel.random(3, 1, seed=0).with_exact_inference()
    generative = dgm.models.LatentVariableModel(Normal((1,)), Normal((3,), scale="shared"))
    inference = Normal((1,), scale="shared")
    model = dgm.IWAE(generative, inference, num_samples=1, seed=0, **options)
    rng = np.random.default_rng(1)
    x = np.repeat(oracle.sample(5, rng)[0].astype("float32"), 40, axis=0)
    raw = [inverse_softplus(oracle.scale), oracle.kernel, oracle.bias]
    assign(generative.trainable_variables, raw)
    scale = inverse_softplus(np.sqrt(np.diag(oracle.inference_covariance)))
    raw = [scale, oracle.inference_kernel, oracle.inference_bias]
    assign(inference.trainable_variables, [v + 0.05 * rng.normal(size=v.shape) for v in raw])
    return model, x


def test_slopes_are_the_published_ones():
    counts = (1, 8, 64)
    plain = gradient_snr(*near_the_posterior(), counts, num_draws=200)
    assert plain.inference_slope == pytest.approx(-0.5, abs=0.15), plain
    assert plain.generative_slope == pytest.approx(0.5, abs=0.15), plain
    double = gradient_snr(*near_the_posterior(estimator="dreg"), counts, num_draws=200)
    assert double.inference_slope > 0.15, double
    assert "slope" in str(plain)


def test_ratios_equal_those_of_enumeration():
    """One draw of the score function: mean and variance over q are sums."""
    oracle = testing.EnumerableModel.random(pixels=4, latents=[3], seed=0)
    generative = dgm.models.LatentVariableModel(Bernoulli((3,)), Bernoulli((4,)))
    inference = Bernoulli((3,))
    model = dgm.VariationalREINFORCE(generative, inference, num_samples=7, seed=0)
    assign(generative.trainable_variables, oracle.generative_parameters)
    assign(inference.trainable_variables, oracle.inference_parameters)
    x = np.array([[1.0, 0, 1, 1]])
    probability, signal = oracle.inference(x[0]), oracle.log_weights(x[0])
    exact = {}
    for side, draws in (
        ("generative", oracle.generative_scores(x[0])),
        ("inference", signal[:, None] * oracle.inference_scores(x[0])),
    ):
        mean = probability @ draws
        exact[side] = np.linalg.norm(mean) / np.sqrt(probability @ np.sum((draws - mean) ** 2, 1))
    # The mean over 900 copies has 30 times the ratio.
    found = gradient_snr(model, np.repeat(x, 900, axis=0), (1, 4), num_draws=400)
    assert found.generative[0] == pytest.approx(30 * exact["generative"], rel=0.1)
    assert found.inference[0] == pytest.approx(30 * exact["inference"], rel=0.1)
    # Averages of independent draws: both ratios rise by the root of K.
    assert found.generative_slope == pytest.approx(0.5, abs=0.1)
    assert found.inference_slope == pytest.approx(0.5, abs=0.1)
    # The model itself keeps its own number of samples.
    assert model.num_samples == 7


def test_players_of_their_own_are_told_apart():
    generative, inference = dgm.models.sigmoid_belief_network([3], (4,))
    model = dgm.ReweightedWakeSleep(generative, inference, num_samples=2, seed=0)
    found = gradient_snr(model, np.eye(4, dtype="float32"), (2, 4), num_draws=10)
    assert found.generative.shape == found.inference.shape == (2,)
    assert found.variance["generative"].shape == (2,)


def test_errors_say_what_to_do():
    generative, inference = dgm.models.sigmoid_belief_network([3], (4,))
    model = dgm.VIMCO(generative, inference, num_samples=2, seed=0)
    x = np.eye(4, dtype="float32")
    with pytest.raises(ValueError, match="2 at least"):
        gradient_snr(model, x, (1, 2))
    with pytest.raises(ValueError, match="two draws at least"):
        gradient_snr(model, x, (2,), num_draws=1)
    with pytest.raises(ValueError, match="no `num_samples` draws"):
        gradient_snr(generative, x)
