"""f-divergences D_f = E_p_theta[f(p0 / p_theta)] by quadrature, and their best normal fits."""

import dataclasses

import numpy as np
from scipy import optimize

from keras_dgm.testing.gaussian import normal_log_prob

# The data of the one-dimensional toy: weights, means, standard deviations.
TOY_MIXTURE = ((0.33, -1.0, 0.255), (0.67, 2.0, 1.415))


def _jensen_shannon(log_ratio):
    ratio = np.exp(log_ratio)
    log_half = np.log(2.0) - np.logaddexp(0.0, log_ratio)
    return ratio * (log_ratio + log_half) + log_half


# f as a function of log u, u = p0 / p_theta.
F_DIVERGENCES = {
    "kl": lambda v: np.exp(v) * v,
    "reverse_kl": lambda v: -v,
    "jensen_shannon": _jensen_shannon,
    "jeffrey": lambda v: np.expm1(v) * v,
    "pearson": lambda v: np.expm1(v) ** 2,
    "neyman": lambda v: np.expm1(v) ** 2 * np.exp(-v),
    "squared_hellinger": lambda v: np.expm1(0.5 * v) ** 2,
    "total_variation": lambda v: 0.5 * np.abs(np.expm1(v)),
    "gan": lambda v: np.exp(v) * v - (np.exp(v) + 1.0) * np.logaddexp(0.0, v),
}


def alpha_divergence(alpha):
    """f of the alpha divergence, (u^a - 1 - a (u - 1)) / (a (a - 1)), as a function of log u."""
    if alpha in (0.0, 1.0):
        raise ValueError('alpha = 1 and 0 are "kl" and "reverse_kl"; give another number.')
    scale = alpha * (alpha - 1.0)
    return lambda v: (np.expm1(alpha * v) - alpha * np.expm1(v)) / scale


def f_divergence(name, log_data, log_model, spacing=1.0):
    """D_f of two densities tabulated on a uniform grid, in nats.

    E_model[f(data / model)], the direction of Ou 2019 (Eq. 30): "kl" is KL(data || model). JS is
    twice the textbook's, "gan" is JS minus log 4, Hellinger is the integral of
    (sqrt p - sqrt q)**2.

    Args:
        name: a key of `F_DIVERGENCES`, or f itself as a function of log u.
        log_data, log_model: log densities, same shape (log-probabilities with spacing 1).
        spacing: of the grid; its product over the axes in several dimensions.
    """
    if not callable(name) and name not in F_DIVERGENCES:
        raise ValueError(f"Unknown divergence {name!r}; expected one of {list(F_DIVERGENCES)}.")
    function = name if callable(name) else F_DIVERGENCES[name]
    log_data, log_model = np.asarray(log_data, "float64"), np.asarray(log_model, "float64")
    return float(np.sum(np.exp(log_model) * function(log_data - log_model)) * spacing)


def mixture_log_prob(x, components=TOY_MIXTURE):
    """log density of a one-dimensional normal mixture ((weight, mean, sd), ...)."""
    terms = [np.log(w) + normal_log_prob(x, mean, sd) for w, mean, sd in components]
    return np.logaddexp.reduce(terms, axis=0)


@dataclasses.dataclass(frozen=True)
class NormalFit:
    """The normal that minimises a divergence: its value (nats), mean and standard deviation."""

    divergence: float
    loc: float
    scale: float


def fit_normal(name, components=TOY_MIXTURE, bounds=(-25.0, 30.0), num_points=40001):
    """The normal p_theta with the smallest D_f from a mixture, by quadrature and minimisation.

    Args:
        name: see `f_divergence`.
        components: of the data, ((weight, mean, sd), ...).
        bounds, num_points: of the grid.
    """
    x = np.linspace(*bounds, num_points)
    log_data = mixture_log_prob(x, components)
    spacing = x[1] - x[0]
    weights, means, sds = np.array(components).T
    loc = weights @ means
    scale = np.sqrt(weights @ (sds**2 + means**2) - loc**2)

    def objective(parameters):
        log_model = normal_log_prob(x, parameters[0], np.exp(parameters[1]))
        with np.errstate(over="ignore", invalid="ignore"):
            value = f_divergence(name, log_data, log_model, spacing)
        return value if np.isfinite(value) else 1e10

    found = optimize.minimize(
        objective,
        [loc, np.log(scale)],
        method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-13, "maxiter": 2000},
    )
    return NormalFit(float(found.fun), float(found.x[0]), float(np.exp(found.x[1])))
