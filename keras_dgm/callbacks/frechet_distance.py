"""`FrechetDistance`: how far the samples are from the data, epoch by epoch."""

import keras
import numpy as np

from keras_dgm.evaluation.frechet import RunningMoments, feature_moments, frechet_distance


class FrechetDistance(keras.callbacks.Callback):
    """Measures samples every few epochs, and keeps the weights of the best.

    Logged as `frechet_distance`, in epochs without a measurement the last one. The same seed each
    time. Adversarial training may end worse than it once was: after `fit`, `restore_best` puts the
    best weights in, and `best` and `last` tell both figures. Pick the epoch on other data than the
    figure that is reported.

    Args:
        real: data (n, *event), or the `RunningMoments` of their features.
        network: an `evaluation.FeatureNetwork`.
        num_samples: samples each time. Few of them bias the distance upwards, alike each time.
        every: epochs from one measurement to the next; the last epoch is always measured.
        seed: of `model.sample`.
        **options: further arguments of `model.sample`.

    Raises:
        ValueError: when training begins, if the model has no `sample`; a `restore_best` before
            anything was measured.
    """

    def __init__(self, real, network, num_samples=2000, every=1, seed=0, **options):
        super().__init__()
        if int(every) < 1 or int(num_samples) < 2:
            raise ValueError(
                "`every` is an epoch or more and `num_samples` two or more; received "
                f"{every!r} and {num_samples!r}."
            )
        moments = real if isinstance(real, RunningMoments) else feature_moments(real, network)
        self.real, self.network = moments, network
        self.num_samples, self.every, self.seed = int(num_samples), int(every), seed
        self.options = options
        self.best = self.last = None
        self.best_epoch = None
        self._weights = None

    def on_train_begin(self, logs=None):
        """Checks the model before an epoch is spent on it."""
        if not hasattr(self.model, "sample"):
            raise ValueError(f"{type(self.model).__name__} has no `sample` to measure.")

    def on_epoch_end(self, epoch, logs=None):
        """Measures, where the epoch is one of those asked for."""
        epoch += 1
        if epoch % self.every == 0 or epoch == self.params.get("epochs"):
            samples = self.model.sample(self.num_samples, seed=self.seed, **self.options)
            self.last = frechet_distance(self.real, samples, self.network)
            if self.best is None or self.last.value < self.best.value:
                self.best, self.best_epoch = self.last, epoch
                self._weights = [np.copy(value) for value in self.model.get_weights()]
        if logs is not None and self.last is not None:
            logs["frechet_distance"] = self.last.value

    def restore_best(self):
        """Puts the weights of the best epoch into the model, learning state included."""
        if self._weights is None:
            raise ValueError("Nothing was measured yet, so there is no best epoch.")
        self.model.set_weights(self._weights)
