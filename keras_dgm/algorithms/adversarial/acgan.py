"""GANs with an auxiliary classifier."""

import keras
from keras import ops

from keras_dgm.algorithms.adversarial.gan import GAN


@keras.saving.register_keras_serializable(package="keras_dgm")
class ACGAN(GAN):
    """Auxiliary classifier GAN: the critic also says which class x is of (Ou 2019, 3.2.4, 7).

    The critic gives K + 1 numbers for x alone: the logits of p(c | x), and last V(x), the logit
    of "data". With F_S the objective of `GAN` and
        F_C = E_p0 log p(c | x) + E_e log p(c | G(e, c)),
    the critic maximises F_S + w F_C and the generator its own `objective` plus w times F_C's
    second term, w = `class_weight` (Odena et al. 2017). F_C has the same sign for both: they may
    agree to call samples by labels that the data do not bear out. With
    `classify_samples=False` the critic's F_C is its first term alone, and they cannot.

    Estimator: means over a batch of labelled data and of draws for the same labels; unbiased for
    the losses as they stand. Even at an optimal critic the generator is not led to p(x | c): F_C
    rewards samples that are easy to classify, which narrows each class.

    Cost per step: as `GAN`.

    Args:
        generator: an `ImplicitModel` with `num_classes`.
        critic: Keras layer from x to (batch, num_classes + 1), without last activation.
        class_weight: w.
        classify_samples: whether the critic's classifier is trained on samples too.
        others: see `GAN`.

    Raises:
        ValueError: a generator without labels, a critic of another output shape.
    """

    terms = (*GAN.terms, "data_cross_entropy", "sample_cross_entropy")
    critic_takes_condition = False

    def __init__(self, generator, critic, class_weight=1.0, classify_samples=True, **kwargs):
        if generator.num_classes is None:
            raise ValueError(
                "ACGAN needs a generator of labels: ImplicitModel(..., num_classes=10), with a "
                "network of [noise, label]."
            )
        self.num_outputs = generator.num_classes + 1
        self.class_weight = float(class_weight)
        self.classify_samples = bool(classify_samples)
        super().__init__(generator, critic, **kwargs)

    def value(self, outputs):
        """V, the last output."""
        return outputs[:, -1]

    def critic_loss(self, real, fake, condition):
        """F_S + w F_C, the signs turned."""
        source, terms = super().critic_loss(real, fake, condition)
        data = self._cross_entropy(real, condition)
        samples = self._cross_entropy(fake, condition)
        terms = {**terms, "data_cross_entropy": data, "sample_cross_entropy": samples}
        classes = data + samples if self.classify_samples else data
        return source + self.class_weight * classes, terms

    def generator_loss(self, fake, condition):
        """The generator's objective plus the cross-entropy of its samples."""
        source, terms = super().generator_loss(fake, condition)
        return source + self.class_weight * self._cross_entropy(fake, condition), terms

    def _cross_entropy(self, outputs, labels):
        """Mean of -log p(c | x), nats."""
        logits = outputs[:, :-1]
        labels = ops.reshape(ops.cast(labels, "int32"), (-1,))
        chosen = ops.sum(ops.one_hot(labels, self.num_outputs - 1, dtype="float32") * logits, -1)
        return ops.mean(ops.logsumexp(logits, axis=-1) - chosen)

    def classify(self, x):
        """log p(c | x) by the critic, nats, NumPy (batch, num_classes)."""
        outputs = self.compiled_function("classify", lambda x: self.look(x, None, training=False))
        logits = outputs(ops.cast(ops.convert_to_tensor(x), "float32"))[:, :-1]
        return ops.convert_to_numpy(ops.log_softmax(logits, axis=-1))

    def get_config(self):
        return {
            **super().get_config(),
            "class_weight": self.class_weight,
            "classify_samples": self.classify_samples,
        }
