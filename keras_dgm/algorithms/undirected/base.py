"""What the rules for random fields and Boltzmann machines share."""

import random

import keras
import numpy as np
from keras import ops, tree

from keras_dgm import backend
from keras_dgm.algorithms import checks
from keras_dgm.algorithms.base import Algorithm
from keras_dgm.algorithms.undirected.likelihood import AnnealedLikelihood


class RandomFieldAlgorithm(AnnealedLikelihood, Algorithm):
    """A rule that learns p(x) = exp u(x) / Z from data and from samples of (nearly) p.

    The gradient of log p(x~) is grad u(x~) - E_p[grad u(x)] (Ou 2019, Eq. 39); the rules differ in
    where the samples of the second term come from. `field_loss` is that loss, and logs what tells
    a run that works from one that diverges: the difference of potentials between data and
    samples, the norm of the samples, the sampler's acceptance.

    Args:
        field: a `RandomField`, or an `RBM`, `DBM`.
        potential_penalty: weight a of a mean u^2 over data and samples, added to the loss: it
            keeps the potential's free additive constant and its scale in bounds (Song & Ou 2018).
            It biases the field; 0 leaves it out.
        others: see `Algorithm`.
    """

    players: tuple[str, ...] = ("field",)
    terms: tuple[str, ...] = ("loss", "potential_difference", "chain_norm", "acceptance")
    evaluation_terms: tuple[str, ...] = ("potential",)

    def __init__(self, field, potential_penalty=0.0, **kwargs):
        super().__init__(**kwargs)
        if not hasattr(field, "potential"):
            raise ValueError(
                f"{type(self).__name__} learns a RandomField, an RBM or a DBM; received "
                f"{type(field).__name__}, which has no potential. Wrap a network: "
                "RandomField(network, event_shape=...)."
            )
        if float(potential_penalty) < 0.0:
            raise ValueError(f"`potential_penalty` is 0 or more; received {potential_penalty!r}.")
        self.field = field
        self.potential_penalty = float(potential_penalty)
        self.evaluation_terms = (*self.evaluation_terms, *getattr(field, "evaluation_terms", ()))

    def player_variables(self, player):
        """The field's weights; a subclass with more players says what they move."""
        if player == "field":
            return self.field.trainable_variables
        return super().player_variables(player)

    def field_loss(self, x, state, y=None, state_y=None, statistics=None):
        """mean u(samples) - mean u(data), whose gradient descends Ou 2019, Eq. 39.

        To be called inside the loss function of the player `"field"`.

        Args:
            x: observations (batch, *event).
            state: samples: chains' states, constants.
            y, state_y: labels of a field that has them.
            statistics: the sampler's (`SamplingResult.statistics`); `acceptance` is 1 without.

        Returns:
            `(loss, terms)`; the terms are `RandomFieldAlgorithm.terms`.
        """
        state = tree.map_structure(ops.stop_gradient, state)
        labels = {} if y is None else {"y": y}
        state_labels = {} if state_y is None else {"y": state_y}
        data = self._potential("data_potential", x, labels)
        chain = self._potential("chain_potential", state, state_labels)
        loss = ops.mean(chain) - ops.mean(data)
        if self.potential_penalty:
            squares = 0.5 * (ops.mean(ops.square(chain)) + ops.mean(ops.square(data)))
            loss = loss + self.potential_penalty * squares
        return loss, self.chain_terms(loss, data, chain, state, statistics)

    def _potential(self, name, x, labels):
        if labels:
            return self.field.potential(x, labels["y"], training=True)
        return getattr(self.field, name)(x, training=True)

    def chain_terms(self, loss, data, chain, state, statistics=None):
        """The terms logged: see `field_loss`."""
        statistics = statistics or {}
        norm = statistics.get("chain_norm")
        return {
            "loss": loss,
            "potential_difference": ops.mean(data) - ops.mean(chain),
            "chain_norm": _norm(self.field.visible(state)) if norm is None else norm,
            "acceptance": statistics.get("acceptance", ops.ones((), "float32")),
        }

    def non_finite_error(self, term, epoch, step):
        """Names the chain where it is the chain that was not finite first."""
        bad = ops.convert_to_numpy(ops.convert_to_tensor(self._train_terms.bad_steps))
        at = dict(zip(self._train_terms.terms, bad))
        if 0 < at.get("chain_norm", 0) <= step:
            raise ValueError(
                f"Training stopped: the sampler's chain of {type(self).__name__} was not finite "
                f"in epoch {epoch}, step {step} of that epoch ('chain_norm' is not a finite "
                "number). The potential has grown too steep for the step size: lower the "
                "sampler's step size, clip its gradients (clip_gradient=), set "
                "`potential_penalty` or lower the learning rate, and start from the last "
                "checkpoint."
            )
        super().non_finite_error(term, epoch, step)

    def check_data(self, x):
        """Shape, finiteness and the field's support (that of what a transform makes of x)."""
        checks.event("x", x, self.field.event_shape)
        checks.finite("x", x)
        if self.transform is None:
            self.field.check_value(x)
        elif self.transform is checks.dynamic_binarization and (x.min() < 0 or x.max() > 1):
            raise ValueError(
                "Dynamic binarisation draws from probabilities in [0, 1]; x ranges over "
                f"[{float(x.min()):g}, {float(x.max()):g}]. Divide pixels in [0, 255] by 255."
            )

    def check_labels(self, y):
        """Labels in 0 .. num_classes - 1, for a field that has them."""
        classes = self.field.num_classes
        if classes is None:
            super().check_labels(y)
            return
        if y is None:
            raise ValueError(f"The field has {classes} labels: call fit(x, y).")
        check_label_values(y, 0, classes)

    def evaluation_step(self, data):
        """Mean potential of the data, and what the model can say of itself."""
        x = data["x"]
        terms = {"potential": ops.mean(self.field.data_potential(x, training=False))}
        if hasattr(self.field, "evaluation"):
            terms.update(self.field.evaluation(x, self.next_seed()))
        return terms

    def call(self, x, training=None):
        """u(x), or its lower bound where u is intractable."""
        return self.field.data_potential(x, training=training)

    def potential(self, x, batch_size=1000):
        """u(x) in nats up to log Z, NumPy array (n,): high where the model finds x likely."""
        program = self.compiled_function(
            "potential", lambda x: self.field.data_potential(x, training=False)
        )
        x = self._checked(x)
        parts = [program(x[i : i + batch_size]) for i in range(0, len(x), batch_size)]
        return np.concatenate([ops.convert_to_numpy(part) for part in parts])

    def sample(self, num_samples, seed=None, num_steps=None, sampler=None):
        """Ends of fresh chains.

        Args:
            num_samples: how many.
            seed: integer, or None for a fresh one.
            num_steps: steps of the sampler, its own number by default.
            sampler: one of `keras_dgm.sampling`; the field's own by default, or else this rule's.

        Returns:
            NumPy array (num_samples, *event).
        """
        sampler = sampler or self.field.default_sampler() or getattr(self, "sampler", None)

        def draw(seed):
            return self.field.sample(
                sample_shape=(num_samples,), seed=seed, num_steps=num_steps, sampler=sampler
            )

        settings = repr(sampler.get_config()) if sampler is not None else None
        key = ("sample", num_samples, num_steps, type(sampler).__name__, settings)
        seed = random.randint(0, 2**31 - 1) if seed is None else seed
        return ops.convert_to_numpy(self.compiled_function(key, draw)(backend.as_seed(seed)))

    def _checked(self, x):
        x = np.asarray(x) if not hasattr(x, "dtype") else ops.convert_to_numpy(x)
        checks.event("x", x, self.field.event_shape)
        checks.finite("x", x)
        self.field.check_value(x)
        return x.astype("float32")

    def get_config(self):
        return {
            **super().get_config(),
            "field": keras.saving.serialize_keras_object(self.field),
            "potential_penalty": self.potential_penalty,
        }

    @classmethod
    def from_config(cls, config):
        config = {
            key: keras.saving.deserialize_keras_object(value) if _is_object(value) else value
            for key, value in config.items()
        }
        return cls(**config)


def check_label_values(y, lowest, classes):
    """Whole numbers in lowest .. classes - 1, shape (n,)."""
    y = np.asarray(y)
    whole = np.all(y == np.floor(y)) if y.dtype.kind in "fiu" else False
    if y.ndim != 1 or not whole or y.min() < lowest or y.max() >= classes:
        what = f"dtype {y.dtype}, shape {y.shape}"
        if y.dtype.kind in "fiu" and y.size:
            what += f", values in [{y.min()}, {y.max()}]"
        unlabelled = ", -1 for no label" if lowest < 0 else ""
        raise ValueError(
            f"Labels are whole numbers in 0 .. {classes - 1}{unlabelled}, shape (n,); received "
            f"{what}."
        )


def _norm(x):
    flat = ops.reshape(ops.cast(x, "float32"), (ops.shape(x)[0], -1))
    return ops.mean(ops.sqrt(ops.sum(ops.square(flat), axis=-1)))


def _is_object(value):
    return isinstance(value, dict) and "class_name" in value and "config" in value
