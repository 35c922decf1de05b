"""Generators as partners of a random field: draws of (x, h) and log q(x, h)."""

import math

import keras
from keras import ops

from keras_dgm import backend
from keras_dgm.distributions.base import sum_event
from keras_dgm.models import ImplicitModel, LatentVariableModel

_LOG_2PI = math.log(2.0 * math.pi)


class DensityGenerator:
    """q(x, h) = q(h) q(x | h) of a generator with a density, one interface for two models.

    - A `LatentVariableModel` is that already; its likelihood must be continuous.
    - An `ImplicitModel` x = G(h), or G(h, y) for a label y, becomes N(x; G(h), noise_scale^2).

    Args:
        model: one of the two.
        noise_scale: standard deviation of x given h, for an `ImplicitModel` alone.
        owner: name of the rule, for errors.

    Raises:
        ValueError: another model, a likelihood of discrete values, a scale that is missing, not
            positive, or that has no use.
    """

    def __init__(self, model, noise_scale, owner):
        self.model = model
        self.noise_scale = noise_scale
        if isinstance(model, LatentVariableModel):
            if noise_scale is not None:
                raise ValueError(
                    "`noise_scale` is for an ImplicitModel; the likelihood of this "
                    "LatentVariableModel has a scale of its own. Leave it out."
                )
            if model.likelihood.is_discrete:
                raise ValueError(
                    f"{owner} moves x along gradients, and {type(model.likelihood).__name__} "
                    "draws discrete x. Use a continuous likelihood, distributions.Normal say."
                )
        elif isinstance(model, ImplicitModel):
            if noise_scale is None or not float(noise_scale) > 0.0:
                raise ValueError(
                    "An ImplicitModel has no density: give `noise_scale`, the positive standard "
                    f"deviation of x around G(h); received {noise_scale!r}."
                )
            self.noise_scale = float(noise_scale)
        else:
            raise ValueError(
                f"{owner} takes a LatentVariableModel or an ImplicitModel as generator; received "
                f"{type(model).__name__}."
            )

    @property
    def is_conditional(self):
        """Whether x depends on a label."""
        return getattr(self.model, "is_conditional", False)

    def draw(self, num_samples, seed, y=None, training=None):
        """`(x, h)`, `num_samples` rows each, constants."""
        if self.noise_scale is None:
            x, h = self.model.sample(num_samples, seed, training=training)
        else:
            first, second = backend.split_seed(backend.as_seed(seed), 2)
            h = self.model.draw_noise(num_samples, first)
            x = self.model.generate(h, y, training=training)
            x = x + self.noise_scale * backend.normal(ops.shape(x), second)
        h = keras.tree.map_structure(ops.stop_gradient, h)
        return ops.stop_gradient(x), h

    def log_prob(self, x, h, y=None, training=None):
        """log q(x, h), or log q(x, h | y), in nats, (batch,)."""
        if self.noise_scale is None:
            return self.model.log_prob(x, h, training=training)
        return self.log_likelihood(x, h, y, training) + self.model.noise.log_prob(h)

    def log_likelihood(self, x, h, y=None, training=None):
        """log q(x | h), or log q(x | h, y), in nats, (batch,)."""
        if self.noise_scale is None:
            return self.model.log_likelihood(x, h, training=training)
        z = (x - self.model.generate(h, y, training=training)) / self.noise_scale
        terms = -0.5 * (z * z + _LOG_2PI) - math.log(self.noise_scale)
        return sum_event(terms, self.model.event_shape)


def check_same_events(field, generator):
    """Raises a ValueError unless field and generator are over the same x."""
    if tuple(field.event_shape) != tuple(generator.event_shape):
        raise ValueError(
            f"The field is over x of shape {tuple(field.event_shape)}, and the generator draws "
            f"{tuple(generator.event_shape)}; they must be the same."
        )
