"""Layers with weights of their own for each class; inputs are `[x, labels]`."""

import keras
from keras import layers, ops

from keras_dgm.networks.checks import (
    check_choice,
    check_label_shape,
    check_pair,
    check_positive,
    class_labels,
)
from keras_dgm.networks.normalization import BATCH_NORM_MOMENTUM, NORM_EPSILON, wrap_kernel


@keras.saving.register_keras_serializable(package="keras_dgm")
class ConditionalBatchNormalization(layers.Layer):
    """Batch normalisation whose scale and shift belong to the sample's class.

    de Vries et al. 2017; in GAN generators Miyato & Koyama 2018. y = gamma[label] x_hat +
    beta[label], where x_hat is x normalised over batch and space, with the batch's moments in
    training and the running ones at inference. gamma starts at one, beta at zero.

    Args:
        num_classes: number of classes; labels are integers of shape (batch,), 0 .. num_classes - 1.
        momentum: of the running moments.
        epsilon: added to the variance.

    Raises:
        ValueError: for inputs that are no pair, and labels that are no labels.
    """

    takes_condition = True

    def __init__(
        self,
        num_classes,
        momentum=BATCH_NORM_MOMENTUM,
        epsilon=NORM_EPSILON,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_classes = check_positive("num_classes", num_classes)
        self.momentum = momentum
        self.epsilon = epsilon
        self.normalization = layers.BatchNormalization(
            momentum=momentum,
            epsilon=epsilon,
            center=False,
            scale=False,
            dtype=self.dtype_policy,
            name="normalization",
        )

    def build(self, input_shape):
        x, labels = check_pair(input_shape, "ConditionalBatchNormalization", "labels")
        check_label_shape(labels, "ConditionalBatchNormalization")
        self.normalization.build(x)
        shape = (self.num_classes, x[-1])
        self.gamma = self.add_weight(name="gamma", shape=shape, initializer="ones")
        self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros")

    def call(self, inputs, training=None):
        x, labels = check_pair(inputs, "ConditionalBatchNormalization", "labels")
        labels = class_labels(labels, "ConditionalBatchNormalization")
        x = self.normalization(x, training=training)
        shape = (-1, *(1,) * (len(x.shape) - 2), x.shape[-1])
        gamma = ops.reshape(ops.take(self.gamma, labels, axis=0), shape)
        beta = ops.reshape(ops.take(self.beta, labels, axis=0), shape)
        return gamma * x + beta

    def compute_output_shape(self, input_shape):
        return tuple(input_shape[0])

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
        }


@keras.saving.register_keras_serializable(package="keras_dgm")
class ProjectionHead(layers.Layer):
    """The projection discriminator's last layer, psi(phi) + <embed(label), phi>.

    Miyato & Koyama 2018, Eq. 5: the form that the log ratio of two class-conditional densities
    takes when p(y|x) is a softmax of phi(x) on both sides. psi is a Dense layer to one unit.

    Inputs are `[features, labels]`, of shapes (batch, size) and (batch,); the output is a logit of
    shape (batch, 1).

    Args:
        num_classes: number of classes; labels are integers 0 .. num_classes - 1.
        normalization: None, "spectral" (on psi and on the embedding, as in the paper) or "weight"
            (on psi alone).

    Raises:
        ValueError: for inputs that are no pair, features that are no vectors, labels that are no
            labels, an unknown normalisation.
    """

    takes_condition = True

    def __init__(self, num_classes, normalization=None, **kwargs):
        super().__init__(**kwargs)
        self.num_classes = check_positive("num_classes", num_classes)
        self.normalization = check_choice(
            "normalization", normalization, (None, "spectral", "weight")
        )

    def build(self, input_shape):
        features, labels = check_pair(input_shape, "ProjectionHead", "labels")
        check_label_shape(labels, "ProjectionHead")
        if len(features) != 2:
            raise ValueError(
                f"ProjectionHead came with features of shape {tuple(features)}; expected "
                "(batch, size): pool or flatten them first."
            )
        policy = self.dtype_policy
        dense = layers.Dense(1, dtype=policy, name="dense")
        self.dense = wrap_kernel(dense, self.normalization)
        embedding = layers.Embedding(
            self.num_classes, features[-1], "glorot_uniform", dtype=policy, name="embedding"
        )
        kind = "spectral" if self.normalization == "spectral" else None
        self.embedding = wrap_kernel(embedding, kind)
        self.dense.build(features)
        self.embedding.build((features[0],))

    def call(self, inputs, training=None):
        features, labels = check_pair(inputs, "ProjectionHead", "labels")
        labels = class_labels(labels, "ProjectionHead")
        embedded = self.embedding(labels, training=training)
        inner = ops.sum(embedded * features, axis=-1, keepdims=True)
        return self.dense(features, training=training) + inner

    def compute_output_shape(self, input_shape):
        return (input_shape[0][0], 1)

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "normalization": self.normalization,
        }
