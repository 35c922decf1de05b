"""g_f and the conjugate of every f-divergence, by quadrature and by automatic differentiation."""

import numpy as np
import pytest
from games import normal_log_ratio
from keras import ops
from scipy import optimize

from keras_dgm import backend, testing
from keras_dgm.algorithms.adversarial import divergences

EXACT = {
    **testing.F_DIVERGENCES,
    "alpha_0.5": testing.alpha_divergence(0.5),
    "alpha_3": testing.alpha_divergence(3.0),
}
SMOOTH = [name for name in EXACT if name != "total_variation"]


def ours(name):
    """The library's divergence under a key of `EXACT`."""
    word, _, alpha = name.partition("alpha_")
    return divergences.resolve("alpha", float(alpha)) if alpha else divergences.resolve(word)


def numpy_of(fn, v):
    """fn at a float32 copy of v, as float64."""
    return ops.convert_to_numpy(fn(ops.convert_to_tensor(v.astype("float32")))).astype("float64")


@pytest.mark.parametrize("name", SMOOTH)
def test_activation_and_conjugate_are_those_of_f(name):
    v, step = np.linspace(-3.0, 3.0, 61), 1e-4
    f = EXACT[name]
    rise = (f(v + step) - f(v - step)) / (2 * step)  # of f(e^v) in v, which is u f'(u)
    divergence = ours(name)
    activation, conjugate = numpy_of(divergence.activation, v), numpy_of(divergence.conjugate, v)
    np.testing.assert_allclose(activation, rise * np.exp(-v), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(conjugate, rise - f(v), rtol=1e-5, atol=1e-5)
    # The generic derivation from f alone gives the same, up to the digits that cancel.
    generic = divergences.resolve(divergence.f)
    np.testing.assert_allclose(numpy_of(generic.activation, v), activation, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(numpy_of(generic.conjugate, v), conjugate, rtol=1e-3, atol=1e-3)


def test_closed_forms_do_not_overflow_where_the_generic_form_does():
    v = np.array([-60.0, 60.0])
    for name in ("gan", "jensen_shannon"):
        divergence = ours(name)
        both = [numpy_of(divergence.activation, v), numpy_of(divergence.conjugate, v)]
        assert np.isfinite(both).all()
        assert both[1][1] == pytest.approx(60.0, abs=0.7)


X = np.linspace(-25.0, 30.0, 8001)
SPACING = X[1] - X[0]
LOG_DATA = testing.mixture_log_prob(X)


def bound(divergence, v, log_model):
    """F by quadrature on `X`."""
    gain = np.exp(LOG_DATA) * numpy_of(divergence.activation, v)
    return float(np.sum(gain - np.exp(log_model) * numpy_of(divergence.conjugate, v)) * SPACING)


TABLE = {
    "kl": (0.28297, 1.0100, 1.8311),
    "reverse_kl": (0.24811, 1.5779, 1.6318),
    "jensen_shannon": (0.12804, 1.3068, 1.7545),
    "jeffrey": (0.57057, 1.3215, 1.7034),
    "pearson": (0.64565, 0.5736, 1.9277),
    "neyman": (0.40507, 1.8246, 1.5193),
    "squared_hellinger": (0.13463, 1.3129, 1.7331),
}


@pytest.mark.parametrize("name", TABLE)
def test_the_bound_is_tight_at_the_log_ratio_and_nowhere_else(name):
    value, loc, scale = TABLE[name]
    log_model = testing.normal_log_prob(X, loc, scale)
    # Beyond these the densities' ratio overflows float32 and carries no mass.
    ratio = np.clip(LOG_DATA - log_model, -25.0, 25.0)
    divergence = ours(name)
    assert bound(divergence, ratio, log_model) == pytest.approx(value, abs=2e-5)
    for wrong in (ratio + 0.1 * np.sin(X), 0.9 * ratio):
        assert bound(divergence, wrong, log_model) < value - 1e-4


def test_total_variation_is_bounded_by_its_own_activation():
    log_model = testing.normal_log_prob(X, 1.0, 1.8)
    exact = testing.f_divergence("total_variation", LOG_DATA, log_model, SPACING)
    divergence = ours("total_variation")
    ratio = LOG_DATA - log_model
    assert bound(divergence, 50.0 * ratio, log_model) == pytest.approx(exact, abs=1e-3)
    assert bound(divergence, ratio, log_model) < exact
    assert not divergence.gives_ratio


DATA, MODEL = (0.5, 1.0), (0.0, 1.1)


@pytest.mark.parametrize("name", SMOOTH)
def test_the_best_quadratic_critic_has_the_exact_coefficients(name):
    x = np.linspace(-9.0, 9.0, 2001)
    weights = [testing.normal_log_prob(x, *pair) for pair in (DATA, MODEL)]
    on_data, on_model = (np.exp(log) * (x[1] - x[0]) for log in weights)
    on_data, on_model = on_data.astype("float32"), on_model.astype("float32")
    features = np.stack([np.ones_like(x), x, x * x]).astype("float32")
    divergence = ours(name)

    def loss(coefficients):
        v = ops.sum(coefficients[:, None] * features, axis=0)
        gain = on_data * divergence.activation(v)
        return ops.sum(on_model * divergence.conjugate(v) - gain)[None]

    gradient = backend.compiled(_Nothing(), lambda c: backend.value_and_input_grad(loss, c)[1])

    def root(coefficients):
        return ops.convert_to_numpy(gradient(np.float32(coefficients))).astype("float64")

    exact = normal_log_ratio(DATA, MODEL)
    found = optimize.root(root, 0.8 * exact, method="hybr", options={"eps": 1e-4, "xtol": 1e-7})
    np.testing.assert_allclose(found.x, exact, atol=1e-4)
    # The ratio turned over, which a swap of data and model would give, does not pass.
    assert np.abs(found.x + exact).max() > 0.1


class _Nothing:
    variables = ()


def test_noise_contrastive_estimation_is_an_f_gan():
    nu = 2.0
    divergence = divergences.resolve(
        lambda u: u * ops.log(u) - (u + nu) * ops.log(u + nu)  # Ou 2019, App. B
    )
    log_noise = testing.normal_log_prob(X, 0.5, 2.5)
    for log_model in (LOG_DATA, testing.normal_log_prob(X, 0.5, 2.0)):
        ratio = np.clip(log_model - log_noise, -15.0, 15.0)
        nce = testing.nce_loss(LOG_DATA, log_model, log_noise, nu, SPACING)
        found = bound(divergence, ratio, log_noise)
        assert found == pytest.approx(-nce - nu * np.log(nu), abs=1e-4)
        # Eq. 54 as printed has the constant with the other sign.
        assert abs(found - (-nce + nu * np.log(nu))) > 1.0


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda u: -u * ops.log(u), "not convex"),
        (lambda u: ops.sin(u), "not convex"),
        (lambda u: u**2 - 0.02 * u**3, "not convex"),
        (lambda u: 0.5 * ops.abs(u - 1.0), "linear on most"),
        (lambda u: ops.log(u - 1.0), "not finite"),
        (lambda u: ops.sum(u), "elementwise"),
    ],
)
def test_an_f_that_is_no_divergence_is_an_error(f, message):
    with pytest.raises(ValueError, match=message):
        divergences.resolve(f)


def test_unknown_names_and_alphas_are_errors():
    with pytest.raises(ValueError, match="Did you mean 'reverse_kl'"):
        divergences.resolve("reverse_Kl")
    with pytest.raises(ValueError, match="needs a number `alpha`"):
        divergences.resolve("alpha")
    with pytest.raises(ValueError, match="is the limit 'kl'"):
        divergences.resolve("alpha", 1.0)
    with pytest.raises(ValueError, match="belongs to divergence='alpha'"):
        divergences.resolve("kl", 0.5)
