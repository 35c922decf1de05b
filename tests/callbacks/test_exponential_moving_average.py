"""Averages against NumPy, on models with and without the library's own trainer."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_dgm.callbacks import ExponentialMovingAverage

X = np.random.default_rng(0).normal(size=(56, 3)).astype(np.float32)
Y = (X @ [[1.0], [-2.0], [0.5]]).astype(np.float32)
DECAY = 0.8


class Recorder(keras.callbacks.Callback):
    """Weights after every execution, and (within evaluation) those that are evaluated."""

    def __init__(self):
        super().__init__()
        self.trained, self.tested = [], []

    def _weights(self):
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()
        return [ops.convert_to_numpy(v.value).copy() for v in self.model.trainable_variables]

    def on_train_batch_end(self, batch, logs=None):
        self.trained.append(self._weights())

    def on_test_batch_end(self, batch, logs=None):
        self.tested.append(self._weights())


def _model(steps_per_execution=1, dtype="float32"):
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense
    model = keras.Sequential(
        [keras.Input((3,)), dense(4, activation="tanh", dtype=dtype), dense(1, dtype=dtype)]
    )
    model.compile(keras.optimizers.SGD(0.1), loss="mse", steps_per_execution=steps_per_execution)
    return model


def _expected(trained, shares):
    """The average in float64 of the recorded weights; the first one begins it."""
    average = [w.astype(np.float64) for w in trained[0]]
    for weights, share in zip(trained[1:], shares, strict=True):
        average = [a + share * (w - a) for a, w in zip(average, weights, strict=True)]
    return average


def _assert_close(found, expected, **tolerance):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, **{"rtol": 1e-5, "atol": 1e-6, **tolerance})


@pytest.fixture(scope="module")
def trained():
    model, recorder = _model(), Recorder()
    ema = ExponentialMovingAverage(DECAY, swap_for_validation=True)
    callbacks = [ema, recorder]
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0, validation_data=(X, Y), callbacks=callbacks)
    return model, ema, recorder


def test_averages_are_those_of_numpy(trained):
    _, ema, recorder = trained
    assert len(recorder.trained) == ema.steps == 14
    expected = _expected(recorder.trained, [1 - DECAY] * 13)
    _assert_close(ema.averages.values(), expected)
    # The check tells a wrong decay, and the weights themselves, from the average.
    for wrong in (_expected(recorder.trained, [0.3] * 13), recorder.trained[-1]):
        with pytest.raises(AssertionError):
            _assert_close(ema.averages.values(), wrong)


def test_validation_uses_the_averages_and_training_does_not(trained):
    model, ema, recorder = trained
    half = _expected(recorder.trained[:7], [1 - DECAY] * 6)
    _assert_close(recorder.tested[0], half)
    _assert_close(recorder.tested[-1], _expected(recorder.trained, [1 - DECAY] * 13))
    # The second epoch goes on from the weights, not from the averages: one SGD step is small.
    step = max(np.abs(b - a).max() for a, b in zip(*recorder.trained[6:8], strict=True))
    away = max(np.abs(b - a).max() for a, b in zip(half, recorder.trained[7], strict=True))
    assert step < away
    _assert_close(
        [w.numpy() if hasattr(w, "numpy") else w for w in model.get_weights()], recorder.trained[-1]
    )


def test_training_is_not_disturbed(trained):
    plain = _model()
    plain.fit(X, Y, batch_size=8, epochs=2, verbose=0)
    _assert_close(plain.get_weights(), trained[0].get_weights())


def test_swap_puts_the_averages_in_and_takes_them_out(trained, tmp_path):
    model, ema, recorder = trained
    weights = model.get_weights()
    with ema.swap() as swapped:
        assert swapped is model
        _assert_close(model.get_weights(), ema.averages.values(), rtol=0, atol=0)
        inside = model.evaluate(X, Y, verbose=0)
        model.save(tmp_path / "averaged.keras")
        with pytest.raises(ValueError, match="already"), ema.swap():
            pass
    _assert_close(model.get_weights(), weights, rtol=0, atol=0)
    assert model.evaluate(X, Y, verbose=0) != inside
    loaded = keras.saving.load_model(tmp_path / "averaged.keras")
    assert loaded.evaluate(X, Y, verbose=0) == pytest.approx(inside, rel=1e-6)
    # As a callback of `evaluate` it swaps as well, and a failure inside `swap` puts things right.
    assert model.evaluate(X, Y, verbose=0, callbacks=[ema]) == pytest.approx(inside, rel=1e-6)
    with pytest.raises(RuntimeError), ema.swap():
        raise RuntimeError
    _assert_close(model.get_weights(), weights, rtol=0, atol=0)


def test_executions_of_several_steps_count_all_their_steps():
    model, recorder = _model(steps_per_execution=3), Recorder()
    ema = ExponentialMovingAverage(DECAY)
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[ema, recorder])
    # 7 steps an epoch: executions of 3, 3 and 1.
    assert len(recorder.trained) == 6 and ema.steps == 14
    shares = [1 - DECAY**n for n in (3, 1, 3, 3, 1)]
    _assert_close(ema.averages.values(), _expected(recorder.trained, shares))


def test_start_and_variables_and_half_precision():
    model, recorder = _model(dtype="bfloat16"), Recorder()
    ema = ExponentialMovingAverage(
        0.99, start=5, variables=lambda m: m.layers[-1].trainable_variables
    )
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[ema, recorder])
    kernels = [weights[2:] for weights in recorder.trained[5:]]
    assert len(ema.averages) == 2
    assert all(a.dtype == np.float32 for a in ema.averages.values())
    _assert_close(ema.averages.values(), _expected(kernels, [0.01] * 8))
    with ema.swap():
        assert model.layers[-1].kernel.dtype == "bfloat16"


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"decay": 1.0}, r"decay must be in \[0, 1\); received 1.0"),
        ({"decay": -0.1}, "decay"),
        ({"start": -1}, "start"),
    ],
)
def test_bad_arguments(arguments, words):
    with pytest.raises(ValueError, match=words):
        ExponentialMovingAverage(**arguments)


def test_no_swap_before_there_is_an_average():
    ema = ExponentialMovingAverage(start=100, swap_for_validation=True)
    model = _model()
    model.fit(X, Y, verbose=0, validation_data=(X, Y), callbacks=[ema])
    assert not ema.started
    with pytest.raises(ValueError, match="begins after 100 steps, of which 2 were taken"):
        with ema.swap():
            pass


class Crash(keras.callbacks.Callback):
    """Ends the run without a word to the other callbacks, as a kill does."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KeyboardInterrupt


def _fit(folder, *more):
    model = _model()
    ema = ExponentialMovingAverage(DECAY, backup_dir=folder / "average")
    backup = keras.callbacks.BackupAndRestore(folder / "backup")
    callbacks = [*more, ema, backup]
    model.fit(X, Y, batch_size=8, epochs=4, shuffle=False, verbose=0, callbacks=callbacks)
    return model, ema


def test_a_killed_run_ends_with_the_same_averages(tmp_path):
    model, ema = _fit(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        _fit(tmp_path / "killed", Crash(epoch=2))
    kept = sorted(path.name for path in (tmp_path / "killed" / "average").iterdir())
    assert kept == ["average-000001.npz", "average-000002.npz"]
    again, resumed = _fit(tmp_path / "killed")
    assert resumed.steps == ema.steps == 28
    _assert_close(again.get_weights(), model.get_weights(), rtol=0, atol=0)
    _assert_close(resumed.averages.values(), ema.averages.values(), rtol=0, atol=0)
    assert not (tmp_path / "killed" / "average").exists()


def test_a_lost_or_foreign_backup_is_an_error(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        _fit(tmp_path, Crash(epoch=1))
    path = tmp_path / "average" / "average-000001.npz"
    np.savez(path, np.zeros(3), steps=7)
    with pytest.raises(ValueError, match="another model"):
        _fit(tmp_path)
    path.unlink()
    with pytest.raises(ValueError, match="before BackupAndRestore"):
        _fit(tmp_path)
