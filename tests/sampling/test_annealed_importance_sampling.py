"""Annealed importance sampling: unbiased, and a bracket around log Z."""

import chains
import numpy as np
import pytest
from keras import ops

from keras_dgm import backend, distributions, models, networks, sampling, testing

CHAINS = 40000
KERNEL = {"step_size": 0.3, "num_leapfrog_steps": 2}


def gamma_potential(x):
    """u(x) = sum_i 2 x_i - exp x_i, whose integral over the plane is 1."""
    return ops.sum(2.0 * x - ops.exp(x), axis=-1)


def standard_normal():
    base = distributions.Normal((2,))
    base.build()
    return base


def test_weights_are_unbiased_where_tfp_is_biased():
    path = sampling.GeometricPath(gamma_potential, standard_normal())
    ours = sampling.annealed_importance_sampling(
        path, sampling.HMC(**KERNEL, num_steps=1), num_temperatures=10, num_chains=CHAINS
    )
    mean, error = np.exp(ours.log_partition), ours.standard_error * np.exp(ours.log_partition)
    assert abs(mean - 1.0) < 4 * error and error < 0.005
    assert 0.5 < ours.acceptance <= 1.0

    def chain(start, seed):
        _, log_weights, _ = backend.tfp_mcmc.sample_annealed_importance_chain(
            num_steps=10,
            proposal_log_prob_fn=standard_normal().log_prob,
            target_log_prob_fn=gamma_potential,
            current_state=start,
            make_kernel_fn=lambda fn: backend.tfp_mcmc.HamiltonianMonteCarlo(fn, **KERNEL),
            seed=seed,
        )
        return log_weights

    program = backend.compiled(chains._Nothing(), chain)
    start = np.random.default_rng(0).normal(size=(CHAINS, 2)).astype("float32")
    log_weights = program(ops.convert_to_tensor(start), backend.as_seed(0))
    weights = np.exp(ops.convert_to_numpy(log_weights).astype("float64"))
    # The same check that ours passes tells it from 1.
    assert abs(np.mean(weights) - 1.0) > 6 * np.std(weights) / np.sqrt(CHAINS)


def test_forward_and_reverse_bracket_the_log_partition_of_a_machine():
    rbm, oracle = chains.small_rbm(8, 6, seed=1)
    path, kernel = rbm.annealing_path(), sampling.BlockGibbs()
    exact = oracle.log_partition()
    forward = sampling.annealed_importance_sampling(path, kernel, 200, 500, seed=1)
    reverse = sampling.annealed_importance_sampling(
        path, kernel, 200, seed=2, initial=rbm.exact_sample(500), reverse=True
    )
    for result in (forward, reverse):
        assert abs(result.log_partition - exact) < 4 * result.standard_error < 0.06
        assert 400 < result.effective_sample_size <= 500
    # In expectation the logs lie on either side, further off with fewer temperatures: the mean
    # log-weight itself is a bound.
    base = path.base_log_partition
    assert np.mean(forward.log_weights) + base < exact < base - np.mean(reverse.log_weights)


def test_the_bracket_of_a_gaussian_machine_and_of_a_deep_one():
    gaussian = models.RBM((3,), 4, visible="gaussian", scale=0.8)
    rng = np.random.default_rng(1)
    for variable in gaussian.trainable_variables:
        variable.assign(0.7 * rng.normal(size=variable.shape))
    deep = models.DBM((4,), [5, 3])
    for variable in deep.trainable_variables:
        variable.assign(0.7 * rng.normal(size=variable.shape))
    for machine in (gaussian, deep):
        result = sampling.annealed_importance_sampling(
            machine.annealing_path(), machine.annealing_kernel(), 100, 400, schedule="sigmoid"
        )
        error = max(result.standard_error, 1e-3)
        assert abs(result.log_partition - machine.exact_log_partition()) < 4 * error < 0.1


def test_a_random_field_against_quadrature():
    field = models.RandomField(networks.random_field_mlp((16,)), (2,), linear_and_squared=True)
    grid = testing.GridDensity(
        lambda x: ops.convert_to_numpy(field.potential(x)), [(-9, 9)] * 2, 201, dtype="float32"
    )
    data = grid.sample(500, np.random.default_rng(0))
    kernel = sampling.MALA(step_size=0.3, num_steps=1)
    result = sampling.annealed_importance_sampling(field.annealing_path(data), kernel, 60, 2000)
    assert abs(result.log_partition - grid.log_partition) < 4 * result.standard_error < 0.05


def test_what_would_be_no_estimate_is_refused():
    path = sampling.GeometricPath(gamma_potential, standard_normal())
    with pytest.raises(ValueError, match="leaves each law on its way unchanged"):
        sampling.annealed_importance_sampling(path, sampling.Langevin(0.1))
    with pytest.raises(ValueError, match="starts from draws of the target"):
        sampling.annealed_importance_sampling(path, sampling.HMC(), reverse=True)
    for schedule in ([0.0, 0.5], [0.0, 0.7, 0.5, 1.0], "cosine"):
        with pytest.raises(ValueError, match="schedule"):
            sampling.annealed_importance_sampling(path, sampling.HMC(), schedule=schedule)
    nowhere = sampling.GeometricPath(lambda x: ops.sum(x, -1) * np.inf, standard_normal())
    with pytest.raises(ValueError, match="not finite"):
        sampling.annealed_importance_sampling(nowhere, sampling.MALA(num_steps=1), 2, 4)
