"""Precision and recall of samples by nearest neighbours in feature space."""

import numpy as np

from keras_dgm.evaluation.report import FeatureReport, check_rows


def squared_distances(first, second):
    """Squared Euclidean distances, (m, n), float64."""
    squares = np.sum(first**2, axis=1)[:, None] + np.sum(second**2, axis=1)[None, :]
    return np.maximum(squares - 2.0 * first @ second.T, 0.0)


def squared_radii(rows, neighbours, block=1000):
    """Squared distance of each row to its k-th nearest other row, (n,)."""
    out = np.empty(len(rows))
    for start in range(0, len(rows), block):
        part = squared_distances(rows[start : start + block], rows)
        here = np.arange(len(part))
        part[here, start + here] = 0.0
        # The row itself is the nearest, at position 0.
        out[start : start + block] = np.partition(part, neighbours, axis=1)[:, neighbours]
    return out


def covered_share(rows, manifold, radii, block=1000):
    """Share of rows that lie in the ball of some row of the manifold."""
    hits = 0
    for start in range(0, len(rows), block):
        inside = squared_distances(rows[start : start + block], manifold) <= radii[None, :]
        hits += int(inside.any(axis=1).sum())
    return hits / len(rows)


def precision_recall(real, fake, network, neighbours=3, batch_size=128):
    """Improved precision and recall (Kynkaanniemi et al. 2019, Eq. 1, 2).

    A set's manifold is the union of balls about its rows, each reaching to the k-th nearest other
    row. Precision is the share of samples in the data's manifold, recall the share of data in the
    samples'. Both depend on n_real, n_fake and k.

    Args:
        real, fake: arrays (n, *event), or iterables of batches.
        network: a `FeatureNetwork`.
        neighbours: k.

    Returns:
        A pair of `FeatureReport`, precision and recall.
    """
    first, second = network.features(real, batch_size), network.features(fake, batch_size)
    for name, rows in (("real", first), ("fake", second)):
        check_rows("Precision and recall", name, len(rows), neighbours + 1)
    # Distances by products lose digits far from the origin.
    centre = first.mean(axis=0)
    first, second = first - centre, second - centre
    precision = covered_share(second, first, squared_radii(first, neighbours))
    recall = covered_share(first, second, squared_radii(second, neighbours))
    about = (network.name, network.checksum, len(first), len(second), {"neighbours": neighbours})
    return FeatureReport("precision", precision, *about), FeatureReport("recall", recall, *about)
