"""Gaussian distributions: diagonal, and with a full covariance."""

import math

import keras
import numpy as np
from keras import ops

from keras_dgm import backend
from keras_dgm.backend import tfd
from keras_dgm.distributions.base import Distribution, sum_event

_UNIT = math.log(math.e - 1.0)  # softplus of it is 1
_LOG_2PI = math.log(2.0 * math.pi)


@keras.saving.register_keras_serializable(package="keras_dgm")
class Normal(Distribution):
    """Independent Gaussians with mean and standard deviation from the context (Ou 2019, Eq. 4).

    The standard deviation is softplus of the network's output, one at zero input. The density
    is written out, equal to TFP's with fewer operations.

    Args:
        scale: None for a standard deviation that depends on the context, a positive number for a
            fixed one, or `"shared"` for a learned one that is the same for every context.
        others: see `Distribution`.

    Raises:
        ValueError: a scale that is not positive, or another word.
    """

    is_reparameterized = True

    def __init__(self, event_shape, network=None, scale=None, **kwargs):
        super().__init__(event_shape, network=network, **kwargs)
        self.scale = check_scale(scale)

    def parameter_shapes(self):
        shapes = {"loc": self.event_shape}
        if self.scale is None:
            shapes["raw_scale"] = self.event_shape
        return shapes

    def standard_parameters(self):
        starts = {"loc": 0.0}
        if self.scale is None:
            starts["raw_scale"] = _UNIT
        return starts

    def build(self, context_shape=None):
        if not self.built and self.scale == "shared":
            self.shared_raw_scale = self.add_weight(
                shape=self.event_shape,
                initializer=keras.initializers.Constant(_UNIT),
                autocast=False,
                name="raw_scale",
            )
        super().build(context_shape)

    def location_and_scale(self, parameters):
        """Mean and standard deviation from the raw parameters."""
        if self.scale is None:
            return parameters["loc"], ops.softplus(parameters["raw_scale"])
        if self.scale == "shared":
            return parameters["loc"], ops.softplus(ops.convert_to_tensor(self.shared_raw_scale))
        return parameters["loc"], ops.full(self.event_shape, self.scale, dtype="float32")

    def from_parameters(self, parameters):
        loc, scale = self.location_and_scale(parameters)
        family = tfd.Normal(loc, ops.broadcast_to(scale, ops.shape(loc)))
        return tfd.Independent(family, reinterpreted_batch_ndims=len(self.event_shape))

    def log_prob_from(self, parameters, value):
        loc, scale = self.location_and_scale(parameters)
        z = (ops.cast(value, "float32") - loc) / scale
        return sum_event(-0.5 * (z * z + _LOG_2PI) - ops.log(scale), self.event_shape)

    def sample_from(self, parameters, sample_shape, seed):
        loc, scale = self.location_and_scale(parameters)
        return loc + scale * backend.normal((*sample_shape, *ops.shape(loc)), seed)

    def entropy_from(self, parameters):
        """Entropy in nats, shape (...,)."""
        loc, scale = self.location_and_scale(parameters)
        terms = 0.5 * (1.0 + _LOG_2PI) + ops.log(ops.broadcast_to(scale, ops.shape(loc)))
        return sum_event(terms, self.event_shape)

    def mean(self, context=None, training=None):
        return self(context, training=training)["loc"]

    def init_bias(self, data):
        """Starts the output bias of the mean at the data's mean."""
        self._set_head_bias("loc", np.asarray(data, "float64").mean(axis=0))

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable(package="keras_dgm")
class MultivariateNormal(Distribution):
    """A Gaussian vector with a full covariance, x = mu + S eps (Assignment 2018, section 1a).

    S is lower triangular with a positive diagonal, which every covariance S S^T has one of.

    Args:
        event_shape: `(d,)`.
        scale: None for an S that depends on the context, `"shared"` for a learned one that is the
            same for every context (the matrix G of a deep latent Gaussian model, Ou 2019, Eq. 3),
            or a fixed positive number s for S = s I.
        others: see `Distribution`.
    """

    is_reparameterized = True

    def __init__(self, event_shape, network=None, scale=None, **kwargs):
        super().__init__(event_shape, network=network, **kwargs)
        if len(self.event_shape) != 1:
            raise ValueError(
                f"MultivariateNormal is over vectors; received the event shape {self.event_shape}."
            )
        self.scale = check_scale(scale)
        self.size = self.event_shape[0]
        self._raw_size = self.size * (self.size + 1) // 2

    def parameter_shapes(self):
        shapes = {"loc": self.event_shape}
        if self.scale is None:
            shapes["raw_scale"] = (self._raw_size,)
        return shapes

    def standard_parameters(self):
        starts = {"loc": 0.0}
        if self.scale is None:
            starts["raw_scale"] = 0.0
        return starts

    def build(self, context_shape=None):
        if not self.built and self.scale == "shared":
            self.shared_raw_scale = self.add_weight(
                shape=(self._raw_size,), initializer="zeros", autocast=False, name="raw_scale"
            )
        super().build(context_shape)

    def scale_matrix(self, parameters):
        """S, shape (..., d, d): lower triangular, its diagonal softplus(raw) and one at zero."""
        if isinstance(self.scale, float):
            return self.scale * ops.eye(self.size)
        if self.scale == "shared":
            raw = ops.convert_to_tensor(self.shared_raw_scale)
        else:
            raw = parameters["raw_scale"]
        diagonal = ops.softplus(raw[..., : self.size] + _UNIT)
        below = np.zeros((self._raw_size - self.size, self.size * self.size), "float32")
        rows, columns = np.tril_indices(self.size, -1)
        below[np.arange(len(rows)), rows * self.size + columns] = 1.0
        shape = (*ops.shape(raw)[:-1], self.size, self.size)
        matrix = ops.reshape(ops.matmul(raw[..., self.size :], below), shape)
        return matrix + diagonal[..., None] * ops.eye(self.size)

    def from_parameters(self, parameters):
        return tfd.MultivariateNormalTriL(parameters["loc"], self.scale_matrix(parameters))

    def sample_from(self, parameters, sample_shape, seed):
        loc = parameters["loc"]
        noise = backend.normal((*sample_shape, *ops.shape(loc)), seed)
        matrix = self.scale_matrix(parameters)
        return loc + ops.squeeze(ops.matmul(matrix, noise[..., None]), -1)

    def entropy_from(self, parameters):
        """Entropy in nats, shape (...,)."""
        return self.from_parameters(parameters).entropy()

    def kl_from(self, parameters, prior):
        if isinstance(prior, Normal):
            loc, scale = prior.location_and_scale(prior())
            diagonal = tfd.MultivariateNormalDiag(loc, scale)
            return self.from_parameters(parameters).kl_divergence(diagonal)
        return super().kl_from(parameters, prior)

    def mean(self, context=None, training=None):
        return self(context, training=training)["loc"]

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


def check_scale(scale):
    """The `scale` argument, if it is None, "shared" or a positive number."""
    if scale is None or scale == "shared":
        return scale
    if isinstance(scale, str) or not float(scale) > 0.0:
        raise ValueError(
            "`scale` is None (from the context), 'shared' (learned, one for all contexts) or a "
            f"positive number; received {scale!r}."
        )
    return float(scale)
