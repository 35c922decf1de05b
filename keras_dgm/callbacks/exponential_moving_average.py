"""`ExponentialMovingAverage`: averaged weights beside those in training."""

import contextlib
import math
import os
import pathlib

import keras
import numpy as np
from keras import ops

from keras_dgm import backend


class ExponentialMovingAverage(keras.callbacks.Callback):
    """Keeps average <- decay * average + (1 - decay) * weights, once a training step.

    Keras' optimisers can do this too (`use_ema=True`), but only for the one optimiser that a
    model has, and they write the averages over the weights when training ends. Here several
    players learn, each with an optimiser of its own, and averages are wanted for all of them or
    for one (a generator's, say), to evaluate, draw and save with while training goes on with the
    weights themselves. So the averages live beside the model, and `swap` puts them in for a
    while:

    ```python
    ema = ExponentialMovingAverage(decay=0.999, swap_for_validation=True)
    model.fit(x, validation_data=y, callbacks=[ema])
    with ema.swap():
        model.save("averaged.keras")
    ```

    Cost: one multiply-add a weight and step, on the device, and memory for one more copy of the
    weights. With `steps_per_execution=k` the weights are seen after every k-th step only, and
    enter with weight 1 - decay^k: averages then differ from those of k = 1 by the weights' motion
    within k steps. Averages are no weights of the model: presets and `.keras` files have them
    only when saved inside `swap`. Statistics of batch normalization are not averaged.

    Args:
        decay: in [0, 1).
        start: training steps before the average begins, as a copy of the weights.
        swap_for_validation: whether `evaluate`, within `fit` or with this callback in its
            `callbacks`, uses the averages (once they have begun). Should it fail half-way, the
            averages stay in the model until `restore`, or the next `fit`.
        variables: a function of the model that gives the variables to average; by default
            `model.trainable_variables`. For one player: `lambda m: m.generator.variables`.
        backup_dir: folder in which the averages are kept at each epoch's end, so that a run
            killed and restored by `keras.callbacks.BackupAndRestore` ends with the same averages
            as an uninterrupted one. List this callback *before* that one. The files are deleted
            when training ends.

    Raises:
        ValueError: arguments out of range, a `swap` before the average began or within another,
            a backup that is missing or does not fit.
    """

    def __init__(
        self, decay=0.999, start=0, swap_for_validation=False, variables=None, backup_dir=None
    ):
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be in [0, 1); received {decay!r}.")
        if not start >= 0:
            raise ValueError(f"start must be a number of steps >= 0; received {start!r}.")
        self.decay = float(decay)
        self.start = int(start)
        self.swap_for_validation = swap_for_validation
        self.variables = variables or (lambda model: model.trainable_variables)
        self.backup_dir = None if backup_dir is None else pathlib.Path(backup_dir)
        self.steps = 0
        self._average = None
        self._weights = None
        self._seen = 0
        self._look_for_backup = False
        self._in_evaluation = False
        self._update = backend.compiled(keras.layers.Layer(), _blend)

    @property
    def started(self):
        """Whether there is an average yet."""
        return self._average is not None

    @property
    def averages(self):
        """The averages as NumPy arrays by the path of their variable."""
        self._check_started()
        pairs = zip(self._targets(), self._average, strict=True)
        return {variable.path: ops.convert_to_numpy(average) for variable, average in pairs}

    @contextlib.contextmanager
    def swap(self):
        """Puts the averages into the model for the duration of a `with` block.

        The weights come back at its end, whatever happens in it; what the block assigns to the
        averaged variables is lost.
        """
        self._check_started()
        self._put_averages()
        try:
            yield self.model
        finally:
            self.restore()

    def restore(self):
        """Puts the weights back where the averages are in; otherwise does nothing."""
        if self._weights is not None:
            weights, self._weights = self._weights, None
            self._assign(weights)

    def on_train_begin(self, logs=None):
        """Undoes a swap that an interrupted evaluation left behind."""
        self.restore()
        self._look_for_backup = self.backup_dir is not None

    def on_epoch_begin(self, epoch, logs=None):
        """Where a run is resumed, reads the averages of that epoch."""
        self._seen = 0
        if self._look_for_backup and epoch > 0:
            self._read_backup(epoch)
        elif self._look_for_backup:
            self._delete_backups()  # of a run that was given up
        self._look_for_backup = False

    def on_train_batch_end(self, batch, logs=None):
        """Averages. `batch` is the number of the execution's last step within the epoch."""
        # The last execution of an epoch may be announced longer than it is.
        done = min(batch + 1, self.params.get("steps") or math.inf)
        steps, self._seen = done - self._seen, done
        self.steps += steps
        if self.steps <= self.start:
            return
        self._sync()
        values = [variable.value for variable in self._targets()]
        if self._average is None:
            # A copy, because the next step may reuse the memory of the weights.
            self._average = [_as_average(value) for value in values]
        else:
            share = ops.convert_to_tensor(1 - self.decay**steps, "float32")
            self._average = self._update(self._average, values, share)

    def on_epoch_end(self, epoch, logs=None):
        """Writes the backup of this epoch, keeping that of the one before."""
        if self.backup_dir is not None:
            self._write_backup(epoch + 1)

    def on_train_end(self, logs=None):
        """Deletes the backups."""
        if self.backup_dir is not None:
            self._delete_backups()

    def on_test_begin(self, logs=None):
        """Puts the averages in for an evaluation, if asked to."""
        if self.swap_for_validation and self.started and self._weights is None:
            self._put_averages()
            self._in_evaluation = True

    def on_test_end(self, logs=None):
        """Puts the weights back after an evaluation."""
        if self._in_evaluation:
            self._in_evaluation = False
            self.restore()

    def _targets(self):
        return list(self.variables(self.model))

    def _check_started(self):
        if self._average is None:
            raise ValueError(
                f"There is no average yet: it begins after {self.start} steps, of which "
                f"{self.steps} were taken."
            )

    def _sync(self):
        # On JAX the trainer holds the weights while an epoch runs.
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()

    def _put_averages(self):
        if self._weights is not None:
            raise ValueError("The averages are in the model already: leave the first swap first.")
        self._sync()
        weights = [ops.copy(variable.value) for variable in self._targets()]
        self._assign(self._average)
        self._weights = weights

    def _assign(self, values):
        for variable, value in zip(self._targets(), values, strict=True):
            # A copy: on JAX a step gives the memory of what is assigned here back.
            variable.assign(ops.copy(ops.cast(value, variable.dtype)))

    def _backup_path(self, epoch):
        return self.backup_dir / f"average-{epoch:06d}.npz"

    def _write_backup(self, epoch):
        self.backup_dir.mkdir(parents=True, exist_ok=True)
        arrays = self.averages if self.started else {}
        scratch = self.backup_dir / f".average-{os.getpid()}.partial"
        try:
            with open(scratch, "wb") as stream:
                np.savez(stream, *arrays.values(), steps=self.steps)
            os.replace(scratch, self._backup_path(epoch))
        finally:
            scratch.unlink(missing_ok=True)
        for path in self.backup_dir.glob("average-*.npz"):
            if path.name < self._backup_path(epoch - 1).name:
                path.unlink()

    def _delete_backups(self):
        if self.backup_dir.is_dir():
            for path in self.backup_dir.glob("average-*.npz"):
                path.unlink()
            with contextlib.suppress(OSError):  # others may keep files there
                self.backup_dir.rmdir()

    def _read_backup(self, epoch):
        path = self._backup_path(epoch)
        if not path.is_file():
            if self.started:
                return  # the same process goes on
            raise ValueError(
                f"Training goes on with epoch {epoch + 1}, but {path} does not exist, so its "
                f"averages are lost. List ExponentialMovingAverage before BackupAndRestore, or "
                f"leave backup_dir=None to begin a new average."
            )
        with np.load(path) as data:
            self.steps = int(data["steps"])
            arrays = [data[f"arr_{i}"] for i in range(len(data.files) - 1)]
        shapes = [tuple(variable.shape) for variable in self._targets()]
        if arrays and [array.shape for array in arrays] != shapes:
            raise ValueError(
                f"{path} holds averages of shapes {[a.shape for a in arrays]}; the model's "
                f"variables have {shapes}. It belongs to another model: remove it."
            )
        self._average = [ops.convert_to_tensor(array) for array in arrays] or None


def _as_average(value):
    # Half precision would lose updates of size 1 - decay.
    dtype = keras.backend.standardize_dtype(value.dtype)
    return ops.copy(ops.cast(value, dtype if dtype == "float64" else "float32"))


def _blend(average, values, share):
    return [
        a + ops.cast(share, a.dtype) * (ops.cast(value, a.dtype) - a)
        for a, value in zip(average, values, strict=True)
    ]
