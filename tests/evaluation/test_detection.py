"""The area under the ROC curve against a count of all pairs."""

import numpy as np
import pytest

from keras_dgm.evaluation import area_under_roc


def test_it_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(0)
    # Whole numbers, so that there are ties.
    inside, outside = rng.integers(0, 9, 40), rng.integers(0, 6, 30)
    pairs = inside[:, None] - outside
    expected = np.mean(pairs > 0) + 0.5 * np.mean(pairs == 0)
    assert area_under_roc(inside, outside) == pytest.approx(expected, abs=1e-12)
    assert area_under_roc(outside, inside) == pytest.approx(1 - expected, abs=1e-12)
    assert area_under_roc([2.0, 3.0], [1.0, -np.inf]) == 1.0
    assert area_under_roc([1.0], [1.0]) == 0.5


@pytest.mark.parametrize(
    "scores, message", [(([], [1.0]), "received 0 and 1"), (([np.nan], [1.0]), "NaN")]
)
def test_what_cannot_be_ordered_is_refused(scores, message):
    with pytest.raises(ValueError, match=message):
        area_under_roc(*scores)
