"""How well a score tells one set from another."""

import numpy as np


def area_under_roc(inside, outside):
    """Area under the receiver operating characteristic of a score.

    The probability that a member of the first set scores higher than one of the second, ties
    counting one half: 1 for a score that separates them, 0.5 for one that tells nothing. For
    out-of-distribution detection by a field the scores are u(x) of held-out data and of others.

    Args:
        inside: scores (n,) of what should score high.
        outside: scores (m,) of the others.

    Returns:
        A float in [0, 1].

    Raises:
        ValueError: an empty set or scores that are NaN.
    """
    inside, outside = (np.asarray(scores, "float64").ravel() for scores in (inside, outside))
    if not len(inside) or not len(outside):
        raise ValueError(
            f"Both sets need a score; received {len(inside)} and {len(outside)} of them."
        )
    if np.isnan(inside).any() or np.isnan(outside).any():
        raise ValueError("Scores that are NaN cannot be ordered.")
    ordered = np.sort(outside)
    below = np.searchsorted(ordered, inside, side="left")
    up_to = np.searchsorted(ordered, inside, side="right")
    return float(0.5 * (below + up_to).sum() / (len(inside) * len(outside)))
