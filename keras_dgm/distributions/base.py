"""A conditional distribution as a Keras layer."""

import keras
import numpy as np
from keras import ops

from keras_dgm import backend


class Distribution(keras.layers.Layer):
    """p(value | context): a network, a head for the family's parameters, and the family.

    Calling the layer gives the parameter tensors; the methods build the density from them. With
    no context it is a prior: the family's standard parameters, fixed, or learned with
    `learned=True`. The owner builds it, with `build(context_shape)`, or `build()` for a prior.

    Shapes: a context is (..., *context_shape), a value (..., *event_shape). Whatever leads is
    folded into one axis before a network sees it and unfolded after. Parameters are float32
    before a density is built, in mixed precision too.

    Args:
        event_shape: shape of one value, e.g. `(28, 28, 1)`.
        network: a Keras layer from a context to features (`keras_dgm.networks`), or None: then
            the parameters are affine in the context, and a prior needs none.
        learned: for a prior, whether its parameters are trained.
    """

    is_reparameterized = False
    is_discrete = False
    is_relaxed = False

    def __init__(self, event_shape, network=None, learned=False, name=None, **kwargs):
        super().__init__(name=name, **kwargs)
        self.event_shape = _shape(event_shape)
        self.network = network
        self.learned = bool(learned)
        self.context_shape = None

    def parameter_shapes(self):
        """Dictionary from parameter name to its shape for one event."""
        return {"loc": self.event_shape}

    def standard_parameters(self):
        """Dictionary from parameter name to the raw value of the standard member (a number)."""
        return {name: 0.0 for name in self.parameter_shapes()}

    def from_parameters(self, parameters):
        """The TFP distribution of these parameter tensors, its event shape the layer's."""
        raise NotImplementedError

    def log_prob_from(self, parameters, value):
        """Log-density of `value` under these parameters, in nats, shape (...,)."""
        return self.from_parameters(parameters).log_prob(value)

    def sample_from(self, parameters, sample_shape, seed):
        """Draws under these parameters, shape (*sample_shape, ..., *event_shape)."""
        return self.from_parameters(parameters).sample(sample_shape, seed=seed)

    def kl_from(self, parameters, prior):
        """KL(self || prior) in nats in closed form, shape (...,).

        Raises:
            NotImplementedError: the two families have none.
        """
        return self.from_parameters(parameters).kl_divergence(prior.distribution())

    def sample_and_log_prob_from(self, parameters, sample_shape, seed, stop_gradient=False):
        """Draws under these parameters, constants or not, and their log-density."""
        value = self.sample_from(parameters, sample_shape, seed)
        if stop_gradient:
            value = ops.stop_gradient(value)
        return value, self.log_prob_from(parameters, value)

    def check_value(self, x, name="x"):
        """Raises a ValueError for an array outside the family's support."""

    def build(self, context_shape=None):
        """Creates the weights.

        Args:
            context_shape: `(None, *shape)` of a context, or None for a prior.
        """
        if self.built:
            return
        shapes = self.parameter_shapes()
        self.head = None
        if context_shape is None:
            if self.network is not None:
                raise ValueError(
                    f"{type(self).__name__} {self.name!r} stands as a prior but owns a network; "
                    "a prior sees no context. Leave `network` out (`learned=True` trains it)."
                )
            self.weights_by_name = {}
            for name, start in self.standard_parameters().items():
                if self.learned:
                    self.weights_by_name[name] = self.add_weight(
                        shape=shapes[name],
                        initializer=keras.initializers.Constant(start),
                        autocast=False,
                        name=name,
                    )
        else:
            if self.learned:
                raise ValueError(
                    f"`learned=True` is for a prior; {type(self).__name__} {self.name!r} has a "
                    "context, and its network learns."
                )
            self.context_shape = tuple(context_shape[1:])
            features = (None, *self.context_shape)
            if self.network is not None:
                if not self.network.built:
                    self.network.build(features)
                features = self.network.compute_output_shape(features)
            self.head = self._make_head(tuple(features[1:]), shapes)
        self.built = True

    def _make_head(self, features, shapes):
        """Turns features into parameters: 1 x 1 convolutions on maps of the event's size."""
        self.is_map = (
            len(features) == 3
            and len(self.event_shape) == 3
            and features[:2] == self.event_shape[:2]
            and all(shape[:2] == self.event_shape[:2] for shape in shapes.values())
        )
        heads = {}
        for name, shape in shapes.items():
            options = {
                "bias_initializer": keras.initializers.Constant(self.standard_parameters()[name]),
                "name": f"head_{name}",
                "dtype": self.dtype_policy,
            }
            if self.is_map:
                channels = int(np.prod(shape[2:]))
                heads[name] = keras.layers.Conv2D(channels, 1, **options)
                heads[name].build((None, *features))
            else:
                heads[name] = keras.layers.Dense(int(np.prod(shape)), **options)
                heads[name].build((None, int(np.prod(features))))
            setattr(self, f"head_{name}", heads[name])
        return heads

    def init_bias(self, data):
        """Starts the output bias at the parameters of the data's mean, where the family can.

        Args:
            data: array (n, *event_shape).
        """
        raise ValueError(f"{type(self).__name__} has no data-dependent start.")

    def _set_head_bias(self, name, value):
        """Sets the bias of a head to an array of the parameter's shape for one event."""
        if self.head is None:
            raise ValueError("A prior has no output bias.")
        bias = self.head[name].bias
        value = np.asarray(value, "float32")
        if self.is_map:
            value = value.mean(axis=(0, 1))
        bias.assign(value.reshape(bias.shape))

    def call(self, context=None, training=None):
        """The raw parameters, a dictionary of float32 tensors (..., *parameter_shape)."""
        if self.context_shape is None:
            shapes = self.parameter_shapes()
            return {
                name: ops.convert_to_tensor(self.weights_by_name[name])
                if self.learned
                else ops.full(shapes[name], start, dtype="float32")
                for name, start in self.standard_parameters().items()
            }
        leading, features = self.features(context, training)
        return self.parameters_of(features, leading)

    def features(self, context, training=None):
        """`(leading, features)`: what the heads read, the context's leading axes folded."""
        if context is None:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} is conditional: it needs a context of "
                f"shape (..., {', '.join(map(str, self.context_shape))})."
            )
        context = ops.convert_to_tensor(context)
        leading, features = fold(context, self.context_shape)
        if self.network is not None:
            features = self.network(features, training=training)
        if not self.is_map:
            features = ops.reshape(features, (-1, int(np.prod(features.shape[1:]))))
        return leading, features

    def parameters_of(self, features, leading):
        """The raw parameters at these features."""
        shapes, out = self.parameter_shapes(), {}
        for name, head in self.head.items():
            value = ops.cast(head(features), "float32")
            out[name] = backend.unfold_axes(value, leading, shapes[name])
        return out

    def __call__(self, context=None, **kwargs):
        return super().__call__(context, **kwargs) if context is not None else self.call(**kwargs)

    def distribution(self, context=None, training=None):
        """The TFP distribution given a context."""
        return self.from_parameters(self(context, training=training))

    def sample(self, context=None, sample_shape=(), seed=None, training=None):
        """Draws, shape (*sample_shape, ..., *event_shape)."""
        parameters = self(context, training=training)
        return self.sample_from(parameters, _sample_shape(sample_shape), _seed(seed))

    def log_prob(self, value, context=None, training=None):
        """log p(value | context) in nats, shape (...,).

        Where the value has more leading axes than the context (samples first), the parameters
        are computed once and shared.
        """
        return self.log_prob_from(self(context, training=training), value)

    def sample_and_log_prob(
        self, context=None, sample_shape=(), seed=None, training=None, stop_gradient=False
    ):
        """Draws and their log-density, the network evaluated once.

        With `stop_gradient` the draws are constants, and the log-density's gradient is the score.
        """
        parameters = self(context, training=training)
        return self.sample_and_log_prob_from(
            parameters, _sample_shape(sample_shape), _seed(seed), stop_gradient
        )

    def mean(self, context=None, training=None):
        """E[value | context], shape (..., *event_shape)."""
        return self.distribution(context, training=training).mean()

    def compute_output_shape(self, context_shape=None):
        return {name: shape for name, shape in self.parameter_shapes().items()}

    def get_build_config(self):
        """None: the owner builds its parts in its constructor."""
        return None

    def build_from_config(self, config):
        """Nothing to do."""

    def get_config(self):
        return {
            **super().get_config(),
            "event_shape": list(self.event_shape),
            "network": keras.saving.serialize_keras_object(self.network),
            "learned": self.learned,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        if isinstance(config.get("network"), dict):
            config["network"] = keras.saving.deserialize_keras_object(config["network"])
        return cls(**config)


def fold(tensor, event_shape):
    """`(leading, tensor with the leading axes folded into one)`."""
    rank = len(event_shape)
    shape = ops.shape(tensor)
    leading = shape[: len(shape) - rank]
    if tuple(tensor.shape[len(shape) - rank :]) != tuple(event_shape):
        raise ValueError(
            f"A context has shape {tuple(tensor.shape)}; expected (..., "
            f"{', '.join(str(size) for size in event_shape)})."
        )
    if len(leading) == 1:
        return leading, tensor
    return leading, backend.fold_axes(tensor, len(leading))


def _shape(value):
    if isinstance(value, (int, np.integer)):
        return (int(value),)
    return tuple(int(size) for size in value)


def _sample_shape(value):
    """Like `_shape`; a size may be a scalar tensor (the rows of a batch)."""
    if isinstance(value, (tuple, list)):
        return tuple(int(n) if isinstance(n, (int, np.integer)) else n for n in value)
    return _shape(value)


def _seed(seed):
    if seed is None:
        raise ValueError(
            "A draw needs a seed: an integer, or a seed tensor (`algorithm.next_seed()`)."
        )
    return backend.as_seed(seed)


def sum_event(tensor, event_shape):
    """Sums over the event's axes."""
    rank = len(event_shape)
    return ops.sum(tensor, axis=tuple(range(-rank, 0))) if rank else tensor
