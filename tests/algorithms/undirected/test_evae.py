"""EVAE on one-dimensional Gaussians, where every loss and its optimum is known."""

import keras
import numpy as np
import pytest
from neural_fields import normal_field, plane_field, values

import keras_dgm as dgm
from keras_dgm import distributions, networks, testing
from keras_dgm.models import ImplicitModel, LatentVariableModel

# q(z|x) = N(K x, S^2), p(x|z) = N(B z, SIGMA^2), U(z) = z^2 / (2 V), z_w = ALPHA w + DELTA e.
K, S, B, SIGMA, V, ALPHA, DELTA = 0.6, 1.0, 0.9, 0.7, 9.0, 2.0, 0.5
X = np.array([[0.4], [-1.0], [2.0], [0.9]], "float32")


def optimal_code(alpha=ALPHA, delta=DELTA):
    """(slope, sd) of the best q(w|z)."""
    variance = alpha**2 + delta**2
    return alpha / variance, delta / np.sqrt(variance)


def model_of(kind=dgm.EVAE, alpha=ALPHA, **options):
    generative = LatentVariableModel(normal_field(variance=V), distributions.Normal(1, scale=SIGMA))
    inference = distributions.Normal(1, scale="shared")
    sampler = ImplicitModel(1, keras.layers.Dense(1, use_bias=False))
    code = distributions.Normal(1, scale="shared")
    model = kind(generative, inference, sampler, code, sampler_noise=DELTA, seed=0, **options)
    slope, deviation = optimal_code(alpha)
    set_weights(generative.likelihood, kernel=B)
    set_weights(inference, kernel=K)
    set_weights(sampler.network, kernel=alpha)
    set_weights(code, kernel=slope, raw_scale=np.log(np.expm1(deviation)))
    return model


def set_weights(layer, **numbers):
    for variable in layer.trainable_variables:
        name = variable.path.split("/")[-1]
        if name in numbers:
            variable.assign(np.full(variable.shape, numbers[name], "float32"))


def named(variables, gradients):
    """Gradients as numbers by the variables' names."""
    return {v.path.split("/")[-1]: float(np.squeeze(g)) for v, g in zip(variables, gradients)}


def exact_gradients(penalty=0.0, weight=1.0):
    """Closed forms, by player and name of the variable."""
    x = X[:, 0].astype("float64")
    m, z2 = K * x, np.mean((K * x) ** 2) + S**2
    along_m = m / V - B * (x - B * m) / SIGMA**2
    along_s = S / V - 1.0 / S + B**2 * S / SIGMA**2
    alpha_slope = testing.numeric_gradient(
        lambda p: testing.energy_sampler_objective(p[0], DELTA, np.sqrt(V)), np.array([ALPHA])
    )
    precision = 1.0 / V
    w2 = ALPHA**2 + DELTA**2
    return {
        "sampler": {"kernel": float(alpha_slope[0])},
        "inference": {
            "kernel": weight * np.mean(along_m * x),
            "bias": weight * np.mean(along_m),
            "raw_scale": weight * along_s * (1.0 - np.exp(-S)),
        },
        "model": {
            "kernel": -(np.mean(x * m) - B * z2) / SIGMA**2,
            "bias": -np.mean(x - B * m) / SIGMA**2,
            "linear": -np.mean(m) - penalty * 2.0 * precision * np.mean(m),
            "log_precision": 0.5 * precision * (z2 - w2) + penalty * 2.0 * precision**2 * (z2 + w2),
        },
    }


def measured(model, player, draws=60, copies=1_000):
    """A check of one player's gradients against the closed forms, by name."""
    variables = list(model.player_variables(player))
    if player == "sampler":
        variables = variables[:1]  # G's; E and sigma stand at their optimum

    many = np.repeat(X, copies, axis=0)

    def draw(number):
        found = model.estimate_gradients(many, number)[player]
        return named(variables, found)

    def check(exact):
        names = sorted(exact)
        return testing.check_gradient_estimator(
            lambda i: np.array([draw(i)[name] for name in names]),
            np.array([exact[name] for name in names]),
            draws,
        )

    return check


@pytest.mark.parametrize("player", ["sampler", "inference", "model"])
def test_every_player_descends_its_own_loss(player):
    options = {"gradient_penalty": 0.7, "inference_weight": 1.5, "num_samples": 2}
    exact = exact_gradients(penalty=0.7, weight=1.5)
    report = measured(model_of(**options), player)(exact[player])
    assert report.passed(), report
    if player == "model":
        # The penalty is U's, and the check sees it.
        plain = exact_gradients()["model"]
        assert {n for n in plain if plain[n] != exact["model"][n]} == {"linear", "log_precision"}
        assert not measured(model_of(**options), player, draws=20)(plain).passed()


class _NotesSign(dgm.EVAE):
    """Wrong: - U for the sampler, as the notes have it."""

    def sampler_loss(self, energy, log_code):
        return super().sampler_loss(-energy, log_code)


@pytest.mark.parametrize("kind", [dgm.EVAE, _NotesSign])
def test_the_sampler_settles_at_the_prior(kind):
    """Optimum alpha^2 + delta^2 = 9; the notes' sign inflates past any bound."""
    model = model_of(kind, alpha=1.0)
    schedule = keras.optimizers.schedules.CosineDecay(0.05, 600)
    moving, still = keras.optimizers.Adam(schedule), [keras.optimizers.SGD(0.0) for _ in "im"]
    model.compile({"sampler": moving, "inference": still[0], "model": still[1]})
    model.fit(np.zeros((10_000, 1), "float32"), batch_size=500, epochs=30, verbose=0)
    alpha = float(values(model.sampler.trainable_variables)[0][0, 0])
    if kind is _NotesSign:
        assert alpha**2 + DELTA**2 > 30.0
    else:
        assert alpha**2 + DELTA**2 == pytest.approx(9.0, abs=0.6)
        # There the sampler is the prior: weights near one, log Z by importance is the truth.
        truth = 0.5 * np.log(2.0 * np.pi * V)
        assert model.normalize_prior(num_samples=20_000) == pytest.approx(truth, abs=0.02)


def test_log_partition_by_quadrature_normalises_the_bound():
    model = model_of()
    truth = 0.5 * np.log(2.0 * np.pi * V)
    before = model.log_likelihood(X, num_samples=200)
    assert model.normalize_prior([(-40.0, 40.0)]) == pytest.approx(truth, abs=1e-4)
    after = model.log_likelihood(X, num_samples=5_000)
    exact = testing.normal_log_prob(X[:, 0], 0.0, np.sqrt(B**2 * V + SIGMA**2))
    np.testing.assert_allclose(after, exact, atol=0.1)
    assert np.all(before > exact + 1.0)
    assert model.normalize_prior(num_samples=20_000) == pytest.approx(truth, abs=0.1)
    with pytest.raises(ValueError, match="one for each of the latent"):
        model.normalize_prior([(-1.0, 1.0)] * 2)


def test_a_random_field_is_a_prior_for_a_vae_too():
    """An energy prior that is a standard normal gives the standard normal's bound."""
    found = []
    for prior in (normal_field(), distributions.Normal(1)):
        generative = LatentVariableModel(prior, distributions.Normal(1, scale=SIGMA))
        inference = distributions.Normal(1, scale=0.5)
        model = dgm.VAE(generative, inference, seed=0)
        set_weights(generative.likelihood, kernel=B)
        set_weights(inference, kernel=K)
        model.compile("sgd")
        if hasattr(prior, "log_partition"):
            prior.log_partition.assign(0.5 * np.log(2.0 * np.pi))
        found.append(model.evaluate(X, verbose=0, return_dict=True)["elbo"])
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def plane_model():
    keras.utils.set_random_seed(0)
    generative = LatentVariableModel(
        plane_field(), distributions.Bernoulli(6, networks.mlp([8], "tanh"))
    )
    return dgm.EVAE(
        generative,
        distributions.Normal(2, networks.mlp([8], "tanh")),
        ImplicitModel(2, networks.mlp([8], "tanh", output_units=2)),
        distributions.Normal(2, networks.mlp([8], "tanh"), scale="shared"),
        gradient_penalty=0.1,
        seed=0,
    )


def test_learns_and_goes_on_from_a_file(tmp_path):
    rng = np.random.default_rng(0)
    x = np.repeat(rng.integers(0, 2, (4, 6)), 50, axis=0).astype("float32")
    model = plane_model()
    model.compile(keras.optimizers.Adam(0.01))
    model.normalize_prior([(-12.0, 12.0)] * 2)
    before = model.log_likelihood(x[::50], num_samples=100).mean()
    logs = model.fit(x, batch_size=40, epochs=15, verbose=0).history
    assert set(logs) == set(model.terms)
    model.normalize_prior([(-12.0, 12.0)] * 2)
    assert model.log_likelihood(x[::50], num_samples=100).mean() > before + 0.5
    assert model.sample(3, seed=0).shape == (3, 6)
    assert set(np.unique(model.sample(3, seed=0))) <= {0.0, 1.0}
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    model.fit(x, batch_size=40, verbose=0)
    again.fit(x, batch_size=40, verbose=0)
    for one, other in zip(values(model.variables), values(again.variables), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_errors_say_what_to_do():
    model = model_of()
    parts = [model.generative, model.inference, model.sampler, model.code_decoder]
    normal = LatentVariableModel(distributions.Normal(1), distributions.Normal(1))
    with pytest.raises(ValueError, match="RandomField as prior"):
        dgm.EVAE(normal, *parts[1:])
    with pytest.raises(ValueError, match="collapses"):
        dgm.EVAE(*parts, sampler_noise=0.0)
    with pytest.raises(ValueError, match="gradient_penalty"):
        dgm.EVAE(*parts, gradient_penalty=-1.0)
    wide = ImplicitModel(2, networks.mlp([4], output_units=2))
    with pytest.raises(ValueError, match="The sampler makes z of shape"):
        dgm.EVAE(*parts[:2], wide, parts[3])
    with pytest.raises(ValueError, match="over"):
        dgm.EVAE(*parts[:3], distributions.Normal(3))
    with pytest.raises(ValueError, match="reparameterised"):
        dgm.EVAE(parts[0], distributions.Bernoulli(1), *parts[2:])
