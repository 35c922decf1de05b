"""Backups that several processes agree on."""

import keras
import numpy as np
import pytest

import keras_dgm as dgm

X = (np.random.default_rng(0).random((20, 6)) < 0.4).astype("float32")


class Stop(keras.callbacks.Callback):
    """What a kill is to the run, without the end of this process."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 3:
            raise KeyboardInterrupt


def machine(seed=0):
    keras.utils.set_random_seed(seed)
    model = dgm.StochasticMaximumLikelihood(dgm.models.RBM((6,), 3), num_chains=4, seed=seed)
    model.compile(keras.optimizers.Adam(0.05))
    return model


def state(model):
    return [keras.ops.convert_to_numpy(variable.value) for variable in model.variables]


def test_a_run_goes_on_from_the_last_backup_that_all_have(tmp_path):
    whole = machine()
    whole.fit(X, batch_size=10, epochs=5, verbose=0)
    stopped = machine()
    backup = dgm.callbacks.ProcessBackup(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(X, batch_size=10, epochs=5, verbose=0, callbacks=[backup, Stop()])
    kept = sorted(path.name for path in tmp_path.glob("0/*"))
    assert kept == ["epoch-000002.weights.h5", "epoch-000003.weights.h5"]

    again = machine(seed=5)
    backup = dgm.callbacks.ProcessBackup(tmp_path, delete_at_end=False)
    seen = []
    watch = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: seen.append(epoch))
    # Another process came no further than the second epoch.
    gather = again.gather_from_processes
    again.gather_from_processes = lambda own: np.concatenate([gather(own), [[1, 2]]])
    again.fit(X, batch_size=10, epochs=5, verbose=0, callbacks=[backup, watch])
    assert seen == [2, 3, 4]
    for found, expected in zip(state(again), state(whole), strict=True):
        np.testing.assert_array_equal(found, expected)

    # Another has lost them all: nobody begins anew while others could go on.
    again.gather_from_processes = lambda own: np.concatenate([gather(own), [[0, 0]]])
    with pytest.raises(ValueError, match=r"epoch 5 .* process 0 has \[4, 5\]"):
        again.fit(X, batch_size=10, epochs=6, verbose=0, callbacks=[backup])


def test_backups_are_removed_at_the_end(tmp_path):
    machine().fit(
        X, batch_size=10, epochs=2, verbose=0, callbacks=[dgm.callbacks.ProcessBackup(tmp_path)]
    )
    assert not list(tmp_path.glob("*/*"))
