"""Denoising auto-encoders and GSNs: tables on {0, 1}^3, learned noise, walkback, chains."""

import keras
import numpy as np
import pytest
from keras import ops
from neural_fields import values
from scipy import stats

import keras_dgm as dgm
from keras_dgm import distributions, networks, testing
from keras_dgm.distributions import Chain, FlipCorruption, GaussianCorruption, Normal

COUNTS = np.array([5, 1, 3, 2, 4, 1, 3, 1])
DATA = COUNTS / COUNTS.sum()
FLIPS = testing.flip_corruption(3, 0.2)
ROWS = np.repeat(np.eye(8, dtype="float32"), COUNTS, axis=0)  # {0, 1}^3 as one-hot states
LOGITS = np.random.default_rng(0).normal(size=(8, 8))


def table(log_table):
    """A categorical layer of states that is this table of log-probabilities."""
    layer = distributions.OneHotCategorical(8)
    layer.build((None, 8))
    kernel, bias = layer.trainable_variables
    kernel.assign(log_table.astype("float32"))
    bias.assign(np.zeros(8, "float32"))
    return layer


def tabular(kind=dgm.DenoisingAutoencoder, logits=LOGITS, **options):
    return kind(table(np.log(FLIPS)), table(logits), seed=0, **options)


def check(model, kernel, draws=100):
    exact = {"reconstruction": [kernel, kernel.sum(axis=0)]}
    return testing.check_gradient_estimator(model, exact, draws, data=ROWS, batch_copies=50)


def test_the_chain_keeps_the_data_at_the_bayes_reconstruction():
    exact = testing.bayes_reconstruction(DATA, FLIPS)
    starts = np.repeat(ROWS, 500, axis=0)
    expected = DATA * len(starts)

    def p_value(reconstruction):
        model = tabular(logits=np.log(reconstruction))
        ends = model.sample(len(starts), seed=0, num_steps=6, start=starts)
        np.testing.assert_array_equal(ends.sum(axis=1), 1.0)
        return stats.chisquare(ends.sum(axis=0), expected).pvalue

    assert p_value(exact) > 1e-3
    perturbed = 0.9 * exact + 0.1 / 8
    assert p_value(perturbed) < 1e-6
    # The data's own law is the stationary one, from any start.
    np.testing.assert_allclose(testing.stationary_distribution(FLIPS @ exact), DATA, atol=1e-12)


def test_gradient_of_denoising_is_the_tables():
    report = check(tabular(), testing.walkback_gradient(DATA, FLIPS, LOGITS, 1))
    assert report.passed(), report


class _PreviousAsTarget(dgm.GSN):
    """Wrong: each step is asked for the walk's last state and not for the clean x."""

    def row_losses(self, source, target, seed, training=None):
        return super().row_losses(source, source, seed, training)


@pytest.mark.parametrize("kind", [dgm.GSN, _PreviousAsTarget])
def test_gradient_of_walkback_is_the_tables(kind):
    exact = testing.walkback_gradient(DATA, FLIPS, LOGITS, 2)
    report = check(tabular(kind, walkback_steps=2), exact)
    assert report.passed() == (kind is dgm.GSN), report


def test_geometric_walks_weigh_the_steps():
    steps = [testing.walkback_gradient(DATA, FLIPS, LOGITS, k) for k in (1, 2, 3)]
    exact = steps[0] + 0.5 * (steps[1] - steps[0]) + 0.25 * (steps[2] - steps[1])
    model = tabular(dgm.GSN, walkback_steps=3, continuation=0.5)
    report = check(model, exact)
    assert report.passed(), report


def test_walkback_learns_a_table_whose_chain_keeps_the_data():
    start = np.zeros((8, 8))
    model = tabular(dgm.GSN, logits=start, walkback_steps=3)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.1, 300)))
    model.fit(np.repeat(ROWS, 500, axis=0), batch_size=500, epochs=15, verbose=0)
    kernel, bias = values(model.reconstruction.trainable_variables)
    learned = np.exp(kernel + bias)
    learned /= learned.sum(axis=1, keepdims=True)
    law = testing.stationary_distribution(FLIPS @ learned.astype("float64"))
    assert testing.total_variation(law, DATA) < 0.03
    uniform = np.full((8, 8), 1 / 8)
    assert testing.total_variation(testing.stationary_distribution(FLIPS @ uniform), DATA) > 0.2


def test_learned_flips_follow_the_mutual_information():
    """J = KL + H(data) - I: at the Bayes reconstruction the KL is flat and J is not."""
    keep, share = 1.0 / (1.0 + np.exp(-0.8)), 0.3
    corruption = FlipCorruption(1, probability=1.0 - keep, learned=True)
    reconstruction = distributions.Bernoulli(1)
    model = dgm.DenoisingAutoencoder(corruption, reconstruction, learn_corruption=True, seed=0)
    assert model.estimator == "score_function"
    prior, tell = np.log(share / (1.0 - share)), np.log(keep / (1.0 - keep))
    kernel, bias = reconstruction.trainable_variables
    kernel.assign([[2.0 * tell]])
    bias.assign([prior - tell])
    x = np.array([[0.0]] * 7 + [[1.0]] * 3, "float32")

    def report(flip_logit):
        exact = {"corruption": [np.array(flip_logit)]}
        if flip_logit:
            exact["reconstruction"] = [np.zeros((1, 1)), np.zeros(1)]
        return testing.check_gradient_estimator(model, exact, 80, data=x, batch_copies=1_000)

    assert report(0.14492).passed(), report(0.14492)  # in the logit of a flip: minus the keep's
    assert not report(0.0).passed()


def test_learned_gaussian_noise_with_a_latent_layer():
    """z = k x + s e, z_bar = z + t e'; p(z|z_bar) = N(a z_bar, 1), p(x|z) = N(b z, 1)."""
    k, s, t, a, b = 0.7, 1.0, 0.5, 0.6, 0.8
    corruption = Chain([Normal(1, scale="shared"), GaussianCorruption(1, t, learned=True)])
    reconstruction = Chain([Normal(1, scale=1.0), Normal(1, scale=1.0)])
    model = dgm.DenoisingAutoencoder(corruption, reconstruction, learn_corruption=True, seed=0)
    assert model.estimator == "reparameterized"
    for layer, slope in [(corruption.parts[0], k), *zip(reconstruction.parts, (a, b))]:
        for variable in layer.trainable_variables:
            if variable.path.endswith("kernel"):
                variable.assign([[slope]])
    x = np.array([[0.5], [-1.0], [1.5], [0.3]], "float32")
    v, m = np.mean(x**2), np.mean(x)
    z2 = k**2 * v + s**2
    along_k = (1.0 - a) ** 2 * k * v - b * (1.0 - b * k) * v
    along_s = (1.0 - a) ** 2 * s + b**2 * s - 1.0 / s
    exact = {
        "corruption": {
            "kernel": along_k,
            "bias": (1.0 - a) ** 2 * k * m - b * (1.0 - b * k) * m,
            "raw_scale": along_s * (1.0 - np.exp(-s)),
            "noise": a**2 * t * (1.0 - np.exp(-t)),
        },
        "reconstruction": {
            "a": -((1.0 - a) * z2 - a * t**2),
            "b": -(k * v - b * z2),
        },
    }

    many = np.repeat(x, 1_000, axis=0)

    def draw(number):
        found = model.estimate_gradients(many, number)
        first = {
            v.path.split("/")[-1]: g
            for v, g in zip(corruption.parts[0].trainable_variables, found["corruption"])
        }
        first["noise"] = found["corruption"][-1]
        kernels = [g for g in found["reconstruction"] if g.ndim == 2]
        both = {"corruption": first, "reconstruction": dict(zip("ab", kernels))}
        return [float(np.squeeze(both[p][n])) for p in exact for n in exact[p]]

    reference = [float(exact[p][n]) for p in exact for n in exact[p]]
    report = testing.check_gradient_estimator(lambda i: np.array(draw(i)), np.array(reference), 80)
    assert report.passed(), report
    chain = model.chain(x, num_steps=3, seed=0)
    assert chain.shape == (3, 4, 1)


@pytest.mark.parametrize("kind", [dgm.DenoisingAutoencoder, dgm.GSN])
def test_learns_patterns_and_goes_on_from_a_file(tmp_path, kind):
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 2, (3, 4, 4, 1)).astype("float32")
    x = np.repeat(patterns, 40, axis=0)
    keras.utils.set_random_seed(0)
    reconstruction = distributions.Bernoulli((4, 4, 1), networks.mlp([32]))
    options = {"walkback_steps": 3} if kind is dgm.GSN else {}
    model = kind(FlipCorruption((4, 4, 1), 0.1), reconstruction, seed=0, **options)
    model.compile(keras.optimizers.Adam(0.01))
    logs = model.fit(x, batch_size=20, epochs=20, verbose=0).history
    assert set(logs) == set(model.terms)
    assert logs["loss"][-1] < 0.4 * logs["loss"][0]
    np.testing.assert_allclose(model.reconstruct(patterns), patterns, atol=0.3)
    drawn = model.sample(30, seed=0, num_steps=30, mean=True)
    nearest = np.abs(drawn[:, None] - patterns[None]).mean(axis=(2, 3, 4)).min(axis=1)
    assert np.mean(nearest < 0.15) > 0.7
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    first = model.fit(x, batch_size=20, verbose=0).history
    second = again.fit(x, batch_size=20, verbose=0).history
    assert second["loss"][0] == pytest.approx(first["loss"][0], rel=1e-4)
    found = model.evaluate(x, verbose=0, return_dict=True)
    assert found["nll"] == pytest.approx(first["nll"][0], rel=0.5)


def test_errors_say_what_to_do():
    flips, recovery = FlipCorruption(4), distributions.Bernoulli(4)
    with pytest.raises(ValueError, match="no trainable weight"):
        dgm.DenoisingAutoencoder(flips, recovery, learn_corruption=True)
    with pytest.raises(ValueError, match="carry no gradient"):
        learned = FlipCorruption(4, learned=True)
        dgm.DenoisingAutoencoder(
            learned, distributions.Bernoulli(4), True, estimator="reparameterized"
        )
    with pytest.raises(ValueError, match="Give it the data's event shape"):
        dgm.DenoisingAutoencoder(FlipCorruption(3), distributions.Bernoulli(4))
    with pytest.raises(ValueError, match="reverse order"):
        dgm.DenoisingAutoencoder(
            Chain([Normal(2), GaussianCorruption(2)]), distributions.Bernoulli(4)
        )
    with pytest.raises(ValueError, match="walkback_steps"):
        dgm.GSN(flips, recovery, walkback_steps=0)
    model = dgm.DenoisingAutoencoder(flips, recovery, seed=0)
    model.compile("adam")
    with pytest.raises(ValueError, match="ranges over"):
        model.fit(np.full((3, 4), 2.0, "float32"), verbose=0)
    with pytest.raises(ValueError, match="as many starts"):
        model.sample(3, start=np.zeros((2, 4)))
    runaway = dgm.DenoisingAutoencoder(GaussianCorruption(1, 0.5), Normal(1, scale=0.1), seed=0)
    runaway.reconstruction.trainable_variables[0].assign(ops.full((1, 1), 1e10))
    with pytest.raises(ValueError, match="is not finite from step"):
        runaway.sample(2, seed=0, num_steps=10)
