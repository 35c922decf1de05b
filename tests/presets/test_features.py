"""Classifiers of the zoo as feature networks."""

from pathlib import Path

import numpy as np
import pytest
from keras import ops

from keras_dgm import datasets, presets
from keras_dgm.evaluation import frechet_distance, inception_score
from keras_dgm.presets import registry

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def own(monkeypatch):
    """The zoo of this repository."""
    monkeypatch.setattr(registry, "zoo_folder", lambda: REPOSITORY / "zoo")


def enlarged_digits():
    """Scans of digits that no MNIST writer wrote, at 28 pixels, with their labels."""
    test = datasets.load("digits").test
    inner = ops.image.resize(test.images, (20, 20), interpolation="bicubic")
    images = np.pad(ops.convert_to_numpy(inner), [(0, 0), (4, 4), (4, 4), (0, 0)])
    return np.clip(images, 0.0, 1.0), test.labels


def test_the_mnist_classifier_is_one_line_away_and_reads_digits():
    network = presets.load_features("classifier_mnist")
    images, labels = enlarged_digits()
    chosen = np.concatenate([p.argmax(axis=1) for p in network.probabilities(images)])
    assert np.mean(chosen == labels) > 0.8
    assert network.features(images[:3]).shape == (3, 64)
    half = len(images) // 2
    report = frechet_distance(images[:half], images[half:], network)
    noise = np.random.default_rng(0).random(images[half:].shape)
    assert frechet_distance(images[:half], noise, network).value > 10 * report.value
    text = str(report)
    for part in ("classifier_mnist", network.checksum, f"n_real={half}", "n_fake="):
        assert part in text
    assert inception_score(images, network, 1).value > 6


def test_the_range_of_images_is_scaled_to_the_classifiers():
    plain = presets.load_features("classifier_mnist")
    symmetric = presets.load_features("classifier_mnist", value_range=(-1.0, 1.0))
    images = enlarged_digits()[0][:20]
    assert symmetric.checksum == plain.checksum
    assert np.allclose(symmetric.features(2 * images - 1), plain.features(images), atol=1e-4)
    assert not np.allclose(plain.features(2 * images - 1), plain.features(images), atol=1.0)


def test_what_is_no_classifier_or_no_range_is_refused():
    with pytest.raises(ValueError, match="no layer 'features'"):
        presets.load_features("vae_digits")
    with pytest.raises(ValueError, match="low < high"):
        presets.load_features("classifier_mnist", value_range=(1.0, 0.0))
