"""A generator: noise, and a network that turns it into data."""

import keras
import numpy as np
from keras import ops

from keras_dgm import backend
from keras_dgm.distributions import Normal
from keras_dgm.models.outputs import output_range, output_shape


@keras.saving.register_keras_serializable(package="keras_dgm")
class ImplicitModel(keras.layers.Layer):
    """x = G(e), e from a fixed noise: a density that is sampled and never evaluated.

    Ou 2019, section 3.1.4. With a condition c (a label, a vector, an image) x = G(e, c), a
    sampler of p(x | c). The model builds its network.

    Args:
        noise: a distribution layer without context, or an integer d for N(0, I_d).
        network: Keras layer from a noise to an x; from `[noise, condition]` with a condition
            (`keras_dgm.networks`: `conditioning="concatenate"` or `"batch_norm"`).
        num_classes: number of classes where the condition is an integer label, or None.
        condition_shape: shape of one condition where it is a vector or an image, or None.
        value_range: `(low, high)` of what the network can give, `"auto"` for that of its last
            activation (tanh: -1 to 1; none: not known), or None. Data outside it are an error.

    Raises:
        ValueError: labels and another condition at once, a noise with a context, a network that
            takes no condition although there is one.
    """

    def __init__(
        self,
        noise,
        network,
        num_classes=None,
        condition_shape=None,
        value_range="auto",
        name=None,
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        if isinstance(noise, (int, np.integer)):
            noise = Normal(int(noise))
        if num_classes is not None and condition_shape is not None:
            raise ValueError(
                "A condition is a label (num_classes=) or a tensor (condition_shape=); both came: "
                f"num_classes={num_classes!r}, condition_shape={condition_shape!r}."
            )
        self.noise = noise
        self.network = network
        self.num_classes = None if num_classes is None else int(num_classes)
        self.condition_shape = () if num_classes is not None else condition_shape
        if self.condition_shape is not None:
            self.condition_shape = tuple(int(size) for size in self.condition_shape)
        noise.build()
        inputs = self.with_condition_shape((None, *noise.event_shape))
        if not network.built:
            self._check_inputs()
            network.build(inputs)
        self.event_shape = output_shape(network, inputs)[1:]
        self.value_range = _checked_range(value_range, network)
        self.built = True

    def _check_inputs(self):
        sequential = isinstance(self.network, keras.Sequential)
        if self.is_conditional and sequential:
            raise ValueError(
                "The model has a condition, and its network is a keras.Sequential, which takes "
                "the noise alone. Give a network of [noise, condition]: the builders' "
                "conditioning='concatenate' or 'batch_norm', joint_mlp, ConditionalSequential."
            )
        if not self.is_conditional and getattr(self.network, "takes_condition", False):
            raise ValueError(
                "The network takes [noise, condition], and the model was told of no condition: "
                "give num_classes= for labels, condition_shape= for vectors or images."
            )

    @property
    def is_conditional(self):
        """Whether x depends on a condition."""
        return self.condition_shape is not None

    @property
    def noise_shape(self):
        """Shape of one noise."""
        return self.noise.event_shape

    def with_condition_shape(self, shape):
        """`shape`, or `[shape, (None, *condition_shape)]` for a conditional model."""
        return [shape, (None, *self.condition_shape)] if self.is_conditional else shape

    def draw_noise(self, num_samples, seed, truncation=None):
        """`num_samples` draws of the noise.

        Args:
            num_samples: integer, or a scalar tensor on TensorFlow.
            seed: integer or seed.
            truncation: None; or t > 0 for draws of normal noise given that every coordinate lies
                within t standard deviations of its mean: fewer odd samples, less variety
                (Brock et al. 2019, the truncation trick).
        """
        seed = backend.as_seed(seed)
        if truncation is None:
            return backend.spread_rows(self.noise.sample(sample_shape=(num_samples,), seed=seed))
        if not isinstance(self.noise, Normal) or not float(truncation) > 0.0:
            raise ValueError(
                "Truncation takes normal noise (distributions.Normal) and a positive number of "
                f"standard deviations; received {truncation!r} for {type(self.noise).__name__}."
            )
        loc, scale = self.noise.location_and_scale(self.noise())
        inside = ops.erf(float(truncation) / np.sqrt(2.0).astype("float32"))
        u = backend.uniform((num_samples, *self.noise_shape), seed, -1.0, 1.0)
        return loc + scale * np.float32(np.sqrt(2.0)) * ops.erfinv(inside * u)

    def generate(self, noise, condition=None, training=None):
        """x = G(noise), or G(noise, condition), float32 (batch, *event)."""
        if self.is_conditional != (condition is not None):
            raise ValueError(
                "A conditional model needs a condition, and no other takes one: "
                f"is_conditional={self.is_conditional}, condition "
                f"{'given' if condition is not None else 'missing'}."
            )
        inputs = [noise, condition] if self.is_conditional else noise
        return ops.cast(self.network(inputs, training=training), "float32")

    def sample(self, num_samples, seed, condition=None, truncation=None, training=None):
        """`num_samples` draws of x, (num_samples, *event); see `draw_noise` for the truncation.

        Args:
            condition: (num_samples,) labels or (num_samples, *condition_shape), for a
                conditional model.
        """
        noise = self.draw_noise(num_samples, seed, truncation)
        return self.generate(noise, condition, training=training)

    def call(self, inputs, training=None):
        """G(noise), or G of `[noise, condition]`."""
        noise, condition = inputs if self.is_conditional else (inputs, None)
        return self.generate(noise, condition, training=training)

    def compute_output_shape(self, input_shape):
        first = input_shape[0] if self.is_conditional else input_shape
        return (first[0], *self.event_shape)

    def get_build_config(self):
        """None: the constructor builds."""
        return None

    def build_from_config(self, config):
        """Nothing to do."""

    def get_config(self):
        return {
            **super().get_config(),
            "noise": keras.saving.serialize_keras_object(self.noise),
            "network": keras.saving.serialize_keras_object(self.network),
            "num_classes": self.num_classes,
            "condition_shape": None if self.num_classes is not None else self.condition_shape,
            "value_range": self.value_range,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for part in ("noise", "network"):
            config[part] = keras.saving.deserialize_keras_object(config[part])
        return cls(**config)


def _checked_range(value_range, network):
    if value_range == "auto":
        return output_range(network)
    if value_range is None:
        return None
    low, high = (float(bound) for bound in value_range)
    if not low < high:
        raise ValueError(f"`value_range` is (low, high) with low < high; received {value_range}.")
    return low, high
