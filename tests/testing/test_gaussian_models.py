"""Linear-Gaussian closed forms, quadrature, KL divergences."""

import numpy as np
import pytest
from scipy import stats

from keras_dgm.testing import (
    LinearGaussianModel,
    QuadratureModel,
    bernoulli_kl,
    categorical_kl,
    check_gradient_estimator,
    langevin_stationary_variance,
    mean_field_gap,
    multivariate_normal_kl,
    multivariate_normal_log_prob,
    normal_entropy,
    normal_kl,
    normal_log_prob,
    numeric_gradient,
    sghmc_stationary_variance,
    spectral_norm,
)
from keras_dgm.testing.numeric import inverse_softplus, log_softmax, softplus


def largest_difference(arrays, others):
    return max(np.max(np.abs(a - b)) for a, b in zip(arrays, others, strict=True))


@pytest.fixture(scope="module", params=[False, True], ids=["diagonal", "full"])
def model(request):
    return LinearGaussianModel.random(3, 2, seed=3, full_covariance=request.param)


@pytest.fixture(scope="module")
def small():
    return LinearGaussianModel.random(2, 1, seed=5)


@pytest.fixture(scope="module")
def x(model):
    return model.sample(4, np.random.default_rng(0))[0]


@pytest.fixture(scope="module")
def small_x(small):
    return small.sample(2, np.random.default_rng(1))[0]


def test_elbo_and_kl_make_the_marginal(model, x):
    np.testing.assert_allclose(
        model.elbo(x) + model.exclusive_kl(x), model.log_marginal(x), rtol=1e-12
    )
    np.testing.assert_allclose(model.log_marginal(x[0]), model.log_marginal(x)[0])
    covariance = model.marginal_covariance
    scipy_value = stats.multivariate_normal(model.bias, covariance).logpdf(x)
    np.testing.assert_allclose(model.log_marginal(x), scipy_value, rtol=1e-12)


def test_elbo_by_monte_carlo(model, x):
    rng = np.random.default_rng(2)
    mean, covariance = model.inference(x[:1])
    h = rng.multivariate_normal(mean[0], covariance, size=100_000)
    log_weight = (
        normal_log_prob(x[0], h @ model.kernel + model.bias, model.scale).sum(axis=1)
        + normal_log_prob(h, 0.0, 1.0).sum(axis=1)
        - multivariate_normal_log_prob(h, mean[0], covariance)
    )
    error = log_weight.std() / np.sqrt(len(h))
    assert abs(log_weight.mean() - model.elbo(x)[0]) < 4 * error
    log_evidence = np.logaddexp.reduce(log_weight) - np.log(len(h))
    assert log_evidence == pytest.approx(model.log_marginal(x)[0], abs=0.03)


def test_exact_inference_closes_both_gaps(model, x):
    exact = model.with_exact_inference()
    np.testing.assert_allclose(exact.exclusive_kl(x), 0.0, atol=1e-12)
    np.testing.assert_allclose(exact.inclusive_kl(x), 0.0, atol=1e-12)
    gradient = exact.gradient("elbo", x)
    assert max(np.max(np.abs(g)) for g in gradient["inference"]) < 1e-9
    likelihood = exact.gradient("log_likelihood", x)["generative"]
    assert largest_difference(gradient["generative"], likelihood) < 1e-9


def test_sleep_value_by_monte_carlo(model):
    x, h = model.sample(100_000, np.random.default_rng(3))
    mean, covariance = model.inference(x)
    value = multivariate_normal_log_prob(h - mean, np.zeros(2), covariance)
    assert abs(value.mean() - model.sleep_value()) < 4 * value.std() / np.sqrt(len(x))


def test_elbo_gradient_by_reparameterised_draws(model, x):
    """Hand-written path gradients of the diagonal and the full q, and their wrong sign."""
    rng = np.random.default_rng(4)

    def draw(_, sign=1.0):
        noise = rng.normal(size=(200, len(x), 2))
        full = model.inference_scale.ndim == 2
        scale = model.inference_scale if full else np.diag(model.inference_scale)
        h = x @ model.inference_kernel + model.inference_bias + noise @ scale.T
        residual = (x - h @ model.kernel - model.bias) / model.scale**2
        slope = residual @ model.kernel.T - h
        bias = slope.mean(axis=(0, 1))
        kernel = np.einsum("nbl,bv->vl", slope, x) / slope[..., 0].size
        path = np.einsum("nbi,nbj->ij", slope, noise) / slope[..., 0].size
        entropy = np.linalg.inv(scale).T
        total = path + sign * entropy
        return [kernel, bias, total if full else np.diag(total)]

    exact = model.gradient("elbo", x)["inference"]
    report = check_gradient_estimator(draw, exact, 300)
    assert report.passed(), report
    assert not check_gradient_estimator(lambda i: draw(i, -1.0), exact, 300).passed()


def test_approximation_gap_is_reached_by_the_best_diagonal_q():
    model = LinearGaussianModel.random(3, 2, seed=3)
    x = model.sample(1, np.random.default_rng(0))[0]
    mean, _ = model.posterior(x)
    precision = model.posterior_precision
    best = model.with_parameters(
        inference=[np.zeros((3, 2)), mean[0], 1.0 / np.sqrt(np.diag(precision))]
    )
    assert best.exclusive_kl(x)[0] == pytest.approx(model.approximation_gap(), abs=1e-12)
    assert best.amortization_gap(x)[0] == pytest.approx(0.0, abs=1e-12)
    moved = best.with_parameters(
        inference=[np.zeros((3, 2)), mean[0], 1.1 / np.sqrt(np.diag(precision))]
    )
    assert moved.amortization_gap(x)[0] > 1e-3
    total = model.approximation_gap() + model.amortization_gap(x)
    np.testing.assert_allclose(total, model.exclusive_kl(x), rtol=1e-12)


def test_avb_numbers():
    """Adversarial variational Bayes: x = 1.3, gradient in (a, log tau)."""
    model = LinearGaussianModel([[0.9]], [0.0], [0.5], [[0.4]], [0.0], [0.6])
    kernel, _, scale = model.gradient("elbo", np.array([[1.3]]))["inference"]
    assert kernel[0, 0] == pytest.approx(3.21776, abs=1e-5)
    assert scale[0] * 0.6 == pytest.approx(-0.52640, abs=1e-5)


def test_maximum_likelihood_number():
    """Maximum-likelihood GAN: data N(0.5, 1), model N(0.2, 1), gradient 0.3."""
    gradient = numeric_gradient(lambda m: -normal_kl(0.5, 1.0, float(m), 1.0), np.array(0.2))
    assert gradient == pytest.approx(0.3, abs=1e-10)


def test_jsa_and_wake_sleep_combine_the_right_objectives(model, x):
    jsa, wake_sleep = model.gradient("jsa", x), model.gradient("wake_sleep", x)
    pairs = [
        (jsa["generative"], model.gradient("log_likelihood", x)["generative"]),
        (jsa["inference"], model.gradient("inclusive_kl", x)["inference"]),
        (wake_sleep["generative"], model.gradient("elbo", x)["generative"]),
        (wake_sleep["inference"], model.gradient("sleep", x)["inference"]),
    ]
    assert all(largest_difference(a, b) == 0.0 for a, b in pairs)
    assert all(np.all(g == 0) for g in model.gradient("sleep", x)["generative"])
    loss = model.loss_gradient("jsa", x)["generative"]
    assert largest_difference(loss, [-g for g in jsa["generative"]]) == 0.0


def test_quadrature_agrees_with_closed_forms(small, small_x):
    quadrature = small.quadrature()
    np.testing.assert_allclose(quadrature.log_marginal(small_x), small.log_marginal(small_x))
    np.testing.assert_allclose(quadrature.elbo(small_x), small.elbo(small_x), atol=1e-9)
    for rule in ("elbo", "log_likelihood"):
        exact, found = small.gradient(rule, small_x), quadrature.gradient(rule, small_x)
        for player in exact:
            assert largest_difference(exact[player], found[player]) < 1e-8


def test_iw_bound_by_monte_carlo_and_order(small, small_x):
    rng = np.random.default_rng(6)
    mean, covariance = small.inference(small_x[:1])
    scale = np.sqrt(covariance[0, 0])
    h = mean[0, 0] + scale * rng.normal(size=(100_000, 2))
    log_weight = (
        normal_log_prob(small_x[0], h[..., None] @ small.kernel + small.bias, small.scale).sum(-1)
        + normal_log_prob(h, 0.0, 1.0)
        - normal_log_prob(h, mean[0, 0], scale)
    )
    value = np.logaddexp.reduce(log_weight, axis=1) - np.log(2.0)
    error = value.std() / np.sqrt(len(value))
    bound = small.iw_bound(small_x, 2)
    assert abs(value.mean() - bound[0]) < 4 * error
    three = small.quadrature(num_nodes=101).iw_bound(small_x, 3)
    bounds = [small.elbo(small_x), bound, three, small.log_marginal(small_x)]
    assert all(np.all(a < b) for a, b in zip(bounds[:-1], bounds[1:], strict=True))


def test_iw_gradient_matches_finite_differences(small, small_x):
    quadrature = small.quadrature(num_nodes=81)
    gradient = quadrature.gradient("iw_bound", small_x, 2)
    theta = numeric_gradient(
        lambda p: np.mean(quadrature.with_parameters(generative=p).iw_bound(small_x, 2)),
        quadrature.generative_parameters,
    )
    phi = numeric_gradient(
        lambda p: np.mean(quadrature.with_parameters(inference=p).iw_bound(small_x, 2)),
        quadrature.inference_parameters,
    )
    assert largest_difference(gradient["generative"], theta) < 1e-8
    assert largest_difference(gradient["inference"], phi) < 1e-8


@pytest.mark.parametrize("num_samples", [1, 2])
def test_dreg_is_unbiased_and_path_derivative_only_at_one_sample(small, small_x, num_samples):
    quadrature = small.quadrature()
    exact = quadrature.gradient("iw_bound", small_x, num_samples)["inference"]
    means = {
        name: quadrature.estimator_mean(name, small_x, num_samples)
        for name in ("reparameterized", "dreg", "path_derivative")
    }
    assert largest_difference(means["reparameterized"], exact) < 1e-9
    assert largest_difference(means["dreg"], exact) < 1e-7
    path_error = largest_difference(means["path_derivative"], exact)
    assert path_error < 1e-9 if num_samples == 1 else path_error > 1e-2


def test_rws_moves_phi_along_the_weighted_score(small, small_x):
    """With many samples it would be the inclusive KL; at two it is its own expectation."""
    rng = np.random.default_rng(7)
    mean, covariance = small.inference(small_x)
    scale = np.sqrt(covariance[0, 0])

    def draw(_):
        noise = rng.normal(size=(500, 2, len(small_x)))
        h = mean[:, 0] + scale * noise
        fit = normal_log_prob(small_x, h[..., None] @ small.kernel + small.bias, small.scale)
        log_weight = fit.sum(-1) + normal_log_prob(h, 0.0, 1.0) - normal_log_prob(noise, 0.0, 1.0)
        v = np.exp(log_softmax(log_weight, axis=1))
        to_mean = np.mean(np.sum(v * noise / scale, axis=1), axis=0)
        to_scale = np.mean(np.sum(v * (noise**2 - 1.0) / scale, axis=1))
        return [
            (small_x.T @ to_mean / len(small_x))[:, None],
            np.mean(to_mean)[None],
            to_scale[None],
        ]

    exact = small.gradient("rws", small_x, 2)["inference"]
    report = check_gradient_estimator(draw, exact, 300)
    assert report.passed(), report
    inclusive = small.gradient("inclusive_kl", small_x)["inference"]
    assert not check_gradient_estimator(draw, inclusive, 300).passed()


def test_quadrature_of_a_non_gaussian_model():
    """Bernoulli likelihood, scale by softplus: the marginal equals a sum of 2**3 images."""

    def log_joint(parameters, x, h):
        logits = h[:, None] @ parameters[0] + parameters[1]
        log_likelihood = np.sum(x * logits - softplus(logits), axis=1)
        return log_likelihood + normal_log_prob(h, 0.0, 1.0)

    def inference(parameters, x):
        loc, raw = x @ parameters[0] + parameters[1]
        return loc, softplus(raw)

    rng = np.random.default_rng(8)
    model = QuadratureModel(
        log_joint,
        inference,
        [rng.normal(size=(1, 3)), rng.normal(size=3)],
        [0.3 * rng.normal(size=(3, 2)), np.zeros(2)],
    )
    images = ((np.arange(8)[:, None] >> np.arange(3)) & 1).astype(float)
    assert np.sum(np.exp(model.log_marginal(images))) == pytest.approx(1.0, abs=1e-9)
    assert np.all(model.elbo(images) < model.iw_bound(images, 2))
    assert np.all(model.iw_bound(images, 2) < model.log_marginal(images))
    exact = model.gradient("elbo", images[:1])["inference"]
    numeric = numeric_gradient(
        lambda p: model.with_parameters(inference=p).elbo(images[0]), model.inference_parameters
    )
    assert largest_difference(exact, numeric) < 1e-9


def test_kl_divergences_by_quadrature_and_summation():
    grid = np.linspace(-15, 15, 20001)
    p, q = normal_log_prob(grid, 0.3, 0.8), normal_log_prob(grid, -0.5, 1.4)
    by_grid = np.sum(np.exp(p) * (p - q)) * (grid[1] - grid[0])
    assert normal_kl(0.3, 0.8, -0.5, 1.4) == pytest.approx(by_grid, abs=1e-10)
    by_grid = -np.sum(np.exp(p) * p) * (grid[1] - grid[0])
    assert normal_entropy([0.8]) == pytest.approx(by_grid, abs=1e-10)
    both = multivariate_normal_kl(
        np.array([0.3, 1.0]), np.diag([0.64, 0.25]), np.array([-0.5, 0.0]), np.diag([1.96, 1.0])
    )
    assert both == pytest.approx(normal_kl([0.3, 1.0], [0.8, 0.5], [-0.5, 0.0], [1.4, 1.0]))
    logits, other = np.array([0.3, -2.0]), np.array([1.0, 0.5])
    p, q = 1 / (1 + np.exp(-logits)), 1 / (1 + np.exp(-other))
    expected = np.sum(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))
    assert bernoulli_kl(logits, other) == pytest.approx(expected)
    p, q = np.exp(logits) / np.exp(logits).sum(), np.exp(other) / np.exp(other).sum()
    assert categorical_kl(logits + 3.0, other) == pytest.approx(np.sum(p * np.log(p / q)))


def test_full_covariance_kl_by_monte_carlo():
    rng = np.random.default_rng(9)
    a, b = rng.normal(size=(2, 3, 3))
    covariance, other = a @ a.T + np.eye(3), b @ b.T + np.eye(3)
    draws = rng.multivariate_normal(np.ones(3), covariance, size=100_000)
    ratio = multivariate_normal_log_prob(draws, np.ones(3), covariance)
    ratio = ratio - multivariate_normal_log_prob(draws, np.zeros(3), other)
    exact = multivariate_normal_kl(np.ones(3), covariance, np.zeros(3), other)
    assert abs(ratio.mean() - exact) < 4 * ratio.std() / np.sqrt(len(ratio))


def test_sampler_variances_by_iteration():
    """The recursions of the second moments, run to their fixed point."""
    variance, step = 0.0, 0.3
    for _ in range(500):
        variance = (1.0 - step / 2.0) ** 2 * variance + step
    assert langevin_stationary_variance(step) == pytest.approx(variance)
    beta, c = 0.8, 0.1
    # (x, v): v' = beta v - c x + sigma e, x' = x + v'.
    mapping = np.array([[1.0 - c, beta], [-c, beta]])
    noise = 2.0 * (1.0 - beta) * c * np.ones((2, 2))
    moments = np.zeros((2, 2))
    for _ in range(3000):
        moments = mapping @ moments @ mapping.T + noise
    assert sghmc_stationary_variance(beta, c) == pytest.approx(moments[0, 0])
    with pytest.raises(ValueError, match="step size"):
        langevin_stationary_variance(4.0)


def test_mean_field_gap_and_spectral_norm():
    assert mean_field_gap(np.diag([1.0, 3.0])) == pytest.approx(0.0)
    correlated = np.array([[2.0, 1.0], [1.0, 2.0]])
    assert mean_field_gap(correlated) == pytest.approx(0.5 * np.log(4.0 / 3.0))
    kernel = np.random.default_rng(10).normal(size=(3, 3, 2, 5))
    vector = np.ones(5)
    matrix = kernel.reshape(-1, 5)
    for _ in range(500):
        vector = matrix.T @ (matrix @ vector)
        vector = vector / np.linalg.norm(vector)
    assert spectral_norm(kernel) == pytest.approx(np.linalg.norm(matrix @ vector))


def test_inverse_softplus():
    y = np.array([1e-3, 0.5, 3.0, 50.0])
    np.testing.assert_allclose(softplus(inverse_softplus(y)), y, rtol=1e-9)


def test_errors_say_what_came(model, x, small, small_x):
    with pytest.raises(ValueError, match="Unknown rule 'vimco'"):
        model.gradient("vimco", x)
    with pytest.raises(ValueError, match="one latent variable; this model has 2"):
        model.quadrature()
    with pytest.raises(ValueError, match="Expected shapes"):
        LinearGaussianModel(np.zeros((2, 3)), np.zeros(3), np.ones(2), *model.inference_parameters)
    with pytest.raises(ValueError, match="1, 2 or 3 samples; received 4"):
        small.iw_bound(small_x, 4)
    with pytest.raises(ValueError, match="Unknown estimator"):
        small.quadrature().estimator_mean("stl", small_x)
    with pytest.raises(ValueError, match="Unknown rule"):
        small.quadrature().gradient("sleep", small_x)
