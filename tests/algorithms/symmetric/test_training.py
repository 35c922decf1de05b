"""Training, files and errors of the machines."""

import keras
import numpy as np
import pytest
from symmetric_machines import LogNormalDensity, line, plane_machine, plane_rows, values

from keras_dgm import EHM, SymmetricVAE, networks
from keras_dgm.distributions import Bernoulli, Chain, Normal
from keras_dgm.models import ImplicitModel, LatentVariableModel

X = plane_rows(400)


@pytest.fixture(scope="module")
def trained():
    machine = plane_machine(SymmetricVAE, penalties="gradient", critic_steps=2, ema_decay=0.9)
    machine.compile({player: keras.optimizers.Adam(1e-3) for player in machine.players})
    before = values(machine.trainable_variables)
    history = machine.fit(X, batch_size=50, epochs=2, verbose=0).history
    return machine, before, history


def test_every_term_is_logged_and_every_player_moves(trained):
    machine, before, history = trained
    joint = {"loss", *machine.joint_terms, "latent_variance"}
    critics = {
        f"{critic}_{term}"
        for critic in machine.critics
        for term in ("loss", "gap", "gradient_norm", "gradient_penalty")
    }
    assert set(history) == joint | critics
    assert all(np.isfinite(value).all() for value in history.values())
    parts = [history[name][-1] for name in machine.joint_terms]
    assert history["loss"][-1] == pytest.approx(sum(parts), rel=1e-4)
    for player in machine.players:
        # The last bias of a Wasserstein critic cancels out of its loss.
        variables = [v for v in machine.player_variables(player) if v.shape != (1,)]
        where = [id(v) for v in machine.trainable_variables]
        old = [before[where.index(id(variable))] for variable in variables]
        assert all(np.any(a != b) for a, b in zip(old, values(variables))), player


def test_file_round_trip(trained, tmp_path):
    machine = trained[0]
    machine.save(tmp_path / "machine.keras")
    again = keras.saving.load_model(tmp_path / "machine.keras")
    assert type(again) is SymmetricVAE and again.critic_steps == 2
    for old, new in zip(values(machine.variables), values(again.variables)):
        assert np.array_equal(old, new)
    assert np.array_equal(again.reconstruct(X[:5], 1), machine.reconstruct(X[:5], 1))
    assert not np.array_equal(machine.sample(4, seed=1), machine.sample(4, 1, averaged=False))


def test_learns_the_data_and_clips_the_critics():
    machine = plane_machine(EHM, weight_clip=0.2, critic_steps=2, updates="simultaneous")
    machine.compile(keras.optimizers.Adam(5e-3))
    start = machine.evaluate(X, verbose=0, return_dict=True)
    machine.fit(X, batch_size=50, epochs=100, verbose=0)
    end = machine.evaluate(X, verbose=0, return_dict=True)
    assert end["wake_mse"] < 0.6 * start["wake_mse"]
    assert end["sleep_mse"] < 0.8 * start["sleep_mse"]
    for critic in machine.critics:
        assert max(np.abs(v).max() for v in values(machine.player_variables(critic))) <= 0.2
    assert machine.latent_covariance(X).shape == (2, 2)


def test_a_move_touches_its_own_player_alone():
    rates = {"visible_critic": 0.0, "latent_critic": 0.0, "encoder": 0.1, "decoder": 0.0}
    machine = plane_machine(EHM)
    machine.compile({p: keras.optimizers.SGD(rate) for p, rate in rates.items()})
    before = {player: values(machine.player_variables(player)) for player in rates}
    machine.fit(X[:50], batch_size=50, verbose=0)
    for player, rate in rates.items():
        after = values(machine.player_variables(player))
        same = [np.array_equal(a, b) for a, b in zip(before[player], after)]
        assert not any(same) if rate else all(same), player


def test_without_the_latent_critic():
    machine = plane_machine(EHM, latent_critic=False)
    machine.compile("sgd")
    history = machine.fit(X[:100], batch_size=50, verbose=0).history
    assert "visible_critic_gap" in history and "latent_critic_gap" not in history
    again = EHM.from_config(machine.get_config())
    assert again.players == machine.players and not again.has_latent_critic


def test_means_of_a_decoder_without_reparameterised_draws():
    keras.utils.set_random_seed(0)
    generative = LatentVariableModel(Normal(2), Bernoulli((3,)))
    parts = (Normal(2), networks.mlp([4], output_units=1), networks.mlp([4], output_units=1))
    with pytest.raises(ValueError, match="visible='mean'"):
        EHM(generative, *parts)
    machine = EHM(generative, *parts, visible="mean", seed=0)
    machine.compile("sgd")
    x = np.random.default_rng(0).integers(0, 2, (64, 3)).astype("float32")
    machine.fit(x, verbose=0)
    gradients = machine.estimate_gradients(x)["decoder"]
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)


def test_bad_parts():
    def build(algorithm, generative=None, inference=None, critic=None, latent=None, **kwargs):
        generative = generative or LatentVariableModel(Normal(1), line(1.0, 0.5))
        critic = critic or LogNormalDensity()
        latent = LogNormalDensity() if latent is None else latent
        return algorithm(generative, inference or Normal(1), critic, latent, **kwargs)

    with pytest.raises(ValueError, match="deterministic decoder"):
        build(SymmetricVAE, visible="mean")
    with pytest.raises(ValueError, match="deterministic"):
        build(SymmetricVAE, ImplicitModel(1, networks.mlp([2], output_units=1)))
    with pytest.raises(ValueError, match="one latent layer"):
        build(EHM, inference=Chain([Normal(1), Normal(1)]))
    with pytest.raises(ValueError, match="gradient through draws of Q"):
        build(EHM, inference=Bernoulli((1,)))
    with pytest.raises(ValueError, match="must be the same"):
        build(EHM, inference=Normal(2))
    with pytest.raises(ValueError, match="one number|1 number"):
        build(EHM, critic=networks.mlp([2], output_units=3))
    with pytest.raises(ValueError, match="or False"):
        build(EHM, latent=True)
    with pytest.raises(ValueError, match="importance"):
        build(EHM, visible="mean", critic_loss="importance")
    with pytest.raises(ValueError, match="Did you mean"):
        build(EHM, critic_loss="wassertein")
