"""What is learned."""

from keras_dgm.models.builders import deep_latent_gaussian_model, sigmoid_belief_network
from keras_dgm.models.dbm import DBM
from keras_dgm.models.dbn import DBN
from keras_dgm.models.implicit_model import ImplicitModel
from keras_dgm.models.latent_variable_model import LatentVariableModel
from keras_dgm.models.random_field import RandomField
from keras_dgm.models.rbm import RBM

__all__ = [
    "DBM",
    "DBN",
    "RBM",
    "ImplicitModel",
    "LatentVariableModel",
    "RandomField",
    "deep_latent_gaussian_model",
    "sigmoid_belief_network",
]
