"""AVB with a discriminator at its optimum, on one Gaussian case in closed form."""

import keras
import numpy as np
import pytest
from discrete import Counter
from keras import ops
from oracles import inverse_softplus, linear_gaussian

import keras_dgm as dgm
from keras_dgm import networks, testing
from keras_dgm.distributions import Bernoulli, Normal

X, SLOPE, TAU = 1.3, 0.4, 0.6
COPIES, DRAWS = 2000, 60


class GaussianRatio(keras.layers.Layer):
    """V(x, h) = size (log N(h; slope x, tau^2) - log N(h; 0, 1)), its optimum at size 1."""

    def __init__(self, slope=SLOPE, tau=TAU, size=1.0, **kwargs):
        super().__init__(**kwargs)
        self.start = (slope, tau, size)

    def build(self, input_shape=None):
        names = ("slope", "log_tau", "size")
        values = (self.start[0], np.log(self.start[1]), self.start[2])
        constant = keras.initializers.Constant
        for name, value in zip(names, values):
            setattr(self, name, self.add_weight(shape=(), initializer=constant(value), name=name))

    def call(self, pair):
        x, h = pair
        log_tau = ops.convert_to_tensor(self.log_tau)
        squares = ((h - self.slope * x) * ops.exp(-log_tau)) ** 2
        return self.size * (0.5 * h**2 - 0.5 * squares - log_tau)


def gaussian_case(size=1.0):
    """The case of the closed form; q's head has no bias in use."""
    _, generative, _ = linear_gaussian(1, 1)
    raw = [inverse_softplus([0.5]), [[0.9]], [0.0]]
    inference = Normal((1,), scale="shared")
    inference.build((None, 1))
    for layer, values in (
        (generative, raw),
        (inference, [inverse_softplus([TAU]), [[SLOPE]], [0.0]]),
    ):
        for variable, value in zip(layer.trainable_variables, values):
            variable.assign(np.reshape(value, variable.shape).astype("float32"))
    discriminator = GaussianRatio(size=size)
    return dgm.AdversarialVariationalBayes(generative, inference, discriminator, seed=0)


def elbo_gradients():
    """Minus the ELBO's gradients at x in the layers' weights, by quadrature-free moments."""
    scale = 0.5
    mean = SLOPE * X
    residual, spread = X - 0.9 * mean, TAU**2
    squares = residual**2 + 0.81 * spread
    theta_kernel = (residual * mean - 0.9 * spread) / scale**2
    theta = [(squares / scale**3 - 1.0 / scale) * (1 - np.exp(-scale)), theta_kernel]
    theta.append(residual / scale**2)
    # d ELBO / d mean and d ELBO / d tau.
    pull = 0.9 * residual / scale**2 - mean
    stretch = 1.0 / TAU - TAU - 0.81 * TAU / scale**2
    phi = [stretch * (1 - np.exp(-TAU)), pull * X, pull]
    negative = lambda parts: [-np.reshape(part, -1) for part in parts]  # noqa: E731
    return {"generative": negative(theta), "inference": negative(phi)}


def test_the_closed_form_has_the_known_numbers():
    phi = elbo_gradients()["inference"]
    assert -phi[1][0] == pytest.approx(3.21776, abs=1e-5)
    assert -phi[0][0] / (1 - np.exp(-TAU)) * TAU == pytest.approx(-0.52640, abs=1e-5)


@pytest.mark.parametrize("size", [1.0, -1.0], ids=["optimal", "flipped"])
def test_gradients_at_the_optimal_discriminator_are_the_elbos(size):
    """The plugging trick at work; a V of the wrong sign gives phi another gradient."""
    model = gaussian_case(size)
    exact = elbo_gradients()
    shapes = {p: [tuple(v.shape) for v in model.player_variables(p)] for p in exact}
    exact = {p: [g.reshape(s) for g, s in zip(exact[p], shapes[p])] for p in exact}
    report = testing.check_gradient_estimator(
        lambda seed: {p: g for p, g in gradients(model, seed).items() if p in exact}, exact, DRAWS
    )
    assert report.passed() == (size == 1.0), report


def gradients(model, seed):
    return model.estimate_gradients({"x": np.full((COPIES, 1), X, "float32")}, seed)


@pytest.mark.parametrize("size", [1.0, 1.3], ids=["optimal", "too_steep"])
def test_the_discriminators_loss_is_least_at_the_log_ratio(size):
    """Its gradient in psi against quadrature, and zero where V = log q - log p."""
    model = gaussian_case(size)
    h = np.linspace(-9.0, 9.0, 20001)
    normal = lambda m, s: np.exp(-0.5 * ((h - m) / s) ** 2) / (s * np.sqrt(2 * np.pi))  # noqa: E731

    def loss(psi):
        slope, log_tau, size = psi
        ratio = 0.5 * h**2 - 0.5 * ((h - slope * X) / np.exp(log_tau)) ** 2 - log_tau
        v = size * ratio
        values = normal(SLOPE * X, TAU) * np.logaddexp(0, -v) + normal(0, 1) * np.logaddexp(0, v)
        return np.trapezoid(values, h)

    exact = testing.numeric_gradient(loss, np.array([SLOPE, np.log(TAU), size]))
    report = testing.check_gradient_estimator(
        lambda seed: gradients(model, seed)["discriminator"], [np.array(g) for g in exact], DRAWS
    )
    assert report.passed(), report
    assert (np.max(np.abs(exact)) < 1e-6) == (size == 1.0)


def test_the_plugging_trick_holds_where_the_closed_form_says():
    """F(phi, V) with V* plugged in, phi = (a, log tau): E_q grad_phi V* = 0. Another V: not."""

    def elbo(phi, psi):
        mean, tau = phi[0] * X, np.exp(phi[1])
        fit = -((X - 0.9 * mean) ** 2 + 0.81 * tau**2) / (2 * 0.25)
        constant, linear, square = psi
        return fit - (constant + linear * mean + square * (mean**2 + tau**2))

    def optimum(phi):
        mean, variance = phi[0] * X, np.exp(2 * phi[1])
        constant = -(mean**2) / (2 * variance) - phi[1]
        return np.array([constant, mean / variance, 0.5 - 0.5 / variance])

    phi = np.array([SLOPE, np.log(TAU)])
    report = testing.check_plugging(elbo, optimum, phi)
    assert report.passed(), report
    np.testing.assert_allclose(report.plugged, [3.21776, -0.52640], atol=1e-4)
    # log q(h|x) - log p(h) + a has the same gradient in h, and fails the condition.
    shifted = lambda p: optimum(p) + np.array([p[0], 0.0, 0.0])  # noqa: E731
    assert not testing.check_plugging(elbo, shifted, phi).passed()


def test_an_implicit_posterior_learns_the_true_one():
    """A sampled q and a quadratic V, theta at rest: slope and spread of p(h|x)."""
    _, generative, _ = linear_gaussian(1, 1)
    for variable, value in zip(generative.trainable_variables, [inverse_softplus(0.5), 0.9, 0.0]):
        variable.assign(np.full(variable.shape, value, "float32"))
    inference = Normal((1,), scale="shared")
    inference.build((None, 1))
    for variable, value in zip(inference.trainable_variables, [inverse_softplus(0.9), 0.1, 0.0]):
        variable.assign(np.full(variable.shape, value, "float32"))
    model = dgm.AdversarialVariationalBayes(
        generative, inference, GaussianRatio(0.1, 0.9), critic_steps=2, seed=0
    )
    model.compile(
        {
            "discriminator": keras.optimizers.Adam(0.02),
            "inference": keras.optimizers.Adam(0.01),
            "generative": keras.optimizers.SGD(0.0),
        }
    )
    x = np.random.default_rng(0).normal(size=(20000, 1)).astype("float32") * np.sqrt(1.06)
    model.fit(x, batch_size=100, epochs=5, verbose=0)
    precision = 1.0 + 0.81 / 0.25
    draws = model.infer(np.full((4000, 1), 1.0, "float32"))
    assert draws.mean() == pytest.approx(0.9 / 0.25 / precision, abs=0.08)
    assert draws.std() == pytest.approx(precision**-0.5, abs=0.06)


def test_passes_of_a_step_are_those_of_the_docstring():
    counters = {name: Counter() for name in ("q", "p")}
    generative = dgm.models.LatentVariableModel(
        Normal((2,)), Bernoulli((4,), network=counters["p"])
    )
    inference = Normal((2,), network=counters["q"])
    discriminator = networks.joint_mlp([5], output_units=1)
    model = dgm.AdversarialVariationalBayes(
        generative, inference, discriminator, critic_steps=2, seed=0
    )
    model.compile("sgd")
    calls = []
    value = model.value
    model.value = lambda pair, training=None: calls.append(1) or value(pair, training)
    for counter in counters.values():
        counter.passes.clear()
    # A step takes critic_steps batches of data; each move sees one of them.
    rows, steps = 3, model.critic_steps
    model.train_step({"x": ops.zeros((steps * rows, 4))})
    assert counters["q"].passes == [rows] * (1 + steps) and counters["p"].passes == [rows]
    assert len(calls) == 2 * steps + 1


def test_refusals():
    fixed = dgm.models.LatentVariableModel(Normal((2,)), Bernoulli((4,)))
    learned = dgm.models.LatentVariableModel(Normal((2,), learned=True), Bernoulli((4,)))
    binary = dgm.models.LatentVariableModel(Bernoulli((2,)), Bernoulli((4,)))
    critic = lambda: networks.joint_mlp([3], output_units=1)  # noqa: E731
    cls = dgm.AdversarialVariationalBayes
    with pytest.raises(ValueError, match="needs a fixed prior"):
        cls(learned, Normal((2,)), critic())
    with pytest.raises(ValueError, match="discrete"):
        cls(binary, Normal((2,)), critic())
    with pytest.raises(ValueError, match="must be the same"):
        cls(fixed, Normal((3,)), critic())
    with pytest.raises(ValueError, match="condition_shape"):
        implicit = dgm.models.ImplicitModel(2, networks.joint_mlp([3], output_units=2))
        cls(fixed, implicit, critic())
