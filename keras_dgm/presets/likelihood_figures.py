"""The training that recipes of models with a likelihood share, and what their cards say."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from keras_dgm.evaluation.annealed_likelihood import annealed_log_likelihood

from .publishing import mean_figure, publish
from .records import log_likelihood_figure


def likelihood_figures(
    model: Any, images: np.ndarray, num_samples: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """The held-out log-likelihood, alone, as the figures of metrics.json."""
    return {"log_likelihood": log_likelihood_figure(model, images, num_samples, seed=seed)}


def annealed_figure(
    model: Any, images: np.ndarray, num_chains: int = 16, num_temperatures: int = 500, seed: int = 0
) -> dict[str, Any]:
    """The held-out log-likelihood of a directed model without a density for its inference side.

    Annealed importance sampling from the prior: a lower bound in expectation.
    """
    values = annealed_log_likelihood(
        model.generative,
        images,
        num_chains=num_chains,
        num_temperatures=num_temperatures,
        seed=seed,
    )
    note = f"annealed importance sampling, {num_temperatures} temperatures"
    return mean_figure(values, "nats", num_samples=num_chains, seed=seed, note=note)


def cosine_to_zero(learning_rate: float, epochs: int) -> keras.callbacks.Callback:
    """The learning rate of each epoch: from `learning_rate` to 0 by half a cosine."""

    def rate(epoch: int, _: Any = None) -> float:
        return learning_rate * 0.5 * (1.0 + math.cos(math.pi * epoch / epochs))

    return keras.callbacks.LearningRateScheduler(rate)


def train_by_likelihood(
    model: Any,
    dataset: Any,
    directory: str,
    recipe: str,
    words: Mapping[str, Any],
    arguments: Mapping[str, Any],
    epochs: int,
    batch_size: int,
    learning_rate: float,
    evaluate: Callable[[Any], Mapping[str, Any]],
    verbose: Any = "auto",
    **settings: Any,
) -> Any:
    """Trains a model with a rate that falls to zero, measures it and writes its folder.

    Args:
        model: compiled, with `sample`.
        dataset: what `datasets.load` gave for `arguments`.
        directory: the folder to write.
        recipe: the script that calls this.
        words: sentences of metrics.json: description, architecture, limits, published.
        arguments: of `datasets.load`.
        epochs, batch_size: of `fit`.
        learning_rate: at the start; see `cosine_to_zero`.
        evaluate: function of the model that gives the figures.
        verbose: of `fit`.
        settings: what the card says of training besides.

    Returns:
        The model.
    """
    started = time.monotonic()
    model.fit(
        dataset.train.images,
        batch_size=batch_size,
        epochs=epochs,
        callbacks=[cosine_to_zero(learning_rate, epochs)],
        verbose=verbose,
    )
    write_by_likelihood(
        model,
        dataset,
        directory,
        recipe,
        words,
        arguments,
        time.monotonic() - started,
        evaluate,
        epochs=epochs,
        batch_size=batch_size,
        schedule=f"from {learning_rate:g} to 0 by a cosine",
        **settings,
    )
    return model


def write_by_likelihood(
    model: Any,
    dataset: Any,
    directory: str,
    recipe: str,
    words: Mapping[str, Any],
    arguments: Mapping[str, Any],
    seconds: float,
    evaluate: Callable[[Any], Mapping[str, Any]],
    **settings: Any,
) -> None:
    """Measures a trained model and writes its folder; see `train_by_likelihood`."""
    mean = {"mean": True} if len(dataset.image_shape) > 1 else {}
    publish(
        model,
        directory,
        recipe=recipe,
        dataset=dataset,
        arguments=arguments,
        seconds=seconds,
        settings=settings,
        figures=evaluate(model),
        samples=model.sample(64 if mean else 2000, seed=0, **mean),
        **words,
    )
