"""Files, presets and a resume after a kill, with averages and power iterations."""

import pathlib

import keras
import numpy as np
import pytest
from games import plane_critic, plane_model, plane_rows, values
from keras import ops
from scripts import run

import keras_dgm as dgm
from keras_dgm import networks
from keras_dgm.algorithms.adversarial.penalties import DRAGANPenalty
from keras_dgm.models import ImplicitModel

ROWS = plane_rows(48)


@keras.saving.register_keras_serializable(package="tests")
def triangular(u):
    """A convex f of a user's own: KL plus Pearson."""
    return u * ops.log(u) + ops.square(u - 1.0)


ALGORITHMS = {
    "GAN": lambda: dgm.GAN(
        plane_model(),
        plane_critic(),
        objective="maximum_likelihood",
        cap=2.0,
        penalties=["r1", DRAGANPenalty(1.0, scale=0.2)],
        order=("generator", "critic"),
        updates="simultaneous",
        ema_decay=0.9,
        instance_noise=keras.optimizers.schedules.PolynomialDecay(1.0, 10, 0.0),
        seed=0,
    ),
    "FGAN": lambda: dgm.FGAN(plane_model(), plane_critic(), divergence=triangular, seed=0),
    "alpha": lambda: dgm.FGAN(plane_model(), plane_critic(), "alpha", alpha=0.5, seed=0),
    "WGAN": lambda: dgm.WGAN(plane_model(), plane_critic(), weight_clip=0.1, seed=0),
    "WGANGP": lambda: dgm.WGANGP(
        plane_model(), plane_critic(), penalty_weight=3.0, penalties="orthonormal", seed=0
    ),
    "SNGAN": lambda: dgm.SNGAN(plane_model(), plane_critic("spectral"), critic_steps=2, seed=0),
    "ACGAN": lambda: dgm.ACGAN(
        ImplicitModel(2, networks.joint_mlp([8], output_units=2, num_classes=3), num_classes=3),
        networks.mlp([8], output_units=4),
        class_weight=0.5,
        seed=0,
    ),
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_configurations_come_back(name):
    model = ALGORITHMS[name]()
    config = keras.saving.serialize_keras_object(model)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(model)
    # Keras takes the layer out of a wrapper's config as it reads it, so it is written anew.
    assert keras.saving.serialize_keras_object(again) == keras.saving.serialize_keras_object(model)
    assert again.terms == model.terms
    for first, second in zip(model.variables, again.variables):
        assert first.shape == second.shape


def trained():
    """A compiled model with every kind of state, at weights that no initialiser decides."""
    generator = ImplicitModel(2, networks.mlp([8], output_units=2, normalization="batch"))
    model = dgm.SNGAN(generator, plane_critic("spectral"), critic_steps=2, ema_decay=0.9, seed=0)
    rng = np.random.default_rng(0)
    for variable in [*model.generator.variables, *model.critic.variables]:
        if variable.trainable:
            variable.assign(0.4 * rng.normal(size=variable.shape))
        elif variable.path.endswith("/u"):
            variable.assign(np.full(variable.shape, variable.shape[0] ** -0.5))
    model.average.restart()
    model.compile(
        {"critic": keras.optimizers.Adam(0.01), "generator": keras.optimizers.Adam(0.005)},
        steps_per_execution=2,
    )
    return model


def everything(model):
    """Weights, learning state and optimiser state."""
    return values([*model.variables, *model.optimizer.variables])


@pytest.fixture(scope="module")
def whole():
    """A run of four epochs without interruption."""
    model = trained()
    model.fit(ROWS, batch_size=8, epochs=4, verbose=0)
    return model


def assert_equal(first, second):
    for one, other in zip(everything(first), everything(second), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_file_goes_on_where_it_stopped(tmp_path, whole):
    model = trained()
    model.fit(ROWS, batch_size=8, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert_equal(model, again)
    again.fit(ROWS, batch_size=8, epochs=4, initial_epoch=2, verbose=0)
    assert_equal(again, whole)
    np.testing.assert_array_equal(again.sample(9, seed=1), whole.sample(9, seed=1))
    with pytest.raises(AssertionError):  # two epochs fewer end elsewhere
        assert_equal(model, whole)

    # A preset keeps the weights, and the average starts anew at them.
    again.save_to_preset(tmp_path / "weights")
    plain = dgm.from_preset(tmp_path / "weights").sample(9, seed=1)
    expected = whole.sample(9, seed=1, averaged=False)
    np.testing.assert_allclose(plain, expected, rtol=1e-5, atol=1e-6)
    again.average.write_to_weights()
    again.save_to_preset(tmp_path / "averages")
    best = dgm.from_preset(tmp_path / "averages").sample(9, seed=1)
    np.testing.assert_allclose(best, whole.sample(9, seed=1), rtol=1e-5, atol=1e-6)
    assert np.abs(best - plain).max() > 1e-3


KILLED = """
import os, signal, sys
import keras
sys.path.insert(0, sys.argv[2])
from test_files import ROWS, trained

class Kill(keras.callbacks.Callback):
    epoch = -1
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 2 and batch >= 1:
            os.kill(os.getpid(), signal.SIGKILL)

backup = keras.callbacks.BackupAndRestore(sys.argv[1])
trained().fit(ROWS, batch_size=8, epochs=4, verbose=0, callbacks=[backup, Kill()])
"""


def test_a_killed_run_ends_as_one_that_was_not(tmp_path, whole):
    folder = pathlib.Path(__file__).parent
    killed = run(KILLED, tmp_path / "backup", folder, check=False)
    assert killed.returncode == -9, killed.stderr[-2000:]
    resumed = trained()
    for variable in resumed.critic.variables:  # what is restored must decide
        variable.assign(ops.ones(variable.shape))
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    resumed.fit(ROWS, batch_size=8, epochs=4, verbose=0, callbacks=[backup])
    assert_equal(resumed, whole)
    paths = [v.path for v in resumed.variables]
    for part in ("/u", "average_0", "moving_mean", "average_moves"):
        assert any(path.endswith(part) for path in paths)
