"""Figures of models of the plane: modes found, and the likelihood with log Z by quadrature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_dgm.evaluation.mode_coverage import mode_coverage

from .publishing import mean_figure

_GROUP = 100


def mode_figures(
    sample: Callable[..., np.ndarray],
    dataset: Any,
    count: int = 10_000,
    seed: int = 0,
    suffix: str = "",
) -> dict[str, Any]:
    """Modes covered by 100 samples, and the share of all samples at a mode.

    The protocol of the mixture of 32 Gaussians (Song & Ou 2018): a sample is at a mode within
    three standard deviations of its mean.

    Args:
        sample: function of `(count, seed=)` that returns points (count, 2).
        dataset: a mixture of `keras_dgm.datasets`, with `means` and `stddev`.
        count: samples drawn, a multiple of 100; the modes are means over groups of 100.
        seed: of the samples.
        suffix: put behind the names.

    Returns:
        Figures `modes_covered` and `share_at_a_mode`, as metrics.json holds them.
    """
    points = np.asarray(sample(count, seed=seed))
    groups = points.reshape(-1, _GROUP, 2)
    covered = [mode_coverage(group, dataset.means, dataset.stddev).modes for group in groups]
    whole = mode_coverage(points, dataset.means, dataset.stddev)
    share = whole.high_quality
    return {
        f"modes_covered{suffix}": {
            **mean_figure(np.asarray(covered), f"of {whole.num_modes}", seed=seed),
            "note": f"by {_GROUP} samples, mean over {len(groups)} draws of them",
        },
        f"share_at_a_mode{suffix}": {
            "value": share,
            "standard_error": float(np.sqrt(share * (1 - share) / count)),
            "unit": "of the samples",
            "count": count,
            "seed": seed,
        },
    }


def coverage_figures(points: np.ndarray, dataset: Any) -> dict[str, Any]:
    """Modes found by all samples together, and the share of samples of high quality, in percent.

    The protocol of the ring of 8 and the grid of 25 Gaussians (Lin et al. 2018, PacGAN): 2 500
    samples, within three standard deviations.

    Args:
        points: samples (n, 2).
        dataset: a mixture of `keras_dgm.datasets`, with `means` and `stddev`.

    Returns:
        Figures `modes` and `high_quality`, as metrics.json holds them.
    """
    found = mode_coverage(points, dataset.means, dataset.stddev)
    share = 100.0 * found.high_quality
    error = float(np.sqrt(share * (100.0 - share) / len(points)))
    return {
        "modes": {"value": found.modes, "unit": f"of {found.num_modes}", "count": len(points)},
        "high_quality": {"value": share, "standard_error": error, "unit": "% of the samples"},
    }


def plane_log_likelihood(
    potential: Callable[[np.ndarray], np.ndarray],
    points: np.ndarray,
    bound: float = 8.0,
    resolution: int = 500,
) -> dict[str, Any]:
    """Mean log p(x) of a field over the plane, log Z by the midpoint rule on a square.

    Args:
        potential: function (n, 2) -> (n,) in nats.
        points: held-out points (n, 2), inside the square.
        bound: the square is [-bound, bound]^2; what lies outside is left out of Z.
        resolution: cells along each axis.

    Returns:
        A figure as metrics.json holds it, with `log_partition`.

    Raises:
        ValueError: points outside the square.
    """
    if np.abs(points).max() >= bound:
        raise ValueError(
            f"The square reaches to {bound}, and a point to {np.abs(points).max():.2f}: give a "
            "larger `bound`."
        )
    width = 2.0 * bound / resolution
    centres = -bound + width * (np.arange(resolution) + 0.5)
    grid = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2).astype("float32")
    log_partition = np.logaddexp.reduce(potential(grid).astype("float64")) + 2.0 * np.log(width)
    values = potential(np.asarray(points, "float32")).astype("float64") - log_partition
    return mean_figure(values, "nats", log_partition=float(log_partition))
