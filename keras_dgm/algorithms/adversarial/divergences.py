"""f-divergences as two functions of the critic's output: g_f and the conjugate at it.

D_f = E_p_theta f(p0 / p_theta) (Ou 2019, Eq. 30) is bounded below by
E_p0 g_f(V) - E_p_theta f+(g_f(V)), f+ the Fenchel conjugate. With u = exp(V) and g_f(V) = f'(u)
(Eq. 36), f+(g_f(V)) = u f'(u) - f(u), and the bound is tight at V* = log p0 / p_theta.
"""

import math

import keras
import numpy as np
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms import checks

_LOG_2 = math.log(2.0)
_GRID = np.exp(np.linspace(-5.0, 5.0, 401)).astype("float32")


class Divergence:
    """An f-divergence.

    Attributes:
        gives_ratio: whether the optimal critic is log p0 / p_theta.
    """

    gives_ratio = True

    def activation(self, v):
        """g_f(v), what Eq. 36 makes of the critic's output."""
        raise NotImplementedError

    def conjugate(self, v):
        """f+(g_f(v))."""
        raise NotImplementedError


class FromFunction(Divergence):
    """The divergence of any convex f: f' by automatic differentiation (Ou 2019, Eq. 36).

    Args:
        f: function of a tensor u > 0, elementwise, in `keras.ops`; f(1) need not be zero.

    Raises:
        ValueError: f is not finite or not convex on a grid from exp(-5) to exp(5), or linear on
            most of it (then f' is a step, and a critic's gradient zero almost everywhere).
    """

    def __init__(self, f):
        self.f = f
        _check_convex(f)

    def _at(self, v):
        u = ops.exp(v)
        value, slope = backend.value_and_input_grad(self.f, u)
        return u, value, slope

    def activation(self, v):
        """f'(e^v)."""
        return self._at(v)[2]

    def conjugate(self, v):
        """e^v f'(e^v) - f(e^v)."""
        u, value, slope = self._at(v)
        return u * slope - value


class _Closed(Divergence):
    """g_f and f+(g_f) written out, which stays exact where e^v overflows or cancels."""

    def __init__(self, f, activation, conjugate, gives_ratio=True):
        self.f = f
        self._activation, self._conjugate = activation, conjugate
        self.gives_ratio = gives_ratio

    def activation(self, v):
        return self._activation(v)

    def conjugate(self, v):
        return self._conjugate(v)


def _log_odds(u):
    return u * ops.log(u) - (u + 1.0) * ops.log(u + 1.0)


# f, then f'(e^v), then e^v f'(e^v) - f(e^v).
CLOSED_FORMS = {
    "kl": _Closed(lambda u: u * ops.log(u), lambda v: 1.0 + v, ops.exp),
    "reverse_kl": _Closed(lambda u: -ops.log(u), lambda v: -ops.exp(-v), lambda v: v - 1.0),
    "gan": _Closed(_log_odds, lambda v: -ops.softplus(-v), ops.softplus),
    "jensen_shannon": _Closed(
        lambda u: _log_odds(u) + (u + 1.0) * _LOG_2,
        lambda v: _LOG_2 - ops.softplus(-v),
        lambda v: ops.softplus(v) - _LOG_2,
    ),
    "pearson": _Closed(
        lambda u: ops.square(u - 1.0),
        lambda v: 2.0 * ops.expm1(v),
        lambda v: ops.expm1(2.0 * v),
    ),
    "neyman": _Closed(
        lambda u: ops.square(1.0 - u) / u,
        lambda v: -ops.expm1(-2.0 * v),
        lambda v: -2.0 * ops.expm1(-v),
    ),
    "squared_hellinger": _Closed(
        lambda u: ops.square(ops.sqrt(u) - 1.0),
        lambda v: -ops.expm1(-0.5 * v),
        lambda v: ops.expm1(0.5 * v),
    ),
    "jeffrey": _Closed(
        lambda u: (u - 1.0) * ops.log(u),
        lambda v: v - ops.expm1(-v),
        lambda v: v + ops.expm1(v),
    ),
    # f' is a step, in which a critic's gradient vanishes: any g_f with values in [-1/2, 1/2] has
    # the same supremum, and f+(t) = t there.
    "total_variation": _Closed(
        lambda u: 0.5 * ops.abs(u - 1.0),
        lambda v: 0.5 * ops.tanh(v),
        lambda v: 0.5 * ops.tanh(v),
        gives_ratio=False,
    ),
}
NAMES = (*CLOSED_FORMS, "alpha")


def alpha_divergence(alpha):
    """f(u) = (u^alpha - 1 - alpha (u - 1)) / (alpha (alpha - 1)).

    Raises:
        ValueError: alpha missing, or 0 or 1, where the limits are reverse KL and KL.
    """
    if alpha is None or isinstance(alpha, str) or not math.isfinite(float(alpha)):
        raise ValueError(
            f"divergence='alpha' needs a number `alpha` other than 0 and 1; received {alpha!r}."
        )
    alpha = float(alpha)
    if alpha in (0.0, 1.0):
        limit = "kl" if alpha == 1.0 else "reverse_kl"
        raise ValueError(f"alpha={alpha:g} is the limit {limit!r}: use divergence={limit!r}.")
    scale = alpha * (alpha - 1.0)
    return _Closed(
        lambda u: (ops.power(u, alpha) - 1.0 - alpha * (u - 1.0)) / scale,
        lambda v: ops.expm1((alpha - 1.0) * v) / (alpha - 1.0),
        lambda v: ops.expm1(alpha * v) / alpha,
    )


def resolve(divergence, alpha=None):
    """A `Divergence` from its name, or from a user's f.

    Raises:
        ValueError: an unknown name (with the nearest one), an `alpha` for another divergence, an
            f that is not convex.
    """
    if divergence == "alpha":
        return alpha_divergence(alpha)
    if alpha is not None:
        raise ValueError(f"`alpha` belongs to divergence='alpha'; received {divergence!r}.")
    if callable(divergence):
        return FromFunction(divergence)
    return CLOSED_FORMS[checks.one_of("divergence", divergence, list(NAMES))]


def serialized(divergence):
    """A name as it is; a user's f as Keras serialises functions."""
    if isinstance(divergence, str):
        return divergence
    return keras.saving.serialize_keras_object(divergence)


def _check_convex(f):
    u = ops.convert_to_tensor(_GRID)
    value, slope = backend.value_and_input_grad(f, u)
    if tuple(value.shape) != _GRID.shape:
        raise ValueError(
            f"f works elementwise; for u of shape {_GRID.shape} it gave shape {tuple(value.shape)}."
        )
    value, slope = (ops.convert_to_numpy(part).astype("float64") for part in (value, slope))
    finite = np.isfinite(value) & np.isfinite(slope)
    if not finite.all():
        raise ValueError(
            f"f or f' is not finite at u = {_GRID[~finite][0]:.3g}; f must be convex and "
            "differentiable on u > 0."
        )
    rise = np.diff(slope)
    # Rounding of float32 in f', which automatic differentiation gives to some units of the last.
    slack = 1e-5 * (1e-3 + np.maximum(np.abs(slope[1:]), np.abs(slope[:-1])))
    if (rise < -slack).any():
        first = int(np.argmax(rise < -slack))
        raise ValueError(
            f"f is not convex: f' falls from {slope[first]:.6g} at u = {_GRID[first]:.4g} to "
            f"{slope[first + 1]:.6g} at u = {_GRID[first + 1]:.4g}. An f-divergence needs a "
            "convex f (perhaps the sign is reversed?)."
        )
    if (rise <= slack).mean() > 0.5:
        raise ValueError(
            "f is linear on most of the grid from exp(-5) to exp(5), so that f' is a step and the "
            "critic would get no gradient. For total variation use divergence='total_variation', "
            "which has an output activation of its own."
        )
