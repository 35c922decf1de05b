"""Two-dimensional distributions with, where it is exact, their log-density in NumPy."""

import dataclasses
import difflib
import functools

import numpy as np

from keras_dgm.datasets.dataset import Dataset, Split


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class ToyDataset(Dataset):
    """A data set drawn from a distribution of the plane.

    Attributes:
        means: of the mixtures, the component means, float64 (num_components, 2); otherwise None.
        stddev: of the mixtures, the standard deviation of each component in each direction;
            otherwise None.
    """

    means: np.ndarray | None = None
    stddev: float | None = None

    def log_prob(self, x):
        """Exact log-density of the equally weighted mixture.

        Args:
            x: points, shape (..., 2).

        Returns:
            float64 nats, shape (...).

        Raises:
            ValueError: wrong shape, or a distribution without a closed form.
        """
        if self.means is None:
            raise ValueError(
                f"Data set {self.name!r} has no density in closed form. Those that have one: "
                f"{', '.join(MIXTURES)}."
            )
        x = np.asarray(x, np.float64)
        if x.ndim == 0 or x.shape[-1] != 2:
            raise ValueError(f"x must have shape (..., 2); received {x.shape}.")
        distance = np.sum((x[..., np.newaxis, :] - self.means) ** 2, axis=-1)
        exponent = -0.5 * distance / self.stddev**2
        largest = exponent.max(axis=-1, keepdims=True)
        total = np.log(np.exp(exponent - largest).sum(axis=-1)) + largest[..., 0]
        return total - np.log(2 * np.pi * self.stddev**2) - np.log(len(self.means))


def _circle(radius, count, offset=0.0):
    angle = 2 * np.pi * np.arange(count) / count + offset
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _ring8_means(radius):
    return _circle(radius, 8)


def _grid25_means(spacing):
    steps = spacing * np.arange(-2, 3)
    return np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)


def _mixture32_means():
    rings = [_circle(radius, 8) for radius in (2, 4)]
    rings += [_circle(radius, 8, offset=np.pi / 8) for radius in (3, 5)]
    return np.concatenate(rings)


def _two_moons(rng, count, noise):
    # Two half circles of radius 1, the second one shifted by (1, 1/2) and turned over.
    label = _balanced(rng, count, 2)
    angle = rng.uniform(0, np.pi, count)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    lower = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], axis=-1)
    points = np.where(label[:, np.newaxis] == 0, upper, lower)
    return points + noise * rng.standard_normal((count, 2)), label


def _pinwheel(rng, count, num_arms, radial_stddev, tangential_stddev, rate):
    # Johnson et al. (2016): Gaussian arms at radius 1, turned by an angle exponential in it.
    label = _balanced(rng, count, num_arms)
    along, across = rng.standard_normal((2, count)) * [[radial_stddev], [tangential_stddev]]
    along = along + 1
    angle = 2 * np.pi * label / num_arms + rate * np.exp(along)
    cosine, sine = np.cos(angle), np.sin(angle)
    points = np.stack([cosine * along - sine * across, sine * along + cosine * across], axis=-1)
    return points, label


def _mixture(rng, count, means, stddev):
    label = _balanced(rng, count, len(means))
    return means[label] + stddev * rng.standard_normal((count, 2)), label


def _balanced(rng, count, num_classes):
    """Labels with equal counts (up to one where they do not divide), in random order."""
    return rng.permutation(np.arange(count) % num_classes)


# name -> (maker, default options, default num_train). `stddev` is each component's; the other
# options are the maker's.
MIXTURES = {
    # Lin et al. (PacGAN, 2018): radius 1, variance 1e-4.
    "ring8": (_ring8_means, {"radius": 1.0, "stddev": 0.01}, 100_000),
    # Lin et al. (PacGAN, 2018): means on {-4, -2, 0, 2, 4}^2, variance 0.0025.
    "grid25": (_grid25_means, {"spacing": 2.0, "stddev": 0.05}, 100_000),
    # Inclusive-NRF paper: four rings of eight modes, 50 training points a mode.
    "mixture32": (_mixture32_means, {"stddev": 0.1}, 1_600),
}
CURVES = {
    "two_moons": (_two_moons, {"noise": 0.05}, 10_000),
    "pinwheel": (
        _pinwheel,
        {"num_arms": 5, "radial_stddev": 0.3, "tangential_stddev": 0.05, "rate": 0.25},
        10_000,
    ),
}
NAMES = (*MIXTURES, *CURVES)


def make(name, seed=0, **options):
    """Draws a toy data set.

    Args:
        name: one of `NAMES`.
        seed: int >= 0. Each split has a stream of its own, so that its points do not depend on
            the sizes of the others.
        **options: `num_train` (default 1 600 for mixture32, 100 000 for ring8 and grid25,
            10 000 for the others), `num_valid` and `num_test` (10 000 each); `stddev` of the
            mixtures, `radius` of ring8, `spacing` of grid25, `noise` of two_moons, `num_arms`,
            `radial_stddev`, `tangential_stddev` and `rate` of pinwheel.

    Returns:
        A `ToyDataset` with vectors of shape (n, 2) for images and the component for label; every
        split holds equally many points of each component.

    Raises:
        ValueError: unknown option, or one out of range.
    """
    maker, defaults, num_train = {**MIXTURES, **CURVES}[name]
    settings = {"num_train": num_train, "num_valid": 10_000, "num_test": 10_000, **defaults}
    for option, value in options.items():
        if option not in settings:
            nearest = difflib.get_close_matches(option, settings, n=1)
            hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
            raise ValueError(
                f"Unknown option {option!r} of data set {name!r}.{hint} Known: "
                f"{', '.join(settings)}."
            )
        _check_positive(option, value, whole=isinstance(settings[option], int))
    settings.update(options)
    sizes = {split: settings.pop(f"num_{split}") for split in ("train", "valid", "test")}
    means = stddev = None
    if name in MIXTURES:
        stddev = float(settings.pop("stddev"))
        means = maker(**settings)
        draw = functools.partial(_mixture, means=means, stddev=stddev)
    else:
        draw = functools.partial(maker, **settings)
    splits = {}
    for number, (split, count) in enumerate(sizes.items()):
        points, label = draw(np.random.default_rng([seed, number]), count)
        splits[split] = Split(points.astype(np.float32), label.astype(np.int64))
    chosen = ", ".join(f"{key}={value}" for key, value in {**settings, "seed": seed}.items())
    return ToyDataset(
        name=name,
        **splits,
        value_range=(-np.inf, np.inf),
        binarization=None,
        licence="none needed (computed)",
        source=f"drawn here with {chosen}" + (f", stddev={stddev}" if stddev else ""),
        means=means,
        stddev=stddev,
    )


def _check_positive(option, value, whole):
    good = isinstance(value, int | np.integer if whole else int | float | np.number)
    if not good or isinstance(value, bool) or not value > 0 or not np.isfinite(value):
        kind = "an integer" if whole else "a number"
        raise ValueError(f"{option} must be {kind} > 0; received {value!r}.")
