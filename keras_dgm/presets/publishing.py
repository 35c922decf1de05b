"""What recipes share: the command line, a mean as a figure, and the folder written at the end."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .records import describe_data, describe_training
from .zoo import write_zoo_folder


def recipe_main(train: Callable[..., Any], description: str | None, directory: str) -> None:
    """A recipe's `main`: `train` with `--epochs` and `--directory` from the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--directory", default=directory)
    train(**vars(parser.parse_args()))


def mean_figure(values: np.ndarray, unit: str, **details: Any) -> dict[str, Any]:
    """The mean of one number a point and its standard error, as metrics.json holds a figure.

    Args:
        values: array (n,), n at least 2.
        unit: "nats", say.
        **details: what else there is to say: `num_samples`, `seed`, a `note`.

    Raises:
        ValueError: values that are not finite, or fewer than two.
    """
    values = np.asarray(values, "float64").ravel()
    if len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(
            f"A figure is the mean of finite values, two at least; received {len(values)}, "
            f"{int(np.sum(~np.isfinite(values)))} of them not finite."
        )
    error = float(np.std(values, ddof=1) / np.sqrt(len(values)))
    figure = {"value": float(np.mean(values)), "standard_error": error, "unit": unit}
    return {**figure, "count": len(values), **details}


def publish(
    model: Any,
    directory: str | os.PathLike[str],
    recipe: str | os.PathLike[str],
    dataset: Any,
    arguments: Mapping[str, Any],
    seconds: float,
    settings: Mapping[str, Any],
    figures: Mapping[str, Any],
    samples: np.ndarray | None = None,
    **sentences: Any,
) -> Path:
    """Writes the folder of a preset at a recipe's end.

    Args:
        model: the trained model.
        directory: the folder; its name is the preset's.
        recipe: the script, `__file__`.
        dataset: what it was trained and measured on.
        arguments: what `datasets.load` was given.
        seconds: the time of training.
        settings: of training: epochs, batch size, schedule.
        figures: what the recipe's `evaluate` returned.
        samples: as in `write_zoo_folder`.
        **sentences: `description`, `architecture`, `limits`, `published`: see `zoo/README.md`.

    Returns:
        The folder.
    """
    metrics = {
        **sentences,
        "data": describe_data(dataset, **arguments),
        "training": describe_training(model, seconds, **settings),
        "figures": dict(figures),
    }
    return write_zoo_folder(model, directory, metrics, samples=samples, recipe=recipe)
