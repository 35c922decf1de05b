"""ELBO <= importance-weighted bounds, rising with the number of samples, <= log p(x)."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class OrderReport:
    """What `check_order` compared.

    Attributes:
        names: the quantities, from the lowest to the highest.
        values: (len(names), batch).
        standard_errors: (len(names), batch), zero where exact.
        num_standard_errors: noise allowed, in standard errors of each difference.
        tolerance: rounding allowed, relative to the larger magnitude.
    """

    names: list
    values: np.ndarray
    standard_errors: np.ndarray
    num_standard_errors: float
    tolerance: float

    @property
    def violations(self):
        """[(lower name, higher name, data point, amount in nats beyond what is allowed), ...]."""
        found = []
        for low in range(len(self.names)):
            for high in range(low + 1, len(self.names)):
                noise = np.hypot(self.standard_errors[low], self.standard_errors[high])
                magnitude = np.maximum(np.abs(self.values[low]), np.abs(self.values[high]))
                allowed = self.num_standard_errors * noise + self.tolerance * magnitude
                excess = self.values[low] - self.values[high] - allowed
                # A NaN compares false with everything: it must count as a violation.
                for point in np.flatnonzero(~(excess <= 0.0)):
                    pair = (self.names[low], self.names[high])
                    found.append((*pair, int(point), float(excess[point])))
        return found

    def passed(self):
        """Whether the order holds at every data point."""
        return not self.violations

    def __str__(self):
        means = np.mean(self.values, axis=1)
        order = " <= ".join(f"{n} {m:.4f}" for n, m in zip(self.names, means, strict=True))
        violations = self.violations
        lines = [f"{'FAILED' if violations else 'passed'}: mean {order}"]
        lines += [
            f"  point {point}: {low} exceeds {high} by {amount:.4g} nats more than allowed"
            for low, high, point, amount in violations[:20]
        ]
        return "\n".join(lines)


def check_order(
    elbo=None,
    iw_bounds=None,
    log_prob=None,
    *,
    standard_errors=None,
    num_standard_errors=4.0,
    tolerance=1e-6,
):
    """Checks ELBO <= IW bound rising in K <= log p(x), point by point.

    Args:
        elbo: (batch,) or scalar, in nats; None leaves it out.
        iw_bounds: {number of samples: (batch,) or scalar}.
        log_prob: (batch,) or scalar, the exact log-marginal; None leaves it out.
        standard_errors: {"elbo" | number of samples | "log_prob": (batch,) or scalar} of what
            was estimated; absent means exact. Bounds estimated from the same draws are
            correlated: their difference then has less noise than allowed for.
        num_standard_errors: noise allowed in a difference.
        tolerance: relative rounding allowed.

    Returns:
        An `OrderReport`.
    """
    errors = dict(standard_errors or {})
    named = []
    if elbo is not None:
        named.append(("ELBO", elbo, errors.pop("elbo", 0.0)))
    for num_samples in sorted(iw_bounds or {}):
        value = iw_bounds[num_samples]
        named.append((f"IW-{num_samples}", value, errors.pop(num_samples, 0.0)))
    if log_prob is not None:
        named.append(("log p", log_prob, errors.pop("log_prob", 0.0)))
    if errors:
        raise ValueError(f"Standard errors of quantities that were not given: {list(errors)}.")
    if len(named) < 2:
        raise ValueError("An order needs at least two of elbo, iw_bounds and log_prob.")
    arrays = [np.asarray(v, dtype="float64") for _, value, error in named for v in (value, error)]
    arrays = np.broadcast_arrays(*[np.atleast_1d(a) for a in arrays])
    return OrderReport(
        names=[name for name, _, _ in named],
        values=np.stack(arrays[::2]),
        standard_errors=np.stack(arrays[1::2]),
        num_standard_errors=num_standard_errors,
        tolerance=tolerance,
    )
