"""The kernel distance (KID): a squared maximum mean discrepancy of features."""

import numpy as np

from keras_dgm.evaluation.report import FeatureReport, check_rows


def polynomial_mmd(first, second, degree=3, gamma=None, coefficient=1.0):
    """U-statistic of the squared MMD with k(u, v) = (gamma u.v + coefficient)^degree.

    Unbiased, so it may be negative (Binkowski et al. 2018, Eq. 4).

    Args:
        first, second: (m, d) and (n, d), two rows each at least.
        gamma: 1/d by default.
    """
    first, second = np.asarray(first, "float64"), np.asarray(second, "float64")
    gamma = 1.0 / first.shape[1] if gamma is None else gamma

    def kernel(u, v):
        return (gamma * (u @ v.T) + coefficient) ** degree

    def within(u):
        values = kernel(u, u)
        return (values.sum() - np.trace(values)) / (len(u) * (len(u) - 1))

    return float(within(first) + within(second) - 2.0 * kernel(first, second).mean())


def kernel_distance(real, fake, network, num_subsets=100, subset_size=1000, seed=0, batch_size=128):
    """Kernel distance of features: mean of `polynomial_mmd` over random subsets.

    Unbiased whatever the numbers of rows (Binkowski et al. 2018). `details` has the standard
    deviation over subsets, which share rows: no standard error.

    Args:
        real, fake: arrays (n, *event), or iterables of batches.
        network: a `FeatureNetwork`.
        num_subsets, subset_size: of rows drawn without replacement; the size is at most the
            number of rows.
        seed: of the subsets.

    Returns:
        A `FeatureReport`.
    """
    first, second = network.features(real, batch_size), network.features(fake, batch_size)
    for name, rows in (("real", first), ("fake", second)):
        check_rows("The kernel distance", name, len(rows), 2)
    size = min(subset_size, len(first), len(second))
    check_rows("The kernel distance", "subset_size", size, 2)
    rng = np.random.default_rng(seed)
    values = [
        polynomial_mmd(
            first[rng.choice(len(first), size, replace=False)],
            second[rng.choice(len(second), size, replace=False)],
        )
        for _ in range(num_subsets)
    ]
    return FeatureReport(
        "kernel distance",
        float(np.mean(values)),
        network.name,
        network.checksum,
        len(first),
        len(second),
        {"sd over subsets": float(np.std(values)), "subset size": size},
    )
