"""Networks of two inputs, [x, condition]."""

import math

import keras
from keras import layers, ops

from keras_dgm.networks.checks import (
    check_label_shape,
    check_pair,
    check_positive,
    class_labels,
)


def takes_condition(layer):
    """Whether a layer takes `[x, condition]`: it says so by an attribute `takes_condition`."""
    return bool(getattr(layer, "takes_condition", False))


def _flat(shape):
    if None in shape:
        raise ValueError(
            f"ConcatenateCondition cannot flatten an input of unknown shape {(None, *shape)}."
        )
    return (math.prod(shape),)


@keras.saving.register_keras_serializable(package="keras_dgm")
class ConcatenateCondition(layers.Layer):
    """Appends a condition to the last axis of x; inputs are `[x, condition]`.

    Conditional GANs (Mirza & Osindero 2014), and whatever else looks at two things: the critic of
    BiGAN or of adversarial variational Bayes at (x, h), an auxiliary VAE's q(h|x, a).

    What happens depends on the ranks, the batch axis included:
    - labels (`num_classes` given) become one-hot rows, which count as vectors;
    - a vector (batch, k) beside an image or a sequence is repeated over its inner axes;
    - an image beside an image of the same height and width adds channels;
    - an image beside a vector is flattened.
    With `flatten=True` both are flattened first, which is what a multi-layer perceptron wants.

    A label outside 0 .. num_classes - 1 gives a row of zeros, "no class": -1 marks unlabelled data.

    Args:
        num_classes: number of classes if the condition is an integer label, shape (batch,); None
            for a vector or an image.
        flatten: flatten both inputs first.

    Raises:
        ValueError: for inputs that are no pair, labels that are no labels (one-hot rows, floats),
            and images of different sizes.
    """

    takes_condition = True

    def __init__(self, num_classes=None, flatten=False, **kwargs):
        super().__init__(**kwargs)
        if num_classes is not None:
            num_classes = check_positive("num_classes", num_classes)
        self.num_classes = num_classes
        self.flatten = bool(flatten)

    def _concatenated(self, x, condition):
        """Shapes, batch axis left out, that two vectors or images have when they are joined."""
        x, condition = tuple(x[1:]), tuple(condition[1:])
        if self.flatten or not x:
            x = _flat(x)
        if self.flatten or not condition or len(x) == 1:
            condition = _flat(condition)
        if len(condition) > 1 and x[:-1] != condition[:-1]:
            raise ValueError(
                f"ConcatenateCondition came with x of shape {(None, *x)} and a condition of shape "
                f"{(None, *condition)}; expected equal height and width, or a vector, or "
                "flatten=True."
            )
        return x, condition

    def _shapes(self, input_shape):
        x, condition = check_pair(input_shape, "ConcatenateCondition", "condition")
        if self.num_classes is not None:
            check_label_shape(condition, "ConcatenateCondition")
            condition = (None, self.num_classes)
        return self._concatenated(x, condition)

    def build(self, input_shape):
        self._shapes(input_shape)

    def call(self, inputs):
        x, condition = check_pair(inputs, "ConcatenateCondition", "condition")
        if self.num_classes is not None:
            labels = class_labels(condition, "ConcatenateCondition")
            condition = ops.one_hot(labels, self.num_classes, dtype=self.compute_dtype)
        condition = ops.cast(condition, self.compute_dtype)
        x = ops.cast(x, self.compute_dtype)
        x_shape, condition_shape = self._concatenated(x.shape, condition.shape)
        if x_shape != tuple(x.shape[1:]):
            x = ops.reshape(x, (-1, *x_shape))
        if len(condition_shape) == 1:
            inner = (1,) * (len(x_shape) - 1)
            condition = ops.reshape(condition, (-1, *inner, *condition_shape))
            condition = ops.broadcast_to(condition, (*ops.shape(x)[:-1], *condition_shape))
        return ops.concatenate([x, condition], axis=-1)

    def compute_output_shape(self, input_shape):
        x, condition = self._shapes(input_shape)
        return (input_shape[0][0], *x[:-1], x[-1] + condition[-1])

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes, "flatten": self.flatten}


@keras.saving.register_keras_serializable(package="keras_dgm")
class ConditionalSequential(layers.Layer):
    """A stack of layers that hands a condition to those that take one; inputs `[x, condition]`.

    Each layer gets the output of the one before it; a layer with a true attribute
    `takes_condition` (`ConcatenateCondition`, `ConditionalBatchNormalization`, `ProjectionHead`,
    a conditional `ResidualBlock`, another `ConditionalSequential`) gets `[output, condition]`.

    ```python
    critic = ConditionalSequential([ConcatenateCondition(10), mlp([64], output_units=1)])
    critic.build([(None, 784), (None,)])
    critic([x, labels])
    ```

    Args:
        layers: the layers in order, at least one of which takes the condition.

    Raises:
        ValueError: for inputs that are no pair, and when no layer takes the condition.
    """

    takes_condition = True

    def __init__(self, layers, **kwargs):
        super().__init__(**kwargs)
        self.layers = list(layers)
        if not any(takes_condition(layer) for layer in self.layers):
            raise ValueError(
                f"ConditionalSequential came with {len(self.layers)} layers of which none takes "
                "the condition; put a ConcatenateCondition, ConditionalBatchNormalization or "
                "ProjectionHead among them, or use keras.Sequential."
            )

    def _walk(self, input_shape, build):
        x, condition = check_pair(input_shape, "ConditionalSequential", "condition")
        for layer in self.layers:
            shape = [x, condition] if takes_condition(layer) else x
            if build and not layer.built:
                layer.build(shape)
            x = layer.compute_output_shape(shape)
        return tuple(x)

    def build(self, input_shape):
        self._walk(input_shape, build=True)

    def call(self, inputs, training=None):
        x, condition = check_pair(inputs, "ConditionalSequential", "condition")
        for layer in self.layers:
            x = layer([x, condition] if takes_condition(layer) else x, training=training)
        return x

    def compute_output_shape(self, input_shape):
        return self._walk(input_shape, build=False)

    def get_config(self):
        serialized = [keras.saving.serialize_keras_object(layer) for layer in self.layers]
        return {**super().get_config(), "layers": serialized}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        config["layers"] = [
            keras.saving.deserialize_keras_object(layer, custom_objects=custom_objects)
            for layer in config["layers"]
        ]
        return cls(**config)
