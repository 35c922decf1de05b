"""Samplers of Boltzmann machines against enumerated transition matrices and laws."""

import chains
import numpy as np
import pytest
from keras import ops

from keras_dgm import backend, models, sampling, testing


def test_block_gibbs_has_the_transition_matrix_of_enumeration():
    rbm, oracle = chains.small_rbm(4, 3, seed=1)
    for num_steps in (1, 2):
        report = testing.check_transition_matrix(
            chains.kernel(sampling.BlockGibbs(num_steps), rbm, rbm),
            oracle.states,
            oracle.transition_matrix(num_steps),
            oracle.state_index,
            num_chains=1500,
        )
        assert report.passed(), report


def test_mean_field_hidden_units_are_told_from_sampled_ones():
    rbm, oracle = chains.small_rbm(4, 3, seed=1, scale=2.0)

    class MeanField(sampling.BlockGibbs):
        def step(self, target, carry, seed):
            v = rbm.sample_visible(rbm.hidden_mean(carry["state"]), seed)
            one = ops.ones(())
            return {"state": v}, {"acceptance": one, "step_norm": one}

    report = testing.check_transition_matrix(
        chains.kernel(MeanField(), rbm, rbm),
        oracle.states,
        oracle.transition_matrix(),
        oracle.state_index,
        num_chains=1500,
    )
    assert not report.passed(), report


def test_gibbs_chains_of_gaussian_visibles_keep_their_law():
    rbm = models.RBM((2,), 3, visible="gaussian", scale=0.7)
    rng = np.random.default_rng(0)
    for variable in rbm.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    report = testing.check_stationarity(
        chains.kernel(sampling.BlockGibbs(2), rbm, rbm),
        lambda n, seed: rbm.exact_sample(n, seed),
        num_chains=10000,
        statistics={"product": lambda v: v[:, 0] * v[:, 1]},
    )
    assert report.passed(), report


def test_gibbs_chains_of_a_deep_machine_keep_their_law():
    oracle = testing.EnumerableDBM.random((3, 4, 2), seed=3)
    dbm = models.DBM((3,), [4, 2])
    for variable, value in zip(dbm.trainable_variables, oracle.parameters):
        variable.assign(value)
    law = np.exp(oracle.joint_potential(oracle.states) - oracle.log_partition())
    # The law of (v, h2): sum over h1.
    joint = law.reshape(8, 16, 4).sum(axis=1).ravel()
    states = testing.binary_states(5).astype("float32")

    def draw_exact(num_chains, seed):
        rng = np.random.default_rng(seed)
        rows = states[rng.choice(32, num_chains, p=joint / joint.sum())]
        return rows[:, :3], rows[:, 3:]

    program = backend.compiled(
        dbm, lambda v, h, seed: sampling.BlockGibbs(2).sample(dbm, (v, h), seed).state
    )

    def index(parts):
        bits = np.concatenate([np.asarray(part) for part in parts], axis=1).astype(int)
        return bits @ (1 << np.arange(4, -1, -1))

    report = testing.check_stationarity(
        lambda s, seed: program(*map(ops.convert_to_tensor, s), ops.convert_to_tensor(seed)),
        draw_exact,
        num_chains=10000,
        state_index=index,
        probabilities=joint / joint.sum(),
    )
    assert report.passed(), report


class AlwaysExchange(sampling.ParallelTempering):
    """Exchanges without the test of acceptance."""

    def step(self, target, carry, seed):
        carry, statistics = super().step(target, carry, seed)
        ladder = ops.flip(carry["ladder"], axis=1)
        return {"state": ladder[:, -1], "ladder": ladder}, statistics


def ladder_report(cls, rbm, oracle, num_steps=3):
    """Starts ladders from exact draws at every temperature and looks at the coldest."""
    betas = np.array([0.0, 0.4, 1.0])
    sampler = cls(betas=betas, num_steps=num_steps)
    laws = []
    for beta in betas:
        kernel, _, hidden_bias = oracle.parameters
        tempered = oracle.with_parameters([beta * kernel, oracle.visible_bias, beta * hidden_bias])
        laws.append(tempered.distribution())

    def draw_exact(num_chains, seed):
        rng = np.random.default_rng(seed)
        rows = [oracle.states[rng.choice(len(p), num_chains, p=p)] for p in laws]
        return np.stack(rows, axis=1).astype("float32")

    def move(ladder, seed):
        _, carry = sampler.run(rbm, sampler.resume(rbm, ladder), seed)
        return sampler.memory(carry)

    program = backend.compiled(rbm, move)
    return testing.check_stationarity(
        lambda s, seed: ops.convert_to_numpy(
            program(ops.convert_to_tensor(s), ops.convert_to_tensor(seed))
        ),
        draw_exact,
        num_chains=10000,
        state_index=lambda ladder: oracle.state_index(ladder[:, -1]),
        probabilities=laws[-1],
    )


def test_parallel_tempering_keeps_the_law_of_the_coldest_replica():
    rbm, oracle = chains.small_rbm(4, 3, seed=2, scale=1.5)
    report = ladder_report(sampling.ParallelTempering, rbm, oracle)
    assert report.passed(), report
    wrong = ladder_report(AlwaysExchange, rbm, oracle)
    assert not wrong.passed(), wrong


def test_parallel_tempering_crosses_where_gibbs_sampling_does_not():
    # Two modes of equal weight, all on and all off, which no single bit flip leads between.
    rbm = models.RBM((6,), 2)
    rbm.kernel.assign(np.full((6, 2), 5.0) * [1.0, -1.0])
    rbm.hidden_bias.assign([-15.0, 15.0])
    start = np.zeros((500, 6), "float32")
    stuck = sampling.simulate(sampling.BlockGibbs(200), rbm, start).state
    crossed = sampling.simulate(sampling.ParallelTempering(6, num_steps=200), rbm, start)
    assert abs(np.mean(rbm.exact_sample(4000)) - 0.5) < 0.05
    assert np.mean(stuck) < 0.05
    assert abs(np.mean(crossed.state) - 0.5) < 0.12
    assert 0.0 < crossed.statistics["acceptance"] < 1.0


def test_samplers_of_machines_refuse_other_targets():
    with pytest.raises(ValueError, match="needs a target with `gibbs_step`"):
        sampling.simulate(sampling.BlockGibbs(), chains.normal, np.zeros((2, 2)))
    with pytest.raises(ValueError, match="needs a target with `tempered"):
        sampling.simulate(sampling.ParallelTempering(), chains.normal, np.zeros((2, 2)))
    for betas in ([0.0, 0.5], [0.5, 0.2, 1.0], [1.0]):
        with pytest.raises(ValueError, match="rise from 0 or more to 1"):
            sampling.ParallelTempering(betas=betas)
    with pytest.raises(ValueError, match="2 temperatures"):
        sampling.ParallelTempering(num_temperatures=1)
