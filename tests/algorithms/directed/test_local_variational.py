"""MeanFieldVI and SemiAmortizedVAE on cases in closed form."""

import keras
import numpy as np
import pytest
from gaussians import loss_gradient, values_of
from keras import ops
from oracles import belief_network, inverse_softplus, linear_gaussian

import keras_dgm as dgm
from keras_dgm import backend, testing
from keras_dgm.algorithms.directed import local_steps
from keras_dgm.distributions import Bernoulli, Chain, Normal
from keras_dgm.testing import softplus

COPIES, DRAWS = 400, 40


def mean_field(rows, **options):
    oracle, generative, _ = linear_gaussian(3, 2)
    x = oracle.sample(rows, np.random.default_rng(1))[0].astype("float32")
    options = {"num_samples": 20, "local_steps": 10, "evaluation_steps": 300, **options}
    return oracle, x, dgm.MeanFieldVI(generative, Normal((2,)), rows, seed=0, **options)


def test_the_table_finds_each_points_best_factorised_q():
    oracle, x, model = mean_field(8)
    model.compile(keras.optimizers.SGD(0.0))
    for rate, epochs in ((0.05, 40), (0.005, 40)):
        model.local_learning_rate = rate
        model.train_function = None
        history = model.fit(x, batch_size=4, epochs=epochs, verbose=0).history
    mean, _ = oracle.posterior(x)
    scale = 1.0 / np.sqrt(np.diag(oracle.posterior_precision))
    parameters = model.local_parameters()[0]
    np.testing.assert_allclose(parameters["loc"], mean, atol=0.06)
    np.testing.assert_allclose(softplus(parameters["raw_scale"]), np.tile(scale, (8, 1)), atol=0.06)
    best = np.mean(oracle.log_marginal(x)) - oracle.approximation_gap()
    assert history["elbo"][-1] == pytest.approx(best, abs=0.3)
    # Data without an entry in the table: optimised from the start, for the same result.
    fresh = oracle.sample(40, np.random.default_rng(2))[0].astype("float32")
    many = np.repeat(fresh, 20, axis=0)
    model.local_learning_rate = 0.05
    elbo = model.evaluate(many, batch_size=800, verbose=0, return_dict=True)["elbo"]
    best = np.mean(oracle.log_marginal(fresh)) - oracle.approximation_gap()
    assert elbo == pytest.approx(best, abs=0.1)
    np.testing.assert_allclose(
        model.log_likelihood(fresh[:5], num_samples=100), oracle.log_marginal(fresh[:5]), atol=0.2
    )


def test_theta_gradients_are_those_of_each_rows_own_q():
    """With lambda_n held, theta's gradient is E_q grad log p; another row's q gives another."""
    oracle, generative, _ = linear_gaussian(3, 2)
    x = oracle.sample(2, np.random.default_rng(1))[0].astype("float32")
    rows = 2 * COPIES
    model = dgm.MeanFieldVI(
        generative, Normal((2,)), rows, num_samples=1, local_learning_rate=1e-12, seed=0
    )
    loc, scale = np.array([[0.5, -1.0], [-0.3, 0.8]]), np.array([[0.4, 0.7], [0.9, 0.3]])
    tables = model.tables[0][0]
    tables["loc"].assign(np.repeat(loc, COPIES, axis=0).astype("float32"))
    raw = np.repeat(inverse_softplus(scale), COPIES, axis=0)
    tables["raw_scale"].assign(raw.astype("float32"))

    def one(n):
        q = oracle.with_parameters(inference=[np.zeros((3, 2)), loc[n], scale[n]])
        kernel, bias, s = q.loss_gradient("elbo", x[n : n + 1])["generative"]
        return [s * (1.0 - np.exp(-oracle.scale)), kernel, bias]

    exact = {"generative": [0.5 * (a + b) for a, b in zip(one(0), one(1))]}
    index = np.arange(rows, dtype="int32")

    def check(index):
        batch = {"x": np.repeat(x, COPIES, axis=0), "index": index}
        return testing.check_gradient_estimator(
            lambda seed: model.estimate_gradients(batch, seed), exact, DRAWS
        )

    found = check(index)
    assert found.passed(), found
    assert not check(index[::-1].copy()).passed()


@pytest.mark.parametrize("wrong", [False, True])
def test_discrete_local_gradients_are_unbiased(monkeypatch, wrong):
    """Scores with the row's other draws as baseline, against enumeration."""
    oracle, generative, _ = belief_network([3])
    x = np.array([[1.0, 0, 1, 1]], "float32")
    logits, states = np.array([0.3, -0.8, 1.1]), testing.binary_states(3)
    log_joint = oracle.log_joint_table(x[0])

    def elbo(logits):
        log_q = states @ logits - np.sum(softplus(logits))
        return np.exp(log_q) @ (log_joint - log_q)

    exact = testing.numeric_gradient(elbo, logits)
    if wrong:  # the score's own weight left out of the signal
        monkeypatch.setattr(generative, "log_prob", lambda x, h, training=None: h[..., 0] * 0.0)

    def look(x, seed):
        rows = ops.broadcast_to(x, (COPIES, 4))
        parameters = ops.broadcast_to(ops.convert_to_tensor(logits.astype("float32")), (COPIES, 3))
        _, gradients = local_steps.elbo_gradient(
            generative, [Bernoulli((3,))], [{"logits": parameters}], rows, 3, seed
        )
        return ops.mean(gradients[0]["logits"], axis=0)

    program = backend.compiled(generative, look)
    report = testing.check_gradient_estimator(
        lambda i: [
            ops.convert_to_numpy(program(ops.convert_to_tensor(x), backend.as_seed(1000 + i)))
        ],
        [exact],
        100,
    )
    assert report.passed() != wrong, report


def rows_of(num_rows):
    return (np.random.default_rng(0).random((num_rows, 5)) < 0.4).astype("float32")


def deep_mean_field(num_data):
    generative = dgm.models.LatentVariableModel(
        Chain([Bernoulli((2,)), Normal((3,))]), Bernoulli((5,))
    )
    inference = Chain([Normal((3,)), Bernoulli((2,))])
    return dgm.MeanFieldVI(generative, inference, num_data, num_samples=2, seed=0)


def test_a_deep_mixed_model_its_table_and_its_file(tmp_path):
    x = rows_of(12)
    model = deep_mean_field(12)
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(x, batch_size=6, epochs=2, verbose=0)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    before = model.local_parameters()
    assert before[0]["loc"].shape == (12, 3) and before[1]["logits"].shape == (12, 2)
    model.fit(x, batch_size=6, epochs=3, initial_epoch=2, verbose=0)
    again.fit(x, batch_size=6, epochs=3, initial_epoch=2, verbose=0)
    for a, b in zip(model.weights, again.weights):
        np.testing.assert_array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b), a.path)
    after = model.local_parameters(index=[3])
    assert np.all(after[0]["loc"] != before[0]["loc"][[3]])
    np.testing.assert_array_equal(ops.convert_to_numpy(model.counts), 3)


def test_mean_field_refuses_what_it_cannot_hold():
    generative = dgm.models.LatentVariableModel(Normal((3,)), Bernoulli((5,)))
    with pytest.raises(ValueError, match="owns a network"):
        dgm.MeanFieldVI(generative, Normal((3,), network=dgm.networks.mlp([4])), 8)
    with pytest.raises(ValueError, match="no weights"):
        dgm.MeanFieldVI(generative, Normal((3,), scale="shared"), 8)
    with pytest.raises(ValueError, match="local_learning_rate"):
        dgm.MeanFieldVI(generative, Normal((3,)), 8, local_learning_rate=0.0)
    with pytest.raises(ValueError, match="local_steps"):
        dgm.MeanFieldVI(generative, Normal((3,)), 8, local_steps=0)
    binary = dgm.models.LatentVariableModel(Bernoulli((3,)), Bernoulli((5,)))
    with pytest.raises(ValueError, match="num_samples=2 at least"):
        dgm.MeanFieldVI(binary, Bernoulli((3,)), 8)
    model = dgm.MeanFieldVI(generative, Normal((3,)), 8)
    model.compile("adam")
    with pytest.raises(ValueError, match="num_data=8.*given 9 rows"):
        model.fit(rows_of(9), verbose=0)
    with pytest.raises(ValueError, match="no inference network"):
        model(rows_of(2))


RATE, STEPS, INNER = 0.05, 3, 2


def semi_amortized(cls=dgm.SemiAmortizedVAE, **options):
    oracle, generative, inference = linear_gaussian(3, 2)
    options = {
        "inner_steps": STEPS,
        "inner_learning_rate": RATE,
        "inner_samples": INNER,
        "inner_clipnorm": None,
        **options,
    }
    model = cls(generative, inference, seed=0, **options)
    x = oracle.sample(3, np.random.default_rng(1))[0].astype("float32")
    return oracle, x, model, [generative, inference]


def refined_bound(oracle, num_steps):
    """E[L(x, lambda_k)] for one x: the mean of q moves by an affine map and Gaussian noise."""

    def bound(parts, x):
        (p_raw, kernel, bias), (q_raw, q_kernel, q_bias) = parts
        s, q_scale = softplus(p_raw), softplus(q_raw)
        precision = np.eye(len(q_bias)) + (kernel / s**2) @ kernel.T
        pull = kernel @ ((x - bias) / s**2)
        mean, spread = x @ q_kernel + q_bias, np.zeros_like(precision)
        contraction = np.eye(len(q_bias)) - RATE * precision
        noise = RATE**2 / INNER * precision @ np.diag(q_scale**2) @ precision
        for _ in range(num_steps):
            mean = contraction @ mean + RATE * pull
            spread = contraction @ spread @ contraction.T + noise
        moved = type(oracle)(kernel, bias, s, np.zeros_like(q_kernel), mean, q_scale)
        return moved.elbo(x[None])[0] - 0.5 * np.trace(precision @ spread)

    return bound


class _StoppedSteps(dgm.SemiAmortizedVAE):
    """Wrong: the inner steps are not differentiated through."""

    def refine(self, x, seed, training=None):
        refined, first = super().refine(x, seed, training)
        start = self.inference(x, training=training)
        moved = {name: ops.stop_gradient(refined[name] - start[name]) for name in start}
        return {name: start[name] + moved[name] for name in start}, first


@pytest.mark.parametrize("cls", [dgm.SemiAmortizedVAE, _StoppedSteps])
def test_gradients_go_through_the_inner_steps(cls):
    oracle, x, model, layers = semi_amortized(cls)
    exact = loss_gradient(model, layers, refined_bound(oracle, STEPS), x)
    report = testing.check_gradient_estimator(model, exact, DRAWS, data=x, batch_copies=COPIES)
    assert report.passed() == (cls is dgm.SemiAmortizedVAE), report


def test_no_inner_step_is_the_vae():
    oracle, x, model, layers = semi_amortized(inner_steps=0)
    exact = loss_gradient(model, layers, refined_bound(oracle, 0), x)
    report = testing.check_gradient_estimator(model, exact, DRAWS, data=x, batch_copies=COPIES)
    assert report.passed(), report


def test_inner_steps_close_the_amortisation_gap():
    """From a poor network the bound rises with the steps towards the best mean of q."""
    bounds = []
    for steps in (0, 4, 60):
        oracle, x, model, layers = semi_amortized(inner_steps=steps, inner_samples=50)
        bias = model.inference.trainable_variables[-1]
        bias.assign(ops.convert_to_tensor(bias) + 1.0)
        many = np.repeat(x, 2000, axis=0)
        bounds.append(np.mean(model.log_likelihood(many, num_samples=1, rows=len(many))))
    assert bounds[0] + 0.5 < bounds[1] < bounds[2]
    mean, _ = oracle.posterior(x)
    scale = softplus(values_of(layers)[1][0])
    best = np.mean(
        [
            oracle.with_parameters(inference=[np.zeros((3, 2)), m, scale]).elbo(row[None])[0]
            for m, row in zip(mean, x)
        ]
    )
    assert bounds[2] == pytest.approx(best, abs=0.12)


def test_clipping_bounds_a_rows_step():
    _, x, model, _ = semi_amortized(
        inner_steps=1, inner_learning_rate=1.0, inner_clipnorm=0.01, inner_samples=1
    )

    def look(x):
        refined, _ = model.refine(x, backend.as_seed(0))
        start = model.inference(x)
        return ops.sqrt(sum(ops.sum((refined[n] - start[n]) ** 2, axis=1) for n in start))

    length = ops.convert_to_numpy(model.compiled_function("look", look)(ops.convert_to_tensor(x)))
    np.testing.assert_allclose(length, 0.01, rtol=1e-3)


def test_semi_amortized_refuses():
    generative = dgm.models.LatentVariableModel(Normal((3,)), Bernoulli((5,)))
    deep = dgm.models.LatentVariableModel(Chain([Normal((2,)), Normal((3,))]), Bernoulli((5,)))
    binary = dgm.models.LatentVariableModel(Bernoulli((3,)), Bernoulli((5,)))
    with pytest.raises(ValueError, match="one latent layer"):
        dgm.SemiAmortizedVAE(deep, Chain([Normal((3,)), Normal((2,))]))
    with pytest.raises(ValueError, match="carry no gradient"):
        dgm.SemiAmortizedVAE(binary, Bernoulli((3,)))
    with pytest.raises(ValueError, match="inner_steps"):
        dgm.SemiAmortizedVAE(generative, Normal((3,)), inner_steps=-1)
    with pytest.raises(ValueError, match="inner_learning_rate"):
        dgm.SemiAmortizedVAE(generative, Normal((3,)), inner_learning_rate=0.0)
