"""Transition matrices, and the checks of stationarity and of the order of bounds."""

import numpy as np
import pytest
from scipy import stats

from keras_dgm.testing import (
    EnumerableModel,
    check_detailed_balance,
    check_order,
    check_stationarity,
    check_transition_matrix,
    chi_square_test,
    metropolis_independence_matrix,
    stationarity_gap,
    stationary_distribution,
    total_variation,
    visited_distribution,
)

X = np.array([1.0, 0.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def model():
    return EnumerableModel.random(4, [2, 2], seed=1)


@pytest.fixture(scope="module")
def chain(model):
    """(log weights, proposal, posterior)."""
    return model.log_weights(X), model.inference(X), model.posterior(X)


@pytest.mark.parametrize("num_tries", [1, 2, 3])
@pytest.mark.parametrize("num_steps", [1, 5])
def test_independence_sampler_keeps_the_posterior(chain, num_tries, num_steps):
    log_weights, proposal, posterior = chain
    matrix = metropolis_independence_matrix(log_weights, proposal, num_tries, num_steps)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-12)
    assert np.min(matrix) >= 0.0
    assert stationarity_gap(matrix, posterior) < 1e-12
    assert check_detailed_balance(matrix, posterior)
    assert total_variation(stationary_distribution(matrix), posterior) < 1e-10


def test_wrong_kernels_do_not(chain):
    log_weights, proposal, posterior = chain
    rng = np.random.default_rng(0)
    stale = metropolis_independence_matrix(log_weights + rng.normal(size=16), proposal)
    always = np.tile(proposal, (16, 1))
    dropped = metropolis_independence_matrix(log_weights, proposal)
    np.fill_diagonal(dropped, 0.0)
    dropped /= dropped.sum(axis=1, keepdims=True)
    for matrix in (stale, always, dropped):
        assert stationarity_gap(matrix, posterior) > 1e-3
        assert not check_detailed_balance(matrix, posterior)


def test_more_tries_accept_more(chain):
    log_weights, proposal, posterior = chain
    stay = [
        posterior @ np.diag(metropolis_independence_matrix(log_weights, proposal, tries))
        for tries in (1, 2, 3)
    ]
    assert stay[0] > stay[1] > stay[2]


def test_multiple_tries_by_monte_carlo(model, chain):
    log_weights, proposal, _ = chain
    weights = np.exp(log_weights)

    def kernel(states, seed):
        rng = np.random.default_rng(seed)
        current = model.state_index(states)
        tries = rng.choice(16, size=(len(current), 2), p=proposal)
        total = weights[tries].sum(axis=1)
        second = rng.uniform(size=len(current)) < weights[tries[:, 1]] / total
        chosen = np.where(second, tries[:, 1], tries[:, 0])
        accept = total / (total - weights[chosen] + weights[current])
        moved = np.where(rng.uniform(size=len(current)) < accept, chosen, current)
        return tuple(s[moved] for s in model.states)

    right = metropolis_independence_matrix(log_weights, proposal, num_tries=2)
    report = check_transition_matrix(kernel, model.states, right, model.state_index)
    assert report.passed(), report
    # Another kernel with the same stationary law is not the same kernel.
    other = metropolis_independence_matrix(log_weights, proposal, num_tries=1)
    assert not check_transition_matrix(kernel, model.states, other, model.state_index).passed()


def test_visited_distribution_averages_the_steps(chain):
    log_weights, proposal, posterior = chain
    matrix = metropolis_independence_matrix(log_weights, proposal)
    by_hand = (proposal @ matrix + proposal @ matrix @ matrix) / 2.0
    np.testing.assert_allclose(visited_distribution(matrix, proposal, 2), by_hand)
    np.testing.assert_allclose(visited_distribution(matrix, posterior, 7), posterior, atol=1e-14)


def test_stationary_distribution_refuses_what_has_none_or_several():
    with pytest.raises(ValueError, match="irreducible"):
        stationary_distribution(np.eye(3))
    with pytest.raises(ValueError, match="sum to one"):
        stationary_distribution(np.ones((2, 2)))
    with pytest.raises(ValueError, match="square"):
        stationary_distribution(np.ones((2, 3)))


def independence_kernel(model, chain, accept="metropolis"):
    log_weights, proposal, _ = chain

    def kernel(states, seed):
        rng = np.random.default_rng(seed)
        current = model.state_index(states)
        proposed = rng.choice(16, size=len(current), p=proposal)
        log_ratio = log_weights[proposed] - log_weights[current]
        moves = np.log(rng.uniform(size=len(current))) < log_ratio
        if accept == "always":
            moves = np.ones(len(current), bool)
        chosen = np.where(moves, proposed, current)
        return tuple(s[chosen] for s in model.states)

    return kernel


def exact_states(model, chain):
    return lambda n, seed: model.sample_states(chain[2], n, np.random.default_rng(seed))


def test_discrete_stationarity_passes_and_fails(model, chain):
    options = {"num_steps": 3, "state_index": model.state_index, "probabilities": chain[2]}
    report = check_stationarity(
        independence_kernel(model, chain), exact_states(model, chain), **options
    )
    assert report.passed(), report
    assert 0.0 < report.moved < 1.0
    wrong = check_stationarity(
        independence_kernel(model, chain, "always"), exact_states(model, chain), **options
    )
    assert not wrong.passed(), wrong
    assert "FAILED" in str(wrong)


def normal_draws(n, seed):
    return np.random.default_rng(seed).normal(size=(n, 2))


def autoregression(variance):
    """x' = 0.5 x + noise: stationary at variance / 0.75."""

    def kernel(x, seed):
        noise = np.random.default_rng(seed).normal(size=x.shape)
        return 0.5 * x + np.sqrt(variance) * noise

    return kernel


@pytest.mark.parametrize("cdf", [stats.norm.cdf, [stats.norm.cdf] * 2, None])
def test_continuous_stationarity_passes_and_fails(cdf):
    report = check_stationarity(autoregression(0.75), normal_draws, num_steps=3, cdf=cdf)
    assert report.passed(), report
    assert set(report.p_values) == {"marginal 0", "marginal 1"}
    wrong = check_stationarity(autoregression(0.9), normal_draws, num_steps=3, cdf=cdf)
    assert not wrong.passed(), wrong


def test_statistics_see_what_marginals_do_not():
    """A kernel that ties the coordinates keeps both marginals."""

    def tie(x, seed):
        return np.stack([x[:, 0], x[:, 0]], axis=1)

    assert check_stationarity(tie, normal_draws, cdf=stats.norm.cdf).passed()
    report = check_stationarity(
        tie, normal_draws, cdf=stats.norm.cdf, statistics={"product": lambda x: x[:, 0] * x[:, 1]}
    )
    assert not report.passed()
    assert report.p_values["product"] < 1e-6


def test_standing_still_and_diverging_do_not_pass():
    report = check_stationarity(lambda x, seed: x, normal_draws, cdf=stats.norm.cdf)
    assert report.p_value > 1e-3 and not report.passed()
    report = check_stationarity(lambda x, seed: np.full_like(x, np.nan), normal_draws)
    assert not report.passed()


def test_kernels_get_fresh_seeds_and_false_alarms_are_rare():
    seeds = []

    def kernel(x, seed):
        seeds.append(tuple(seed))
        return autoregression(0.75)(x, seed)

    reports = [
        check_stationarity(
            kernel, normal_draws, num_chains=500, num_steps=2, cdf=stats.norm.cdf, seed=s
        )
        for s in range(100)
    ]
    assert len(set(seeds)) == 200
    p_values = [p for r in reports for p in r.p_values.values()]
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3


def test_chi_square_is_calibrated_and_strict():
    rng = np.random.default_rng(1)
    law = rng.dirichlet(0.3 * np.ones(40))
    p_values = [chi_square_test(rng.multinomial(2000, law), law)[1] for _ in range(300)]
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3
    assert chi_square_test([10, 10, 1], [0.5, 0.5, 0.0])[1] == 0.0
    with pytest.raises(ValueError, match="sum to one"):
        chi_square_test([10, 10], [0.5, 0.6])
    with pytest.raises(ValueError, match="more chains"):
        chi_square_test([3, 2], [0.5, 0.5])


def test_stationarity_errors():
    with pytest.raises(ValueError, match="go together"):
        check_stationarity(autoregression(1.0), normal_draws, probabilities=[1.0])
    with pytest.raises(ValueError, match="Nothing to test"):
        check_stationarity(autoregression(1.0), normal_draws, cdf=False)
    with pytest.raises(ValueError, match="3 cdfs for 2 marginals"):
        check_stationarity(autoregression(1.0), normal_draws, cdf=[stats.norm.cdf] * 3)
    with pytest.raises(ValueError, match="turned states of 2 numbers"):
        check_stationarity(lambda x, seed: x[:, :1], normal_draws)


def test_order_passes_and_names_violations(model):
    x = np.stack([X, 1.0 - X])
    bounds = {k: model.iw_bound(x, k) for k in (2, 3)}
    report = check_order(model.elbo(x), bounds, model.log_marginal(x))
    assert report.passed(), report
    swapped = check_order(model.elbo(x), {2: bounds[3], 3: bounds[2]}, model.log_marginal(x))
    assert not swapped.passed()
    low, high, point, amount = swapped.violations[0]
    assert (low, high, point) == ("IW-2", "IW-3", 0) and amount > 0.01
    assert "IW-2 exceeds IW-3" in str(swapped)
    assert not check_order(elbo=np.nan, log_prob=0.0).passed()


def test_order_allows_for_noise_only_where_it_is_declared():
    noisy = {"elbo": -1.0, "log_prob": -1.1}
    assert not check_order(**noisy).passed()
    assert check_order(**noisy, standard_errors={"elbo": 0.03}).passed()
    assert not check_order(**noisy, standard_errors={"elbo": 0.02}).passed()
    with pytest.raises(ValueError, match="not given"):
        check_order(**noisy, standard_errors={5: 0.1})
    with pytest.raises(ValueError, match="at least two"):
        check_order(elbo=1.0)
