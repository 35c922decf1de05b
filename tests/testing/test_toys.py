"""Closed-form toys against the figures of the sources and against simulation."""

import functools

import numpy as np
import pytest
from scipy import optimize

from keras_dgm.testing import (
    F_DIVERGENCES,
    DiracGAN,
    LinearHelmholtzMachine,
    alpha_divergence,
    bayes_reconstruction,
    check_gradient_estimator,
    denoising_loss,
    dynamic_nce_loss,
    energy_sampler_objective,
    f_divergence,
    fit_normal,
    flip_corruption,
    mixture_log_prob,
    nce_loss,
    normal_log_prob,
    numeric_gradient,
    stationary_distribution,
    total_variation,
    walkback_fixed_point,
    walkback_gradient,
    walkback_weights,
)
from keras_dgm.testing.numeric import log_softmax, sigmoid

# Radius after 500 steps: simultaneous, alternating, alternating with the critic first.
DIRAC = {
    "gan": ({}, (2.254, 1.415, 1.414)),
    "non-saturating": ({"objective": "non_saturating"}, (0.521, 0.390, 0.381)),
    "wgan": ({"objective": "wgan"}, (17.02, 1.410, 1.419)),
    "clipped wgan": ({"objective": "wgan", "clip": 0.3}, (0.333, 0.303, 0.294)),
    "wgan-gp": ({"objective": "wgan", "gradient_penalty": 0.5}, (0.388, 0.443, 0.422)),
    "r1": ({"r1": 0.3}, (9.196e-4, 4.816e-4, 5.02e-4)),
}


@pytest.mark.parametrize("name", DIRAC)
def test_dirac_gan_radii(name):
    options, (simultaneous, alternating, critic_first) = DIRAC[name]
    half_digit = {"abs": 5.1e-8} if name == "r1" else {"abs": 5.1e-4}
    if name == "wgan":
        half_digit = {"abs": 5.1e-3}
    assert DiracGAN(**options).radius() == pytest.approx(simultaneous, **half_digit)
    game = DiracGAN(updates="alternating", **options)
    assert game.radius() == pytest.approx(alternating, abs=5.1e-8 if name == "r1" else 5.1e-4)
    game = DiracGAN(updates="alternating", order=("critic", "generator"), **options)
    assert game.radius() == pytest.approx(critic_first, abs=5.1e-7 if name == "r1" else 5.1e-4)


def test_dirac_gan_other_facts():
    assert DiracGAN(objective="wgan", gradient_penalty=1.0).radius() == pytest.approx(0.6, abs=5e-4)
    assert DiracGAN(r1=0.3).spectral_radius() == pytest.approx(0.98615, abs=5e-6)
    alternating = DiracGAN(r1=0.3, updates="alternating")
    assert alternating.spectral_radius() == pytest.approx(0.98489, abs=5e-6)
    path = DiracGAN().trajectory(3)
    assert path.shape == (4, 2) and tuple(path[0]) == (1.0, 1.0)


def test_dirac_gan_gradients_are_those_of_its_losses():
    game = DiracGAN(r1=0.3, gradient_penalty=0.5)

    def critic_loss(psi, theta=0.7):
        penalty = 0.5 * (abs(psi) - 0.3) ** 2 + 0.15 * psi**2
        return np.logaddexp(0.0, 0.0) + np.logaddexp(0.0, -psi * theta) + penalty

    numeric = numeric_gradient(lambda p: critic_loss(float(p)), np.array(0.8))
    assert game.critic_gradient(0.7, 0.8) == pytest.approx(float(numeric), abs=1e-10)
    numeric = numeric_gradient(lambda t: -np.logaddexp(0.0, -0.8 * float(t)), np.array(0.7))
    assert game.generator_gradient(0.7, 0.8) == pytest.approx(float(numeric), abs=1e-10)


def test_dirac_gan_errors():
    with pytest.raises(ValueError, match="Unknown objective"):
        DiracGAN("lsgan")
    with pytest.raises(ValueError, match="simultaneous"):
        DiracGAN(updates="random")
    with pytest.raises(ValueError, match="once each"):
        DiracGAN(order=("critic", "critic"))


@pytest.mark.parametrize(
    ("name", "divergence", "loc", "scale"),
    [
        ("kl", 0.28297, 1.0100, 1.8311),
        ("reverse_kl", 0.24811, 1.5779, 1.6318),
        ("jensen_shannon", 0.12804, 1.3068, 1.7545),
        ("jeffrey", 0.57057, 1.3215, 1.7034),
        ("pearson", 0.64565, 0.5736, 1.9277),
        ("neyman", 0.40507, 1.8246, 1.5193),
        ("squared_hellinger", 0.13463, 1.3129, 1.7331),
    ],
)
def test_f_gan_table(name, divergence, loc, scale):
    fit = fit_normal(name)
    assert fit.divergence == pytest.approx(divergence, abs=6e-6)
    assert fit.loc == pytest.approx(loc, abs=6e-5)
    assert fit.scale == pytest.approx(scale, abs=6e-5)


def test_f_divergences_of_small_tables():
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])
    u = p / q
    formulas = {
        "kl": u * np.log(u),
        "reverse_kl": -np.log(u),
        "jensen_shannon": u * np.log(2 * u / (1 + u)) + np.log(2 / (1 + u)),
        "jeffrey": (u - 1) * np.log(u),
        "pearson": (u - 1) ** 2,
        "neyman": (1 - u) ** 2 / u,
        "squared_hellinger": (np.sqrt(u) - 1) ** 2,
        "total_variation": 0.5 * np.abs(u - 1),
        "gan": u * np.log(u) - (u + 1) * np.log(u + 1),
    }
    assert set(formulas) == set(F_DIVERGENCES)
    for name, f in formulas.items():
        assert f_divergence(name, np.log(p), np.log(q)) == pytest.approx(np.sum(q * f)), name
    assert f_divergence("gan", np.log(p), np.log(p)) == pytest.approx(-np.log(4.0))
    alpha = 1.7
    expected = np.sum(q * (u**alpha - 1 - alpha * (u - 1)) / (alpha * (alpha - 1)))
    assert f_divergence(alpha_divergence(alpha), np.log(p), np.log(q)) == pytest.approx(expected)
    half_pearson = f_divergence(alpha_divergence(2.0), np.log(p), np.log(q))
    assert half_pearson == pytest.approx(0.5 * np.sum(q * (u - 1) ** 2))
    with pytest.raises(ValueError, match="Unknown divergence"):
        f_divergence("wasserstein", np.log(p), np.log(q))
    with pytest.raises(ValueError, match="reverse_kl"):
        alpha_divergence(1.0)


def test_helmholtz_numbers():
    machine = LinearHelmholtzMachine()
    assert machine.extended_helmholtz() == pytest.approx(7.17213, abs=5e-6)
    expected = (-6.8248, 1.2775, -2.0631, -4.7038)
    np.testing.assert_allclose(machine.gradient(), expected, atol=6e-5)
    assert machine.symmetric_vae() == pytest.approx(5.53823, abs=5e-6)
    expected = (-6.8248, 0.2775, -2.0631, -5.7038)
    np.testing.assert_allclose(machine.gradient("symmetric_vae"), expected, atol=6e-5)
    assert machine.pathless_gradient()[0] == pytest.approx(-1.32, abs=5e-3)
    difference = machine.extended_helmholtz() - machine.symmetric_vae()
    assert difference == pytest.approx(1.63390, abs=5e-6)


def test_helmholtz_terms_by_simulation():
    machine = LinearHelmholtzMachine()
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(4, 400_000))
    x = 1.7 * noise[0]
    z = 0.4 * x + 0.6 * noise[1]
    dream_z = noise[2]
    dream_x = 0.9 * dream_z + 0.5 * noise[3]
    samples = {
        "wake_reconstruction": -normal_log_prob(x, 0.9 * z, 0.5),
        "wake_prior": -normal_log_prob(z, 0.0, 1.0),
        "sleep_reconstruction": -normal_log_prob(dream_z, 0.4 * dream_x, 0.6),
        "sleep_prior": -normal_log_prob(dream_x, 0.0, 1.7),
    }
    for name, value in machine.terms().items():
        error = samples[name].std() / np.sqrt(400_000)
        assert abs(samples[name].mean() - value) < 4 * error, name
    assert np.var(z) == pytest.approx(machine.latent_variance, rel=0.01)
    assert np.var(dream_x) == pytest.approx(machine.visible_variance, rel=0.01)


def test_pathless_gradient_by_simulation():
    """Samples held fixed while the densities move; a quarter of the truth in d/da."""
    machine = LinearHelmholtzMachine()
    rng = np.random.default_rng(1)

    def draw(_):
        noise = rng.normal(size=(4, 500))
        x, dream_z = 1.7 * noise[0], noise[2]
        z, dream_x = 0.4 * x + 0.6 * noise[1], 0.9 * dream_z + 0.5 * noise[3]
        encoder, decoder = dream_z - 0.4 * dream_x, x - 0.9 * z
        each = [
            -encoder * dream_x / 0.36,
            1.0 - encoder**2 / 0.36,
            -decoder * z / 0.25,
            1.0 - decoder**2 / 0.25,
        ]
        return np.mean(each, axis=1)

    report = check_gradient_estimator(draw, machine.pathless_gradient(), 300)
    assert report.passed(), report
    assert not check_gradient_estimator(draw, machine.gradient(), 300).passed()


def test_symmetric_optimum_is_exact_and_helmholtz_optimum_is_not():
    """Descent on J: SVAE ends at variances 1 and 2.89, EHM at fixed scales elsewhere."""
    start = LinearHelmholtzMachine()
    found = optimize.minimize(
        lambda p: start.with_parameters(p).symmetric_vae(), start.parameters, tol=1e-10
    )
    best = start.with_parameters(found.x)
    assert best.latent_variance == pytest.approx(1.0, abs=1e-4)
    assert best.visible_variance == pytest.approx(2.89, abs=1e-3)

    def with_slopes(slopes):
        return start.with_parameters([slopes[0], np.log(0.6), slopes[1], np.log(0.5)])

    found = optimize.minimize(
        lambda s: with_slopes(s).extended_helmholtz(), start.parameters[[0, 2]], tol=1e-10
    )
    best = with_slopes(found.x)
    assert best.latent_variance == pytest.approx(2.04, abs=1e-3)
    assert best.visible_variance == pytest.approx(2.89 / 2.04, abs=1e-3)


def test_energy_sampler_optimum():
    """EVAE: alpha**2 + delta**2 = 9, reached along alpha at fixed delta."""
    alpha = np.sqrt(9.0 - 0.25)
    slope = numeric_gradient(lambda a: energy_sampler_objective(float(a), 0.5), np.array(alpha))
    assert abs(float(slope)) < 1e-10
    values = [energy_sampler_objective(a, 0.5) for a in (alpha - 0.1, alpha, alpha + 0.1)]
    assert values[1] < values[0] and values[1] < values[2]


def test_denoising_chain_keeps_the_data_law():
    data = np.random.default_rng(0).dirichlet(np.ones(8))
    corruption = flip_corruption(3, 0.2)
    np.testing.assert_allclose(corruption.sum(axis=1), 1.0)
    assert corruption[0, 7] == pytest.approx(0.2**3)
    table = bayes_reconstruction(data, corruption)
    chain = stationary_distribution(corruption @ table)
    assert total_variation(chain, data) < 1e-14
    perturbed = table + 0.05
    perturbed /= perturbed.sum(axis=1, keepdims=True)
    assert total_variation(stationary_distribution(corruption @ perturbed), data) > 1e-3
    assert denoising_loss(data, corruption, table) < denoising_loss(data, corruption, perturbed)


def test_learned_noise_moves_j_and_not_the_kl():
    """At x ~ (0.7, 0.3), keep probability sigmoid(0.8): dJ = -0.14492, dKL = 0."""
    data = np.array([0.7, 0.3])

    def corruption(logit):
        keep = sigmoid(float(logit))
        return np.array([[keep, 1.0 - keep], [1.0 - keep, keep]])

    table = bayes_reconstruction(data, corruption(0.8))

    def kl(logit):
        joint = (data[:, None] * corruption(logit)).T
        bayes = bayes_reconstruction(data, corruption(logit))
        return float(np.sum(joint * np.log(bayes / table)))

    slope = numeric_gradient(lambda s: denoising_loss(data, corruption(s), table), np.array(0.8))
    assert slope == pytest.approx(-0.14492, abs=5e-6)
    assert numeric_gradient(kl, np.array(0.8)) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("num_steps", [2, 3, 5])
def test_walkback_fixed_points_keep_the_data_law(num_steps):
    data = np.random.default_rng(1).dirichlet(np.ones(8))
    corruption = flip_corruption(3, 0.2)
    table = walkback_fixed_point(data, corruption, num_steps)
    assert total_variation(stationary_distribution(corruption @ table), data) < 1e-12
    weights = walkback_weights(data, corruption, table, num_steps)
    np.testing.assert_allclose(weights / weights.sum(axis=1, keepdims=True), table, atol=1e-9)


def test_walkback_gradient_by_simulation_and_its_control():
    rng = np.random.default_rng(2)
    data, corruption = rng.dirichlet(np.ones(4)), flip_corruption(2, 0.2)
    logits = rng.normal(size=(4, 4))
    table = np.exp(log_softmax(logits))

    def choose(probabilities):
        cumulative = np.cumsum(probabilities, axis=1)
        picked = np.sum(rng.uniform(size=(len(probabilities), 1)) > cumulative, axis=1)
        return np.minimum(picked, 3)

    def draw(_):
        clean = rng.choice(4, size=400, p=data)
        current, gradient = clean, np.zeros((4, 4))
        for _ in range(2):
            corrupted = choose(corruption[current])
            np.add.at(gradient, corrupted, table[corrupted] - np.eye(4)[clean])
            current = choose(table[corrupted])
        return gradient / 400

    exact = walkback_gradient(data, corruption, logits, 2)
    report = check_gradient_estimator(draw, exact, 300)
    assert report.passed(), report
    control = walkback_gradient(data, corruption, logits, 2, target="previous")
    assert not check_gradient_estimator(draw, control, 300).passed()
    with pytest.raises(ValueError, match="previous"):
        walkback_gradient(data, corruption, logits, 2, target="next")


GRID = np.linspace(-12.0, 12.0, 4001)
SPACING = GRID[1] - GRID[0]


def test_nce_finds_the_density_and_its_normaliser():
    """Unnormalised exp(- a x**2 / 2 - c): the gradient vanishes at a = 1, c = log Z."""
    log_data, log_noise = normal_log_prob(GRID, 0.0, 1.0), normal_log_prob(GRID, 0.5, 2.0)

    def loss(parameters, function=nce_loss, **options):
        precision, log_partition = parameters
        log_model = -0.5 * precision * GRID**2 - log_partition
        return function(log_data, log_model, log_noise, spacing=SPACING, **options)

    truth = np.array([1.0, 0.5 * np.log(2.0 * np.pi)])
    for noise_ratio in (1.0, 4.0):
        gradient = numeric_gradient(functools.partial(loss, noise_ratio=noise_ratio), truth)
        np.testing.assert_allclose(gradient, 0.0, atol=1e-10)
    wrong = numeric_gradient(loss, np.array([1.2, truth[1]]))
    assert np.max(np.abs(wrong)) > 1e-2
    # Dynamic NCE fits the mixture it is shown, and is plain NCE when all of it is data.
    assert loss(truth, dynamic_nce_loss, data_share=1.0) == pytest.approx(loss(truth))
    mixed = np.logaddexp(np.log(0.5) + log_data, np.log(0.5) + log_noise)
    shown = dynamic_nce_loss(log_data, mixed, log_noise, data_share=0.5, spacing=SPACING)
    assert shown < dynamic_nce_loss(log_data, log_data, log_noise, data_share=0.5, spacing=SPACING)
    with pytest.raises(ValueError, match="data_share"):
        dynamic_nce_loss(log_data, log_data, log_noise, data_share=0.0)


def test_nce_is_an_f_gan_bound():
    """Ou 2019, App. B: at the optimum, - loss = D_f for f = u log u - (u + nu) log(u + nu)."""
    nu = 3.0
    log_data, log_noise = mixture_log_prob(GRID), normal_log_prob(GRID, 1.0, 1.4)

    def f(log_ratio):
        ratio = np.exp(log_ratio)
        return ratio * log_ratio - (ratio + nu) * np.log(ratio + nu)

    divergence = f_divergence(f, log_data, log_noise, SPACING)
    bound = -nce_loss(log_data, log_data, log_noise, nu, SPACING)
    # The conjugate carries nu log nu (Ou 2019, App. B).
    assert bound == pytest.approx(divergence + nu * np.log(nu), abs=1e-8)
