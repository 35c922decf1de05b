"""The two-dimensional toys against quadrature and against their own definitions."""

import numpy as np
import pytest
import scipy.stats

from keras_dgm import datasets

MIXTURES = ("ring8", "grid25", "mixture32")


@pytest.fixture(scope="module")
def toys():
    names = (*MIXTURES, "two_moons", "pinwheel")
    return {name: datasets.load(name, num_train=8_000) for name in names}


def test_shapes_and_balance(toys):
    for name, data in toys.items():
        assert data.image_shape == (2,)
        assert data.value_range == (-np.inf, np.inf)
        for split in data.splits.values():
            assert split.images.dtype == np.float32
            counts = np.bincount(split.labels)
            assert counts.max() - counts.min() <= 1, name


def test_mixture32_is_the_published_one():
    data = datasets.load("mixture32")
    assert len(data.train) == 1600
    assert np.all(np.bincount(data.train.labels) == 50)
    assert data.stddev == 0.1
    radius = np.linalg.norm(data.means, axis=-1)
    turn = np.arctan2(data.means[:, 1], data.means[:, 0]) / (np.pi / 8)
    np.testing.assert_allclose(radius, np.repeat([2, 4, 3, 5], 8))
    np.testing.assert_allclose(turn, np.round(turn), atol=1e-12)
    even = np.round(turn).astype(int) % 2 == 0
    np.testing.assert_array_equal(even, np.isin(np.round(radius), [2, 4]))


def test_grid25_and_ring8_are_the_published_ones(toys):
    grid = {tuple(mean) for mean in toys["grid25"].means}
    steps = (-4, -2, 0, 2, 4)
    assert grid == {(a, b) for a in steps for b in steps}
    assert toys["grid25"].stddev == 0.05
    np.testing.assert_allclose(np.linalg.norm(toys["ring8"].means, axis=-1), 1)
    assert len(toys["ring8"].means) == 8


@pytest.mark.parametrize("name", MIXTURES)
def test_log_prob_is_that_of_scipy_and_the_points_follow_it(toys, name):
    data = toys[name]
    x = data.train.images[:500].astype(np.float64)
    components = [
        scipy.stats.multivariate_normal(mean, data.stddev**2 * np.eye(2)) for mean in data.means
    ]
    expected = np.log(np.mean([component.pdf(x) for component in components], axis=0))
    np.testing.assert_allclose(data.log_prob(x), expected, rtol=1e-9)
    # The squared distance to the own mean over the variance is chi-square with 2 degrees.
    own = data.means[data.train.labels]
    squared = np.sum((data.train.images - own) ** 2, axis=-1) / data.stddev**2
    assert scipy.stats.kstest(squared, scipy.stats.chi2(2).cdf).pvalue > 1e-4
    # The same test sees a standard deviation that is 5 % off.
    assert scipy.stats.kstest(squared * 1.05**2, scipy.stats.chi2(2).cdf).pvalue < 1e-4


def test_log_prob_keeps_leading_axes_and_integrates_to_one():
    data = datasets.load("ring8", stddev=0.3, radius=2.0)
    axis = np.linspace(-5, 5, 201)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1)
    log_prob = data.log_prob(grid)
    assert log_prob.shape == (201, 201)
    np.testing.assert_allclose(np.exp(log_prob).sum() * (axis[1] - axis[0]) ** 2, 1, rtol=1e-6)
    assert np.isfinite(data.log_prob([1e3, 1e3]))


def test_log_prob_refuses_what_it_cannot_do(toys):
    with pytest.raises(ValueError, match=r"\(\.\.\., 2\); received \(4, 3\)"):
        toys["ring8"].log_prob(np.zeros((4, 3)))
    for name in ("two_moons", "pinwheel"):
        assert toys[name].means is None
        with pytest.raises(ValueError, match="no density in closed form"):
            toys[name].log_prob(np.zeros((4, 2)))


def test_two_moons_lie_on_their_half_circles(toys):
    split = toys["two_moons"].train
    x, label = split.images, split.labels[:, None]
    centred = np.where(label == 0, x, [1, 0.5] - x)
    offset = np.linalg.norm(centred, axis=-1) - 1
    assert abs(offset.std() - 0.05) < 0.004
    assert np.mean(centred[:, 1] > -0.15) > 0.99  # the upper half


def test_pinwheel_unwinds_to_gaussian_arms(toys):
    split = datasets.load("pinwheel", num_train=8_000, rate=1e-9).train
    angle = -2 * np.pi * split.labels / 5
    x, y = split.images.T.astype(np.float64)
    along = np.cos(angle) * x - np.sin(angle) * y
    across = np.sin(angle) * x + np.cos(angle) * y
    assert scipy.stats.kstest((along - 1) / 0.3, "norm").pvalue > 1e-4
    assert scipy.stats.kstest(across / 0.05, "norm").pvalue > 1e-4
    # Wound up, the arms bend: radii stay, angles do not.
    wound = toys["pinwheel"].train.images
    np.testing.assert_allclose(
        np.linalg.norm(wound, axis=-1), np.linalg.norm(split.images, axis=-1), rtol=1e-4
    )
    assert np.abs(wound - split.images).max() > 0.5


def test_a_split_does_not_depend_on_the_size_of_another():
    small = datasets.load("mixture32", num_train=32, seed=5)
    large = datasets.load("mixture32", num_train=3200, seed=5)
    np.testing.assert_array_equal(small.test.images, large.test.images)
    other = datasets.load("mixture32", num_train=32, seed=6)
    assert np.all(small.test.images != other.test.images)
