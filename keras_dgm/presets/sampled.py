"""What the cards of models without a likelihood say, and the training that their recipes share."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_dgm import plotting
from keras_dgm.callbacks.frechet_distance import FrechetDistance
from keras_dgm.evaluation.features import FeatureNetwork
from keras_dgm.evaluation.frechet import feature_moments, frechet_distance

from .features import load_features
from .loading import from_preset
from .publishing import mean_figure
from .records import describe_data, describe_training
from .zoo import write_zoo_folder

FEATURES = "classifier_mnist"
REFERENCE = "vae_mnist"


def sample_figures(
    model: Any,
    dataset: Any,
    features: str = FEATURES,
    reference: str | None = REFERENCE,
    num_samples: int = 10_000,
    seed: int = 0,
    sampling: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The figures of a model that is judged by its samples, as metrics.json holds them.

    Frechet distances to the test split in the features of a classifier of the zoo: of the samples,
    of as many training images, of the samples of another model of the zoo and, where the model
    reconstructs, of the test images' reconstructions, with their squared error. And how many
    samples the classifier gives to the least frequent class.

    Args:
        model: has `sample`, and `reconstruct` where there are reconstructions.
        dataset: what `datasets.load` gave.
        features: name of the classifier.
        reference: name of a preset whose samples are measured beside the model's, in [0, 1], or
            None.
        num_samples: samples, and images of either split, at most.
        seed: of the samples.
        sampling: further arguments of `model.sample`, such as `{"mean": True}`.
    """
    network = load_features(features, dataset.value_range)
    test = dataset.test.images[:num_samples]
    moments = feature_moments(test, network)
    samples = model.sample(num_samples, seed=seed, **(sampling or {}))
    train = dataset.train.images[:num_samples]
    figures = {
        "frechet_distance": distance_figure(moments, samples, network),
        "frechet_distance_of_training_images": distance_figure(moments, train, network),
    }
    if reference is not None:
        low, high = dataset.value_range
        others = from_preset(reference).sample(num_samples, seed=seed, mean=True)
        scaled = low + (high - low) * others
        figures[f"frechet_distance_of_{reference}"] = distance_figure(moments, scaled, network)
    chosen = np.concatenate([p.argmax(axis=1) for p in network.probabilities(samples)])
    figures["least_class_share"] = least_class_share(chosen, network)
    if getattr(getattr(model, "generator", None), "num_classes", None) is not None:
        # Without conditions, samples are drawn for the classes in turn.
        agrees = chosen == np.arange(num_samples) % model.generator.num_classes
        figures["samples_of_the_class_asked_for"] = mean_figure(100.0 * agrees, "%")
    if hasattr(model, "reconstruct"):
        decoded = np.concatenate(
            [model.reconstruct(test[start : start + 500]) for start in range(0, len(test), 500)]
        )
        figures["frechet_distance_of_reconstructions"] = distance_figure(moments, decoded, network)
        low, high = dataset.value_range
        error = np.mean(np.square((decoded - test) / (high - low)), axis=(1, 2, 3))
        figures["reconstruction_mse"] = mean_figure(error, "a pixel, of images in [0, 1]")
    return figures


def distance_figure(real: Any, fake: Any, network: FeatureNetwork) -> dict[str, Any]:
    """A Frechet distance as metrics.json holds a figure; arguments as `frechet_distance`."""
    report = frechet_distance(real, fake, network)
    return {
        "value": report.value,
        "features": f"{report.network} sha256 {report.checksum}",
        "n_real": report.n_real,
        "n_fake": report.n_fake,
    }


def least_class_share(chosen: np.ndarray, network: FeatureNetwork) -> dict[str, Any]:
    """The share of the class with the fewest samples, in percent, and every class's.

    Args:
        chosen: the class that the network gives each sample, (n,).
    """
    classes = network.classifier.output_shape[-1]
    shares = 100.0 * np.bincount(chosen, minlength=classes) / len(chosen)
    return {
        "value": float(shares.min()),
        "unit": "% of the samples, in the rarest class",
        "shares": [float(share) for share in shares],
        "n_fake": len(chosen),
    }


def train_by_samples(
    model: Any,
    dataset: Any,
    directory: str,
    recipe: str,
    words: Mapping[str, Any],
    epochs: int,
    batch_size: int,
    labels: bool = False,
    evaluate: Any = sample_figures,
    features: str = FEATURES,
    num_checked: int = 2000,
    seed: int = 0,
    sampling: Mapping[str, Any] | None = None,
    verbose: Any = "auto",
    **settings: Any,
) -> Any:
    """Trains a model of images, keeps its best epoch, measures it and writes its folder.

    The best epoch is that whose samples lie nearest to the validation split; the card tells the
    distance of the last one too, at the same number of samples. A moving average of the weights
    takes their place.

    Args:
        model: compiled, with `sample`.
        dataset: what `datasets.load` gave.
        directory: the folder to write.
        recipe: the script that calls this.
        words: further entries of metrics.json: description, architecture, limits, published.
        epochs, batch_size: of `fit`.
        labels: whether `fit` is given the labels.
        evaluate: function of (model, dataset) that gives the figures.
        features: classifier of the zoo whose features pick the epoch.
        num_checked: samples of each measurement that picks the epoch.
        seed: of the samples.
        sampling: further arguments of `model.sample`.
        settings: what the card says of training besides.

    Returns:
        The model.
    """
    network = load_features(features, dataset.value_range)
    valid = dataset.valid.images[:10_000]
    sampling = dict(sampling or {})
    measure = FrechetDistance(valid, network, num_checked, seed=seed, **sampling)
    train = dataset.train
    started = time.monotonic()
    model.fit(
        train.images,
        train.labels if labels else None,
        batch_size=batch_size,
        epochs=epochs,
        callbacks=[measure],
        verbose=verbose,
    )
    seconds = time.monotonic() - started
    test = dataset.test.images[:10_000]
    last = distance_figure(test, model.sample(len(test), seed=seed, **sampling), network)
    last["of"] = "the last epoch, whose weights are stored only where it was the best"
    measure.restore_best()
    if getattr(model, "average", None) is not None:
        model.average.write_to_weights()
    figures = evaluate(model, dataset)
    first, *others = figures.items()
    metrics = {
        **words,
        "data": describe_data(dataset, name=dataset.name, scale=_scale(dataset)),
        "training": describe_training(
            model,
            seconds,
            epochs=epochs,
            batch_size=batch_size,
            kept=f"epoch {measure.best_epoch}, by {num_checked} samples and the validation split",
            **settings,
        ),
        "figures": dict([first, ("frechet_distance_of_the_last_epoch", last), *others]),
    }
    samples = model.sample(64, seed=seed, **sampling)
    folder = write_zoo_folder(model, directory, metrics, samples=samples, recipe=recipe)
    if hasattr(model, "reconstruct"):
        shown = test[:12]
        path = str(folder / "reconstructions.png")
        plotting.reconstruction_strip(shown, model.reconstruct(shown), path=path)
    return model


def _scale(dataset: Any) -> str:
    return "symmetric" if dataset.value_range[0] < 0 else "unit"
