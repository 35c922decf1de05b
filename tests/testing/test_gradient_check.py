"""The check of stochastic gradients passes unbiased ones and catches planted bias."""

import numpy as np
import pytest
from scipy import stats

from keras_dgm.testing import check_gradient_estimator, joint

EXACT = {
    "generative": [np.array([[1.0, -2.0], [0.5, 0.0]]), np.array([0.3, -0.1])],
    "inference": [np.array(2.0)],
}


def noisy(rng, scale=1.0, factor=1.0, shift=0.0):
    """Draws with correlated noise around factor * exact + shift."""

    def draw(_):
        common = rng.normal()
        return {
            player: [
                factor * g + shift + scale * (rng.normal(size=g.shape) + 0.5 * common)
                for g in arrays
            ]
            for player, arrays in EXACT.items()
        }

    return draw


def test_unbiased_passes_and_reports_its_moments():
    report = check_gradient_estimator(noisy(np.random.default_rng(0), 2.0), EXACT, 3000)
    assert report.passed(), report
    assert report.names == ["generative[0]", "generative[1]", "inference[0]"]
    assert report.sizes == [4, 2, 1]
    np.testing.assert_allclose(report.variance, 5.0, rtol=0.15)
    np.testing.assert_allclose(report.standard_error, np.sqrt(5.0 / 3000), rtol=0.1)
    np.testing.assert_allclose(report.mean, report.exact, atol=0.2)
    np.testing.assert_allclose(report.bias, report.mean - report.exact)
    assert report.snr[0] == pytest.approx(1.0 / np.sqrt(5.0), rel=0.3)
    assert report.by_array(report.exact)["inference[0]"] == [2.0]
    assert "passed" in str(report) and "inference[0]" in str(report)


def test_mean_and_variance_equal_numpys():
    rng = np.random.default_rng(1)
    draws = rng.normal(size=(50, 3)) + 1e4
    report = check_gradient_estimator(lambda i: draws[i], np.zeros(3), 50)
    np.testing.assert_allclose(report.mean, draws.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(report.variance, draws.var(axis=0, ddof=1), rtol=1e-9)


@pytest.mark.parametrize("planted", [{"factor": 1.3}, {"factor": -1.0}, {"shift": 0.2}])
def test_planted_bias_fails(planted):
    report = check_gradient_estimator(noisy(np.random.default_rng(2), **planted), EXACT, 2000)
    assert not report.passed(), report
    assert "FAILED" in str(report)


def test_bias_of_one_component_fails():
    draw = noisy(np.random.default_rng(3))

    def biased(i):
        gradients = draw(i)
        gradients["generative"][1] = gradients["generative"][1] + [0.0, 0.2]
        return gradients

    report = check_gradient_estimator(biased, EXACT, 2000)
    assert not report.passed()
    assert np.argmax(np.abs(report.z_scores)) == 5


def test_bias_spread_over_many_components_fails():
    """Each component lies within its own bound; together they do not."""
    rng = np.random.default_rng(4)
    exact = np.zeros(400)
    report = check_gradient_estimator(
        lambda i: 0.05 * np.sign(np.arange(400) % 2 - 0.5) + rng.normal(size=400), exact, 400
    )
    assert report.max_abs_z <= report.critical_value()
    assert report.summary_p_value < 1e-6
    assert not report.passed()


def test_a_wrong_factor_is_seen_along_the_gradient():
    """30 draws of 200 components, each 0.75 too small by far less than its own error."""
    rng = np.random.default_rng(5)
    exact = rng.normal(size=200)
    report = check_gradient_estimator(
        lambda i: 0.75 * exact + 2.0 * rng.normal(size=200), exact, 30
    )
    assert report.max_abs_z <= report.critical_value()
    assert report.max_projection_z > 4.0
    assert not report.passed()


def test_false_alarms_are_rare_and_p_values_uniform():
    rng = np.random.default_rng(6)
    mixing = rng.normal(size=(20, 20)) / 4.0
    reports = [
        check_gradient_estimator(lambda i: mixing @ rng.normal(size=20), np.zeros(20), 60)
        for _ in range(200)
    ]
    assert sum(not r.passed() for r in reports) <= 1
    p_values = [r.summary_p_value for r in reports]
    assert stats.kstest(p_values, "uniform").pvalue > 1e-4


def test_components_without_variance_are_compared_to_rounding():
    exact = np.array([1.0, 2.0, 0.0])
    near = exact * (1.0 + 5e-6)
    assert check_gradient_estimator(lambda i: near, exact, 5).passed()
    off = exact + [0.0, 1e-4, 0.0]
    report = check_gradient_estimator(lambda i: off, exact, 5)
    assert not report.passed()
    assert report.max_abs_z == np.inf
    assert check_gradient_estimator(lambda i: np.zeros(2), np.zeros(2), 5).passed()
    assert not check_gradient_estimator(lambda i: np.full(2, 1e-9), np.zeros(2), 5).passed()


def test_non_finite_draws_fail():
    exact = np.zeros(2)
    report = check_gradient_estimator(lambda i: np.array([np.nan, 0.0]), exact, 5)
    assert not report.passed()


class NoisyAlgorithm:
    """Stands for an algorithm: gradients of 0.5 mean (w - x - noise)**2 at w = 0."""

    def __init__(self, factor=1.0):
        self.factor = factor
        self.seeds = []
        self.batch_sizes = []

    def estimate_gradients(self, data, seed):
        self.seeds.append(seed)
        self.batch_sizes.append(len(data))
        noise = np.random.default_rng(seed).normal(size=data.shape)
        return {"joint": [-self.factor * np.mean(data + noise, axis=0)], "other": [None]}


def test_an_algorithm_is_drawn_with_copies_of_the_data():
    x = np.array([[1.0, 2.0], [3.0, -1.0], [0.0, 0.5]], dtype="float32")
    exact = {"joint": [-x.mean(axis=0)]}
    algorithm = NoisyAlgorithm()
    report = check_gradient_estimator(algorithm, exact, 50, data=x, batch_copies=20, seed=3)
    assert report.passed(), report
    assert algorithm.batch_sizes == [60] * 50
    assert len(set(algorithm.seeds)) == 50
    np.testing.assert_allclose(report.variance, 1.0 / 60, rtol=0.6)
    wrong = check_gradient_estimator(NoisyAlgorithm(1.2), exact, 50, data=x, batch_copies=20)
    assert not wrong.passed()


def test_joint_puts_the_generative_arrays_first():
    assert [g.shape for g in joint(EXACT)["joint"]] == [(2, 2), (2,), ()]


def test_errors_say_what_came():
    draw = noisy(np.random.default_rng(0))
    with pytest.raises(ValueError, match="at least 2"):
        check_gradient_estimator(draw, EXACT, 1)
    with pytest.raises(ValueError, match="no \\['critic'\\]"):
        check_gradient_estimator(draw, {"critic": [np.zeros(1)]}, 5)
    with pytest.raises(ValueError, match="list of 3 arrays at generative"):
        check_gradient_estimator(draw, {"generative": [np.zeros(1)] * 3}, 5)
    with pytest.raises(ValueError, match="inference\\[0\\] has shape \\(\\)"):
        check_gradient_estimator(draw, {"inference": [np.zeros(2)]}, 5)
    with pytest.raises(ValueError, match="None"):
        check_gradient_estimator(lambda i: [None], [np.zeros(1)], 5)
    with pytest.raises(ValueError, match="pass data=x"):
        check_gradient_estimator(NoisyAlgorithm(), EXACT, 5)
    with pytest.raises(ValueError, match="belong to an algorithm"):
        check_gradient_estimator(draw, EXACT, 5, data=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="callable"):
        check_gradient_estimator(3.0, EXACT, 5)
