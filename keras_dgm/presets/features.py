"""Classifiers of the zoo as feature networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keras_dgm.evaluation.features import FeatureNetwork, classifier_features

from .loading import from_preset


def load_features(
    name: str | Path = "classifier_mnist",
    value_range: tuple[float, float] = (0.0, 1.0),
    revision: str | None = None,
) -> FeatureNetwork:
    """A trained classifier of the zoo as the network of `frechet_distance` and its like.

    ```python
    network = dgm.presets.load_features("classifier_mnist", value_range=(-1.0, 1.0))
    print(dgm.evaluation.frechet_distance(real, fake, network))
    ```

    Args:
        name: a preset that is a functional classifier with a layer "features".
        value_range: (low, high) of the images that will be given, data and samples alike; they
            are scaled to the [0, 1] that the classifiers were trained on.
        revision: see `from_preset`.

    Raises:
        ValueError, FileNotFoundError: as `from_preset`; a preset without such a layer; a range
            that is empty.
    """
    low, high = (float(bound) for bound in value_range)
    if not low < high:
        raise ValueError(f"`value_range` is (low, high) with low < high; received {value_range}.")

    def preprocess(images):
        return (np.asarray(images, "float32") - low) / (high - low)

    classifier = from_preset(name, revision=revision)
    scaled = None if (low, high) == (0.0, 1.0) else preprocess
    return classifier_features(classifier, Path(name).name, preprocess=scaled)
