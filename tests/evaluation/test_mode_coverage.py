"""Counting modes and good samples on points whose answer is known."""

import numpy as np
import pytest

from keras_dgm.datasets import load
from keras_dgm.evaluation.mode_coverage import mode_coverage

MEANS = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])


def test_counts_by_hand():
    samples = [[0.0, 0.29], [0.0, 0.31], [2.1, 0.1], [1.0, 1.0], [2.0, 0.0]]
    found = mode_coverage(samples, MEANS, stddev=0.1)
    assert (found.modes, found.num_modes) == (2, 3)
    np.testing.assert_array_equal(found.counts, [1, 2, 0])
    assert found.high_quality == pytest.approx(3 / 5)
    # Shares (1/3, 2/3) against (1/3, 1/3, 1/3).
    assert found.kl == pytest.approx(2 / 3 * np.log(2.0))
    assert "2 of 3 modes, 60.0 % good" == str(found)
    # The radius counts: within two standard deviations the first sample is no longer good.
    assert mode_coverage(samples, MEANS, 0.1, num_stddevs=2.0).counts[0] == 0


def test_exact_draws_reach_the_ceiling():
    data = load("grid25", num_train=25_000)
    found = mode_coverage(data.train.images, data.means, data.stddev)
    assert found.modes == 25
    assert found.high_quality == pytest.approx(1 - np.exp(-4.5), abs=0.003)
    assert found.kl < 1e-3


def test_no_good_sample_and_bad_input():
    none = mode_coverage([[9.0, 9.0]], MEANS, 0.1)
    assert (none.modes, none.high_quality, none.kl) == (0, 0.0, np.inf)
    with pytest.raises(ValueError, match=r"\(n, d\) and \(num_modes, d\)"):
        mode_coverage(np.zeros((3, 3)), MEANS, 0.1)
    with pytest.raises(ValueError, match="0 samples"):
        mode_coverage(np.zeros((0, 2)), MEANS, 0.1)
    with pytest.raises(ValueError, match="positive"):
        mode_coverage(np.zeros((2, 2)), MEANS, 0.0)
