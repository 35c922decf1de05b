"""`TrainingCurves`: the metrics as a picture that grows with the run."""

import keras
from keras import ops

from keras_dgm import plotting


class TrainingCurves(keras.callbacks.Callback):
    """Rewrites one PNG of all metrics, training beside validation, as epochs end.

    A run that goes on (`initial_epoch`, `BackupAndRestore`) is drawn from where it goes on in a
    new process, and whole in the same one.

    Args:
        path: of the PNG.
        metrics: which ones to draw; by default all.
        every: epochs from one drawing to the next; the last epoch is always drawn.
        title: above the panels.

    Attributes:
        history: metric name -> one value an epoch, None where there was none.
    """

    def __init__(self, path, metrics=None, every=1, title=None):
        super().__init__()
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"every must be an integer >= 1; received {every!r}.")
        self.path = path
        self.metrics = metrics
        self.every = every
        self.title = title
        self.history = {}
        self._undrawn = False

    def on_epoch_end(self, epoch, logs=None):
        """Notes the epoch's metrics and draws."""
        for name, value in (logs or {}).items():
            values = self.history.setdefault(name, [])
            del values[epoch:]
            values += [None] * (epoch - len(values))
            values.append(float(ops.convert_to_numpy(value)))
        self._undrawn = True
        if (epoch + 1) % self.every == 0:
            self._draw()

    def on_train_end(self, logs=None):
        """Draws the epochs since the last drawing."""
        if self._undrawn:
            self._draw()

    def _draw(self):
        plotting.training_curves(
            self.history, metrics=self.metrics, title=self.title, path=self.path
        )
        self._undrawn = False
