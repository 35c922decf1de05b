"""A neural random field."""

import keras
import numpy as np
from keras import ops

from keras_dgm import backend
from keras_dgm.distributions import Normal
from keras_dgm.models.unnormalized import UnnormalizedModel
from keras_dgm.sampling.annealed_importance_sampling import GeometricPath
from keras_dgm.sampling.hmc import HMC


@keras.saving.register_keras_serializable(package="keras_dgm")
class RandomField(UnnormalizedModel):
    """p(x) = exp u(x) / Z, the potential u given by a network (Ou 2019, Eq. 38).

    - plain: u(x) = f(x), f the network;
    - with a reference density r (Xie et al. 2016): u(x) = f(x) + log r(x), which is integrable
      whenever f is bounded or grows slower than -log r;
    - with linear and squared terms (Kim & Bengio 2016): + b . x - |x|^2 / (2 sigma^2), with b and
      sigma learned: a Gaussian where f is constant;
    - with labels: f(x) has `num_classes` outputs u(x, y). The joint field is p(x, y) proportional
      to exp u(x, y), so that u(x) = logsumexp_y u(x, y) and p(y | x) = softmax_y u(x, y); a
      label-conditional field p(x | y) reads the same u(x, y) with a Z for each y.

    Args:
        network: Keras layer, (batch, *event) to (batch, 1), or to (batch, num_classes).
        event_shape: shape of one x.
        reference: distribution layer without context over x, or None. Its parameters are learned
            with the field if it was made with `learned=True`.
        linear_and_squared: whether to add these terms.
        num_classes: number of labels, or None.
        sampler: what `sample` draws with (`keras_dgm.sampling`), or None.

    Raises:
        ValueError: the network gives no scalar (or not `num_classes` numbers) for an x, or the
            reference is over another shape.
    """

    def __init__(
        self,
        network,
        event_shape,
        reference=None,
        linear_and_squared=False,
        num_classes=None,
        sampler=None,
        name=None,
        **kwargs,
    ):
        super().__init__(event_shape, name=name, **kwargs)
        self.network = network
        self.reference = reference
        self.linear_and_squared = bool(linear_and_squared)
        self.num_classes = None if num_classes is None else int(num_classes)
        self.sampler = sampler
        if not network.built:
            network.build((None, *self.event_shape))
        self._check_output(network.compute_output_shape((None, *self.event_shape)))
        if reference is not None:
            reference.build()
            if tuple(reference.event_shape) != self.event_shape:
                raise ValueError(
                    f"The reference is a density over {tuple(reference.event_shape)}, the field "
                    f"over {self.event_shape}; they must be the same."
                )
        if self.linear_and_squared:
            self.linear = self.add_weight(
                shape=self.event_shape, initializer="zeros", autocast=False, name="linear"
            )
            self.raw_scale = self.add_weight(
                shape=(),
                initializer=keras.initializers.Constant(float(np.log(np.expm1(1.0)))),
                autocast=False,
                name="raw_scale",
            )
        self.built = True

    def _check_output(self, shape):
        got = tuple(shape[1:])
        if self.num_classes is not None:
            if self.num_classes < 2 or got != (self.num_classes,):
                raise ValueError(
                    f"With num_classes={self.num_classes} (2 at least) the network gives a "
                    f"potential for each label: (batch, {self.num_classes}); it gives "
                    f"(batch, {', '.join(map(str, got))})."
                )
        elif got not in ((), (1,)):
            raise ValueError(
                "A potential is one number for each x: the network must give (batch, 1) or "
                f"(batch,); it gives (batch, {', '.join(map(str, got))}). End it in Dense(1), or "
                "say num_classes= if its outputs are labels."
            )

    def potential(self, x, y=None, training=None):
        """u(x), or u(x, y), shape (...,), float32.

        Args:
            x: (..., *event).
            y: labels (...,) of a field with `num_classes`; -1 sums the label out, as None does
                for all rows.
        """
        x = ops.convert_to_tensor(x)
        leading, folded = self._fold(x)
        output = ops.cast(self.network(folded, training=training), "float32")
        if self.num_classes is None:
            self._refuse_labels(y)
            values = ops.reshape(output, leading)
        else:
            values = ops.reshape(self._given_labels(output, y, leading), leading)
        return values + self._base(x)

    def class_logits(self, x, training=None):
        """u(x, y) for every y up to what no label changes, (..., num_classes): p(y|x)'s logits.

        Raises:
            ValueError: a field without labels.
        """
        if self.num_classes is None:
            raise ValueError("This RandomField has no labels; construct it with num_classes=.")
        leading, folded = self._fold(ops.convert_to_tensor(x))
        output = ops.cast(self.network(folded, training=training), "float32")
        return ops.reshape(output, (*leading, self.num_classes))

    def _given_labels(self, output, y, leading):
        total = ops.logsumexp(output, axis=-1)
        if y is None:
            return total
        y = ops.reshape(ops.broadcast_to(ops.cast(y, "int32"), leading), (-1,))
        chosen = ops.sum(ops.one_hot(y, self.num_classes, dtype="float32") * output, axis=-1)
        return ops.where(y < 0, total, chosen)

    def _refuse_labels(self, y):
        if y is not None:
            raise ValueError(
                "Labels came to a RandomField without any; construct it with num_classes=."
            )

    def _base(self, x):
        """What is added to the network's potential: the reference, the linear and squared terms."""
        total = 0.0
        if self.reference is not None:
            total = self.reference.log_prob(x)
        if self.linear_and_squared:
            x = ops.cast(x, "float32")
            scale = ops.softplus(ops.convert_to_tensor(self.raw_scale))
            terms = ops.convert_to_tensor(self.linear) * x - 0.5 * ops.square(x / scale)
            total = total + ops.sum(terms, axis=tuple(range(-len(self.event_shape), 0)))
        return total

    def initial_state(self, num_samples, seed):
        """Draws of the reference, or standard normal ones, (num_samples, *event)."""
        if self.reference is not None:
            return self.reference.sample(sample_shape=(num_samples,), seed=seed)
        return backend.normal((num_samples, *self.event_shape), seed)

    def default_sampler(self):
        return self.sampler

    def annealing_path(self, data=None):
        """A path to this field, for `keras_dgm.sampling.annealed_importance_sampling`.

        Its base is the reference where there is one, or else a Gaussian: with the mean and the
        standard deviation of the data, coordinate by coordinate, or the standard one without.

        Args:
            data: array (n, *event), or None.
        """
        if self.reference is not None:
            return GeometricPath(self, self.reference)
        base = Normal(self.event_shape, learned=True)
        base.build()
        if data is not None:
            data = np.asarray(data, "float64")
            spread = np.maximum(data.std(axis=0), 1e-3)
            base.weights_by_name["loc"].assign(data.mean(axis=0))
            base.weights_by_name["raw_scale"].assign(spread + np.log(-np.expm1(-spread)))
        return GeometricPath(self, base)

    def annealing_kernel(self):
        """What `annealing_path` is walked with where no kernel is given: HMC."""
        return HMC(step_size=0.1, num_leapfrog_steps=5, num_steps=1)

    def call(self, x, y=None, training=None):
        """u(x), or u(x, y)."""
        return self.potential(x, y, training=training)

    def get_config(self):
        return {
            **super().get_config(),
            "network": keras.saving.serialize_keras_object(self.network),
            "event_shape": list(self.event_shape),
            "reference": keras.saving.serialize_keras_object(self.reference),
            "linear_and_squared": self.linear_and_squared,
            "num_classes": self.num_classes,
            "sampler": keras.saving.serialize_keras_object(self.sampler),
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for part in ("network", "reference", "sampler"):
            config[part] = keras.saving.deserialize_keras_object(config[part])
        return cls(**config)
