"""Noise put on data: conditional distributions C(x~ | x) around x itself."""

import math

import keras
import numpy as np
from keras import ops

from keras_dgm import backend
from keras_dgm.distributions.base import Distribution, sum_event
from keras_dgm.distributions.bernoulli import Bernoulli
from keras_dgm.distributions.normal import Normal


class _Corruption(Distribution):
    """What corruptions share: the context is an x, and no network stands between.

    Mixed in before a family, which gives the density.
    """

    def build(self, context_shape=None):
        if self.built:
            return
        if context_shape is None or tuple(context_shape[1:]) != self.event_shape:
            got = "no context" if context_shape is None else f"contexts {tuple(context_shape[1:])}"
            raise ValueError(
                f"{type(self).__name__} corrupts x of shape {self.event_shape}; it was built for "
                f"{got}. Give it the data's event shape."
            )
        self.context_shape, self.head = self.event_shape, None
        self._create_weights()
        self.built = True

    def _create_weights(self):
        """Weights of a learned corruption."""

    def _checked(self, context):
        if context is None:
            raise ValueError(f"{type(self).__name__} is given the x that it corrupts; none came.")
        return ops.cast(ops.convert_to_tensor(context), "float32")

    def _family_config(self, *without):
        config = super().get_config()
        for name in ("network", "learned", *without):
            config.pop(name, None)
        return config


@keras.saving.register_keras_serializable(package="keras_dgm")
class FlipCorruption(_Corruption, Bernoulli):
    """Flips each binary value by itself; grey levels in [0, 1] count as probabilities of a 1.

    Salt-and-pepper noise that replaces a share p of the pixels by a fair coin is a flip with
    probability p / 2.

    Args:
        event_shape: shape of one x.
        probability: of a flip, in (0, 0.5].
        learned: whether the probability is a weight (one for all values).

    Raises:
        ValueError: a probability outside (0, 0.5].
    """

    def __init__(self, event_shape, probability=0.1, learned=False, **kwargs):
        super().__init__(event_shape, **kwargs)
        if not 0.0 < float(probability) <= 0.5:
            raise ValueError(
                "`probability` of a flip lies in (0, 0.5], at 0 nothing is corrupted and at 0.5 "
                f"nothing is left; received {probability!r}."
            )
        self.probability = float(probability)
        self.learned_probability = bool(learned)

    def _create_weights(self):
        if self.learned_probability:
            start = math.log(self.probability) - math.log1p(-self.probability)
            self.flip_logit = self.add_weight(
                shape=(),
                initializer=keras.initializers.Constant(start),
                autocast=False,
                name="flip_logit",
            )

    def flip_probability(self):
        """The probability of a flip now."""
        if self.learned_probability:
            return ops.sigmoid(ops.convert_to_tensor(self.flip_logit))
        return ops.convert_to_tensor(self.probability, dtype="float32")

    def call(self, context=None, training=None):
        """`{"logits": ...}` of a 1, the shape of x."""
        x, flip = self._checked(context), self.flip_probability()
        one = x * (1.0 - flip) + (1.0 - x) * flip
        return {"logits": ops.log(one) - ops.log1p(-one)}

    def get_config(self):
        extra = {"probability": self.probability, "learned": self.learned_probability}
        return {**self._family_config(), **extra}


@keras.saving.register_keras_serializable(package="keras_dgm")
class GaussianCorruption(_Corruption, Normal):
    """Adds N(0, s^2) to each value by itself.

    Args:
        event_shape: shape of one x.
        noise_scale: s > 0.
        learned: whether s is a weight, one for each value.

    Raises:
        ValueError: a scale that is not positive.
    """

    def __init__(self, event_shape, noise_scale=0.5, learned=False, **kwargs):
        if isinstance(noise_scale, str) or not float(noise_scale) > 0.0:
            raise ValueError(f"`noise_scale` is positive; received {noise_scale!r}.")
        scale = "shared" if learned else float(noise_scale)
        super().__init__(event_shape, scale=scale, **kwargs)
        self.noise_scale = float(noise_scale)

    def _create_weights(self):
        if self.scale == "shared":
            self.shared_raw_scale = self.add_weight(
                shape=self.event_shape,
                initializer=keras.initializers.Constant(math.log(math.expm1(self.noise_scale))),
                autocast=False,
                name="raw_scale",
            )

    def call(self, context=None, training=None):
        """`{"loc": x}`."""
        return {"loc": self._checked(context)}

    def get_config(self):
        extra = {"noise_scale": self.noise_scale, "learned": self.scale == "shared"}
        return {**self._family_config("scale"), **extra}


@keras.saving.register_keras_serializable(package="keras_dgm")
class MaskingCorruption(_Corruption):
    """Sets each value to zero by itself with a given probability, and leaves the others alone.

    Args:
        event_shape: shape of one x.
        probability: of a zero, in (0, 1).

    Raises:
        ValueError: a probability outside (0, 1).
    """

    def __init__(self, event_shape, probability=0.3, **kwargs):
        super().__init__(event_shape, **kwargs)
        if not 0.0 < float(probability) < 1.0:
            raise ValueError(f"`probability` lies in (0, 1); received {probability!r}.")
        self.probability = float(probability)

    def parameter_shapes(self):
        return {"value": self.event_shape}

    def call(self, context=None, training=None):
        """`{"value": x}`."""
        return {"value": self._checked(context)}

    def sample_from(self, parameters, sample_shape, seed):
        value = parameters["value"]
        shape = (*sample_shape, *ops.shape(value))
        kept = ops.cast(backend.uniform(shape, seed) >= self.probability, "float32")
        return kept * value

    def log_prob_from(self, parameters, value):
        """Sum of log-probabilities, nats: -inf where a value is neither kept nor zero."""
        x, value = parameters["value"], ops.cast(value, "float32")
        kept = ops.where(value == x, math.log1p(-self.probability), -np.inf)
        masked = ops.where(x == 0.0, 0.0, math.log(self.probability))
        return sum_event(ops.where(value == 0.0, masked, kept), self.event_shape)

    def mean(self, context=None, training=None):
        return (1.0 - self.probability) * self(context)["value"]

    def get_config(self):
        return {**self._family_config(), "probability": self.probability}
