"""Is the mean of a stochastic gradient the exact gradient?"""

import dataclasses

import numpy as np
from scipy import stats

from keras_dgm.testing.trees import flatten, flatten_like

# Beyond this many components the covariance matrix, and with it the joint p-value, is left out.
MAX_COVARIANCE = 1024
# A family of components may raise a false alarm this often before the bound on one rises above
# the asked number of standard errors.
FAMILY_ERROR = 1e-3


@dataclasses.dataclass(frozen=True)
class GradientReport:
    """What `check_gradient_estimator` measured. Vectors run over all components, flattened.

    Attributes:
        names: name of each array.
        sizes: number of components of each array.
        exact: (m,), the exact gradient.
        mean: (m,), mean of the draws.
        variance: (m,), variance of one draw.
        num_draws: number of draws.
        relative_tolerance: rounding allowed before a difference counts; see `tolerance`.
        scale: (m,), what `relative_tolerance` is relative to.
        summary_p_value: chi-square p-value of all components together (their correlation taken
            into account after Satterthwaite), or None where it was not computed.
        projection_z: (number of arrays,), bias along the exact gradient of each array, in standard
            errors: what a wrong factor moves first.
    """

    names: list
    sizes: list
    exact: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    num_draws: int
    relative_tolerance: float
    scale: np.ndarray
    summary_p_value: float | None
    projection_z: np.ndarray

    @property
    def bias(self):
        """(m,), mean minus exact."""
        return self.mean - self.exact

    @property
    def standard_error(self):
        """(m,), standard error of the mean."""
        return np.sqrt(self.variance / self.num_draws)

    @property
    def tolerance(self):
        """(m,), absolute difference put down to float32 rounding."""
        return self.relative_tolerance * self.scale

    @property
    def z_scores(self):
        """(m,), bias beyond `tolerance` in standard errors, signed; infinite at zero variance."""
        return _z_scores(self.bias, self.tolerance, self.standard_error)

    @property
    def max_abs_z(self):
        """Largest |z|."""
        return float(np.max(np.abs(self.z_scores), initial=0.0))

    @property
    def max_projection_z(self):
        """Largest |projection_z|."""
        return float(np.max(np.abs(self.projection_z), initial=0.0))

    @property
    def snr(self):
        """(m,), |mean| over the standard deviation of one draw (Rainforth et al.)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.mean == 0.0, 0.0, np.abs(self.mean) / np.sqrt(self.variance))

    def critical_value(self, threshold=4.0, count=None):
        """Bound on the largest |z| of `count` (default: all components): `threshold`, or more.

        The bound on one component is raised above `threshold` only as far as a family-wise false
        alarm rate of 1e-3 needs (above 16 components), by Student's t with num_draws - 1 degrees
        of freedom.
        """
        per_component = FAMILY_ERROR / max(len(self.exact) if count is None else count, 1)
        return max(threshold, float(stats.t.isf(per_component / 2.0, self.num_draws - 1)))

    def passed(self, threshold=4.0):
        """Whether the mean is the exact gradient as far as the draws can tell.

        Every component within `critical_value(threshold)` standard errors, each array's bias
        along its exact gradient too, and the joint p-value not below that of `threshold`.
        """
        if not np.all(np.isfinite(self.mean)):
            return False
        if self.max_abs_z > self.critical_value(threshold):
            return False
        if self.max_projection_z > self.critical_value(threshold, len(self.projection_z)):
            return False
        tail = 2.0 * stats.norm.sf(threshold)
        return self.summary_p_value is None or self.summary_p_value >= tail

    def by_array(self, vector):
        """Splits a vector over all components into one piece an array, keyed by name."""
        pieces = np.split(np.asarray(vector), np.cumsum(self.sizes)[:-1])
        return dict(zip(self.names, pieces, strict=True))

    def __str__(self):
        lines = [
            f"{'passed' if self.passed() else 'FAILED'}: {len(self.exact)} components, "
            f"{self.num_draws} draws, largest |z| {self.max_abs_z:.2f} "
            f"(bound {self.critical_value():.2f}), along the gradient {self.max_projection_z:.2f}, "
            + (
                "no joint p-value"
                if self.summary_p_value is None
                else f"joint p-value {self.summary_p_value:.2g}"
            ),
            f"{'array':<28}{'|exact|':>11}{'|mean|':>11}{'|bias|':>11}{'|s.e.|':>11}"
            f"{'max |z|':>9}{'snr':>9}",
        ]
        norm = np.linalg.norm
        columns = [self.exact, self.mean, self.bias, self.standard_error, self.z_scores]
        split = [self.by_array(column) for column in columns]
        for name in self.names:
            exact, mean, bias, error, z = (column[name] for column in split)
            spread = norm(error) * np.sqrt(self.num_draws)
            snr = norm(mean) / spread if spread > 0 else np.inf
            lines.append(
                f"{name:<28}{norm(exact):>11.4g}{norm(mean):>11.4g}{norm(bias):>11.3g}"
                f"{norm(error):>11.3g}{np.max(np.abs(z), initial=0.0):>9.2f}{snr:>9.3g}"
            )
        return "\n".join(lines)


class _Moments:
    """Welford's running mean, variance and (for few components) covariance."""

    def __init__(self, size):
        self.count = 0
        self.mean = np.zeros(size)
        self.squares = np.zeros(size)
        self.products = np.zeros((size, size)) if size <= MAX_COVARIANCE else None

    def add(self, value):
        self.count += 1
        before = value - self.mean
        self.mean += before / self.count
        after = value - self.mean
        self.squares += before * after
        if self.products is not None:
            self.products += np.outer(before, after)


def check_gradient_estimator(
    estimator,
    exact,
    num_draws=1000,
    *,
    data=None,
    batch_copies=1,
    seed=0,
    relative_tolerance=1e-5,
):
    """Compares the mean of many stochastic gradients with the exact gradient.

    Two forms. A function, drawn with the numbers 0, 1, ...:

    ```python
    report = check_gradient_estimator(lambda i: my_gradients(seed=i), exact, num_draws=2000)
    assert report.passed(), report
    ```

    An algorithm, whose `estimate_gradients(data, seed)` (`seed` an integer) returns the gradients
    of its minimised loss, a mean over the batch, by player:

    ```python
    exact = oracle.loss_gradient("elbo", x)         # {"generative": [...], "inference": [...]}
    report = check_gradient_estimator(algorithm, joint(exact), 200, data=x, batch_copies=500)
    ```

    Each point is then repeated `batch_copies` times in one call, so that a draw averages
    `batch_copies` independent estimates at the price of one call.

    Args:
        estimator: callable `i -> gradients`, or an object with `estimate_gradients(data, seed)`.
        exact: dict, list or array of exact gradients. Where it is a dict, only its keys are
            compared, so one player may be checked alone.
        num_draws: number of draws, at least 2.
        data: (batch, *event), or a list, tuple or dict of such arrays; for an algorithm only.
        batch_copies: how often each point is repeated.
        seed: an integer; other seeds give an algorithm other draws.
        relative_tolerance: differences below this share of the array's largest exact entry (or
            of the draws' root mean square, whichever is larger) are rounding, not bias.
            Components without variance are compared at this tolerance alone.

    Returns:
        A `GradientReport`.

    Raises:
        ValueError: gradients of another structure than `exact`, gradients that are None,
            fewer than two draws, or `data` that does not go with the estimator.
    """
    if num_draws < 2:
        raise ValueError(f"A standard error needs at least 2 draws; received {num_draws}.")
    draw = _draw_function(estimator, data, batch_copies, seed)
    reference = flatten(exact)
    exact_vector = np.concatenate([value.ravel() for _, value in reference])
    directions = [value / max(np.linalg.norm(value), 1e-300) for _, value in reference]
    moments = _Moments(exact_vector.size)
    projections = _Moments(len(reference))
    for number in range(num_draws):
        pieces = [value for _, value in flatten_like(draw(number), exact)]
        moments.add(np.concatenate([value.ravel() for value in pieces]))
        along = [np.sum(v * d) for v, d in zip(pieces, directions, strict=True)]
        projections.add(np.array(along))
    variance = moments.squares / (num_draws - 1)
    largest = [np.full(v.size, np.max(np.abs(v), initial=0.0)) for _, v in reference]
    scale = np.maximum(np.concatenate(largest), np.sqrt(variance + moments.mean**2))
    bias = moments.mean - exact_vector
    tolerance = relative_tolerance * scale
    along_bias = projections.mean - [np.linalg.norm(v) for _, v in reference]
    along_tolerance = np.array([relative_tolerance * np.sum(x) for x in largest])
    along_error = np.sqrt(projections.squares / (num_draws - 1) / num_draws)
    covariance = None if moments.products is None else moments.products / (num_draws - 1)
    return GradientReport(
        names=[name for name, _ in reference],
        sizes=[value.size for _, value in reference],
        exact=exact_vector,
        mean=moments.mean,
        variance=variance,
        num_draws=num_draws,
        relative_tolerance=relative_tolerance,
        scale=scale,
        summary_p_value=_joint_p_value(bias, tolerance, covariance, num_draws),
        projection_z=_z_scores(along_bias, along_tolerance, along_error),
    )


def joint(gradients):
    """{"joint": generative arrays, then inference arrays}: a rule with one player for both."""
    return {"joint": [*gradients["generative"], *gradients["inference"]]}


def _draw_function(estimator, data, batch_copies, seed):
    if hasattr(estimator, "estimate_gradients"):
        if data is None:
            raise ValueError("Checking an algorithm needs data: pass data=x.")
        repeated = _repeat(data, batch_copies)
        # Seeds of different `seed` must not overlap, and an int32 has to hold them.
        return lambda i: estimator.estimate_gradients(repeated, (seed * 1_000_003 + i) % 2**31)
    if not callable(estimator):
        raise ValueError(
            "The estimator must be a callable i -> gradients or have "
            f"estimate_gradients(data, seed); received {type(estimator).__name__}."
        )
    if data is not None or batch_copies != 1:
        raise ValueError(
            "data and batch_copies belong to an algorithm; a callable draws its own gradients."
        )
    return estimator


def _repeat(data, copies):
    if isinstance(data, dict):
        return {key: _repeat(value, copies) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return type(data)(_repeat(value, copies) for value in data)
    return np.repeat(np.asarray(data), copies, axis=0)


def _z_scores(bias, tolerance, standard_error):
    """Signed bias beyond `tolerance` in standard errors; infinite where there is no variance."""
    excess = np.maximum(np.abs(bias) - tolerance, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sign(bias) * np.where(excess > 0, excess / standard_error, 0.0)


def _joint_p_value(bias, tolerance, covariance, num_draws):
    """P-value of the sum of squared z, as a scaled chi-square with the sum's first two moments."""
    if covariance is None:
        return None
    variance = np.diag(covariance)
    moving = np.sqrt(variance) > tolerance
    count = int(np.sum(moving))
    if count == 0:
        return None
    deviation = np.sqrt(variance[moving])
    z = _z_scores(bias[moving], tolerance[moving], deviation / np.sqrt(num_draws))
    correlation = covariance[np.ix_(moving, moving)] / np.outer(deviation, deviation)
    # The squared sample correlations overshoot the true ones by about 1 / num_draws each; the
    # sum lies between `count` (independent) and count ** 2 (all one).
    squared = float(np.sum(correlation**2)) - count**2 / num_draws
    squared = float(np.clip(squared, count, count**2))
    degrees = count**2 / squared
    # Student's variance: with few draws the squared t exceeds 1 on average.
    inflation = (num_draws - 1) / (num_draws - 3) if num_draws > 3 else np.inf
    return float(stats.chi2.sf(np.sum(z**2) / inflation * degrees / count, degrees))
