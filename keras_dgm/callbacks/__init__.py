"""Callbacks for `fit`: pictures and figures of the model as it learns, averaged weights."""

from keras_dgm.callbacks.exponential_moving_average import ExponentialMovingAverage
from keras_dgm.callbacks.frechet_distance import FrechetDistance
from keras_dgm.callbacks.latent_traversal import LatentTraversal
from keras_dgm.callbacks.process_backup import ProcessBackup
from keras_dgm.callbacks.reconstruction_strip import ReconstructionStrip
from keras_dgm.callbacks.sample_grid import SampleGrid
from keras_dgm.callbacks.training_curves import TrainingCurves

__all__ = [
    "ExponentialMovingAverage",
    "FrechetDistance",
    "LatentTraversal",
    "ProcessBackup",
    "ReconstructionStrip",
    "SampleGrid",
    "TrainingCurves",
]
