"""The Metropolis independence sampler against its enumerated transition matrix."""

import numpy as np
import pytest
from keras import ops

from keras_dgm import backend, sampling, testing
from keras_dgm.sampling import metropolis_independence

PROPOSAL = np.array([0.4, 0.3, 0.2, 0.1])
LOG_WEIGHTS = np.array([-1.0, 0.7, 0.2, 2.0])
TARGET = PROPOSAL * np.exp(LOG_WEIGHTS) / np.sum(PROPOSAL * np.exp(LOG_WEIGHTS))


def kernel(num_tries, num_steps):
    """The sampler as a function of NumPy states and seeds, compiled once."""
    sampler = sampling.MetropolisIndependence(num_steps, num_tries)
    table = ops.convert_to_tensor(LOG_WEIGHTS.astype("float32"))

    def move(states, seed):
        def propose(num, seed):
            logits = ops.convert_to_tensor(np.log(PROPOSAL).astype("float32"))
            shape = (num, *ops.shape(states))
            return backend.categorical(ops.broadcast_to(logits, (*shape, 4)), seed)

        result = sampler.sample(propose, lambda s: ops.take(table, s), states, seed)
        return result.state

    program = backend.compiled(_Nothing(), move)

    def call(states, seed):
        states = ops.convert_to_tensor(np.asarray(states, "int32"))
        return ops.convert_to_numpy(program(states, ops.convert_to_tensor(np.asarray(seed))))

    return call


class _Nothing:
    variables = ()


@pytest.mark.parametrize(("num_tries", "num_steps"), [(1, 1), (3, 1), (1, 4), (2, 2)])
def test_moves_by_the_enumerated_matrix(num_tries, num_steps):
    matrix = testing.metropolis_independence_matrix(LOG_WEIGHTS, PROPOSAL, num_tries, num_steps)
    assert testing.stationarity_gap(matrix, TARGET) < 1e-12
    move = kernel(num_tries, num_steps)
    report = testing.check_transition_matrix(
        move, np.arange(4), matrix, lambda s: np.asarray(s), num_chains=10_000
    )
    assert report.passed(), report
    wrong = testing.metropolis_independence_matrix(LOG_WEIGHTS, PROPOSAL, num_tries + 1, num_steps)
    control = testing.check_transition_matrix(
        move, np.arange(4), wrong, lambda s: np.asarray(s), num_chains=10_000
    )
    assert not control.passed()


def test_the_walk_of_one_try_is_metropolis_rule(monkeypatch):
    """The threshold itself: accepted below min(1, w'/w), refused above, and ties are moves."""
    log_w, log_v = np.meshgrid([-2.0, 0.0, 1.5], [-1.0, 0.0, 3.0], indexing="ij")
    threshold = np.minimum(1.0, np.exp(log_v - log_w)).ravel()
    for factor, expected in ((0.999, True), (1.001, False)):
        uniform = ops.convert_to_tensor((threshold * factor)[None].astype("float32"))
        monkeypatch.setattr(
            metropolis_independence.backend, "uniform", lambda shape, seed, u=uniform: u
        )
        start = ops.convert_to_tensor(log_w.ravel().astype("float32"))
        proposed = ops.convert_to_tensor(log_v.ravel()[None].astype("float32"))
        visited, accepted = sampling.independence_walk(start, proposed, 0)
        accepted = ops.convert_to_numpy(accepted)[0]
        # u > 1 does not occur; where the threshold is 1 every move is accepted.
        certain = threshold == 1.0
        np.testing.assert_array_equal(accepted[~certain], expected)
        if expected:
            assert accepted[certain].all()
        np.testing.assert_array_equal(ops.convert_to_numpy(visited)[0], accepted.astype("int32"))


def test_impossible_states_are_left_and_never_entered():
    never = np.float32(-np.inf)
    start = ops.convert_to_tensor(np.array([never, never, 0.0], "float32"))
    one = ops.convert_to_tensor(np.array([[0.0, never, never]] * 2, "float32"))
    visited, _ = sampling.independence_walk(start, one, 3)
    np.testing.assert_array_equal(ops.convert_to_numpy(visited)[0], [1, 0, 0])
    tries = np.full((1, 2, 3), never)
    tries[0, 1, :] = [0.0, never, never]
    visited, _ = sampling.independence_walk(start, ops.convert_to_tensor(tries), 3)
    np.testing.assert_array_equal(ops.convert_to_numpy(visited)[0], [2, 0, 0])


def test_trace_statistics_and_counts():
    sampler = sampling.MetropolisIndependence(num_steps=6)

    def propose(num, seed):
        return backend.normal((num, 5, 2), seed)

    start = ops.zeros((5, 2))
    result = sampler.sample(propose, lambda s: -ops.sum(s * s, axis=-1), start, 1, trace=True)
    trace = ops.convert_to_numpy(result.trace)
    assert trace.shape == (6, 5, 2)
    np.testing.assert_array_equal(trace[-1], ops.convert_to_numpy(result.state))
    moved = np.any(np.diff(np.concatenate([np.zeros((1, 5, 2)), trace]), axis=0) != 0, axis=-1)
    assert np.mean(moved) == pytest.approx(float(result.statistics["acceptance"]))
    numbers = ops.convert_to_tensor(np.array([[0, 2], [1, 2], [1, 1]], "int32"))
    counts = ops.convert_to_numpy(metropolis_independence.times_visited(numbers, 3))
    np.testing.assert_array_equal(counts, [[1, 0], [2, 1], [0, 2]])


def test_bad_arguments_and_config():
    with pytest.raises(ValueError, match="num_tries"):
        sampling.MetropolisIndependence(num_tries=0)
    config = sampling.MetropolisIndependence(3, 2).get_config()
    assert sampling.MetropolisIndependence.from_config(config).num_tries == 2
