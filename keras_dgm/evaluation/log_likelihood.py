"""Held-out log-likelihood with its standard error."""

import dataclasses
import math

import numpy as np

UNITS = ("nats", "bits_per_dim")


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over data points.

    Attributes:
        value: the mean.
        standard_error: of the mean, over data points.
        unit: "nats" a data point (more is better), or "bits_per_dim" (less is better).
        per_point: array (n,) in nats.
    """

    value: float
    standard_error: float
    unit: str
    per_point: np.ndarray = dataclasses.field(repr=False)

    def __str__(self):
        return f"{self.value:.2f} ± {self.standard_error:.2f} {self.unit}"


def log_likelihood(model, x, num_samples=5000, unit="nats", seed=0, verbose=1, **options):
    """The mean of log p(x) over data points, by `model.log_likelihood`.

    For a latent-variable model that is the importance-weighted bound (Ou 2019, Eq. 19), which
    rises to log p(x) with `num_samples`. It is computed in chunks whose size does not depend on
    `num_samples` or the number of data points.

    Args:
        model: has `log_likelihood(x, num_samples=, seed=)`, nats of shape (n,).
        x: array (n, *event).
        num_samples: draws for each data point.
        unit: `"nats"`, or `"bits_per_dim"`: minus nats over (number of dimensions x log 2).
        seed: integer; the same seed gives the same figure.
        verbose: 1 for a progress bar.
        **options: further arguments of `model.log_likelihood`, e.g. `rows` and `chunk`.

    Returns:
        An `Estimate`.

    Raises:
        ValueError: another unit, fewer than two data points, or a model without a likelihood.
    """
    if unit not in UNITS:
        raise ValueError(f"The unit is 'nats' or 'bits_per_dim'; received {unit!r}.")
    if len(x) < 2:
        raise ValueError(f"A standard error takes two data points at least; received {len(x)}.")
    if not hasattr(model, "log_likelihood"):
        raise ValueError(
            f"{type(model).__name__} has no log-likelihood; evaluate it by samples "
            "(keras_dgm.evaluation)."
        )
    nats = model.log_likelihood(x, num_samples=num_samples, seed=seed, verbose=verbose, **options)
    scale = 1.0 if unit == "nats" else -1.0 / (math.log(2.0) * np.prod(np.shape(x)[1:]))
    figures = np.asarray(nats, "float64") * scale
    error = figures.std(ddof=1) / math.sqrt(len(figures))
    return Estimate(float(figures.mean()), float(error), unit, np.asarray(nats))
