"""How many modes of a known mixture a sampler finds, and how good its samples are."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class ModeCoverage:
    """What `mode_coverage` counted.

    Attributes:
        modes: number of modes with at least one sample of high quality.
        num_modes: number of modes there are.
        high_quality: share of the samples of high quality, in [0, 1].
        counts: samples of high quality at each mode, (num_modes,).
        kl: KL from the share of each mode among samples of high quality to the uniform law, nats;
            infinite where there is no such sample.
    """

    modes: int
    num_modes: int
    high_quality: float
    counts: np.ndarray
    kl: float

    def __str__(self):
        return f"{self.modes} of {self.num_modes} modes, {100 * self.high_quality:.1f} % good"


def mode_coverage(samples, means, stddev, num_stddevs=3.0):
    """Modes covered and share of high quality (Lin et al. 2018, PacGAN, section 4.1).

    A sample is of high quality where it lies within `num_stddevs` standard deviations of the
    nearest mode's mean, in Euclidean distance; a mode counts with one such sample. Exact draws of
    a two-dimensional mixture have 98.9 % at three standard deviations. Published figures are of
    2 500 samples: with more, more modes count.

    Args:
        samples: (n, d).
        means: (num_modes, d).
        stddev: of each mode in each direction.
        num_stddevs: radius.

    Returns:
        A `ModeCoverage`.

    Raises:
        ValueError: shapes that do not go together, no samples, a radius that is not positive.
    """
    samples, means = np.asarray(samples, "float64"), np.asarray(means, "float64")
    if samples.ndim != 2 or means.ndim != 2 or samples.shape[1:] != means.shape[1:]:
        raise ValueError(
            "samples and means are (n, d) and (num_modes, d) of one d; received "
            f"{samples.shape} and {means.shape}."
        )
    if not len(samples) or not len(means):
        raise ValueError(f"There are {len(samples)} samples and {len(means)} modes; none is few.")
    if not (stddev > 0 and num_stddevs > 0):
        raise ValueError(
            f"stddev and num_stddevs are positive; received {stddev!r}, {num_stddevs!r}."
        )
    counts = np.zeros(len(means), "int64")
    for start in range(0, len(samples), 10_000):
        block = samples[start : start + 10_000]
        squared = np.sum((block[:, None] - means) ** 2, axis=-1)
        nearest = np.argmin(squared, axis=1)
        good = squared[np.arange(len(block)), nearest] <= (num_stddevs * stddev) ** 2
        counts += np.bincount(nearest[good], minlength=len(means))
    total = counts.sum()
    kl = np.inf
    if total:
        share = counts[counts > 0] / total
        kl = float(np.sum(share * np.log(share * len(means))))
    return ModeCoverage(
        modes=int(np.count_nonzero(counts)),
        num_modes=len(means),
        high_quality=float(total / len(samples)),
        counts=counts,
        kl=kl,
    )
