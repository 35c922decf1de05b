"""One generator against one critic: what every such algorithm does but for its two losses."""

import keras
import numpy as np
from keras import ops, tree

from keras_dgm import backend
from keras_dgm.algorithms import checks
from keras_dgm.algorithms.adversarial.base import OWN_TERMS, AdversarialAlgorithm, seed_of
from keras_dgm.algorithms.adversarial.critics import build_critic, mixes_rows

_CHUNK = 500


class GeneratorCriticAlgorithm(AdversarialAlgorithm):
    """A generator theta and a critic psi, each with a loss of its own (Ou 2019, section 3.2.4).

    Subclasses write

    - `critic_loss(real, fake, condition)` and `generator_loss(fake, condition)`, from the
      critic's outputs to `(loss, terms)`, means over the batch;
    - where the critic does not look at x and G(e): `real(data, seed, training)` and
      `fake(data, seed, training)`, what it is shown of the data and of the model.

    The critic is given the data's and the model's rows as one batch, constants both; a critic in
    which the rows of a batch see each other (batch normalisation, minibatch standard deviation)
    gets them as two. Within its move the generator runs in training mode, and its batch
    statistics are forgotten; likewise the critic's in the generator's move. So neither player
    touches a weight or a statistic of the other's.

    Args:
        generator: an `ImplicitModel`. With a condition, `fit(x, y)` takes it as `y`, and the
            critic is shown `[x, y]`.
        critic: Keras layer from x to V(x), (batch, 1), without last activation.
        others: see `AdversarialAlgorithm`.

    Raises:
        ValueError: a critic of another output shape or with a bounded last activation; a
            conditional generator with a critic that takes no condition, or the reverse; a
            penalty on the gradient at each row, for a critic in which rows see each other.
    """

    terms: tuple[str, ...] = OWN_TERMS
    num_outputs = 1
    critic_takes_condition = True

    def __init__(self, generator, critic, **kwargs):
        super().__init__(**kwargs)
        self.generator = generator
        self.critic = critic
        self.build_critic()
        self._mixes_rows = mixes_rows(critic)
        needy = [penalty for penalty in self.penalties if penalty.needs_input_gradient]
        if needy and self._mixes_rows:
            raise ValueError(
                f"{type(needy[0]).__name__} takes the gradient of each row by itself, and this "
                "critic's rows depend on one another (batch normalisation or MinibatchStddev). "
                "Use layer, spectral or weight normalisation in the critic."
            )
        self.terms = (*type(self).terms, *self.penalty_terms)
        self.evaluation_terms = type(self).terms

    def build_critic(self):
        """Builds the critic for what it will be shown."""
        given = self.critic_takes_condition and self.generator.is_conditional
        condition_shape = self.generator.condition_shape if given else None
        build_critic(self.critic, self.generator.event_shape, condition_shape, self.num_outputs)

    def player_variables(self, player):
        """psi for the critic, theta for the generator."""
        part = self.critic if player in self.critics else self.generator
        return part.trainable_variables

    def condition(self, data):
        """The batch's condition, or None for an unconditional model."""
        if not self.generator.is_conditional:
            return None
        if data.get("y") is None:
            self.check_labels(None)
        return data["y"]

    def real(self, data, seed, training):
        """What the critic is shown of the data: x."""
        return ops.cast(data["x"], "float32")

    def fake(self, data, seed, training):
        """What the critic is shown of the model: as many draws G(e), for the same conditions."""
        rows = ops.shape(data["x"])[0]
        noise = self.generator.draw_noise(rows, seed)
        return self.generator.generate(noise, self.condition(data), training=training)

    def look(self, inputs, condition, training=None):
        """The critic's outputs, float32, (batch,), or (batch, num_outputs) for several."""
        if condition is not None and self.critic_takes_condition:
            inputs = [inputs, condition]
        outputs = ops.cast(self.critic(inputs, training=training), "float32")
        return ops.reshape(outputs, (-1,)) if self.num_outputs == 1 else outputs

    def value(self, outputs):
        """V, (batch,), among the critic's outputs."""
        return outputs

    def look_at_both(self, real, fake, condition, training):
        """The critic's outputs on the data's and on the model's rows."""
        if self._mixes_rows and training:
            return self.look(real, condition, training), self.look(fake, condition, training)
        rows = ops.shape(tree.flatten(real)[0])[0]
        both = tree.map_structure(lambda a, b: ops.concatenate([a, b], axis=0), real, fake)
        if condition is not None:
            condition = ops.concatenate([condition, condition], axis=0)
        outputs = self.look(both, condition, training)
        return outputs[:rows], outputs[rows:]

    def critic_loss(self, real, fake, condition):
        """`(loss, terms)` of the critic, from its outputs."""
        raise NotImplementedError

    def generator_loss(self, fake, condition):
        """`(loss, terms)` of the generator, from the critic's outputs."""
        raise NotImplementedError

    def move(self, player, data, seed):
        """See `AdversarialAlgorithm`."""
        move = self.move_critic if player in self.critics else self.move_generator
        return move(data, seed)

    def move_critic(self, data, seed):
        """The critic's move: both sides are constants."""
        draw, noise, fake_noise, penalty_seed = backend.split_seed(seed, 4)
        condition = self.condition(data)
        with backend.forgetting():
            real = self.shown(self.real(data, noise, training=True), noise)
            fake = self.shown(self.fake(data, draw, training=True), fake_noise)
        real = tree.map_structure(ops.stop_gradient, real)
        fake = tree.map_structure(ops.stop_gradient, fake)

        def value(inputs):
            return self.value(self.look(inputs, condition, training=True))

        def loss_fn():
            outputs = self.look_at_both(real, fake, condition, training=True)
            loss, terms = self.critic_loss(*outputs, condition)
            penalty, penalties = self.penalty(value, real, fake, penalty_seed)
            terms = {**self.value_terms(*outputs), **terms, **penalties, "critic_loss": loss}
            return loss + penalty, terms

        return self.minimize(loss_fn, "critic")[1]

    def move_generator(self, data, seed):
        """The generator's move: the critic is fixed, the gradient goes through what it is shown."""
        draw, _, fake_noise, _ = backend.split_seed(seed, 4)
        condition = self.condition(data)

        def loss_fn():
            fake = self.shown(self.fake(data, draw, training=True), fake_noise)
            with backend.forgetting():
                outputs = self.look(fake, condition, training=True)
            loss, terms = self.generator_loss(outputs, condition)
            return loss, {**terms, "generator_loss": loss}

        return self.minimize(loss_fn, "generator")[1]

    def value_terms(self, real, fake):
        """Means of V on both sides."""
        return {
            "real_value": ops.mean(self.value(real)),
            "fake_value": ops.mean(self.value(fake)),
        }

    def evaluation_step(self, data):
        """Both losses, without penalties and instance noise, and the means of V."""
        draw, other = backend.split_seed(self.next_seed(), 2)
        condition = self.condition(data)
        real = self.real(data, other, training=False)
        fake = self.fake(data, draw, training=False)
        outputs = self.look_at_both(real, fake, condition, training=False)
        critic_loss, critic_terms = self.critic_loss(*outputs, condition)
        generator_loss, generator_terms = self.generator_loss(outputs[1], condition)
        losses = {"critic_loss": critic_loss, "generator_loss": generator_loss}
        return {**self.value_terms(*outputs), **critic_terms, **generator_terms, **losses}

    def check_data(self, x):
        """Shape, finiteness, and the range of what the generator can give."""
        checks.event("x", x, self.generator.event_shape)
        checks.finite("x", x)
        if self.generator.value_range is None:
            return
        low, high = self.generator.value_range
        least, most = float(np.min(x)), float(np.max(x))
        if least < low or most > high:
            raise ValueError(
                f"x runs from {least:g} to {most:g}, and the generator can only give values from "
                f"{low:g} to {high:g}, so that a critic could tell data by their range alone. "
                "Rescale x (x / 127.5 - 1 takes 0..255 to -1..1; 2 * x - 1 takes 0..1 there), or "
                "change the generator's last activation; ImplicitModel(value_range=None) switches "
                "this check off."
            )

    def check_labels(self, y):
        """Labels (or other conditions) are there when the model is conditional, and only then."""
        generator = self.generator
        if not generator.is_conditional:
            super().check_labels(y)
            return
        what = (
            f"integer labels in 0 .. {generator.num_classes - 1}, shape (n,)"
            if generator.num_classes is not None
            else f"conditions of shape (n, {', '.join(map(str, generator.condition_shape))})"
        )
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} is conditional and y is missing: fit(x, y) with "
                f"{what}; a dataset gives batches (x, y)."
            )
        if generator.num_classes is None:
            good = tuple(y.shape[1:]) == generator.condition_shape and np.isfinite(y).all()
        else:
            good = np.asarray(y).dtype.kind in "iu" and tuple(y.shape[1:]) in ((), (1,))
            good = good and 0 <= np.min(y) and np.max(y) < generator.num_classes
        if not good:
            raise ValueError(
                f"y has shape {tuple(y.shape)}, dtype {y.dtype} and values from {np.min(y):g} to "
                f"{np.max(y):g}; expected {what}."
            )

    def call(self, x, y=None, training=None):
        """The critic's outputs for x, as `predict` gives them."""
        return self.look(ops.convert_to_tensor(x), y, training=training)

    def sample(self, num_samples, seed=None, y=None, truncation=None, averaged=None):
        """Draws from the generator, in pieces of at most 500.

        Args:
            num_samples: how many.
            seed: integer, or None for a fresh one.
            y: conditions of a conditional model, (num_samples, ...), or one label for all. For
                labels the default is 0, 1, .. K - 1 in turn.
            truncation: see `ImplicitModel.draw_noise`.
            averaged: whether to use the moving average of the weights; by default where there is
                one.

        Returns:
            NumPy array (num_samples, *event).
        """
        averaged = self.average is not None if averaged is None else bool(averaged)
        if averaged and self.average is None:
            raise ValueError(
                f"There is no average to sample from; give {type(self).__name__} ema_decay=0.999."
            )
        num_samples = int(num_samples)
        rows = min(num_samples, _CHUNK)
        conditions = self._sample_conditions(num_samples, y)

        def draw(seed, condition=None):
            if averaged:
                with self.average.in_place():
                    return self.generator.sample(rows, seed, condition, truncation, training=False)
            return self.generator.sample(rows, seed, condition, truncation, training=False)

        program = self.compiled_function(("sample", rows, truncation, averaged), draw)
        key, parts = seed_of(seed), []
        for number, start in enumerate(range(0, num_samples, rows)):
            args = [backend.fold_in(key, number)]
            if conditions is not None:
                args.append(_padded(conditions[start : start + rows], rows))
            parts.append(ops.convert_to_numpy(program(*args)))
        return np.concatenate(parts)[:num_samples]

    def _sample_conditions(self, num_samples, y):
        generator = self.generator
        if not generator.is_conditional:
            if y is not None:
                raise ValueError(f"This {type(self).__name__} has no condition; leave y out.")
            return None
        if y is None:
            if generator.num_classes is None:
                raise ValueError(
                    "Samples of a conditional model need conditions: sample(n, y=array of shape "
                    f"(n, {', '.join(map(str, generator.condition_shape))}))."
                )
            y = np.arange(num_samples, dtype=np.int32) % generator.num_classes
        y = np.asarray(y)
        if generator.num_classes is not None and y.ndim == 0:
            y = np.full(num_samples, y)
        if len(y) != num_samples:
            raise ValueError(f"{num_samples} samples need as many conditions; received {len(y)}.")
        self.check_labels(y)
        return y.astype("int32" if generator.num_classes is not None else "float32")

    def get_config(self):
        return {
            **super().get_config(),
            "generator": keras.saving.serialize_keras_object(self.generator),
            "critic": keras.saving.serialize_keras_object(self.critic),
        }


class DensityRatio:
    """Mixin of algorithms whose optimal critic is V*(x) = log p0(x) - log p_theta(x)."""

    def density_ratio(self, x, y=None):
        """V(x), the critic's estimate of log p0(x) / p_theta(x), nats, NumPy (batch,).

        Exact where the critic is optimal; whatever the critic says elsewhere.
        """
        x = np.asarray(x)
        checks.event("x", x, self.generator.event_shape)
        checks.finite("x", x)
        args = [ops.convert_to_tensor(x.astype("float32"))]
        if self.generator.is_conditional:
            self.check_labels(y if y is None else np.asarray(y))
            args.append(ops.convert_to_tensor(np.asarray(y)))

        def ratio(x, condition=None):
            return self.value(self.look(x, condition, training=False))

        return ops.convert_to_numpy(self.compiled_function("density_ratio", ratio)(*args))


def _padded(rows, size):
    """`size` rows, the last repeated, as a tensor."""
    missing = size - len(rows)
    return ops.convert_to_tensor(np.concatenate([rows, np.repeat(rows[-1:], missing, axis=0)]))
