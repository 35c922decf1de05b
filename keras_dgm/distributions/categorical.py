"""One-hot categorical distributions, hard and relaxed."""

import keras
import numpy as np
from keras import ops

from keras_dgm import backend
from keras_dgm.backend import tfd
from keras_dgm.distributions.base import Distribution
from keras_dgm.distributions.bernoulli import check_temperature, temperature_weight


class _Categorical(Distribution):
    """What the hard and the relaxed family share."""

    def __init__(self, event_shape, network=None, **kwargs):
        super().__init__(event_shape, network=network, **kwargs)
        if not self.event_shape or self.event_shape[-1] < 2:
            raise ValueError(
                "The last axis of a one-hot event holds the classes, two at least; received the "
                f"event shape {self.event_shape}."
            )

    def parameter_shapes(self):
        return {"logits": self.event_shape}

    def check_value(self, x, name="x"):
        if not np.allclose(np.sum(x, axis=-1), 1.0, atol=1e-4) or np.min(x) < 0:
            raise ValueError(
                f"{name} is not one-hot over its last axis: rows sum to between "
                f"{float(np.min(np.sum(x, -1))):g} and {float(np.max(np.sum(x, -1))):g}. "
                "keras.ops.one_hot(labels, num_classes) makes it so."
            )

    def mean(self, context=None, training=None):
        return ops.softmax(self(context, training=training)["logits"], axis=-1)


@keras.saving.register_keras_serializable(package="keras_dgm")
class OneHotCategorical(_Categorical):
    """Independent categorical values as one-hot vectors over the last axis of the event.

    An event shape (20, 10) is twenty values of ten classes each. Draws are float32 and carry no
    gradient. See `Distribution` for the arguments.
    """

    is_discrete = True

    def from_parameters(self, parameters):
        family = tfd.OneHotCategorical(logits=parameters["logits"], dtype="float32")
        return tfd.Independent(family, reinterpreted_batch_ndims=len(self.event_shape) - 1)

    def log_prob_from(self, parameters, value):
        log_probabilities = ops.log_softmax(parameters["logits"], axis=-1)
        value = ops.cast(value, "float32")
        return ops.sum(value * log_probabilities, axis=tuple(range(-len(self.event_shape), 0)))

    def sample_from(self, parameters, sample_shape, seed):
        logits = ops.stop_gradient(parameters["logits"])
        shape = (*sample_shape, *ops.shape(logits))
        classes = ops.argmax(logits + backend.gumbel(shape, seed), axis=-1)
        return ops.one_hot(classes, self.event_shape[-1], dtype="float32")


@keras.saving.register_keras_serializable(package="keras_dgm")
class RelaxedOneHotCategorical(_Categorical):
    """The Concrete (Gumbel-softmax) distribution: points of the simplex, reparameterised.

    As `RelaxedBernoulli`, for one-hot values.

    Args:
        temperature: positive number, kept as a non-trainable weight so that it may be scheduled.
        others: see `Distribution`.
    """

    is_reparameterized = True
    is_relaxed = True

    def __init__(self, event_shape, network=None, temperature=0.5, **kwargs):
        super().__init__(event_shape, network=network, **kwargs)
        self.initial_temperature = check_temperature(temperature)

    def build(self, context_shape=None):
        if not self.built:
            self.temperature = temperature_weight(self)
        super().build(context_shape)

    def from_parameters(self, parameters):
        temperature = ops.convert_to_tensor(self.temperature)
        family = tfd.RelaxedOneHotCategorical(temperature, logits=parameters["logits"])
        return tfd.Independent(family, reinterpreted_batch_ndims=len(self.event_shape) - 1)

    def get_config(self):
        return {**super().get_config(), "temperature": self.initial_temperature}
