"""Networks whose features are compared: named, with a checksum, streamed in batches."""

import hashlib

import keras
import numpy as np
from keras import layers, ops

from keras_dgm import backend
from keras_dgm.networks import conv_encoder


class FeatureNetwork:
    """A network that turns x into features, with a name and a checksum of its weights.

    A distance between sets of features says nothing without the network that gave them: every
    report of this package carries `name` and `checksum`.

    Args:
        model: built Keras layer or model from x to features (batch, ...), which are flattened.
        name: what reports call it, e.g. `"mnist_classifier"`.
        classifier: Keras layer from x to class logits (batch, num_classes), for the Inception
            Score, or None. Often shares its weights with `model`.
        preprocess: function of a NumPy batch that returns what the networks take, or None.
        logits: whether `classifier` gives logits (True) or probabilities.

    Raises:
        ValueError: an empty name; a network that is not built.
    """

    def __init__(self, model, name, classifier=None, preprocess=None, logits=True):
        if not isinstance(name, str) or not name:
            raise ValueError(f"A feature network needs a name for the reports; received {name!r}.")
        for part in (model, classifier):
            if part is not None and not part.built:
                raise ValueError(
                    f"The feature network {name!r} is not built, so its weights are not those of "
                    "anything trained. Build it and load its weights first."
                )
        self.model, self.name, self.classifier = model, name, classifier
        self.preprocess, self.logits = preprocess, bool(logits)
        self._programs = {}

    @property
    def checksum(self):
        """First 12 hexadecimal digits of the sha256 of the weights (names, shapes, values)."""
        digest = hashlib.sha256()
        parts = [self.model] if self.classifier is None else [self.model, self.classifier]
        for part in parts:
            for number, variable in enumerate(part.variables):
                value = np.ascontiguousarray(ops.convert_to_numpy(variable.value))
                digest.update(f"{number} {value.shape} {value.dtype}".encode())
                digest.update(value.tobytes())
        return digest.hexdigest()[:12]

    def features(self, x, batch_size=128):
        """Features of the rows of x, NumPy (n, d), float64."""
        return np.concatenate(list(self.batches(x, batch_size)))

    def batches(self, x, batch_size=128):
        """Features a batch at a time: an iterator of NumPy (rows, d), float64.

        Args:
            x: array (n, *event), or an iterable of batches.
        """
        return (f.reshape(len(f), -1) for f in self._run(self.model, x, batch_size))

    def probabilities(self, x, batch_size=128):
        """p(y | x) a batch at a time: an iterator of NumPy (rows, num_classes), float64.

        Raises:
            ValueError: a network without a classifier.
        """
        if self.classifier is None:
            raise ValueError(
                f"The feature network {self.name!r} has no classifier; the Inception Score needs "
                "one: FeatureNetwork(model, name, classifier=...)."
            )
        for values in self._run(self.classifier, x, batch_size):
            if self.logits:
                values = values - values.max(axis=1, keepdims=True)
                values = np.exp(values)
            yield values / values.sum(axis=1, keepdims=True)

    def _run(self, layer, x, batch_size):
        if id(layer) not in self._programs:
            self._programs[id(layer)] = backend.compiled(layer, lambda x: layer(x, training=False))
        program = self._programs[id(layer)]
        for rows in _in_batches(x, batch_size):
            if self.preprocess is not None:
                rows = self.preprocess(rows)
            whole = _padded(np.asarray(rows, "float32"), batch_size)
            out = np.float64(ops.convert_to_numpy(program(whole)))[: len(rows)]
            if not np.isfinite(out).all():
                raise ValueError(f"The feature network {self.name!r} gave values not finite.")
            yield out


def _in_batches(x, batch_size):
    if hasattr(x, "shape") and hasattr(x, "dtype"):
        x = ops.convert_to_numpy(x)
        for start in range(0, len(x), batch_size):
            yield x[start : start + batch_size]
    else:
        for batch in x:
            batch = batch[0] if isinstance(batch, (tuple, list)) else batch
            yield ops.convert_to_numpy(batch)


def _padded(rows, batch_size):
    """Rows repeated up to a full batch, so that a program is compiled once."""
    missing = batch_size - len(rows)
    return rows if missing <= 0 else np.concatenate([rows, np.repeat(rows[:1], missing, axis=0)])


def identity_features(event_shape, name="identity"):
    """The entries of x themselves as features: for toys, and for checks against closed forms."""
    layer = layers.Flatten()
    layer.build((None, *event_shape))
    return FeatureNetwork(layer, name)


def inception_v3(value_range=(0.0, 1.0), weights="imagenet"):
    """Keras' InceptionV3: 2 048 pooled features, and its 1 000 classes.

    These are Keras' weights, not those of the 2015 graph that published FIDs used, so figures
    compare with one another and not with the papers'.

    Args:
        value_range: (low, high) of the images given, which are scaled to [-1, 1]; grey images are
            repeated in three channels and all are resized, bilinearly, to 299 by 299.
        weights: `"imagenet"` (downloaded by Keras), or the path of a weights file.

    Raises:
        ValueError: the weights could not be had.
    """
    try:
        full = keras.applications.InceptionV3(
            weights=weights, classifier_activation=None, input_shape=(299, 299, 3)
        )
    except Exception as error:
        raise ValueError(
            f"InceptionV3's weights {weights!r} could not be had ({error}). Give the path of a "
            "weights file, or a classifier of the data set (`classifier_features`)."
        ) from error
    pooled = keras.Model(full.input, full.get_layer("avg_pool").output)
    low, high = (float(bound) for bound in value_range)

    def preprocess(images):
        images = 2.0 * (np.asarray(images, "float32") - low) / (high - low) - 1.0
        if images.shape[-1] == 1:
            images = np.repeat(images, 3, axis=-1)
        resized = ops.image.resize(images, (299, 299), interpolation="bilinear")
        return ops.convert_to_numpy(resized)

    return FeatureNetwork(pooled, "keras_inception_v3", full, preprocess)


def small_classifier(event_shape, num_classes, num_features=64, name=None):
    """A small classifier of a data set, as a functional Keras model of features and logits.

    Convolutions for images, a perceptron for vectors; the features are the last hidden layer.

    Returns:
        `keras.Model` from x to logits, whose layer "features" gives the features.
    """
    inputs = keras.Input(event_shape)
    if len(event_shape) == 3:
        hidden = conv_encoder(tuple(event_shape))(inputs)
        hidden = layers.Flatten()(hidden)
    else:
        hidden = layers.Flatten()(inputs)
        hidden = layers.Dense(128, "relu")(hidden)
    hidden = layers.Dense(num_features, "relu", name="features")(hidden)
    return keras.Model(inputs, layers.Dense(num_classes, name="logits")(hidden), name=name)


def classifier_features(classifier, name, layer="features", preprocess=None, logits=True):
    """A trained functional classifier as a feature network.

    Args:
        classifier: functional `keras.Model` from x to class logits.
        name: what reports call it; say which data and recipe it was trained on.
        layer: name of the layer whose output are the features.
        preprocess, logits: see `FeatureNetwork`.
    """
    names = [part.name for part in getattr(classifier, "layers", [])]
    if layer not in names:
        raise ValueError(f"The classifier has no layer {layer!r}; it has {names}.")
    model = keras.Model(classifier.input, classifier.get_layer(layer).output)
    return FeatureNetwork(model, name, classifier, preprocess, logits)


def train_classifier(x, y, name, epochs=5, batch_size=128, seed=0, verbose=0):
    """Trains a `small_classifier` on labelled data and gives it as a feature network.

    Args:
        x: array (n, *event), as generators give it.
        y: integer labels (n,).
        name: what reports call it.
    """
    y = np.asarray(y).reshape(-1)
    if y.dtype.kind not in "iu":
        raise ValueError(f"Labels are integers of shape (n,); received dtype {y.dtype}.")
    keras.utils.set_random_seed(seed)
    classifier = small_classifier(x.shape[1:], int(y.max()) + 1)
    classifier.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    classifier.fit(np.asarray(x, "float32"), y, batch_size, epochs, verbose=verbose)
    return classifier_features(classifier, name)
