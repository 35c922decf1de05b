"""With the exact critic, each player's gradient has the mean that theory gives it."""

import keras
import numpy as np
import pytest
from games import Affine, Quadratic, normal_log_ratio
from keras import ops

import keras_dgm as dgm
from keras_dgm import testing
from keras_dgm.algorithms.adversarial.gan import capped_exp
from keras_dgm.models import ImplicitModel

DATA, MODEL = (0.5, 1.0), (0.2, 1.0)
GRID = np.linspace(-12.0, 12.0, 4001)
ROWS = 2000


def game(algorithm, critic=None, **options):
    """The algorithm with N(0.2, 1) as model and the exact log ratio, or another, as critic."""
    start = normal_log_ratio(DATA, MODEL) if critic is None else critic
    model = ImplicitModel(1, Affine(MODEL[0], np.log(MODEL[1])))
    return algorithm(model, Quadratic(start), seed=0, **options)


def draws(algorithm):
    """Gradients of both players from fresh data and noise, by the number of the draw."""

    def draw(number):
        x = np.random.default_rng(number).normal(*DATA, (ROWS, 1)).astype("float32")
        return algorithm.estimate_gradients({"x": x}, number)

    return draw


def divergence_gradient(name):
    """d D_f(data, N(loc, exp(log_scale))) at the model."""

    def value(parameters):
        log_model = testing.normal_log_prob(GRID, parameters[0], np.exp(parameters[1]))
        log_data = testing.normal_log_prob(GRID, *DATA)
        return testing.f_divergence(name, log_data, log_model, GRID[1] - GRID[0])

    return list(testing.numeric_gradient(value, np.array([MODEL[0], np.log(MODEL[1])])))


def check(algorithm, gradient):
    """The report on the generator's gradient, and on the critic's, which has mean zero at V*."""
    exact = {"generator": [np.array(part) for part in gradient], "critic": [np.zeros(3)]}
    return testing.check_gradient_estimator(draws(algorithm), exact, num_draws=100)


def test_maximum_likelihood_has_the_gradient_of_maximum_likelihood():
    report = check(game(dgm.GAN, objective="maximum_likelihood"), [-0.3, -0.09])
    assert report.passed(), report
    np.testing.assert_allclose(divergence_gradient("kl"), [-0.3, -0.09], atol=1e-6)
    # Not so the other objectives, nor a hard clip of the weights, nor a weight without a path.
    assert not check(game(dgm.GAN, objective="non_saturating"), [-0.3, -0.09]).passed()
    assert not check(game(_HardClip, objective="maximum_likelihood"), [-0.3, -0.09]).passed()
    assert not check(game(_NoPath, objective="maximum_likelihood"), [-0.3, -0.09]).passed()


@keras.saving.register_keras_serializable(package="tests")
class _HardClip(dgm.GAN):
    def generator_loss(self, fake, condition):
        loss, terms = super().generator_loss(fake, condition)
        return -ops.mean(ops.minimum(ops.exp(fake), 1.0)), terms


@keras.saving.register_keras_serializable(package="tests")
class _NoPath(dgm.GAN):
    def generator_loss(self, fake, condition):
        return super().generator_loss(ops.stop_gradient(fake), condition)


def test_maximum_likelihood_moves_as_the_f_gan_of_kl_does():
    x = np.zeros((50, 1), "float32")
    critic = [0.3, -0.2, 0.1]
    one = game(dgm.GAN, critic, objective="maximum_likelihood").estimate_gradients(x, 3)
    other = game(dgm.FGAN, critic, divergence="kl").estimate_gradients(x, 3)
    np.testing.assert_allclose(one["generator"], other["generator"], rtol=1e-5)
    assert not np.allclose(one["critic"][0], other["critic"][0], rtol=1e-2)


@pytest.mark.parametrize("name", ["reverse_kl", "jensen_shannon", "pearson", "squared_hellinger"])
def test_an_f_gan_has_the_gradient_of_its_divergence(name):
    report = check(game(dgm.FGAN, divergence=name), divergence_gradient(name))
    assert report.passed(), report
    other = "pearson" if name != "pearson" else "reverse_kl"
    assert not check(game(dgm.FGAN, divergence=name), divergence_gradient(other)).passed()


def test_minimax_has_the_gradient_of_the_jensen_shannon_divergence():
    report = check(game(dgm.GAN, objective="minimax"), divergence_gradient("jensen_shannon"))
    assert report.passed(), report


def test_a_critic_that_is_not_exact_has_a_gradient():
    algorithm = game(dgm.GAN, [0.0, 0.0, 0.0], objective="minimax")
    exact = {"critic": [np.zeros(3)]}
    assert not testing.check_gradient_estimator(draws(algorithm), exact, num_draws=20).passed()


def test_the_cap_continues_the_exponential_by_its_tangent():
    v = ops.convert_to_tensor(np.array([-3.0, 1.0, 2.0, 2.001, 50.0, 200.0], "float32"))
    found = ops.convert_to_numpy(capped_exp(v, 2.0))
    expected = [np.exp(-3.0), np.e, np.e**2, np.e**2 * 1.001, np.e**2 * 49.0, np.e**2 * 199.0]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    _, slope = dgm.backend.value_and_input_grad(lambda v: capped_exp(v, 2.0), v)
    rises = [np.exp(-3.0), np.e, *[np.e**2] * 4]
    np.testing.assert_allclose(ops.convert_to_numpy(slope), rises, rtol=1e-5)


def test_weights_and_cap_are_logged():
    x = np.random.default_rng(0).normal(*DATA, (400, 1)).astype("float32")
    known = game(dgm.GAN, objective="maximum_likelihood", cap=0.0)
    known.compile(keras.optimizers.SGD(0.0))
    logs = known.evaluate(x, batch_size=400, return_dict=True, verbose=0)
    # exp V is log-normal with variance 0.3^2 in the log: n / E exp(2 log w) E(w)^2.
    assert logs["effective_sample_size"] == pytest.approx(400 / np.exp(0.09), rel=0.05)
    assert logs["capped_share"] == pytest.approx(0.44, abs=0.08)
    assert set(logs) == {*known.evaluation_terms}


def test_density_ratio_is_the_critic():
    x = np.array([[-1.0], [0.0], [2.0]], "float32")
    exact = testing.normal_log_prob(x, *DATA) - testing.normal_log_prob(x, *MODEL)
    for algorithm in (game(dgm.GAN), game(dgm.FGAN, divergence="neyman")):
        np.testing.assert_allclose(algorithm.density_ratio(x), exact[:, 0], atol=1e-6)
    with pytest.raises(ValueError, match="tells no density ratio"):
        game(dgm.FGAN, divergence="total_variation").density_ratio(x)
    assert not hasattr(dgm.WGAN, "density_ratio")
