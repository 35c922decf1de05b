"""Figures of models that are judged by samples, and the folder that their training writes."""

import dataclasses
import types

import keras
import numpy as np
import pytest

from keras_dgm import GAN, datasets, networks, presets
from keras_dgm.evaluation import train_classifier
from keras_dgm.models import ImplicitModel
from keras_dgm.presets import integrity, sampled
from keras_dgm.presets.helmholtz import comparison_table


@pytest.fixture(scope="module")
def digits():
    """80 images a split."""
    dataset = datasets.load("digits")
    names = ("train", "valid", "test")
    parts = {
        name: datasets.Split(split.images[:80], split.labels[:80])
        for name, split in zip(names, (dataset.train, dataset.valid, dataset.test))
    }
    return dataclasses.replace(dataset, **parts)


@pytest.fixture(scope="module")
def network(digits):
    return train_classifier(digits.train.images, digits.train.labels, "classifier_test", epochs=8)


@pytest.fixture(autouse=True)
def features(network, monkeypatch):
    """The zoo's classifier is a small one here, and so is the zoo."""
    monkeypatch.setattr(sampled, "load_features", lambda *_: network)


class Copyist:
    """Gives the training images as samples, and constant reconstructions."""

    generator = types.SimpleNamespace(num_classes=10)

    def __init__(self, images):
        self.images = images

    def sample(self, num_samples, seed=0):
        return self.images[:num_samples]

    def reconstruct(self, x):
        return np.full_like(x, 0.5)


def test_samples_that_are_data_are_as_near_as_data(digits, network):
    model = Copyist(digits.train.images)
    figures = presets.sample_figures(model, digits, reference=None, num_samples=80)
    found = figures["frechet_distance"]
    assert found["value"] == figures["frechet_distance_of_training_images"]["value"] > 0
    assert (found["n_real"], found["n_fake"]) == (80, 80)
    assert network.checksum in found["features"] and "classifier_test" in found["features"]
    chosen = network.classifier.predict(digits.train.images, verbose=0).argmax(axis=1)
    counts = np.bincount(chosen, minlength=10)
    assert figures["least_class_share"]["value"] == pytest.approx(100 * counts.min() / 80)
    assert sum(figures["least_class_share"]["shares"]) == pytest.approx(100)
    asked = figures["samples_of_the_class_asked_for"]["value"]
    assert asked == pytest.approx(100 * np.mean(chosen == np.arange(80) % 10))
    error = np.mean((digits.test.images - 0.5) ** 2)
    assert figures["reconstruction_mse"]["value"] == pytest.approx(error, rel=1e-4)
    assert figures["frechet_distance_of_reconstructions"]["value"] > 2 * found["value"]


def test_training_by_samples_writes_the_best_epoch(digits, tmp_path):
    keras.utils.set_random_seed(0)
    network = networks.mlp([16], output_units=64)
    network.add(keras.layers.Reshape((8, 8, 1)))
    critic = keras.Sequential([keras.layers.Flatten(), networks.mlp([16], output_units=1)])
    model = GAN(ImplicitModel(4, network), critic, ema_decay=0.5, seed=0)
    model.compile("adam")
    (tmp_path / "recipe.py").write_text("")
    presets.train_by_samples(
        model,
        digits,
        str(tmp_path / "gan_test"),
        str(tmp_path / "recipe.py"),
        {"description": "A test."},
        epochs=3,
        batch_size=20,
        num_checked=50,
        evaluate=lambda model, data: presets.sample_figures(model, data, reference=None),
        verbose=0,
    )
    folder = tmp_path / "gan_test"
    metrics = integrity.read_json(folder / "metrics.json")
    names = list(metrics["figures"])
    assert names[:2] == ["frechet_distance", "frechet_distance_of_the_last_epoch"]
    course = metrics["history"]["frechet_distance"]
    assert len(course) == 3
    assert f"epoch {1 + int(np.argmin(course))}," in metrics["training"]["kept"]
    assert "features of classifier_test sha256" in (folder / "README.md").read_text()
    # What the folder holds is the average, which is what was measured.
    again = presets.from_preset(folder)
    assert np.allclose(again.sample(5, seed=3), model.sample(5, seed=3, averaged=False), atol=1e-6)


def test_the_comparison_says_what_fell_and_what_rose():
    def run(wake, sleep, distance):
        values = {"wake_mse": wake, "sleep_mse": sleep, "frechet_distance": distance}
        values["frechet_distance_of_reconstructions"] = distance
        figures = {name: {"value": value} for name, value in values.items()}
        return {**figures, "latent_eigenvalues": {"values": [1.0, 0.5]}}

    table = comparison_table({"with": run(2.0, 0.5, 3.0), "without": run(1.0, 0.4, 4.0)})
    assert "| wake MSE a pixel | 2 | 1 | rises | rises |" in table
    assert "| sleep latent MSE | 0.5 | 0.4 | falls | rises |" in table
    assert "| distance of reconstructions | 3 | 4 | falls | falls |" in table
    assert "Eigenvalues of Cov Q(z), without: 1 0.5" in table
