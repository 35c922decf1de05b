"""SVRG: exact at the snapshot, unbiased away from it, and measured where it is not."""

import keras
import numpy as np
import pytest
from games import Affine, Quadratic, plane_critic, plane_model, plane_rows, values

import keras_dgm as dgm
from keras_dgm.algorithms.adversarial.svrg import SVRG
from keras_dgm.models import ImplicitModel

X = np.random.default_rng(0).normal(0.5, 1.2, (400, 1)).astype("float32")
BATCHES = [{"x": X[start : start + 50]} for start in range(0, 400, 50)]


def game(svrg):
    critic = Quadratic((0.1, 0.3, -0.2))
    model = ImplicitModel(1, Affine(0.2, -0.3))
    return dgm.GAN(model, critic, objective="minimax", variance_reduction=svrg, seed=0)


def critic_gradients(algorithm, batches=BATCHES, repeats=4):
    found = [
        algorithm.estimate_gradients(batch, seed=100 * r + n)["critic"][0]
        for r in range(repeats)
        for n, batch in enumerate(batches)
    ]
    return np.float64(found)


def move(algorithm, critic=0.0, generator=0.0):
    critic_weights = algorithm.critic.coefficients
    critic_weights.assign(np.array(critic_weights.value) + critic)
    algorithm.generator.network.loc.assign(0.2 + generator)


@pytest.fixture(scope="module")
def reduced():
    algorithm = game("svrg")
    algorithm.variance_reduction.take_snapshot(algorithm, BATCHES)
    return algorithm


def test_before_a_snapshot_nothing_is_corrected():
    plain, wrapped = game(None), game("svrg")
    for a, b in zip(*(critic_gradients(g, BATCHES[:2], 1) for g in (plain, wrapped))):
        assert np.allclose(a, b, rtol=1e-5)


def test_at_the_snapshot_every_step_is_the_full_gradient(reduced):
    found = critic_gradients(reduced)
    mean = np.array(reduced.variance_reduction.mean["critic"][0].value)
    assert np.allclose(found, mean, atol=1e-5)
    # The plain gradient of a batch is not: the correction does something.
    assert critic_gradients(game(None)).std(axis=0).min() > 1e-3


def test_away_from_the_snapshot_the_step_is_unbiased_and_quieter(reduced):
    plain = game(None)
    try:
        for algorithm in (plain, reduced):
            move(algorithm, critic=0.05, generator=0.1)
        # A pool as large as the data is one draw of many; here both average 32 batches.
        wanted, found = critic_gradients(plain), critic_gradients(reduced)
        error = np.sqrt(wanted.var(axis=0) / len(wanted))
        pool = np.sqrt(wanted.var(axis=0) / len(BATCHES))
        assert np.all(np.abs(found.mean(axis=0) - wanted.mean(axis=0)) < 4 * (error + pool))
        assert found.var(axis=0).sum() < 0.3 * wanted.var(axis=0).sum()
    finally:
        move(reduced, critic=-0.05)


def test_bias_once_the_generator_moves():
    figures = {}
    for control in ("snapshot", "current"):
        algorithm = game(SVRG(control=control, measure_batches=8))
        svrg = algorithm.variance_reduction
        svrg.take_snapshot(algorithm, BATCHES)
        before = svrg.measure(algorithm, BATCHES, seed=1)
        move(algorithm, generator=1.5)
        after = svrg.measure(algorithm, BATCHES, seed=1)
        figures[control] = before["svrg_bias_critic"], after["svrg_bias_critic"]
        assert before["svrg_variance_ratio_critic"] < 1e-6
    assert max(figures["snapshot"]) < 0.25
    assert figures["current"][0] < 0.25 and figures["current"][1] > 0.5


def test_fit_logs_the_figures_and_files_keep_the_snapshot(tmp_path):
    # No clipping: from unclipped weights to 0.01 is too far for the first snapshot to be of use.
    options = {"weight_clip": None, "critic_steps": 2, "variance_reduction": "svrg"}
    algorithm = dgm.WGAN(plane_model(), plane_critic(), seed=0, **options)
    algorithm.compile(keras.optimizers.SGD(1e-3))
    rows = plane_rows(200)
    history = algorithm.fit(rows, batch_size=20, epochs=2, verbose=0, validation_split=0.1)
    ratio = history.history["svrg_variance_ratio_critic"]
    assert len(ratio) == 2 and max(ratio) < 0.5
    assert len(history.history["svrg_bias_critic"]) == 2 and "val_critic_loss" in history.history
    algorithm.save(tmp_path / "svrg.keras")
    again = keras.saving.load_model(tmp_path / "svrg.keras")
    assert again.variance_reduction.get_config() == algorithm.variance_reduction.get_config()
    pairs = zip(again.variance_reduction.snapshot, algorithm.variance_reduction.snapshot)
    assert all(np.array_equal(*values(pair)) for pair in pairs)
    assert np.abs(values(algorithm.variance_reduction.snapshot)[0]).max() > 0
    assert float(again.variance_reduction.taken.value) == 1.0


def test_any_player_of_a_joint_move_can_be_wrapped():
    from keras_dgm import EHM, networks
    from keras_dgm.distributions import Normal
    from keras_dgm.models import LatentVariableModel

    keras.utils.set_random_seed(0)
    generative = LatentVariableModel(Normal(1), Normal(1, scale="shared"))
    critics = [networks.mlp([4], "tanh", output_units=1) for _ in range(2)]
    svrg = SVRG(players=("visible_critic", "encoder", "decoder"), measure_batches=0)
    machine = EHM(generative, Normal(1), *critics, variance_reduction=svrg, seed=0)
    svrg.take_snapshot(machine, BATCHES)
    for player in svrg.wrapped:
        draws = [machine.estimate_gradients(BATCHES[0], seed)[player][0] for seed in (1, 2)]
        assert np.allclose(draws[0], np.array(svrg.mean[player][0].value), atol=1e-5), player
        assert np.allclose(*draws, atol=1e-5), player
    latent = [machine.estimate_gradients(BATCHES[0], seed)["latent_critic"][0] for seed in (1, 2)]
    assert not np.allclose(*latent, atol=1e-5)


def test_bad_arguments():
    with pytest.raises(ValueError, match="Did you mean 'critic'"):
        game(SVRG(players=("critics",)))
    with pytest.raises(ValueError, match="'svrg', an SVRG object or None"):
        game("svgr")
    with pytest.raises(ValueError, match="2 at least"):
        SVRG(measure_batches=1)
    algorithm = game("svrg")
    algorithm.compile("sgd")
    with pytest.raises(ValueError, match="more than once"):
        algorithm.fit((batch["x"] for batch in BATCHES), verbose=0)
