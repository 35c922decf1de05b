"""A density known up to its normalising constant."""

import keras
import numpy as np
from keras import ops

from keras_dgm import backend


class UnnormalizedModel(keras.layers.Layer):
    """p(x) = exp u(x) / Z, with u, the potential, known and Z not (Ou 2019, Eq. 38).

    One sign through the whole library: p is proportional to exp(+u), and the energy is -u.

    Such a model may be the prior of a `LatentVariableModel`. Its `log_prob` subtracts
    `log_partition`, a weight that no learning rule but noise-contrastive estimation moves: 0
    until somebody who has estimated log Z assigns it (`model.log_partition.assign(value)`), so by
    default log_prob is the potential, and bounds computed with it are known up to log Z.

    Args:
        event_shape: shape of one x.
    """

    is_reparameterized = False
    is_discrete = False
    is_relaxed = False
    num_classes = None

    def __init__(self, event_shape, name=None, **kwargs):
        super().__init__(name=name, **kwargs)
        shape = (event_shape,) if isinstance(event_shape, int | np.integer) else event_shape
        self.event_shape = tuple(int(size) for size in shape)
        self.log_partition = self.add_weight(
            shape=(), initializer="zeros", trainable=False, autocast=False, name="log_partition"
        )

    def potential(self, x, training=None):
        """u(x), shape (...,), for x (..., *event)."""
        raise NotImplementedError

    def initial_state(self, num_samples, seed):
        """Where a fresh chain starts: a structure of arrays (num_samples, ...)."""
        raise NotImplementedError

    def default_sampler(self):
        """The sampler of `sample` where none is given, or None."""
        return None

    def chain_potential(self, state, training=None):
        """The potential of a chain's state: u(x), where the state is x itself."""
        return self.potential(state, training=training)

    def data_potential(self, x, training=None):
        """The potential of observations: u(x), or a lower bound where u is intractable."""
        return self.potential(x, training=training)

    def visible(self, state):
        """The x in a chain's state."""
        return state

    def chain_start(self, x, seed):
        """A chain's state that begins at observations x."""
        return x

    def check_value(self, x, name="x"):
        """Raises a ValueError for an array outside the support."""

    def potential_and_gradient(self, x):
        """`(u(x), grad u(x))`, shapes (batch,) and (batch, *event)."""
        return backend.value_and_input_grad(self.potential, x)

    def log_prob(self, value, context=None, training=None):
        """u(x) - log_partition in nats, shape (...,): log p(x) once log_partition holds log Z."""
        _no_context(self, context)
        return self.potential(value, training=training) - ops.convert_to_tensor(self.log_partition)

    def sample(
        self, context=None, sample_shape=(), seed=None, training=None, num_steps=None, sampler=None
    ):
        """Ends of fresh chains of a sampler: draws of p(x) as far as the chains have mixed.

        Args:
            context: None; a random field has none.
            sample_shape: e.g. `(n,)`.
            seed: integer or seed tensor.
            num_steps: steps of the sampler, its own number by default.
            sampler: one of `keras_dgm.sampling`, the model's own by default.

        Returns:
            Tensor (*sample_shape, *event).

        Raises:
            ValueError: no sampler was declared.
        """
        _no_context(self, context)
        sampler = sampler or self.default_sampler()
        if sampler is None:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} is drawn from by a sampler, and none was "
                "declared. Construct it with sampler=keras_dgm.sampling.Langevin(...), or pass "
                "`sampler=`."
            )
        shape = (sample_shape,) if isinstance(sample_shape, int) else tuple(sample_shape)
        count = int(np.prod(shape)) if shape else 1
        first, second = backend.split_seed(backend.as_seed(seed), 2)
        state = self.initial_state(count, first)
        result = sampler.sample(self, state, second, num_steps=num_steps)
        return ops.reshape(self.visible(result.state), (*shape, *self.event_shape))

    def sample_and_log_prob(
        self, context=None, sample_shape=(), seed=None, training=None, stop_gradient=False
    ):
        """`sample` and `log_prob` of what it drew, which is a constant."""
        value = ops.stop_gradient(self.sample(context, sample_shape, seed, training))
        return value, self.log_prob(value, training=training)

    def distribution(self, context=None, training=None):
        """There is none with a normalised density: raises a ValueError that says so."""
        raise ValueError(
            f"{type(self).__name__} is known up to its normalising constant and has no TFP "
            "distribution, so nothing that needs one (a KL in closed form) can be computed. Use "
            "estimators that need log_prob and samples alone."
        )

    def _fold(self, x):
        """`(leading shape, x with one leading axis)`."""
        shape, rank = ops.shape(x), len(self.event_shape)
        if tuple(x.shape[len(shape) - rank :]) != self.event_shape:
            raise ValueError(
                f"{type(self).__name__} takes x of shape (..., "
                f"{', '.join(map(str, self.event_shape))}); received {tuple(x.shape)}."
            )
        leading = shape[: len(shape) - rank]
        return leading, x if len(leading) == 1 else ops.reshape(x, (-1, *self.event_shape))

    def call(self, x, training=None):
        """u(x)."""
        return self.potential(x, training=training)

    def build(self, input_shape=None):
        """Nothing to do: the constructor builds."""
        self.built = True

    def get_build_config(self):
        """None: the constructor builds."""
        return None

    def build_from_config(self, config):
        """Nothing to do."""


def _no_context(model, context):
    if context is not None:
        raise ValueError(f"{type(model).__name__} takes no context; received one.")
