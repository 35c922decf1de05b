"""What metrics.json says of a model, gathered from the objects at hand rather than typed in."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_dgm import backend
from keras_dgm.evaluation.log_likelihood import log_likelihood


def log_likelihood_figure(
    model: Any,
    images: np.ndarray,
    num_samples: int = 5000,
    unit: str = "nats",
    seed: int = 0,
    verbose: int = 0,
) -> dict[str, Any]:
    """The mean held-out log-likelihood and its standard error, as metrics.json holds a figure.

    Args, Raises: as `keras_dgm.evaluation.log_likelihood`.

    Returns:
        `{"value", "standard_error", "unit", "num_samples", "count", "seed"}`.
    """
    estimate = log_likelihood(model, images, num_samples, unit, seed, verbose)
    return {
        "value": estimate.value,
        "standard_error": estimate.standard_error,
        "unit": estimate.unit,
        "num_samples": int(num_samples),
        "count": len(estimate.per_point),
        "seed": seed,
    }


def describe_data(dataset: Any, split: str = "test", **arguments: Any) -> dict[str, Any]:
    """The `data` part: a `Dataset`, the split measured on, and what `datasets.load` was given."""
    return {
        "name": dataset.name,
        "arguments": arguments,
        "split": split,
        "binarization": dataset.binarization,
        "image_shape": list(dataset.image_shape),
        # Where this machine keeps the file is no part of the card.
        "source": dataset.source.split("; read from ")[0],
        "licence": dataset.licence,
        "notes": dataset.notes,
    }


def describe_training(model: Any, seconds: float, **settings: Any) -> dict[str, Any]:
    """The `training` part: settings as given, and optimiser, seed, time and machine as found."""
    optimizers = getattr(model.optimizer, "by_player", {"": model.optimizer})
    # Under a schedule the optimiser's own rate is only where it ended.
    rate = "schedule" not in settings
    return {
        "optimizer": "; ".join(_optimizer(name, one, rate) for name, one in optimizers.items()),
        "seed": getattr(model, "seed", None),
        **settings,
        "time": f"{seconds:.0f} s",
        "backend": f"{backend.name()}, Keras {keras.__version__}",
        "hardware": hardware(),
    }


def hardware() -> str:
    """The device that computes and the processor it sits in."""
    cores = f"{os.cpu_count()} cores of {_processor()}"
    device = backend.device_name()
    return cores if device == "CPU" else f"{device}; {cores}"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        return platform.processor() or platform.machine()
    return platform.processor() or platform.machine()


def _optimizer(player: str, optimizer: Any, with_rate: bool) -> str:
    rate = optimizer.get_config().get("learning_rate")
    if isinstance(rate, Mapping):
        rate = rate.get("class_name")
    elif isinstance(rate, float):
        rate = f"{rate:g}"
    text = type(optimizer).__name__ + (f", learning rate {rate}" if with_rate else "")
    return f"{player}: {text}" if player not in ("", "joint") else text
