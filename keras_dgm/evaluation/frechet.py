"""The Frechet distance between Gaussians fitted to features."""

import numpy as np

from keras_dgm.evaluation.report import FeatureReport, check_rows


class RunningMoments:
    """Mean and covariance of rows that come in batches, float64.

    Batches are merged by the parallel form of Welford's update, so that nothing cancels however
    far the mean is from zero.
    """

    def __init__(self):
        self.count = 0
        self.mean = None
        self._scatter = None

    def update(self, rows):
        """Adds rows (n, d)."""
        rows = np.asarray(rows, "float64")
        if rows.ndim != 2:
            raise ValueError(f"Moments are of rows (n, d); received shape {rows.shape}.")
        if self.mean is None:
            self.mean = np.zeros(rows.shape[1])
            self._scatter = np.zeros((rows.shape[1], rows.shape[1]))
        if not len(rows):
            return
        mean = rows.mean(axis=0)
        centred = rows - mean
        total = self.count + len(rows)
        gap = mean - self.mean
        self._scatter += centred.T @ centred
        self._scatter += np.outer(gap, gap) * (self.count * len(rows) / total)
        self.mean = self.mean + gap * (len(rows) / total)
        self.count = total

    @property
    def covariance(self):
        """The unbiased covariance (d, d)."""
        return self._scatter / (self.count - 1)


def gaussian_frechet_distance(first_mean, first_covariance, second_mean, second_covariance):
    """Squared Frechet (2-Wasserstein) distance of two normal densities.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) (Dowson & Landau 1982). The trace of the root is
    the sum of the roots of the eigenvalues of A C2 A, A = C1^(1/2), which is symmetric: no complex
    parts to drop, and singular covariances need no ridge.

    Args:
        first_mean, second_mean: (d,).
        first_covariance, second_covariance: (d, d).

    Returns:
        A float.
    """
    gap = np.asarray(first_mean, "float64") - np.asarray(second_mean, "float64")
    first = np.atleast_2d(np.asarray(first_covariance, "float64"))
    second = np.atleast_2d(np.asarray(second_covariance, "float64"))
    if first.shape != second.shape or first.shape != (gap.size, gap.size):
        raise ValueError(
            f"Means {gap.shape} and covariances {first.shape}, {second.shape} do not go together."
        )
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    inner = root @ second @ root
    roots = np.sqrt(np.maximum(np.linalg.eigvalsh(0.5 * (inner + inner.T)), 0.0))
    distance = gap @ gap + np.trace(first) + np.trace(second) - 2.0 * roots.sum()
    return float(max(distance, 0.0))


def frechet_distance(real, fake, network, batch_size=128):
    """Frechet distance between data and samples in a network's features (Heusel et al. 2017).

    Biased upwards by the finite samples, so compare only figures of equal n_real and n_fake. It is
    the published "FID" only with the published network, which this library does not have.

    Args:
        real, fake: arrays (n, *event), or iterables of batches; or for `real` the
            `RunningMoments` of features computed before.
        network: a `FeatureNetwork`.

    Returns:
        A `FeatureReport`.

    Raises:
        ValueError: fewer than two rows.
    """
    moments = []
    for name, x in (("real", real), ("fake", fake)):
        if not isinstance(x, RunningMoments):
            x = feature_moments(x, network, batch_size)
        check_rows("The Frechet distance", name, x.count, 2)
        moments.append(x)
    first, second = moments
    value = gaussian_frechet_distance(first.mean, first.covariance, second.mean, second.covariance)
    return FeatureReport(
        "Frechet distance", value, network.name, network.checksum, first.count, second.count
    )


def feature_moments(x, network, batch_size=128):
    """`RunningMoments` of the features of x, one batch in memory at a time."""
    moments = RunningMoments()
    for rows in network.batches(x, batch_size):
        moments.update(rows)
    return moments
