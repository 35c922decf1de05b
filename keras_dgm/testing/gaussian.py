"""Closed forms for normal and other simple distributions, in nats."""

import numpy as np

LOG_TWO_PI = np.log(2.0 * np.pi)


def normal_log_prob(value, loc, scale):
    """log N(value; loc, scale**2) elementwise."""
    standard = (np.asarray(value) - loc) / scale
    return -0.5 * standard**2 - np.log(scale) - 0.5 * LOG_TWO_PI


def multivariate_normal_log_prob(value, mean, covariance):
    """log N(value; mean, covariance), values of shape (n, d): (n,)."""
    difference = np.atleast_2d(np.asarray(value) - mean)
    solved = np.linalg.solve(covariance, difference.T).T
    log_determinant = np.linalg.slogdet(covariance)[1]
    quadratic = np.sum(difference * solved, axis=-1)
    return -0.5 * (quadratic + log_determinant + difference.shape[-1] * LOG_TWO_PI)


def normal_kl(loc, scale, other_loc=0.0, other_scale=1.0):
    """KL(N(loc, scale**2) || N(other_loc, other_scale**2)), summed over the last axis."""
    loc, scale = np.broadcast_arrays(np.asarray(loc, "float64"), np.asarray(scale, "float64"))
    ratio = (scale / other_scale) ** 2
    shift = ((loc - other_loc) / other_scale) ** 2
    return np.sum(0.5 * (ratio + shift - 1.0 - np.log(ratio)), axis=-1)


def multivariate_normal_kl(mean, covariance, other_mean, other_covariance):
    """KL(N(mean, covariance) || N(other_mean, other_covariance)); means may be (batch, d)."""
    mean, other_mean = np.asarray(mean, "float64"), np.asarray(other_mean, "float64")
    difference = np.atleast_2d(other_mean - mean)
    precision = np.linalg.inv(other_covariance)
    log_determinants = np.linalg.slogdet(other_covariance)[1] - np.linalg.slogdet(covariance)[1]
    trace = np.sum(precision * np.asarray(covariance).T)
    quadratic = np.einsum("ni,ij,nj->n", difference, precision, difference)
    kl = 0.5 * (trace + quadratic - difference.shape[-1] + log_determinants)
    return kl if max(mean.ndim, other_mean.ndim) == 2 else kl[0]


def normal_entropy(scale):
    """Entropy of N(., scale**2), summed over the last axis."""
    return np.sum(np.log(scale) + 0.5 * (LOG_TWO_PI + 1.0), axis=-1)


def bernoulli_kl(logits, other_logits):
    """KL of independent Bernoulli variables given by logits, summed over the last axis."""
    logits, other_logits = np.asarray(logits, "float64"), np.asarray(other_logits, "float64")
    mean = 0.5 * (1.0 + np.tanh(0.5 * logits))
    normalizers = np.logaddexp(0.0, other_logits) - np.logaddexp(0.0, logits)
    return np.sum(mean * (logits - other_logits) + normalizers, axis=-1)


def categorical_kl(logits, other_logits):
    """KL of categorical variables given by logits over the last axis."""

    def normalized(x):
        x = np.asarray(x, "float64")
        return x - np.logaddexp.reduce(x, axis=-1, keepdims=True)

    p, q = normalized(logits), normalized(other_logits)
    return np.sum(np.exp(p) * (p - q), axis=-1)


def mean_field_gap(precision):
    """Approximation gap of the best mean-field normal for a normal posterior, in nats.

    0.5 (sum_i log L_ii - log det L), L the posterior's precision: the smallest KL(q || p) over
    diagonal q, reached at the posterior's mean with variances 1 / L_ii.
    """
    precision = np.asarray(precision, dtype="float64")
    return 0.5 * (np.sum(np.log(np.diag(precision))) - np.linalg.slogdet(precision)[1])


def langevin_stationary_variance(step_size):
    """Variance that x <- x + (s/2) grad u + sqrt(s) noise keeps on u = -x**2 / 2: 1/(1 - s/4)."""
    if not 0.0 < step_size < 4.0:
        raise ValueError(f"The step size must lie in (0, 4) to be stable; received {step_size}.")
    return 1.0 / (1.0 - step_size / 4.0)


def sghmc_stationary_variance(friction_factor, coefficient):
    """Variance that SGHMC at temperature 1 keeps on u = -x**2 / 2.

    v <- beta v + c grad u + sigma noise, x <- x + v, sigma**2 = 2 (1 - beta) c:
    (1 + beta) / (1 + beta - c / 2).

    Args:
        friction_factor: beta.
        coefficient: c.
    """
    return (1.0 + friction_factor) / (1.0 + friction_factor - coefficient / 2.0)


def spectral_norm(weight):
    """Largest singular value of a matrix; a kernel of higher rank is flattened to (-1, outputs)."""
    weight = np.asarray(weight, dtype="float64")
    return float(np.linalg.svd(weight.reshape(-1, weight.shape[-1]), compute_uv=False)[0])
