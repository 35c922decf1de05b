"""Enumerated Boltzmann machines and gridded densities."""

import numpy as np
import pytest
from scipy import stats

from keras_dgm.testing import (
    EnumerableDBM,
    EnumerableDBN,
    EnumerableRBM,
    GridDensity,
    check_gradient_estimator,
    detailed_balance_gap,
    numeric_gradient,
    stationarity_gap,
)
from keras_dgm.testing.numeric import binary_states, sigmoid

DATA = np.random.default_rng(0).integers(0, 2, size=(7, 4)).astype("float64")


def largest_difference(arrays, others):
    return max(np.max(np.abs(a - b)) for a, b in zip(arrays, others, strict=True))


def norm(arrays):
    return np.sqrt(sum(np.sum(a**2) for a in arrays))


@pytest.fixture(scope="module")
def rbm():
    return EnumerableRBM.random(4, 3, seed=0, scale=1.0)


def test_partition_function_by_brute_force(rbm):
    total = sum(
        np.exp(v @ rbm.kernel @ h + v @ rbm.visible_bias + h @ rbm.hidden_bias)
        for v in binary_states(4)
        for h in binary_states(3)
    )
    assert rbm.log_partition() == pytest.approx(np.log(total))
    assert rbm.distribution().sum() == pytest.approx(1.0)


def test_conditionals_are_those_of_the_joint(rbm):
    joint = np.exp(
        (rbm.states @ rbm.visible_bias)[:, None]
        + rbm.hidden_states @ rbm.hidden_bias
        + rbm.states @ rbm.kernel @ rbm.hidden_states.T
    )
    by_v = joint / joint.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(rbm.hidden_table(), by_v, rtol=1e-10)
    by_h = (joint / joint.sum(axis=0)).T
    np.testing.assert_allclose(rbm.visible_table(), by_h, rtol=1e-10)
    np.testing.assert_allclose(by_v @ rbm.hidden_states, rbm.hidden_mean(rbm.states), rtol=1e-10)
    np.testing.assert_allclose(by_h @ rbm.states, rbm.visible_mean(rbm.hidden_states), rtol=1e-10)


def test_gibbs_leaves_the_model_alone(rbm):
    matrix = rbm.transition_matrix()
    assert stationarity_gap(matrix, rbm.distribution()) < 1e-14
    assert detailed_balance_gap(matrix, rbm.distribution()) < 1e-14
    two = rbm.law_of(DATA) @ rbm.transition_matrix(2)
    np.testing.assert_allclose(rbm.chain_law(DATA, 2), two, atol=1e-14)


def test_likelihood_gradient_matches_finite_differences(rbm):
    numeric = numeric_gradient(
        lambda p: rbm.with_parameters(p).log_likelihood(DATA), rbm.parameters
    )
    assert largest_difference(rbm.log_likelihood_gradient(DATA), numeric) < 1e-10


def test_long_chains_turn_cd_into_likelihood(rbm):
    likelihood = rbm.log_likelihood_gradient(DATA)
    gaps = [
        norm(
            [
                a - b
                for a, b in zip(
                    rbm.contrastive_divergence_gradient(DATA, k), likelihood, strict=True
                )
            ]
        )
        for k in (1, 5, 200)
    ]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-6


@pytest.mark.parametrize("scale", [0.1, 2.0])
@pytest.mark.parametrize("num_steps", [1, 2])
def test_full_gradient_is_the_derivative_of_contrastive_divergence(scale, num_steps):
    rbm = EnumerableRBM.random(4, 3, seed=1, scale=scale)
    numeric = numeric_gradient(
        lambda p: rbm.with_parameters(p).contrastive_divergence(DATA, num_steps), rbm.parameters
    )
    full = rbm.contrastive_divergence_full_gradient(DATA, num_steps)
    assert largest_difference(full, numeric) < 1e-10
    # CD itself, and the term with the opposite sign, are something else at large weights.
    if scale == 2.0:
        cd = [-g for g in rbm.contrastive_divergence_gradient(DATA, num_steps)]
        trajectory = rbm.trajectory_term(DATA, num_steps)
        flipped = [g + t for g, t in zip(cd, trajectory, strict=True)]
        assert norm(trajectory) > 0.02 * norm(full)
        assert largest_difference(cd, numeric) > 1e-3
        assert largest_difference(flipped, numeric) > 1e-3


def test_share_of_the_trajectory_term_grows_with_the_weights():
    shares = []
    for scale in (0.1, 0.5, 1.0, 2.0):
        rbm = EnumerableRBM.random(5, 3, seed=0, scale=scale)
        data = np.random.default_rng(0).integers(0, 2, size=(7, 5))
        full = rbm.contrastive_divergence_full_gradient(data, 1)
        shares.append(norm(rbm.trajectory_term(data, 1)) / norm(full))
    assert shares == sorted(shares)
    assert shares[0] < 0.005 < 0.05 < shares[-1]


def test_cd_estimator_and_its_mistake(rbm):
    """CD-2 in NumPy; the mistake takes p(h | v_0) in the negative phase."""
    rng = np.random.default_rng(2)

    def draw(_, stale=False):
        start = np.repeat(DATA, 40, axis=0)
        v = start
        for _ in range(2):
            h = (rng.uniform(size=(len(v), 3)) < rbm.hidden_mean(v)).astype(float)
            v = (rng.uniform(size=(len(v), 4)) < rbm.visible_mean(h)).astype(float)
        first, last = rbm.hidden_mean(start), rbm.hidden_mean(start if stale else v)
        kernel = (start.T @ first - v.T @ last) / len(v)
        return [kernel, np.mean(start - v, axis=0), np.mean(first - last, axis=0)]

    exact = rbm.contrastive_divergence_gradient(DATA, 2)
    report = check_gradient_estimator(draw, exact, 300)
    assert report.passed(), report
    assert not check_gradient_estimator(lambda i: draw(i, stale=True), exact, 300).passed()


def test_data_as_probabilities(rbm):
    law = rbm.law_of(DATA)
    assert law.sum() == pytest.approx(1.0)
    by_rows = rbm.log_likelihood_gradient(DATA)
    assert largest_difference(by_rows, rbm.log_likelihood_gradient(law)) < 1e-14
    draws = rbm.sample(20000, np.random.default_rng(3))
    assert np.max(np.abs(rbm.law_of(draws) - rbm.distribution())) < 0.02


def test_largest_machine_is_quick():
    rbm = EnumerableRBM.random(12, 8, seed=4, scale=0.3)
    assert np.isfinite(rbm.log_partition())
    assert norm(rbm.log_likelihood_gradient(rbm.distribution())) < 1e-12
    assert np.isfinite(norm(rbm.contrastive_divergence_full_gradient(rbm.states[:9], 2)))


def test_one_layer_dbm_is_an_rbm(rbm):
    dbm = EnumerableDBM([rbm.kernel], [rbm.visible_bias, rbm.hidden_bias])
    assert dbm.log_partition() == pytest.approx(rbm.log_partition())
    np.testing.assert_allclose(dbm.log_prob(DATA), rbm.log_prob(DATA))
    kernel, visible, hidden = rbm.log_likelihood_gradient(DATA)
    assert largest_difference(dbm.log_likelihood_gradient(DATA), [kernel, visible, hidden]) < 1e-9


def test_dbm_by_brute_force_and_its_bound():
    dbm = EnumerableDBM.random([4, 3, 2], seed=5)
    (w1, w2), (b0, b1, b2) = dbm.kernels, dbm.biases
    v = DATA[0]
    total = sum(
        np.exp(v @ b0 + g @ b1 + h @ b2 + v @ w1 @ g + g @ w2 @ h)
        for g in binary_states(3)
        for h in binary_states(2)
    )
    assert dbm.potential(DATA)[0] == pytest.approx(np.log(total))
    assert dbm.distribution().sum() == pytest.approx(1.0)
    means = dbm.mean_field(DATA)
    bound = dbm.mean_field_bound(DATA, means)
    assert np.all(bound < dbm.log_prob(DATA))
    assert np.all(dbm.log_prob(DATA) - bound < 0.5)
    # Mean field is a fixed point, and moving off it lowers the bound.
    logits = DATA @ w1 + b1 + means[1] @ w2.T
    np.testing.assert_allclose(means[0], sigmoid(logits), atol=1e-10)
    moved = dbm.mean_field_bound(DATA, [np.clip(means[0] + 0.05, 0, 1), means[1]])
    assert np.all(moved < bound)
    posterior = dbm.posterior(DATA)
    np.testing.assert_allclose(posterior.sum(axis=1), 1.0)


def test_dbn_normalises_and_its_bound_is_tight_at_the_posterior():
    rbm = EnumerableRBM.random(3, 2, seed=6)
    kernel = np.random.default_rng(7).normal(size=(3, 5))
    dbn = EnumerableDBN(kernel, np.zeros(5), rbm)
    assert np.sum(np.exp(dbn.log_prob(dbn.states))) == pytest.approx(1.0)
    bound = dbn.bound(dbn.states, kernel.T, np.zeros(3))
    assert np.all(bound < dbn.log_prob(dbn.states))
    # A machine stacked on its own copy is that machine: greedy pretraining's starting point.
    bottom = EnumerableRBM.random(4, 3, seed=8)
    top = EnumerableRBM(bottom.kernel.T, bottom.hidden_bias, bottom.visible_bias)
    stacked = EnumerableDBN(bottom.kernel.T, bottom.visible_bias, top)
    np.testing.assert_allclose(stacked.log_prob(DATA), bottom.log_prob(DATA), rtol=1e-10)
    tight = stacked.bound(DATA, bottom.kernel, bottom.hidden_bias)
    np.testing.assert_allclose(tight, bottom.log_prob(DATA), rtol=1e-10)


def test_grid_of_a_normal():
    def potential(points):
        return -0.5 * (points[:, 0] ** 2 / 0.25 + points[:, 1] ** 2)

    grid = GridDensity(potential, [(-5, 5), (-8, 8)], num_points=161)
    assert grid.log_partition == pytest.approx(np.log(2.0 * np.pi * 0.5), abs=1e-10)
    np.testing.assert_allclose(grid.expectation(lambda p: p**2), [0.25, 1.0], atol=1e-9)
    assert grid.entropy() == pytest.approx(1.0 + np.log(2.0 * np.pi * 0.5), abs=1e-9)
    values = np.linspace(-2, 2, 9)
    np.testing.assert_allclose(grid.cdf(1)(values), stats.norm.cdf(values), atol=1e-6)
    draws = grid.sample(20000, np.random.default_rng(0))
    assert stats.kstest(draws[:, 0], stats.norm(scale=0.5).cdf).pvalue > 1e-3
    assert stats.kstest(draws[:, 1], grid.cdf(1)).pvalue > 1e-3


def test_grid_gradient_of_log_partition():
    """d log Z / d parameter = E_p[d u / d parameter]."""

    def log_partition(parameters):
        a, b = parameters

        def potential(points):
            return -(points[:, 0] ** 4) / 4 + a * points[:, 0] ** 2 + b * points[:, 0]

        return GridDensity(potential, [(-6, 6)], num_points=801)

    grid = log_partition((0.5, 0.3))
    numeric = numeric_gradient(lambda p: log_partition(p).log_partition, np.array([0.5, 0.3]))
    moments = grid.expectation(lambda p: np.concatenate([p**2, p], axis=1))
    np.testing.assert_allclose(moments, numeric, atol=1e-9)


def test_errors_say_what_would_do(rbm):
    with pytest.raises(ValueError, match="at most 14 units"):
        EnumerableRBM.random(20, 3)
    with pytest.raises(ValueError, match="needs biases"):
        EnumerableRBM(np.zeros((3, 2)), np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match="Expected rows"):
        rbm.log_likelihood(np.zeros((3, 5)))
    with pytest.raises(ValueError, match="sum to one"):
        rbm.log_likelihood(np.ones(16))
    with pytest.raises(ValueError, match="22 units"):
        EnumerableDBM.random([12, 8, 8])
    with pytest.raises(ValueError, match="do not fit"):
        EnumerableDBM([np.zeros((3, 2))], [np.zeros(3), np.zeros(3)])
    with pytest.raises(ValueError, match="does not lead"):
        EnumerableDBN(
            np.zeros((4, 5)),
            np.zeros(5),
            rbm.with_parameters([np.zeros((3, 2)), np.zeros(3), np.zeros(2)]),
        )
    with pytest.raises(ValueError, match="widen"):
        GridDensity(lambda p: -0.5 * p[:, 0] ** 2, [(-1, 1)])
    with pytest.raises(ValueError, match="one number a point"):
        GridDensity(lambda p: -0.5 * np.sum(p**2), [(-8, 8)])
    with pytest.raises(ValueError, match="not finite"):
        GridDensity(lambda p: np.full(len(p), np.nan), [(-8, 8)])
    with pytest.raises(ValueError, match="Use fewer points"):
        GridDensity(lambda p: p[:, 0], [(-1, 1)] * 3, num_points=401)
