"""Random fields with a generator learned by the inclusive divergence."""

import keras
import numpy as np
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms import checks
from keras_dgm.algorithms.undirected.base import check_label_values
from keras_dgm.algorithms.undirected.revision import RevisionAlgorithm
from keras_dgm.sampling import GradientField


@keras.saving.register_keras_serializable(package="keras_dgm")
class InclusiveNRF(RevisionAlgorithm):
    """Neural random field p with an inclusive generator q(x, h) (Song & Ou 2018).

    Objectives (Ou 2019, Eq. 42, 43, Alg. 8), with (x, h) ~ p(x) q(h|x):
        field: min KL(p_data || p), along mean grad u(x~) - mean grad u(x);
        generator: min KL(p || q), along mean grad log q(x, h).

    Estimator: (x, h) is drawn from the generator and revised by the sampler: x follows
    grad_x u(x), h follows grad_h log q(x, h), noise included in both. The revised pair is a
    constant in both losses, mean u(x) - mean u(x~) and - mean log q(x, h). Biased: the chains are
    short and begin at the generator, Langevin steps are not corrected, and p(x) q(h|x) is not
    invariant under the joint move (its x-marginal is, as the steps go to 0).

    With labels (a field with `num_classes`, u(x, y)) the rule is semi-supervised: `fit(x, y)`,
    y = -1 for no label. The field's loss then gains, over the labelled rows,
    - `classification_weight` * mean log p(y|x), and over all of them `confidence_weight` * mean
    entropy of p(y|x). With a label-conditional generator (an `ImplicitModel` with `num_classes`)
    the rule learns p(x | y) instead: every row has a label, and draws and potentials are at it.

    Cost per step, with S sampler steps, in batches: S passes and input gradients of u and of the
    generator; one pass and gradient of u on two batches, of the generator on one (and of u on the
    labelled rows, drawn or not).

    Terms: those of `RandomFieldAlgorithm` (`chain_norm` over x and h together), the sampler's
    `step_norm` and `gradient_norm`, `generator_loss` (nats), with labels
    `classification_loss` and `accuracy` over the batch's labelled rows.

    Args:
        field: a `RandomField` over continuous x, with `num_classes` for labels.
        generator: a `LatentVariableModel`, or an `ImplicitModel` with `noise_scale`.
        sampler: `Langevin` or `SGHMC`. A `step_size` of two numbers is for (x, h), and so is a
            `clip_gradient` of two; one number clips the norm over both together.
        noise_scale: standard deviation of x given h, for an `ImplicitModel`.
        classification_weight: of - log p(y|x), with labels.
        confidence_weight: of the entropy of p(y|x), with labels.
        labelled_batch_size: None to take the labels as they come in each batch; or how many of
            `fit`'s labelled rows to draw anew at every step, for when few rows have one.
        others: see `RandomFieldAlgorithm`.

    Raises:
        ValueError: see `RevisionAlgorithm`; a conditional generator whose labels are not the
            field's; weights or a batch size for labels that are negative or have no use.
    """

    def __init__(
        self,
        field,
        generator,
        sampler=None,
        noise_scale=None,
        classification_weight=1.0,
        confidence_weight=0.0,
        labelled_batch_size=None,
        **kwargs,
    ):
        super().__init__(field, generator, sampler, noise_scale, **kwargs)
        self.classification_weight = float(classification_weight)
        self.confidence_weight = float(confidence_weight)
        self.labelled_batch_size = labelled_batch_size
        self._labelled = None
        self._check_label_arguments()
        if self.is_semi_supervised:
            self.terms = (*type(self).terms, "classification_loss", "accuracy")
            self.evaluation_terms = (*type(self).evaluation_terms, "accuracy")
        self.finish()

    def _check_label_arguments(self):
        if min(self.classification_weight, self.confidence_weight) < 0.0:
            raise ValueError(
                "Weights of the labels' terms are 0 or more; received classification_weight="
                f"{self.classification_weight}, confidence_weight={self.confidence_weight}."
            )
        size = self.labelled_batch_size
        if size is not None and (int(size) < 1 or not self.is_semi_supervised):
            raise ValueError(
                "`labelled_batch_size` is a number of rows for a field with labels and an "
                f"unconditional generator; received {size!r}."
            )
        if self._joint.is_conditional and (
            self.generator.num_classes is None
            or self.generator.num_classes != self.field.num_classes
        ):
            raise ValueError(
                "A conditional generator draws x for a label, and the field must have as many: "
                f"num_classes is {self.generator.num_classes} of the generator and "
                f"{self.field.num_classes} of the field."
            )

    @property
    def is_semi_supervised(self):
        """Whether p(x, y) is learned, from labels where there are any."""
        return self.field.num_classes is not None and not self._joint.is_conditional

    def revise(self, x, h, y, seed, num_steps=None, training=None):
        """`(x, h, statistics)` after joint moves along grad u(x) and grad_h log q(x, h)."""

        def gradients(state):
            x, h = state
            values, along_x = self.potential_gradient(x, y)
            return values, (along_x, self.latent_gradient(x, h, y, training))

        target = GradientField(gradients)
        result = self.sampler.sample(target, (x, h), seed, num_steps=num_steps)
        x, h = keras.tree.map_structure(ops.stop_gradient, result.state)
        return x, h, result.statistics

    def train_step(self, data):
        """Draws, revises, and moves both players."""
        data = self.unpack(data)
        x, y = ops.cast(data["x"], "float32"), data.get("y")
        first, second, third = backend.split_seed(self.next_seed(), 3)
        given = ops.cast(y, "int32") if self._joint.is_conditional else None
        drawn, h = self.propose(ops.shape(x)[0], first, given, training=True)
        drawn, h, statistics = self.revise(drawn, h, given, second, training=True)

        def field_loss():
            loss, terms = self.field_loss(x, drawn, given, given, statistics)
            if self.is_semi_supervised:
                extra, label_terms = self._label_loss(x, y, third)
                loss, terms = loss + extra, {**terms, **label_terms}
            return loss, {**terms, "loss": loss}

        def generator_loss():
            return -ops.mean(self._joint.log_prob(drawn, h, given, training=True))

        with self.moving_together():
            _, terms = self.minimize(field_loss, "field")
            generator_loss, _ = self.minimize(generator_loss, "generator")
        moves = {name: statistics[name] for name in ("step_norm", "gradient_norm")}
        return self.log({**terms, **moves, "generator_loss": generator_loss})

    def _label_loss(self, x, y, seed):
        """`(loss, terms)` of the labels, a constant 0 where a batch has none."""
        total, log_p = 0.0, None
        if self._labelled is None or self.confidence_weight:
            log_p = self._log_p(x)
        if self.confidence_weight:
            entropy = -ops.mean(ops.sum(ops.exp(log_p) * log_p, axis=-1))
            total = self.confidence_weight * entropy
        if self._labelled is not None:
            rows = ops.shape(self._labelled[1])[0]
            chosen = backend.uniform((int(self.labelled_batch_size),), seed, 0.0, float(rows))
            chosen = ops.minimum(ops.cast(ops.floor(chosen), "int32"), rows - 1)
            labelled, y = (ops.take(part, chosen, axis=0) for part in self._labelled)
            log_p = self._log_p(labelled)
        loss, accuracy = self._classification(log_p, y)
        total = total + self.classification_weight * loss
        return total, {"classification_loss": loss, "accuracy": accuracy}

    def _log_p(self, x):
        """log p(y | x) of every y in training, (batch, num_classes)."""
        return ops.log_softmax(self.field.class_logits(x, training=True), axis=-1)

    def _classification(self, log_p, y, empty=0.0):
        """`(- mean log p(y|x), accuracy)` over the labelled rows, `empty` without any."""
        y = ops.cast(y, "int32")
        known = ops.cast(y >= 0, "float32")
        count = ops.sum(known)
        picked = ops.sum(ops.one_hot(y, self.field.num_classes, dtype="float32") * log_p, axis=-1)
        hits = ops.cast(ops.cast(ops.argmax(log_p, axis=-1), "int32") == y, "float32")
        share = 1.0 / ops.maximum(count, 1.0)
        loss, accuracy = -ops.sum(known * picked) * share, ops.sum(known * hits) * share
        return loss, ops.where(count > 0.0, accuracy, empty)

    def fit(self, x=None, y=None, **kwargs):
        """Trains; y has a label for each row, -1 for none, where the field has labels."""
        labelled = None
        if self.labelled_batch_size is not None:
            if not checks.is_array(x) or y is None:
                raise ValueError(
                    "`labelled_batch_size` draws from the labelled rows of arrays: fit(x, y). "
                    "With a dataset, give batches that hold enough of them."
                )
            self.check_labels(np.asarray(y))
            known = np.asarray(y) >= 0
            if not known.any():
                raise ValueError("`labelled_batch_size` is set, and no row of y has a label.")
            labelled = (
                ops.convert_to_tensor(np.asarray(x)[known].astype("float32")),
                ops.convert_to_tensor(np.asarray(y)[known].astype("int32")),
            )
        if labelled is not None or self._labelled is not None:
            # The rows are constants of the compiled step.
            self._labelled, self.train_function = labelled, None
        return super().fit(x, y, **kwargs)

    def check_labels(self, y):
        """Labels of a field that has them; -1 for none, unless the generator is conditional."""
        classes = self.field.num_classes
        if classes is None or y is None:
            super().check_labels(y)
            return
        check_label_values(y, -1 if self.is_semi_supervised else 0, classes)

    def evaluation_step(self, data):
        """Mean u(x); with labels the accuracy over those of the batch (NaN if there are none)."""
        terms = super().evaluation_step(data)
        if self.is_semi_supervised:
            log_p = ops.log_softmax(self.field.class_logits(data["x"], training=False), axis=-1)
            terms["accuracy"] = self._classification(log_p, data["y"], float("nan"))[1]
        return terms

    def classify(self, x, batch_size=1000):
        """p(y | x), NumPy array (n, num_classes), of a field with labels."""
        program = self.compiled_function(
            "classify", lambda x: ops.softmax(self.field.class_logits(x, training=False), axis=-1)
        )
        x = self._checked(x)
        parts = [program(x[i : i + batch_size]) for i in range(0, len(x), batch_size)]
        return np.concatenate([ops.convert_to_numpy(part) for part in parts])

    def get_config(self):
        return {
            **super().get_config(),
            "classification_weight": self.classification_weight,
            "confidence_weight": self.confidence_weight,
            "labelled_batch_size": self.labelled_batch_size,
        }
