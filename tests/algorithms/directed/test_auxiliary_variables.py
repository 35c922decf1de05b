"""AuxiliaryVAE and HamiltonianVAE on Gaussian cases in closed form."""

import keras
import numpy as np
import pytest
from gaussians import entropy, expected_log_normal, loss_gradient, values_of
from keras import ops
from oracles import assign, inverse_softplus, linear_gaussian

import keras_dgm as dgm
from keras_dgm import backend, testing
from keras_dgm.algorithms.directed import hamiltonian_vae
from keras_dgm.distributions import Bernoulli, Chain, MultivariateNormal, Normal
from keras_dgm.testing import softplus

COPIES, DRAWS = 400, 40


def data(oracle, rows=3):
    return oracle.sample(rows, np.random.default_rng(1))[0].astype("float32")


def report(model, exact, x):
    return testing.check_gradient_estimator(model, exact, DRAWS, data=x, batch_copies=COPIES)


def auxiliary_model(**options):
    oracle, generative, _ = linear_gaussian(3, 2)
    layers = [Normal(shape, scale="shared") for shape in ((2,), (1,), (1,))]
    model = dgm.AuxiliaryVAE(generative, *layers, seed=0, **options)
    rng = np.random.default_rng(2)
    for layer in layers:
        values = [0.4 * rng.normal(size=v.shape) for v in layer.trainable_variables]
        assign(layer.trainable_variables, values)
    return oracle, model, [generative, *layers]


def auxiliary_bound(parts, x):
    """The bound for one x, everything Gaussian: (a, h) is jointly normal."""
    (p_raw, kernel, bias), (q_raw, q_kernel, q_bias), (a_raw, a_kernel, a_bias), r = parts
    s, q_scale, a_scale, r_scale = map(softplus, (p_raw, q_raw, a_raw, r[0]))
    from_x, from_a = q_kernel[: len(x)], q_kernel[len(x) :]
    a_mean = x @ a_kernel + a_bias
    h_mean = x @ from_x + a_mean @ from_a + q_bias
    cov_a, cross = np.diag(a_scale**2), np.diag(a_scale**2) @ from_a
    cov_h = np.diag(q_scale**2) + from_a.T @ cov_a @ from_a
    likelihood = expected_log_normal(x - h_mean @ kernel - bias, kernel.T @ cov_h @ kernel, s)
    prior = expected_log_normal(h_mean, cov_h, np.ones(len(h_mean)))
    r_x, r_h = r[1][: len(x)], r[1][len(x) :]
    residual = a_mean - x @ r_x - h_mean @ r_h - r[2]
    spread = cov_a - cross @ r_h - (cross @ r_h).T + r_h.T @ cov_h @ r_h
    reverse = expected_log_normal(residual, spread, r_scale)
    return likelihood + prior + reverse + entropy(a_scale) + entropy(q_scale)


def test_auxiliary_gradients_are_the_closed_forms():
    oracle, model, layers = auxiliary_model(num_samples=1)
    x = data(oracle)
    exact = loss_gradient(model, layers, auxiliary_bound, x)
    found = report(model, exact, x)
    assert found.passed(), found
    values = values_of(layers)
    expected = np.mean([auxiliary_bound(values, row) for row in x])
    assert expected < np.mean(oracle.log_marginal(x))
    many = np.repeat(x, 20_000, axis=0)
    one_draw = model.log_likelihood(many, num_samples=1, rows=len(many))
    assert np.mean(one_draw) == pytest.approx(expected, abs=4.0 * np.std(one_draw) / 60_000**0.5)


class _WithoutReverse(dgm.AuxiliaryVAE):
    """Wrong: the reverse model left out of the weight."""

    def draw(self, x, num_samples, seed, training=None, stop_gradient=False):
        first, second = backend.split_seed(seed, 2)
        a, log_a = self.auxiliary.sample_and_log_prob(x, (num_samples,), first)
        vector = hamiltonian_vae.joined(x, a)
        h, log_h = self.inference.sample_and_log_prob(vector, (), second)
        return h, log_a + log_h - ops.mean(self.reverse.log_prob(0.0 * a, vector) * 0.0)


def exact_posterior(cls):
    """A q(a, h|x) whose marginal is the posterior, and the r that turns it round exactly."""
    oracle, generative, _ = linear_gaussian(3, 2)
    offset, covariance = oracle.posterior(np.zeros(3))
    slope = (covariance @ oracle.kernel / oracle.scale**2).T
    noise = 0.5 * np.min(np.linalg.eigvalsh(covariance))
    mixing = np.linalg.cholesky(covariance - noise * np.eye(2))
    inference = Normal((2,), scale="shared")
    auxiliary = MultivariateNormal((2,), scale=1.0)
    reverse = MultivariateNormal((2,), scale="shared")
    model = cls(generative, inference, auxiliary, reverse, seed=0)
    raw = np.full(2, inverse_softplus(np.sqrt(noise)))
    assign(inference.trainable_variables, [raw, np.concatenate([slope, mixing.T]), offset])
    assign(auxiliary.trainable_variables, [np.zeros((3, 2)), np.zeros(2)])
    gain = mixing.T @ np.linalg.inv(covariance)
    factor = np.linalg.cholesky(np.eye(2) - gain @ mixing)
    unit = np.log(np.e - 1.0)
    raw = np.array([*(inverse_softplus(np.diag(factor)) - unit), factor[1, 0]])
    kernel = np.concatenate([-slope @ gain.T, gain.T])
    assign(reverse.trainable_variables, [raw, kernel, -offset @ gain.T])
    return oracle, model


@pytest.mark.parametrize(("cls", "is_exact"), [(dgm.AuxiliaryVAE, True), (_WithoutReverse, False)])
def test_exact_auxiliary_weights_are_log_p_of_x(cls, is_exact):
    """With the posterior as marginal and the exact reverse every weight is p(x): no variance."""
    oracle, model = exact_posterior(cls)
    x = data(oracle)
    one_draw = model.log_likelihood(x, num_samples=1)
    close = np.allclose(one_draw, oracle.log_marginal(x), atol=2e-3)
    assert close == is_exact


def hamiltonian_model(num_steps=3, cls=dgm.HamiltonianVAE, seed=0, learned_reverse=True):
    oracle, generative, inference = linear_gaussian(3, 2, seed)
    reverse = Normal((2,), scale="shared") if learned_reverse else None
    model = cls(generative, inference, num_steps=num_steps, step_size=0.15, reverse=reverse, seed=0)
    if learned_reverse:
        rng = np.random.default_rng(3)
        variables = reverse.trainable_variables
        assign(variables, [0.3 * rng.normal(size=v.shape) for v in variables])
        return oracle, model, [generative, inference, model.leapfrog, reverse]
    return oracle, model, [generative, inference, model.leapfrog]


def hamiltonian_bound(num_steps):
    """The bound for one x: the steps are an affine map of the normal (h_0, v_0)."""

    def bound(parts, x):
        (p_raw, kernel, bias), (q_raw, q_kernel, q_bias), (log_step,), *reverse = parts
        s, q_scale, step = softplus(p_raw), softplus(q_raw), np.exp(log_step)
        size = len(q_bias)
        precision = np.eye(size) + (kernel / s**2) @ kernel.T
        pull = kernel @ ((x - bias) / s**2)
        matrix, shift = np.eye(2 * size), np.zeros(2 * size)

        def compose(block, offset):
            nonlocal matrix, shift
            matrix, shift = block @ matrix, block @ shift + offset

        half = np.eye(2 * size)
        half[size:, :size] = -0.5 * step[:, None] * precision
        drift = np.eye(2 * size)
        drift[:size, size:] = np.diag(step)
        kick = np.concatenate([np.zeros(size), 0.5 * step * pull])
        for _ in range(num_steps):
            compose(half, kick)
            compose(drift, np.zeros(2 * size))
            compose(half, kick)
        start = np.concatenate([x @ q_kernel + q_bias, np.zeros(size)])
        mean = matrix @ start + shift
        covariance = matrix @ np.diag([*q_scale**2, *np.ones(size)]) @ matrix.T
        h, cov_h = mean[:size], covariance[:size, :size]
        v, cov_v = mean[size:], covariance[size:, size:]
        one = np.ones(size)
        likelihood = expected_log_normal(x - h @ kernel - bias, kernel.T @ cov_h @ kernel, s)
        prior = expected_log_normal(h, cov_h, one)
        turned = expected_log_normal(v, cov_v, one)
        if reverse:
            r_raw, r_kernel, r_bias = reverse[0]
            r_x, r_h = r_kernel[: len(x)], r_kernel[len(x) :]
            cross = covariance[size:, :size] @ r_h
            spread = cov_v - cross - cross.T + r_h.T @ cov_h @ r_h
            residual = v - x @ r_x - h @ r_h - r_bias
            turned = expected_log_normal(residual, spread, softplus(r_raw))
        return likelihood + prior + turned + entropy(q_scale) + entropy(one)

    return bound


@pytest.mark.parametrize("learned_reverse", [False, True])
def test_hamiltonian_gradients_are_the_closed_forms(learned_reverse):
    """Second derivatives included: theta, phi and the step size move the steps."""
    oracle, model, layers = hamiltonian_model(learned_reverse=learned_reverse)
    x = data(oracle)
    exact = loss_gradient(model, layers, hamiltonian_bound(3), x)
    found = report(model, exact, x)
    assert found.passed(), found
    assert hamiltonian_bound(0)(values_of(layers[:3]), x[0]) == pytest.approx(oracle.elbo(x[0]))


class _BlindSteps(dgm.HamiltonianVAE):
    """Wrong: the gradients that the steps follow are constants."""

    def draw(self, *args, **kwargs):
        inner = backend.value_and_input_grad
        backend.value_and_input_grad = lambda f, h: (None, ops.stop_gradient(inner(f, h)[1]))
        try:
            return super().draw(*args, **kwargs)
        finally:
            backend.value_and_input_grad = inner


def test_steps_that_hide_their_gradient_are_found_out():
    oracle, model, layers = hamiltonian_model(cls=_BlindSteps)
    x = data(oracle)
    exact = loss_gradient(model, layers, hamiltonian_bound(3), x)
    assert not report(model, exact, x).passed()


def test_leapfrog_preserves_volume_and_turns_round():
    leapfrog = hamiltonian_vae.Leapfrog((2,), 0.3)
    leapfrog.log_step_size.assign(np.log([0.2, 0.5]).astype("float32"))
    start = ops.convert_to_tensor(np.random.default_rng(0).normal(size=(5, 4)).astype("float32"))

    def log_density(h):
        return -ops.sum(h**4, axis=-1) / 4.0 + ops.sin(2.0 * h[..., 0] * h[..., 1])

    def flow(z):
        return ops.concatenate(leapfrog.move(log_density, z[:, :2], z[:, 2:], 4), axis=-1)

    def euler(z):
        h, v = z[:, :2], z[:, 2:]
        for _ in range(4):
            slope = backend.value_and_input_grad(log_density, h)[1]
            h, v = h + 0.3 * v, v + 0.3 * slope
        return ops.concatenate([h, v], axis=-1)

    def jacobian(function, z):
        rows = [
            backend.value_and_input_grad(lambda z, i=i: function(z)[:, i], z)[1] for i in range(4)
        ]
        return ops.stack(rows, axis=1)

    def look(z):
        end = flow(z)
        turned = ops.concatenate([end[:, :2], -end[:, 2:]], axis=-1)
        return flow(turned), jacobian(flow, z), jacobian(euler, z)

    back, exact, wrong = map(ops.convert_to_numpy, backend.compiled(leapfrog, look)(start))
    start = ops.convert_to_numpy(start)
    np.testing.assert_allclose(back[:, :2], start[:, :2], atol=1e-4)
    np.testing.assert_allclose(back[:, 2:], -start[:, 2:], atol=1e-4)
    np.testing.assert_allclose(np.linalg.det(exact), 1.0, atol=1e-4)
    assert np.max(np.abs(np.linalg.det(wrong) - 1.0)) > 0.1


def test_hamiltonian_steps_go_beyond_the_family_of_q():
    """Trained, the bound lies above what any diagonal q reaches, and below log p(x)."""
    oracle, model, _ = hamiltonian_model(num_steps=2, seed=5)
    x = data(oracle, 100)
    model.generative.trainable = False
    model.compile(keras.optimizers.Adam(0.03))
    model.fit(np.repeat(x, 8, axis=0), batch_size=800, epochs=200, verbose=0)
    parts = values_of([model.inference, model.leapfrog, model.reverse])
    fixed = [inverse_softplus(oracle.scale), oracle.kernel, oracle.bias]
    bounds = np.array([hamiltonian_bound(2)([fixed, *parts], row) for row in x])
    gap = np.mean(oracle.log_marginal(x) - bounds)
    assert 0.0 < gap < 0.6 * oracle.approximation_gap(), (gap, oracle.approximation_gap())
    estimate = model.log_likelihood(x, num_samples=50)
    np.testing.assert_allclose(estimate, oracle.log_marginal(x), atol=0.4)


def test_what_does_not_fit_is_refused():
    generative = dgm.models.LatentVariableModel(Normal((2,)), Normal((3,)))
    deep = dgm.models.LatentVariableModel(Chain([Normal((2,)), Normal((2,))]), Normal((3,)))
    binary = dgm.models.LatentVariableModel(Bernoulli((2,)), Normal((3,)))
    normal = Normal
    with pytest.raises(ValueError, match="one latent layer"):
        dgm.AuxiliaryVAE(deep, normal((2,)), normal((1,)), normal((1,)))
    with pytest.raises(ValueError, match=r"a of shape \(1,\).*over \(4,\)"):
        dgm.AuxiliaryVAE(generative, normal((2,)), normal((1,)), normal((4,)))
    with pytest.raises(ValueError, match="gradients through the draws of `auxiliary`"):
        dgm.AuxiliaryVAE(generative, normal((2,)), Bernoulli((1,)), Bernoulli((1,)))
    with pytest.raises(ValueError, match="one continuous latent layer"):
        dgm.HamiltonianVAE(deep, Chain([normal((2,)), normal((2,))]))
    with pytest.raises(ValueError, match="one continuous latent layer"):
        dgm.HamiltonianVAE(binary, Bernoulli((2,)))
    with pytest.raises(ValueError, match="num_steps"):
        dgm.HamiltonianVAE(generative, normal((2,)), num_steps=-1)
    with pytest.raises(ValueError, match="step_size"):
        dgm.HamiltonianVAE(generative, normal((2,)), step_size=0.0)
    with pytest.raises(ValueError, match="momenta"):
        dgm.HamiltonianVAE(generative, normal((2,)), reverse=normal((3,)))
    model = dgm.HamiltonianVAE(generative, normal((2,)))
    with pytest.raises(ValueError, match="integral"):
        model.log_inference(np.zeros((1, 2)), np.zeros((1, 3)))
