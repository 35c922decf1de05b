"""`FrechetDistance`: the best epoch by samples is measured, kept and put back."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_dgm.callbacks import FrechetDistance
from keras_dgm.evaluation import frechet_distance, identity_features

PLANE = identity_features((2,))
REAL = np.random.default_rng(0).normal(size=(500, 2))
# Where the samples are centred after each epoch: nearest after the second.
CENTRES = (3.0, 1.0, 2.0)


class Wanderer(keras.Model):
    """Normal samples around a weight that each epoch moves."""

    def __init__(self):
        super().__init__()
        self.centre = self.add_weight(shape=(), name="centre")

    def call(self, x):
        return x + 0.0 * self.centre

    def sample(self, num_samples, seed=0):
        noise = np.random.default_rng(seed).normal(size=(num_samples, 2))
        return noise + float(ops.convert_to_numpy(self.centre.value))


class Move(keras.callbacks.Callback):
    """Moves the weight before the epoch's end is measured."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.centre.assign(CENTRES[epoch])


def fit(measure):
    model = Wanderer()
    model.compile("sgd", "mse")
    x = np.zeros((8, 2), "float32")
    callbacks = [Move(), measure]
    return model, model.fit(x, x, epochs=3, callbacks=callbacks, verbose=0).history


def test_every_epoch_is_measured_and_the_best_comes_back():
    measure = FrechetDistance(REAL, PLANE, num_samples=200, seed=1)
    model, history = fit(measure)
    noise = np.random.default_rng(1).normal(size=(200, 2))
    expected = [frechet_distance(REAL, noise + centre, PLANE).value for centre in CENTRES]
    assert history["frechet_distance"] == pytest.approx(expected, rel=1e-6)
    assert measure.best_epoch == 2
    assert measure.best.value == pytest.approx(expected[1], rel=1e-6)
    assert measure.last.value == pytest.approx(expected[2], rel=1e-6)
    assert float(model.centre.value) == 2.0
    measure.restore_best()
    assert float(model.centre.value) == 1.0


def test_epochs_between_two_measurements_repeat_the_last_and_the_end_is_measured():
    measure = FrechetDistance(REAL, PLANE, num_samples=200, every=2)
    _, history = fit(measure)
    assert len(history["frechet_distance"]) == 2  # none before the first measurement
    assert measure.best_epoch == 2 and measure.last.value > measure.best.value


def test_errors():
    with pytest.raises(ValueError, match="two or more"):
        FrechetDistance(REAL, PLANE, num_samples=1)
    measure = FrechetDistance(REAL, PLANE)
    with pytest.raises(ValueError, match="no best epoch"):
        measure.restore_best()
    measure.set_model(keras.Sequential([keras.layers.Dense(1)]))
    with pytest.raises(ValueError, match="no `sample`"):
        measure.on_train_begin()
