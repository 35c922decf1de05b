"""A distribution pushed through invertible transforms."""

import keras
import numpy as np
from keras import ops

from keras_dgm import backend
from keras_dgm.backend import tfb, tfd
from keras_dgm.distributions.base import Distribution
from keras_dgm.distributions.flows.transform import Transform


@keras.saving.register_keras_serializable(package="keras_dgm")
class Flow(Distribution):
    """The law of y = f_T(...f_1(z)), z from a base distribution (Ou 2019, section 3.2.1 item 4).

    log p(y) = log p_base(z) - sum_t log |det df_t|. A distribution layer like any other: with a
    context a posterior or likelihood, without one a prior or a model of its own (see
    `MaximumLikelihood`). The base's network is evaluated once; its heads give the base's
    parameters, further heads the transforms'. Without a context the transforms' parameters are
    weights, and the base's are learned where the base has `learned=True`.

    Draws with their density take the forward direction alone. A density of a given value, and the
    draws held constant of wake-sleep, RWS and JSA (`stop_gradient=True`), take the inverse.

    Args:
        base: a layer of any continuous family, `Normal((50,), network=...)` say, not built.
        transforms: list of `Transform`s, the first to be applied first. They see events as
            vectors, whatever their shape.

    Raises:
        ValueError: a discrete base, no transforms, a transform given twice.
    """

    def __init__(self, base, transforms, name=None, **kwargs):
        if base.is_discrete:
            raise ValueError(
                f"A flow bends a density, and {type(base).__name__} has none: its values are "
                "discrete. Use a continuous family as base."
            )
        transforms = list(transforms)
        if not transforms or not all(isinstance(t, Transform) for t in transforms):
            raise ValueError(
                "A flow needs a list of transforms (Planar, AffineCoupling, ...), one at least; "
                f"received {transforms!r}."
            )
        if len({id(transform) for transform in transforms}) < len(transforms):
            raise ValueError("A transform stands twice in the list; each step needs its own.")
        super().__init__(base.event_shape, name=name, **kwargs)
        self.base = base
        self.transforms = transforms
        self.size = int(np.prod(self.event_shape))

    @property
    def is_reparameterized(self):
        """Whether gradients pass through draws: as the base's."""
        return self.base.is_reparameterized

    @property
    def is_relaxed(self):
        """Whether the base is a relaxation."""
        return self.base.is_relaxed

    def build(self, context_shape=None):
        if self.built:
            return
        self.base.build(context_shape)
        conditional = context_shape is not None
        for transform in self.transforms:
            transform.build(self.size, conditional)
        own = self._own_shapes(conditional)
        if conditional:
            self.context_shape = tuple(context_shape[1:])
            rows = (None, self._feature_size())
            self.own_heads = {}
            for name, shape in own.items():
                head = keras.layers.Dense(
                    int(np.prod(shape)), name=f"head_{name}", dtype=self.dtype_policy
                )
                head.build(rows)
                setattr(self, f"head_{name}", head)
                self.own_heads[name] = head
        else:
            self.own_weights = {
                name: self.add_weight(
                    shape=shape,
                    # Zero, a planar step would have no gradient.
                    initializer=keras.initializers.RandomNormal(stddev=0.1),
                    autocast=False,
                    name=name,
                )
                for name, shape in own.items()
            }
        self.built = True

    def _own_shapes(self, conditional):
        """Shapes of the transforms' parameters, by `transform_<number>_<name>`."""
        return {
            f"transform_{number}_{name}": shape
            for number, transform in enumerate(self.transforms)
            for name, shape in transform.parameter_shapes(self.size, conditional).items()
        }

    def _feature_size(self):
        network = self.base.network
        shape = (None, *self.context_shape)
        if network is not None:
            shape = network.compute_output_shape(shape)
        return int(np.prod(shape[1:]))

    def parameter_shapes(self):
        """The base's and, as `transform_<number>_<name>`, the transforms' parameters."""
        own = self._own_shapes(self.context_shape is not None)
        return {**self.base.parameter_shapes(), **own}

    def call(self, context=None, training=None):
        """The raw parameters of the base and the transforms, the network evaluated once."""
        if self.context_shape is None:
            own = {name: ops.convert_to_tensor(w) for name, w in self.own_weights.items()}
            return {**self.base(training=training), **own}
        leading, features = self.base.features(context, training)
        parameters = self.base.parameters_of(features, leading)
        rows = ops.reshape(features, (-1, int(np.prod(features.shape[1:]))))
        shapes = self._own_shapes(True)
        for name, head in self.own_heads.items():
            value = ops.cast(head(rows), "float32")
            parameters[name] = backend.unfold_axes(value, leading, shapes[name])
        return parameters

    def _of(self, number, parameters):
        """The parameters of one transform."""
        shapes = self.transforms[number].parameter_shapes(self.size, self.context_shape is not None)
        return {name: parameters[f"transform_{number}_{name}"] for name in shapes}

    def forward_and_log_det(self, parameters, z):
        """`(y, log |det dy/dz|)`, z and y (..., *event_shape)."""
        leading = ops.shape(z)[: len(z.shape) - len(self.event_shape)]
        value, total = ops.reshape(z, (*leading, self.size)), 0.0
        for number, transform in enumerate(self.transforms):
            value, log_det = transform.forward_and_log_det(value, self._of(number, parameters))
            total = total + log_det
        return ops.reshape(value, (*leading, *self.event_shape)), total

    def inverse_and_log_det(self, parameters, y):
        """`(z, log |det dy/dz|)`, the forward map's log-determinant at z."""
        leading = ops.shape(y)[: len(y.shape) - len(self.event_shape)]
        value, total = ops.reshape(y, (*leading, self.size)), 0.0
        for number in reversed(range(len(self.transforms))):
            value, log_det = self.transforms[number].inverse_and_log_det(
                value, self._of(number, parameters)
            )
            total = total + log_det
        return ops.reshape(value, (*leading, *self.event_shape)), total

    def log_prob_from(self, parameters, value):
        value = ops.cast(value, "float32")
        z, log_det = self.inverse_and_log_det(parameters, value)
        return self.base.log_prob_from(parameters, z) - log_det

    def sample_from(self, parameters, sample_shape, seed):
        z = self.base.sample_from(parameters, sample_shape, seed)
        return self.forward_and_log_det(parameters, z)[0]

    def sample_and_log_prob_from(self, parameters, sample_shape, seed, stop_gradient=False):
        if stop_gradient:
            return super().sample_and_log_prob_from(parameters, sample_shape, seed, True)
        z = self.base.sample_from(parameters, sample_shape, seed)
        value, log_det = self.forward_and_log_det(parameters, z)
        return value, self.base.log_prob_from(parameters, z) - log_det

    def from_parameters(self, parameters):
        """TFP's transformed distribution of the base."""
        rank = len(self.event_shape)
        bijector = tfb.Inline(
            forward_fn=lambda z: self.forward_and_log_det(parameters, z)[0],
            inverse_fn=lambda y: self.inverse_and_log_det(parameters, y)[0],
            forward_log_det_jacobian_fn=lambda z: self.forward_and_log_det(parameters, z)[1],
            inverse_log_det_jacobian_fn=lambda y: -self.inverse_and_log_det(parameters, y)[1],
            forward_min_event_ndims=rank,
        )
        return tfd.TransformedDistribution(self.base.from_parameters(parameters), bijector)

    @property
    def mean(self):
        """A flow's mean has no closed form: average draws."""
        raise AttributeError(
            "The mean of a flow has no closed form; average draws of `sample`, or take the base's "
            "mean and `forward_and_log_det`."
        )

    def get_config(self):
        return {
            **keras.layers.Layer.get_config(self),
            "base": keras.saving.serialize_keras_object(self.base),
            "transforms": [keras.saving.serialize_keras_object(t) for t in self.transforms],
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["base"] = keras.saving.deserialize_keras_object(config["base"])
        config["transforms"] = [
            keras.saving.deserialize_keras_object(t) for t in config["transforms"]
        ]
        return cls(**config)
