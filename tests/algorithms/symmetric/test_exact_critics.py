"""The loss and its gradient with exact critics, against the closed form."""

import keras
import numpy as np
import pytest
from keras import ops
from symmetric_machines import exact_rows, linear_machine, oracle_order

from keras_dgm import EHM, SymmetricVAE
from keras_dgm.testing import LinearHelmholtzMachine, check_gradient_estimator

ORACLE = LinearHelmholtzMachine()
X = exact_rows(ORACLE.data_scale)
OBJECTIVES = {EHM: "extended_helmholtz", SymmetricVAE: "symmetric_vae"}


@keras.saving.register_keras_serializable(package="tests")
class Pathless(EHM):
    """EHM whose samples are constants: wrong."""

    def wake(self, x, seed, training=None):
        z, _ = super().wake(x, seed, training)
        z = ops.stop_gradient(z)
        return z, self.inference.log_prob(z, x)

    def sleep(self, num_samples, seed, training=None):
        return tuple(map(ops.stop_gradient, super().sleep(num_samples, seed, training)))


def report(algorithm, exact, num_draws=40):
    data = {"x": np.repeat(X, 40, axis=0)}
    return check_gradient_estimator(
        lambda i: oracle_order(algorithm.estimate_gradients(data, seed=i), ORACLE),
        exact,
        num_draws,
    )


@pytest.fixture(scope="module", params=OBJECTIVES, ids=lambda kind: kind.__name__)
def machine(request):
    return linear_machine(request.param, ORACLE)


def test_loss_and_terms_are_the_closed_form(machine):
    machine.compile(jit_compile=False)
    terms = machine.evaluate(np.repeat(X, 400, axis=0), batch_size=100_000, return_dict=True)
    exact = getattr(ORACLE, OBJECTIVES[type(machine)])()
    known = {EHM: 7.17213, SymmetricVAE: 5.53823}[type(machine)]
    assert exact == pytest.approx(known, abs=1e-5)
    assert terms["loss"] == pytest.approx(exact, abs=0.03)
    for name, value in ORACLE.terms().items():
        assert terms[name] == pytest.approx(value, abs=0.02), name
    assert terms["latent_variance"] == pytest.approx(ORACLE.latent_variance, abs=0.01)
    assert terms["wake_mse"] == pytest.approx(0.64**2 * 2.89 + 0.81 * 0.36, abs=0.02)
    assert terms["sleep_mse"] == pytest.approx(0.64**2 + 0.16 * 0.25, abs=0.01)


def test_gradient_is_the_exact_one(machine):
    known = {
        EHM: [-6.8248, 1.2775, -2.0631, -4.7038],
        SymmetricVAE: [-6.8248, 0.2775, -2.0631, -5.7038],
    }
    exact = ORACLE.gradient(OBJECTIVES[type(machine)])
    assert np.allclose(exact, known[type(machine)], atol=1e-3)
    found = report(machine, exact)
    assert found.passed(), found
    # Every component is told from zero, so a wrong sign could not pass.
    assert np.all(np.abs(found.mean) > 10 * found.standard_error)


def test_gradient_without_the_paths_is_another():
    pathless = linear_machine(Pathless, ORACLE)
    found = report(pathless, ORACLE.pathless_gradient())
    assert found.passed(), found
    assert found.mean[0] == pytest.approx(-1.32, abs=0.1)
    assert not report(pathless, ORACLE.gradient(), 10).passed()


def test_without_the_latent_critic_the_prior_itself_stands():
    # The exact latent critic is log P(z), so nothing else may change.
    machine = linear_machine(EHM, ORACLE, latent_critic=False)
    assert machine.players == ("visible_critic", "encoder", "decoder")
    found = report(machine, ORACLE.gradient(), 20)
    assert found.passed(), found


def test_the_critics_roles_swap():
    # c = c0 + c1 x + c2 x^2: the gradients of both losses in c1 and c2 are moments.
    machine = linear_machine(EHM, ORACLE)
    shifted = exact_rows(ORACLE.data_scale, mean=0.5)
    second_x = ORACLE.data_scale**2 + 0.25
    z_mean, z_second = 0.4 * 0.5, 0.16 * second_x + 0.36
    exact = {
        "visible_critic": np.array([0.0, 0.0 - 0.5, ORACLE.visible_variance - second_x]),
        "latent_critic": np.array([0.0, z_mean, z_second - 1.0]),
    }

    def draw(i, players=tuple(exact)):
        found = machine.estimate_gradients({"x": np.repeat(shifted, 40, axis=0)}, seed=i)
        return dict(zip(exact, (np.array(found[player][0]) for player in players)))

    assert check_gradient_estimator(draw, exact, 20).passed()
    same_roles = {**exact, "latent_critic": -exact["latent_critic"]}
    assert not check_gradient_estimator(draw, same_roles, 20).passed()


WIDE = LinearHelmholtzMachine(a=0.4, tau=0.9, b=0.3, sigma=1.4, data_scale=1.2)


def test_importance_sampled_partition_makes_exact_critics_stationary():
    # At c_x = log Q the cross-entropy's gradient vanishes, which the Wasserstein loss's does not.
    rows = {"x": np.repeat(exact_rows(WIDE.data_scale), 60, axis=0)}

    def mean_gradient(loss):
        machine = linear_machine(EHM, WIDE, critic_loss=loss, latent_critic=False)
        draws = [machine.estimate_gradients(rows, seed)["visible_critic"][0] for seed in range(8)]
        return np.mean(draws, axis=0)

    assert np.allclose(mean_gradient("importance"), 0.0, atol=0.03)
    assert abs(mean_gradient("wasserstein")[2]) > 0.3


def test_log_partition_is_bounded_from_below_by_jensen():
    machine = linear_machine(EHM, WIDE, critic_shift=0.7)
    found = machine.log_partition(20_000, seed=1)
    assert found["importance"] == pytest.approx(0.7, abs=0.02)
    # The post has Jensen's inequality the other way round.
    assert found["jensen"] < found["importance"] - 0.05


def test_critic_as_generator():
    from keras_dgm.sampling import Langevin

    machine = linear_machine(EHM, ORACLE)
    start = machine.sample(2000, seed=0)
    assert start.var() == pytest.approx(ORACLE.visible_variance, rel=0.15)
    draws = machine.sample_from_critic(2000, Langevin(0.1, num_steps=150), seed=1)
    # Q's variance, up to the chain's own (see Langevin) and the noise of 2 000 draws.
    assert draws.var() == pytest.approx(ORACLE.data_scale**2, rel=0.15)
    with pytest.raises(ValueError, match="ran away"):
        machine.sample_from_critic(10, Langevin(1e4, num_steps=100), seed=1)
