"""Enumerated models against finite differences, brute force and Monte Carlo."""

import itertools

import numpy as np
import pytest

from keras_dgm.testing import (
    BernoulliNetwork,
    CategoricalNetwork,
    EnumerableModel,
    FunctionalModel,
    check_gradient_estimator,
    multisample_expectations,
    numeric_gradient,
    numeric_jacobian,
)
from keras_dgm.testing.multisample import multisets
from keras_dgm.testing.numeric import log_sum_exp

X = np.array([[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.0]])


def random_weights(rng, *widths):
    pairs = zip(widths[:-1], widths[1:], strict=True)
    return [w for a, b in pairs for w in (rng.normal(size=(a, b)), 0.5 * rng.normal(size=b))]


def nonlinear_model(seed=3):
    rng = np.random.default_rng(seed)
    return EnumerableModel(
        rng.normal(size=2),
        [
            BernoulliNetwork(random_weights(rng, 2, 3, 3), "sigmoid"),
            BernoulliNetwork(random_weights(rng, 3, 2, 4), "tanh"),
        ],
        [
            BernoulliNetwork(random_weights(rng, 4, 3, 3), "tanh"),
            BernoulliNetwork(random_weights(rng, 3, 2), "tanh"),
        ],
        learned_prior=True,
    )


def categorical_model(seed=4):
    rng = np.random.default_rng(seed)
    return EnumerableModel(
        rng.normal(size=6),
        [BernoulliNetwork(random_weights(rng, 6, 4))],
        [CategoricalNetwork(random_weights(rng, 4, 3, 6), num_categories=3)],
        learned_prior=True,
    )


MODELS = {
    "one layer": lambda: EnumerableModel.random(4, [3], seed=0),
    "two layers, learned prior": lambda: EnumerableModel.random(4, [3, 2], 1, learned_prior=True),
    "non-linear": nonlinear_model,
    "categorical": categorical_model,
}


@pytest.fixture(scope="module", params=list(MODELS))
def model(request):
    return MODELS[request.param]()


def largest_difference(arrays, others):
    assert [np.shape(a) for a in arrays] == [np.shape(b) for b in others]
    return max(np.max(np.abs(a - b)) for a, b in zip(arrays, others, strict=True))


def test_everything_normalises(model):
    assert np.sum(np.exp(model.log_marginal(model.visible_states()))) == pytest.approx(1.0)
    np.testing.assert_allclose(model.posterior(X).sum(axis=1), 1.0)
    np.testing.assert_allclose(model.inference(X).sum(axis=1), 1.0)


def test_posterior_is_joint_over_marginal(model):
    table = np.exp(model.log_joint_table(X[0]))
    np.testing.assert_allclose(model.posterior(X[0]), table / table.sum(), rtol=1e-12)
    np.testing.assert_allclose(model.log_marginal(X[0]), np.log(table.sum()), rtol=1e-12)


def test_scores_match_finite_differences(model):
    tables = {
        "generative": (
            model.generative_scores(X[0]),
            numeric_jacobian(
                lambda p: model.with_parameters(generative=p).log_joint_table(X[0]),
                model.generative_parameters,
            ),
        ),
        "inference": (
            model.inference_scores(X[0]),
            numeric_jacobian(
                lambda p: model.with_parameters(inference=p).log_inference_table(X[0]),
                model.inference_parameters,
            ),
        ),
    }
    for analytic, numeric in tables.values():
        flat = np.concatenate([j.reshape(len(j), -1) for j in numeric], axis=1)
        np.testing.assert_allclose(analytic, flat, atol=1e-9)


@pytest.mark.parametrize(
    ("rule", "num_samples", "value"),
    [
        ("log_likelihood", 1, lambda m, k: np.mean(m.log_marginal(X))),
        ("elbo", 1, lambda m, k: np.mean(m.elbo(X))),
        ("iw_bound", 2, lambda m, k: np.mean(m.iw_bound(X, k))),
    ],
)
def test_gradients_match_finite_differences(model, rule, num_samples, value):
    gradient = model.gradient(rule, X, num_samples)
    theta = numeric_gradient(
        lambda p: value(model.with_parameters(generative=p), num_samples),
        model.generative_parameters,
    )
    phi = numeric_gradient(
        lambda p: value(model.with_parameters(inference=p), num_samples),
        model.inference_parameters,
    )
    assert largest_difference(gradient["generative"], theta) < 1e-9
    assert largest_difference(gradient["inference"], phi) < 1e-9


def test_gradient_of_three_samples_matches_finite_differences():
    model = EnumerableModel.random(3, [2, 1], seed=5)
    x = X[:1, :3]
    gradient = model.gradient("iw_bound", x, 3)
    phi = numeric_gradient(
        lambda p: np.mean(model.with_parameters(inference=p).iw_bound(x, 3)),
        model.inference_parameters,
    )
    assert largest_difference(gradient["inference"], phi) < 1e-9


def test_phi_rules_match_finite_differences(model):
    inclusive = numeric_gradient(
        lambda p: -np.mean(model.with_parameters(inference=p).inclusive_kl(X)),
        model.inference_parameters,
    )
    sleep = numeric_gradient(
        lambda p: model.with_parameters(inference=p).sleep_value(), model.inference_parameters
    )
    assert largest_difference(model.gradient("inclusive_kl", X)["inference"], inclusive) < 1e-9
    assert largest_difference(model.gradient("sleep", X)["inference"], sleep) < 1e-9
    wake_sleep = model.gradient("wake_sleep", X)
    assert largest_difference(wake_sleep["inference"], sleep) < 1e-9
    elbo = model.gradient("elbo", X)["generative"]
    assert largest_difference(wake_sleep["generative"], elbo) < 1e-12


def test_players_that_a_rule_leaves_alone_get_zeros(model):
    for rule, player in [
        ("log_likelihood", "inference"),
        ("inclusive_kl", "generative"),
        ("sleep", "generative"),
    ]:
        assert all(np.all(g == 0.0) for g in model.gradient(rule, X)[player])


def test_jsa_from_the_posterior_is_equation_27(model):
    """Fisher's identity: E_p(h|x)[grad log p(x, h)] is the gradient of log p(x)."""
    for num_steps in (1, 4):
        gradient = model.gradient("jsa", X, num_steps=num_steps)
        likelihood = model.gradient("log_likelihood", X)["generative"]
        inclusive = model.gradient("inclusive_kl", X)["inference"]
        assert largest_difference(gradient["generative"], likelihood) < 1e-11
        assert largest_difference(gradient["inference"], inclusive) < 1e-11


def test_jsa_from_the_inference_side_is_biased_and_gets_better():
    model = EnumerableModel.random(4, [3, 2], seed=1)
    exact = model.gradient("jsa", X)["generative"]
    errors = [
        largest_difference(
            model.gradient("jsa", X, start="inference", num_steps=n)["generative"], exact
        )
        for n in (1, 10, 100)
    ]
    assert errors[0] > 1e-2
    assert errors[0] > errors[1] > errors[2]


def test_jsa_expectation_by_brute_force():
    """One move from a draw of q, written out as accept or repeat."""
    model = EnumerableModel.random(4, [2], seed=2)
    q, log_w = model.inference(X[0]), model.log_weights(X[0])
    visited = np.zeros(len(q))
    for start, proposed in itertools.product(range(len(q)), repeat=2):
        accept = min(1.0, np.exp(log_w[proposed] - log_w[start]))
        visited[proposed] += q[start] * q[proposed] * accept
        visited[start] += q[start] * q[proposed] * (1.0 - accept)
    expected = visited @ model.generative_scores(X[0])
    gradient = model.gradient("jsa", X[0], start="inference")["generative"]
    np.testing.assert_allclose(np.concatenate([g.ravel() for g in gradient]), expected, atol=1e-12)


@pytest.mark.parametrize("num_samples", [1, 2, 3])
def test_multisample_expectations_by_brute_force(num_samples):
    rng = np.random.default_rng(0)
    log_w, q = 2.0 * rng.normal(size=5), rng.dirichlet(np.ones(5))
    bound, entropy, size = 0.0, 0.0, 0.0
    weights, squares, signal = np.zeros(5), np.zeros(5), np.zeros(5)
    for states in itertools.product(range(5), repeat=num_samples):
        probability = np.prod(q[list(states)])
        w = np.exp(log_w[list(states)])
        v = w / w.sum()
        bound += probability * np.log(w.mean())
        entropy -= probability * np.sum(v * np.log(v))
        size += probability / np.sum(v**2)
        for state, share in zip(states, v, strict=True):
            weights[state] += probability * share
            squares[state] += probability * share**2
            signal[state] += probability * np.log(w.mean())
    found = multisample_expectations(log_w, q, num_samples)
    assert found.bound == pytest.approx(bound, abs=1e-12)
    assert found.resampling_entropy == pytest.approx(entropy, abs=1e-12)
    assert found.effective_sample_size == pytest.approx(size, abs=1e-12)
    np.testing.assert_allclose(found.weights, weights, atol=1e-12)
    np.testing.assert_allclose(found.squared_weights, squares, atol=1e-12)
    np.testing.assert_allclose(found.log_mean_weight, signal, atol=1e-12)
    np.testing.assert_allclose(found.visits, num_samples * q, atol=1e-12)


@pytest.mark.parametrize(("states", "size"), [(4, 1), (4, 2), (3, 4)])
def test_multisets_count_every_ordering_once(states, size):
    indices, orderings = multisets(states, size)
    assert orderings.sum() == states**size
    assert len({tuple(row) for row in indices}) == len(indices)


def test_surrogate_of_normalised_weights_is_no_bound():
    """sum v log w = log mean w + log K - H(v), above the bound it is mistaken for."""
    model = EnumerableModel.random(4, [3], seed=0)
    q, log_w = model.inference(X[0]), model.log_weights(X[0])
    surrogate = 0.0
    for pair in itertools.product(range(len(q)), repeat=2):
        pair = list(pair)
        v = np.exp(log_w[pair] - log_sum_exp(log_w[pair]))
        surrogate += np.prod(q[pair]) * (v @ log_w[pair])
    expectations = model.multisample(X[0], 2)
    expected = expectations.bound + np.log(2.0) - expectations.resampling_entropy
    assert surrogate == pytest.approx(expected, abs=1e-12)
    assert surrogate > expectations.bound


def test_rws_is_the_expectation_of_its_own_biased_estimator():
    model = EnumerableModel.random(4, [3], seed=6)
    q, log_w, scores = model.inference(X[0]), model.log_weights(X[0]), model.inference_scores(X[0])
    expected = 0.0
    for pair in itertools.product(range(len(q)), repeat=2):
        pair = list(pair)
        v = np.exp(log_w[pair] - log_sum_exp(log_w[pair]))
        expected = expected + np.prod(q[pair]) * (v @ scores[pair])
    wake = model.gradient("rws", X[0], 2)
    found = np.concatenate([g.ravel() for g in wake["inference"]])
    np.testing.assert_allclose(found, expected, atol=1e-12)
    posterior = model.gradient("inclusive_kl", X[0])["inference"]
    assert largest_difference(wake["inference"], posterior) > 1e-2
    theta = model.gradient("iw_bound", X[0], 2)["generative"]
    assert largest_difference(wake["generative"], theta) < 1e-12


def test_rws_phi_updates_add_up():
    model = EnumerableModel.random(4, [3], seed=6)
    updates = [
        model.gradient("rws", X, 2, phi_update=u)["inference"] for u in ("wake", "sleep", "both")
    ]
    for wake, sleep, both in zip(*updates, strict=True):
        np.testing.assert_allclose(wake + sleep, both, atol=1e-12)


def test_gaps_and_order(model):
    bounds = [model.elbo(X), model.iw_bound(X, 2), model.log_marginal(X)]
    assert np.all(bounds[0] < bounds[1]) and np.all(bounds[1] < bounds[2])
    np.testing.assert_allclose(model.iw_bound(X, 1), model.elbo(X), atol=1e-12)
    assert np.all(model.exclusive_kl(X) > 0) and np.all(model.inclusive_kl(X) > 0)


def test_loss_gradient_is_the_negative(model):
    up, down = model.gradient("elbo", X), model.loss_gradient("elbo", X)
    for player in up:
        assert all(np.all(a == -b) for a, b in zip(up[player], down[player], strict=True))


def test_functional_model_agrees():
    model = EnumerableModel.random(4, [3, 2], seed=1, learned_prior=True)
    functional = FunctionalModel(
        lambda p, x, states: model.with_parameters(generative=p).log_joint_table(x),
        lambda p, x, states: model.with_parameters(inference=p).log_inference_table(x),
        model.states,
        model.generative_parameters,
        model.inference_parameters,
        visible_states=4,
    )
    for rule in ("elbo", "iw_bound", "rws", "wake_sleep", "jsa"):
        exact, other = model.gradient(rule, X, 2), functional.gradient(rule, X, 2)
        for player in exact:
            assert largest_difference(exact[player], other[player]) < 1e-9


def test_state_index_inverts_states(model):
    assert np.array_equal(model.state_index(*model.states), np.arange(len(model.states[0])))
    assert np.array_equal(model.state_index(model.states), np.arange(len(model.states[0])))
    rng = np.random.default_rng(0)
    posterior = model.posterior(X[0])
    draws = model.sample_states(posterior, 20000, rng)
    counts = np.bincount(model.state_index(draws), minlength=len(posterior))
    assert np.max(np.abs(counts / 20000 - posterior)) < 0.02


def vimco_draw(model, rng, num_samples, num_copies, average=False):
    """VIMCO's gradient of phi, written for this test; `average` is the planted mistake."""
    tables = [(model.inference(x), model.log_weights(x), model.inference_scores(x)) for x in X]

    def draw(_):
        total = 0.0
        for q, log_w, scores in tables:
            states = rng.choice(len(q), size=(num_copies, num_samples), p=q)
            w = log_w[states]
            bound = log_sum_exp(w, axis=1) - np.log(num_samples)
            signal = np.empty_like(w)
            for k in range(num_samples):
                replaced = w.copy()
                replaced[:, k] = np.mean(np.delete(w, k, axis=1), axis=1)
                signal[:, k] = bound - log_sum_exp(replaced, axis=1) + np.log(num_samples)
            if average:
                signal = signal / num_samples
            normalized = np.exp(w - log_sum_exp(w, axis=1)[:, None])
            coefficient = signal - normalized
            total = total + np.einsum("nk,nkp->p", coefficient, scores[states]) / num_copies
        return total / len(X)

    return draw


def test_vimco_estimates_the_bound_and_its_mistake_does_not():
    model = EnumerableModel.random(4, [3], seed=7)
    gradient = model.gradient("iw_bound", X, 3)["inference"]
    exact = np.concatenate([g.ravel() for g in gradient])
    rng = np.random.default_rng(0)
    good = check_gradient_estimator(vimco_draw(model, rng, 3, 50), exact, 400)
    assert good.passed(), good
    bad = check_gradient_estimator(vimco_draw(model, rng, 3, 50, average=True), exact, 400)
    assert not bad.passed(), bad


def test_errors_say_what_to_do():
    model = EnumerableModel.random(4, [3], seed=0)
    with pytest.raises(ValueError, match="Unknown rule 'vae'.*iw_bound"):
        model.gradient("vae", X)
    with pytest.raises(ValueError, match="phi_update.*'dream'"):
        model.gradient("rws", X, phi_update="dream")
    with pytest.raises(ValueError, match="start must be"):
        model.gradient("jsa", X, start="cache")
    with pytest.raises(ValueError, match="Flatten images"):
        model.elbo(np.zeros((2, 2, 2, 1)))
    with pytest.raises(ValueError, match="multisets"):
        EnumerableModel.random(4, [10]).iw_bound(X, 4)
    with pytest.raises(ValueError, match="at least 1"):
        model.iw_bound(X, 0)
    with pytest.raises(ValueError, match="joint states"):
        EnumerableModel.random(4, [8, 8])
    with pytest.raises(ValueError, match="do not fit"):
        EnumerableModel(np.zeros(2), model.layers, model.inference_layers)
    with pytest.raises(ValueError, match="none of the enumerable states"):
        model.state_index(np.full((1, 3), 0.5))
    with pytest.raises(ValueError, match="widths chain"):
        BernoulliNetwork([np.zeros((2, 3)), np.zeros(2)])
    with pytest.raises(ValueError, match="Unknown activation"):
        BernoulliNetwork([np.zeros((2, 3)), np.zeros(3)], "swish")
    with pytest.raises(ValueError, match="blocks of 4"):
        CategoricalNetwork([np.zeros((2, 6)), np.zeros(6)], 4)
