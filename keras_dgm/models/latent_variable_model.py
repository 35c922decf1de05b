"""A prior and a likelihood."""

import keras
from keras import ops, tree

from keras_dgm import backend
from keras_dgm.distributions import Chain


@keras.saving.register_keras_serializable(package="keras_dgm")
class LatentVariableModel(keras.layers.Layer):
    """p(x, h) = p(h) p(x | h), the directed model that many rules can learn (Ou 2019, 3.1).

    With several stochastic layers the prior is a `Chain`, h a tuple in the order drawn (the top
    layer first), and the likelihood is given the last of them. A `Chain` as likelihood is
    accepted too: all but its last part join the prior.

    Args:
        prior: a distribution layer without context, or a `Chain` of which the first has none.
        likelihood: a distribution layer given h.
    """

    def __init__(self, prior, likelihood, name=None, **kwargs):
        super().__init__(name=name, **kwargs)
        if isinstance(likelihood, Chain):
            first = prior.parts if isinstance(prior, Chain) else [prior]
            prior = Chain([*first, *likelihood.parts[:-1]])
            likelihood = likelihood.parts[-1]
        self.prior = prior
        self.likelihood = likelihood
        prior.build()
        bottom = prior.event_shape[-1] if self.is_deep else prior.event_shape
        likelihood.build((None, *bottom))
        self.built = True

    @property
    def is_deep(self):
        """Whether h is a tuple of layers."""
        return isinstance(self.prior, Chain)

    @property
    def event_shape(self):
        """Shape of one x."""
        return self.likelihood.event_shape

    @property
    def latent_shape(self):
        """Shape of one h, or a tuple of shapes, the top layer first."""
        return self.prior.event_shape

    def bottom(self, h):
        """The latent layer that the likelihood is given."""
        return h[-1] if isinstance(h, (tuple, list)) else h

    def log_prob(self, x, h, training=None):
        """log p(x, h) in nats, shape (...,).

        Args:
            x: (batch, *event).
            h: (..., batch, *latent), or a tuple of such, the top layer first.
        """
        return self.log_likelihood(x, h, training) + self.log_prior(h, training)

    def log_likelihood(self, x, h, training=None):
        """log p(x | h) in nats, shape (...,)."""
        return self.likelihood.log_prob(x, self.bottom(h), training=training)

    def log_prior(self, h, training=None):
        """log p(h) in nats, shape (...,)."""
        return self.prior.log_prob(h, training=training)

    def sample(self, num_samples, seed, training=None):
        """Draws `(x, h)`, each with `num_samples` rows, x after the likelihood."""
        first, second = backend.split_seed(backend.as_seed(seed), 2)
        h = self.prior.sample(sample_shape=(num_samples,), seed=first, training=training)
        h = tree.map_structure(backend.spread_rows, h)
        x = self.likelihood.sample(self.bottom(h), seed=second, training=training)
        return x, h

    def mean(self, h, training=None):
        """E[x | h], shape (..., *event)."""
        return self.likelihood.mean(self.bottom(h), training=training)

    def call(self, h, training=None):
        """E[x | h]."""
        return self.mean(ops.convert_to_tensor(h), training)

    def get_build_config(self):
        """None: the constructor builds."""
        return None

    def build_from_config(self, config):
        """Nothing to do."""

    def get_config(self):
        return {
            **super().get_config(),
            "prior": keras.saving.serialize_keras_object(self.prior),
            "likelihood": keras.saving.serialize_keras_object(self.likelihood),
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for part in ("prior", "likelihood"):
            config[part] = keras.saving.deserialize_keras_object(config[part])
        return cls(**config)
