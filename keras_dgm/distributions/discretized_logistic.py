"""Logistic distributions over the 256 levels of a pixel."""

import keras
import numpy as np
from keras import ops

from keras_dgm import backend
from keras_dgm.backend import tfd
from keras_dgm.distributions.base import Distribution, sum_event


@keras.saving.register_keras_serializable(package="keras_dgm")
class DiscretizedLogistic(Distribution):
    """Independent logistic variables rounded to the levels 0, 1/(n-1), ..., 1.

    P(x) = sigma((x + b - mu) / s) - sigma((x - b - mu) / s) with b half a level's width, and the
    tails given to the two outermost levels. It is a mass on levels, so log p is in nats a
    picture and comparable between models, as a density of dequantised pixels is not.

    Args:
        num_levels: levels of a pixel, 256 by default.
        others: see `Distribution`.
    """

    is_discrete = True

    def __init__(self, event_shape, network=None, num_levels=256, **kwargs):
        super().__init__(event_shape, network=network, **kwargs)
        if int(num_levels) < 2:
            raise ValueError(f"`num_levels` is two at least; received {num_levels!r}.")
        self.num_levels = int(num_levels)

    def parameter_shapes(self):
        return {"loc": self.event_shape, "raw_scale": self.event_shape}

    def standard_parameters(self):
        return {"loc": 0.5, "raw_scale": -1.5}

    def location_and_scale(self, parameters):
        """Mean and scale of the logistic, in units of the pixel range."""
        return parameters["loc"], ops.softplus(parameters["raw_scale"])

    def from_parameters(self, parameters):
        loc, scale = self.location_and_scale(parameters)
        top = self.num_levels - 1.0
        # Values are counted in levels here: TFP's quantised family lives on the integers, and
        # rounds up, hence the half. `value_to_level` maps pixels to it.
        logistic = tfd.Logistic(loc * top - 0.5, scale * top)
        family = tfd.QuantizedDistribution(logistic, low=0.0, high=top)
        return tfd.Independent(family, reinterpreted_batch_ndims=len(self.event_shape))

    def value_to_level(self, value):
        """Pixels in [0, 1] as level numbers 0 .. n - 1, the support of `distribution(...)`."""
        return ops.round(ops.cast(value, "float32") * (self.num_levels - 1))

    def log_prob_from(self, parameters, value):
        loc, scale = self.location_and_scale(parameters)
        value = ops.cast(value, "float32")
        half = 0.5 / (self.num_levels - 1)
        upper = (value + half - loc) / scale
        lower = (value - half - loc) / scale
        # log(sigma(u) - sigma(l)) = log sigma(u) + log sigma(-l) + log(1 - e^(l-u)), stable.
        width = upper - lower
        inner = -ops.softplus(-upper) - ops.softplus(lower) + ops.log(-ops.expm1(-width))
        lowest = -ops.softplus(-upper)
        highest = -ops.softplus(lower)
        terms = ops.where(value < half, lowest, ops.where(value > 1.0 - half, highest, inner))
        return sum_event(terms, self.event_shape)

    def sample_from(self, parameters, sample_shape, seed):
        loc, scale = self.location_and_scale(parameters)
        uniform = backend.uniform((*sample_shape, *ops.shape(loc)), seed, 1e-7, 1.0 - 1e-7)
        value = loc + scale * (ops.log(uniform) - ops.log1p(-uniform))
        top = self.num_levels - 1
        return ops.stop_gradient(ops.clip(ops.round(value * top), 0, top) / top)

    def mean(self, context=None, training=None):
        """The location within [0, 1]: the mean but for what the end levels cut off."""
        return ops.clip(self(context, training=training)["loc"], 0.0, 1.0)

    def check_value(self, x, name="x"):
        low, high = float(np.min(x)), float(np.max(x))
        if low < 0.0 or high > 1.0:
            raise ValueError(
                f"{name} ranges over [{low:g}, {high:g}]; DiscretizedLogistic takes levels in "
                "[0, 1]: divide pixels in [0, 255] by 255."
            )
        levels = np.asarray(x, "float64").reshape(len(x), -1)[:256] * (self.num_levels - 1)
        if np.abs(levels - np.round(levels)).max() > 1e-2:
            raise ValueError(
                f"{name} holds values between the {self.num_levels} levels of a pixel; a mass on "
                "levels has no value there. Round x to multiples of 1/"
                f"{self.num_levels - 1}, or use a Normal likelihood."
            )

    def init_bias(self, data):
        """Starts the output bias of the location at the data's mean."""
        self._set_head_bias("loc", np.asarray(data, "float64").mean(axis=0))

    def get_config(self):
        return {**super().get_config(), "num_levels": self.num_levels}
