"""Deep generative models in Keras, the model and the algorithm that learns it kept apart."""

from keras_dgm import backend, datasets, distributions, models, networks
from keras_dgm.algorithms.base import Algorithm
from keras_dgm.algorithms.directed.iwae import IWAE
from keras_dgm.algorithms.directed.vae import VAE

__version__ = "0.1.0"

__all__ = [
    "IWAE",
    "VAE",
    "Algorithm",
    "backend",
    "datasets",
    "distributions",
    "models",
    "networks",
]
