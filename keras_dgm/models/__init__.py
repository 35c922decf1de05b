"""What is learned."""

from keras_dgm.models.latent_variable_model import LatentVariableModel

__all__ = ["LatentVariableModel"]
