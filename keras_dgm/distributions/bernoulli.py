"""Factorial Bernoulli distributions, hard and relaxed."""

import keras
import numpy as np
from keras import ops

from keras_dgm import backend
from keras_dgm.backend import tfb, tfd
from keras_dgm.distributions.base import Distribution, sum_event


class _Bernoulli(Distribution):
    """What the hard and the relaxed family share: logits, support, output bias."""

    def parameter_shapes(self):
        return {"logits": self.event_shape}

    def check_value(self, x, name="x"):
        if np.issubdtype(x.dtype, np.bool_):
            return
        low, high = float(np.min(x)), float(np.max(x))
        if low < 0.0 or high > 1.0:
            hint = ""
            if high > 1.0 and low >= 0.0 and high <= 255.0:
                hint = " Divide pixels in [0, 255] by 255."
            elif low >= -1.0 and high <= 1.0:
                hint = " Pixels in [-1, 1] become (x + 1) / 2."
            raise ValueError(
                f"{name} ranges over [{low:g}, {high:g}]; a Bernoulli likelihood takes values in "
                f"[0, 1].{hint}"
            )

    def init_bias(self, data):
        """Starts the output bias at the logit of the data's mean, pixel by pixel."""
        mean = np.clip(np.asarray(data, "float64").mean(axis=0), 1e-3, 1.0 - 1e-3)
        self._set_head_bias("logits", np.log(mean) - np.log1p(-mean))


@keras.saving.register_keras_serializable(package="keras_dgm")
class Bernoulli(_Bernoulli):
    """Independent binary values, by their logits. Grey levels in [0, 1] count in proportion.

    log p(x) = sum_i x_i a_i - softplus(a_i), written out (equal to TFP's, with fewer operations).
    Draws are float32, 0. or 1., and carry no gradient.

    See `Distribution` for the arguments.
    """

    is_discrete = True

    def from_parameters(self, parameters):
        family = tfd.Bernoulli(logits=parameters["logits"], dtype="float32")
        return tfd.Independent(family, reinterpreted_batch_ndims=len(self.event_shape))

    def log_prob_from(self, parameters, value):
        logits = parameters["logits"]
        value = ops.cast(value, "float32")
        return sum_event(value * logits - backend.softplus(logits), self.event_shape)

    def sample_from(self, parameters, sample_shape, seed):
        probabilities = ops.sigmoid(ops.stop_gradient(parameters["logits"]))
        shape = (*sample_shape, *ops.shape(probabilities))
        return ops.cast(backend.uniform(shape, seed) < probabilities, "float32")

    def mean(self, context=None, training=None):
        return ops.sigmoid(self(context, training=training)["logits"])


@keras.saving.register_keras_serializable(package="keras_dgm")
class RelaxedBernoulli(_Bernoulli):
    """The binary Concrete distribution: values in (0, 1) with a density, reparameterised.

    sigmoid((logits + L) / temperature) with L standard logistic (Ou 2019, section 3.2.1 item 2).
    As the temperature falls it tends to the Bernoulli; a bound computed with it is not a bound
    on the discrete model.

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
        logistic = tfd.Logistic(parameters["logits"] / temperature, 1.0 / temperature)
        family = tfd.TransformedDistribution(logistic, tfb.Sigmoid())
        return tfd.Independent(family, reinterpreted_batch_ndims=len(self.event_shape))

    def mean(self, context=None, training=None):
        """The discrete mean, to which the relaxed one tends as the temperature falls."""
        return ops.sigmoid(self(context, training=training)["logits"])

    def get_config(self):
        return {**super().get_config(), "temperature": self.initial_temperature}


def check_temperature(value):
    """The temperature as a float, if it is positive."""
    if not float(value) > 0.0:
        raise ValueError(f"A temperature is positive; received {value!r}.")
    return float(value)


def temperature_weight(layer):
    """The temperature of a relaxed family as a weight that a schedule may set."""
    return layer.add_weight(
        shape=(),
        initializer=keras.initializers.Constant(layer.initial_temperature),
        trainable=False,
        autocast=False,
        name="temperature",
    )
