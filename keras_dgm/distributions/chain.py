"""Several stochastic layers in a row."""

import keras
import numpy as np

from keras_dgm import backend
from keras_dgm.backend import tfd


@keras.saving.register_keras_serializable(package="keras_dgm")
class Chain(keras.layers.Layer):
    """A cascade of distribution layers: each is given the value that the one before drew.

    `Chain([p2, p1])` is p(h2) p(h1 | h2), the prior of a sigmoid belief network or a deep latent
    Gaussian model (Ou 2019, section 3.1.1); `Chain([q1, q2])` with a context x is
    q(h1 | x) q(h2 | h1). A sample is a tuple in the order drawn, its log-probability the sum.
    It has no parameter tensors of its own.

    Args:
        layers: distribution layers, in the order in which they are drawn.
    """

    def __init__(self, layers, name=None, **kwargs):
        super().__init__(name=name, **kwargs)
        if not layers:
            raise ValueError("A Chain needs one distribution layer at least; received none.")
        self.parts = list(layers)

    @property
    def event_shape(self):
        """The event shapes of the parts, a tuple in the order drawn."""
        return tuple(part.event_shape for part in self.parts)

    @property
    def is_reparameterized(self):
        """Whether gradients pass through every draw."""
        return all(part.is_reparameterized for part in self.parts)

    @property
    def is_discrete(self):
        """Whether every part is discrete."""
        return all(part.is_discrete for part in self.parts)

    @property
    def is_relaxed(self):
        """Whether any part is a relaxation."""
        return any(part.is_relaxed for part in self.parts)

    def build(self, context_shape=None):
        """Builds the parts, each for the values of the one before."""
        if self.built:
            return
        for part in self.parts:
            part.build(context_shape)
            context_shape = (None, *part.event_shape)
        self.built = True

    def sample(self, context=None, sample_shape=(), seed=None, training=None):
        """A tuple of draws, each (*sample_shape, ..., *event_shape)."""
        return self.sample_and_log_prob(context, sample_shape, seed, training)[0]

    def log_prob(self, value, context=None, training=None):
        """Sum of the parts' log-densities in nats, shape (...,).

        Args:
            value: tuple of values in the order drawn.
            context: what the first part is given.
        """
        return sum(self.log_probs(value, context, training))

    def log_probs(self, value, context=None, training=None):
        """The parts' log-densities, a list in the order drawn."""
        value = self.check_tuple(value)
        contexts = [context, *value[:-1]]
        return [
            part.log_prob(v, c, training=training)
            for part, v, c in zip(self.parts, value, contexts)
        ]

    def sample_and_log_prob(
        self, context=None, sample_shape=(), seed=None, training=None, stop_gradient=False
    ):
        """The tuple of draws and the sum of log-densities, each network evaluated once.

        With `stop_gradient` the draws are constants.
        """
        seeds = backend.split_seed(backend.as_seed(seed), len(self.parts))
        values, total = [], 0.0
        for part, part_seed in zip(self.parts, seeds):
            value, log_prob = part.sample_and_log_prob(
                context, sample_shape, part_seed, training, stop_gradient
            )
            values.append(value)
            total = total + log_prob
            context, sample_shape = value, ()
        return tuple(values), total

    def distribution(self, context=None, training=None):
        """The joint, as TFP's `JointDistributionSequential`."""

        def given(part):
            # TFP counts the arguments of a function, and takes their names for the parts' unless
            # they are underscores.
            return lambda _: part.distribution(_, training=training)

        first = self.parts[0].distribution(context, training=training)
        return tfd.JointDistributionSequential([first, *map(given, self.parts[1:])])

    def check_tuple(self, value):
        """The value as a tuple of as many tensors as there are parts."""
        if not isinstance(value, (tuple, list)) or len(value) != len(self.parts):
            got = f"{len(value)} values" if isinstance(value, (tuple, list)) else "one tensor"
            raise ValueError(
                f"A Chain of {len(self.parts)} layers takes a tuple of as many values, in the "
                f"order drawn; received {got}."
            )
        return tuple(value)

    def check_value(self, x, name="x"):
        """Checks the last part's values."""
        self.parts[-1].check_value(np.asarray(x), name)

    def get_build_config(self):
        """None: the owner builds its parts in its constructor."""
        return None

    def build_from_config(self, config):
        """Nothing to do."""

    def get_config(self):
        layers = [keras.saving.serialize_keras_object(part) for part in self.parts]
        return {**super().get_config(), "layers": layers}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["layers"] = [
            keras.saving.deserialize_keras_object(layer) for layer in config["layers"]
        ]
        return cls(**config)
