"""Samplers over continuous states: closed forms, stationarity, statistics, refusals."""

import chains
import numpy as np
import pytest
from keras import ops

from keras_dgm import sampling, testing

NUM_CHAINS = 20000


def variance_after(sampler, start_variance, seed=0):
    """Variance of chains on N(0, 1) that began with the given one, and its standard error."""
    start = np.random.default_rng(seed).normal(size=(NUM_CHAINS, 1)) * np.sqrt(start_variance)
    result = sampling.simulate(sampler, chains.normal, start, seed=seed)
    variance = float(np.mean(result.state**2))
    return variance, variance * np.sqrt(2.0 / NUM_CHAINS), result


def test_sgld_has_the_stationary_variance_of_its_step_size():
    s = 0.8
    sampler = sampling.Langevin(step_size=s, num_steps=30)
    variance, error, result = variance_after(sampler, 1.0 / (1.0 - s / 4.0))
    assert abs(variance - 1.0 / (1.0 - s / 4.0)) < 4 * error
    # The check tells it from an exact sampler's.
    assert abs(variance - 1.0) > 10 * error
    assert sampler.temperature == pytest.approx(1.0)
    assert result.statistics["acceptance"] == 1.0
    assert result.statistics["clipped"] == 0.0


def test_gradient_coefficient_and_noise_imply_a_temperature():
    # The common slip: coefficient s where s / 2 belongs. The chain has half the temperature.
    s = 0.01
    sampler = sampling.Langevin(gradient_coefficient=s, noise_scale=s**0.5, num_steps=100)
    assert sampler.temperature == pytest.approx(0.5)
    variance, error, _ = variance_after(sampler, 0.5)
    # On N(0, 1) the variance is temperature / (1 - c / 2).
    assert abs(variance - 0.5 / (1.0 - s / 2.0)) < 4 * error
    assert abs(variance - 1.0) > 10 * error


def test_sghmc_has_the_stationary_variance_of_its_step_size():
    beta, c = 0.5, 0.8
    expected = (1.0 + beta) / (1.0 + beta - c / 2.0)
    sampler = sampling.SGHMC(step_size=c, momentum=beta, num_steps=40)
    variance, error, _ = variance_after(sampler, expected)
    assert abs(variance - expected) < 4 * error
    assert sampler.temperature == pytest.approx(1.0)
    # Noise of Langevin dynamics, without 1 - beta: another temperature, and it shows.
    wrong = sampling.SGHMC(step_size=c, momentum=beta, num_steps=40, noise_scale=(2 * c) ** 0.5)
    assert wrong.temperature == pytest.approx(2.0)
    variance, error, _ = variance_after(wrong, expected)
    assert abs(variance - expected) > 10 * error


@pytest.mark.parametrize(
    "sampler",
    [
        sampling.MALA(step_size=0.3, num_steps=5),
        sampling.HMC(step_size=0.4, num_leapfrog_steps=3, num_steps=3),
    ],
    ids=["MALA", "HMC"],
)
def test_exact_samplers_keep_the_target(sampler):
    draw_exact, cdf = chains.double_well_law()
    report = testing.check_stationarity(
        chains.kernel(sampler, chains.double_well), draw_exact, cdf=cdf, num_steps=3
    )
    assert report.passed(), report


def test_a_sampler_without_acceptance_does_not_keep_it():
    draw_exact, cdf = chains.double_well_law()
    sampler = sampling.Langevin(step_size=0.3, num_steps=5)
    report = testing.check_stationarity(
        chains.kernel(sampler, chains.double_well), draw_exact, cdf=cdf, num_steps=3
    )
    assert not report.passed(), report


def test_trace_ends_at_the_state_and_parts_have_their_own_steps():
    start = (np.zeros((6, 2), "float32"), np.zeros((6, 3), "float32"))
    sampler = sampling.Langevin(step_size=(0.1, 0.001), num_steps=4)

    def both(state):
        return chains.normal(state[0]) + chains.normal(state[1])

    result = sampling.simulate(sampler, both, start, seed=1, trace=True)
    assert result.trace[0].shape == (4, 6, 2) and result.trace[1].shape == (4, 6, 3)
    for part, trace in zip(result.state, result.trace):
        np.testing.assert_array_equal(part, trace[-1])
    assert np.std(result.state[0]) > 3 * np.std(result.state[1])
    again = sampling.simulate(sampler, both, start, seed=1)
    np.testing.assert_allclose(again.state[0], result.state[0], rtol=1e-6)
    assert again.statistics["step_norm"] == pytest.approx(result.statistics["step_norm"], rel=1e-5)


def test_gradient_field_follows_the_gradients_it_is_given():
    # x is drawn to 3, h to -3, which are the gradients of no single potential of both.
    field = sampling.GradientField(
        lambda state: (ops.sum(state[0], -1), (3.0 - state[0], -3.0 - state[1]))
    )
    start = (np.zeros((500, 1), "float32"), np.zeros((500, 1), "float32"))
    result = sampling.simulate(sampling.Langevin(0.2, num_steps=60), field, start)
    assert abs(np.mean(result.state[0]) - 3.0) < 0.3
    assert abs(np.mean(result.state[1]) + 3.0) < 0.3


def test_clipping_shortens_steep_gradients_and_reports_it():
    start = np.full((10, 2), 100.0, "float32")
    free = sampling.Langevin(step_size=0.1, num_steps=1)
    clipped = sampling.Langevin(step_size=0.1, num_steps=1, clip_gradient=5.0)
    far = sampling.simulate(free, chains.normal, start)
    near = sampling.simulate(clipped, chains.normal, start)
    assert near.statistics["clipped"] == 1.0
    assert near.statistics["gradient_norm"] == pytest.approx(far.statistics["gradient_norm"])
    assert near.statistics["step_norm"] < far.statistics["step_norm"] / 3


def test_a_chain_that_leaves_the_numbers_is_an_error():
    def steep(x):
        return -ops.sum(x**4, axis=-1)

    start = np.full((4, 1), 5.0, "float32")
    with pytest.raises(ValueError, match="chain of Langevin is not finite"):
        sampling.simulate(sampling.Langevin(step_size=1.0, num_steps=20), steep, start)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: sampling.Langevin(step_size=0.0), "temperature zero"),
        (lambda: sampling.Langevin(noise_scale=0.0), "temperature zero"),
        (lambda: sampling.SGHMC(noise_scale=0.0), "temperature zero"),
        (lambda: sampling.Langevin(gradient_coefficient=-1.0), "positive"),
        (lambda: sampling.MALA(step_size=-1.0), "positive"),
        (lambda: sampling.SGHMC(momentum=1.0), "momentum"),
        (lambda: sampling.HMC(num_leapfrog_steps=0), "num_leapfrog_steps"),
        (lambda: sampling.Langevin(num_steps=0), "num_steps"),
    ],
)
def test_settings_that_sample_nothing_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_target_of_many_numbers_a_row_is_refused():
    with pytest.raises(ValueError, match="one potential for each chain"):
        sampling.simulate(sampling.Langevin(), lambda x: -(x**2), np.zeros((3, 2)))


@pytest.mark.parametrize(
    "sampler",
    [
        sampling.Langevin((0.1, 0.2), 3, clip_gradient=2.0),
        sampling.MALA(0.2, 4),
        sampling.SGHMC(0.1, 0.3, 5, noise_scale=0.2),
        sampling.HMC(0.1, 2, 3),
        sampling.BlockGibbs(7),
        sampling.ParallelTempering(betas=[0.0, 0.5, 1.0], num_steps=2),
    ],
    ids=lambda sampler: type(sampler).__name__,
)
def test_samplers_are_serialised(sampler):
    import keras

    config = keras.saving.serialize_keras_object(sampler)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(sampler) and again.get_config() == sampler.get_config()


def test_long_runs_show_progress_and_go_on_where_they_stood(capsys):
    sampler = sampling.Langevin(step_size=0.1, num_steps=10)
    start = np.full((5, 1), 50.0, "float32")
    result = sampling.simulate(sampler, chains.normal, start, num_steps=120, verbose=1)
    assert "120/120" in capsys.readouterr().out
    # 120 steps of contraction by 0.95 leave 0.1 of 50; one piece of them would leave more.
    assert np.all(np.abs(result.state) < 6.0)
