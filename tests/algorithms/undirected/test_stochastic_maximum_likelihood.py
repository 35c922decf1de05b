"""Persistent chains: the likelihood's gradient, state in files, resumption."""

import boltzmann_machines as machines
import keras
import numpy as np
import pytest
from keras import ops
from scripts import result, run

import keras_dgm as dgm
from keras_dgm import models, networks, sampling, testing


def test_chains_at_equilibrium_give_the_likelihoods_gradient():
    rbm, oracle = machines.small_rbm(4, 3, seed=1)
    x = machines.data_rows(oracle)
    algorithm = dgm.StochasticMaximumLikelihood(rbm, num_chains=4000, seed=0)
    [chains] = algorithm.chains.variables
    exact = [-g for g in oracle.log_likelihood_gradient(x)]

    def draws(start):
        chains.assign(start)
        return lambda i: algorithm.estimate_gradients({"x": x}, i)["field"]

    # The estimate begins at the chains' states, so fresh exact ones make independent draws.
    rng = np.random.default_rng(0)

    def independent(i):
        chains.assign(oracle.sample(4000, rng))
        return algorithm.estimate_gradients({"x": x}, i)["field"]

    report = testing.check_gradient_estimator(independent, exact, 40)
    assert report.passed(), report
    # Chains that sit at one point are not at equilibrium, and the check sees it.
    report = testing.check_gradient_estimator(draws(np.ones((4000, 4))), exact, 20)
    assert not report.passed(), report


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sampler": sampling.ParallelTempering(4)},
        {"buffer_size": 150, "reset_fraction": 0.1},
    ],
    ids=["chains", "tempering", "buffer"],
)
def test_learning_raises_the_exact_likelihood(options):
    x = machines.bars(1000)
    rbm = models.RBM((8,), 8)
    rbm.init_bias(x)
    # Larger first weights than the library's, to be off the plateau at zero.
    rbm.kernel.assign(np.random.default_rng(0).normal(size=(8, 8)) * 0.5)
    algorithm = dgm.StochasticMaximumLikelihood(rbm, num_steps=2, num_chains=100, **options, seed=0)

    def exact():
        log_partition = rbm.exact_log_partition()
        return np.mean(algorithm.log_likelihood(x[:200], log_partition=log_partition))

    first = exact()
    before = [ops.convert_to_numpy(v) for v in algorithm.chains.variables]
    algorithm.compile(keras.optimizers.SGD(0.2))
    algorithm.fit(x, batch_size=50, epochs=10, verbose=0)
    after = [ops.convert_to_numpy(v) for v in algorithm.chains.variables]
    assert after[0].shape[0] == options.get("buffer_size", 100)
    assert np.mean(before[0] != after[0]) > 0.1
    # The independent model has twice the data's entropy.
    assert -machines.ENTROPY_OF_BARS + 0.2 > exact() > -2.0 * machines.ENTROPY_OF_BARS + 0.4
    assert exact() > first + 1.0


def test_a_field_with_persistent_langevin_chains():
    field = models.RandomField(
        networks.mlp([], output_units=1),
        (1,),
        linear_and_squared=True,
        sampler=sampling.MALA(0.5, num_steps=5),
    )
    algorithm = dgm.StochasticMaximumLikelihood(field, num_chains=200, seed=0)
    algorithm.compile(keras.optimizers.SGD(0.1))
    x = np.random.default_rng(0).normal(1.0, 0.7, size=(1000, 1)).astype("float32")
    history = algorithm.fit(x, batch_size=100, epochs=10, verbose=0).history
    [chains] = algorithm.chains.variables
    states = ops.convert_to_numpy(chains)
    assert abs(states.mean() - x.mean()) < 0.3 and abs(states.std() - x.std()) < 0.25
    assert 0.5 < history["acceptance"][-1] < 1.0


TRAIN = """
import json, os, signal, sys
import keras, numpy as np
import keras_dgm as dgm, scripts

folder, kill_in_epoch, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
keras.utils.set_random_seed(seed)
model = dgm.StochasticMaximumLikelihood(
    dgm.models.RBM((6,), 4), sampler=dgm.sampling.ParallelTempering(3), num_chains=5,
    buffer_size=8, reset_fraction=0.1)
model.compile(keras.optimizers.SGD(0.1, momentum=0.5), steps_per_execution=2)

class Kill(keras.callbacks.Callback):
    epoch = -1
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == kill_in_epoch and batch >= 3:
            os.kill(os.getpid(), signal.SIGKILL)

backup = keras.callbacks.BackupAndRestore(folder)
model.fit(scripts.binary_rows(64), batch_size=8, epochs=4, verbose=0, callbacks=[backup, Kill()])
print(json.dumps([keras.ops.convert_to_numpy(v).ravel().tolist() for v in model.weights]))
"""


def test_a_killed_run_goes_on_with_its_chains(tmp_path):
    whole = result(run(TRAIN, tmp_path / "a", -1, 0))
    killed = run(TRAIN, tmp_path / "b", 2, 0, check=False)
    assert killed.returncode == -9
    assert result(run(TRAIN, tmp_path / "b", -1, 5)) == whole


def test_files_keep_the_chains_and_presets_leave_them_out(tmp_path):
    x = machines.bars(200)
    algorithm = dgm.StochasticMaximumLikelihood(models.RBM((8,), 4), num_chains=10, seed=0)
    algorithm.compile("sgd")
    algorithm.fit(x, verbose=0)
    algorithm.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    for old, new in zip(algorithm.chains.variables, again.chains.variables):
        np.testing.assert_array_equal(ops.convert_to_numpy(old), ops.convert_to_numpy(new))
    # Both go on alike.
    for model in (algorithm, again):
        model.fit(x, verbose=0)
    np.testing.assert_array_equal(algorithm.potential(x), again.potential(x))
    algorithm.save_to_preset(tmp_path / "preset")
    preset = dgm.from_preset(tmp_path / "preset")
    np.testing.assert_allclose(preset.potential(x), algorithm.potential(x), rtol=1e-6)
    kept, fresh = algorithm.chains.variables[0], preset.chains.variables[0]
    assert np.any(ops.convert_to_numpy(kept) != ops.convert_to_numpy(fresh))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_chains": 10, "buffer_size": 5}, "buffer_size"),
        ({"reset_fraction": 1.0}, "reset_fraction"),
        ({"num_chains": 0}, "num_chains"),
    ],
)
def test_settings_without_meaning_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        dgm.StochasticMaximumLikelihood(models.RBM((4,), 2), **options)


def test_labels_are_refused():
    algorithm = dgm.StochasticMaximumLikelihood(models.RBM((8,), 4))
    algorithm.compile("sgd")
    with pytest.raises(ValueError, match="takes no labels"):
        algorithm.fit(machines.bars(10), np.zeros(10), verbose=0)
