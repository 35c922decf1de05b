"""Stateless random numbers."""

import numpy as np
import pytest
from keras import ops
from scipy import stats

from keras_dgm import backend


def draws(fn):
    return ops.convert_to_numpy(fn).ravel()


def test_seeds_repeat_and_differ():
    first = draws(backend.normal((1000,), backend.as_seed(1)))
    np.testing.assert_array_equal(first, draws(backend.normal((1000,), 1)))
    for other in (
        backend.as_seed(2),
        backend.as_seed(1 + 2**32),
        backend.fold_in(1, 3),
        *backend.split_seed(backend.as_seed(1), 2),
    ):
        second = draws(backend.normal((1000,), other))
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.15


@pytest.mark.parametrize(
    "draw, law",
    [
        (lambda s: backend.normal((5000,), s), stats.norm()),
        (lambda s: backend.uniform((5000,), s, -1.0, 3.0), stats.uniform(-1.0, 4.0)),
        (lambda s: backend.gumbel((5000,), s), stats.gumbel_r()),
    ],
)
def test_continuous_laws(draw, law):
    sample = draws(draw(backend.as_seed(5)))
    assert stats.kstest(sample, law.cdf).pvalue > 1e-3
    assert stats.kstest(sample + 0.2, law.cdf).pvalue < 1e-3


def test_discrete_laws():
    odds = np.array([0.2, 0.5, 0.3], "float32")
    logits = np.tile(np.log(odds), (20000, 1))
    counts = np.bincount(draws(backend.categorical(logits, backend.as_seed(5))), minlength=3)
    assert stats.chisquare(counts, odds / odds.sum() * 20000).pvalue > 1e-3
    ones = draws(backend.bernoulli(np.full(20000, 0.3, "float32"), backend.as_seed(6)))
    assert abs(ones.mean() - 0.3) < 0.015 and set(ones) == {0.0, 1.0}


def test_permutation():
    order = draws(backend.permutation(50, backend.as_seed(3)))
    assert sorted(order) == list(range(50)) and list(order) != list(range(50))
