"""What metrics.json says of a model, gathered from the objects at hand rather than typed in."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_dgm import backend


def log_likelihood_figure(
    model: Any,
    images: np.ndarray,
    num_samples: int = 5000,
    unit: str = "nats",
    seed: int = 0,
    verbose: int = 0,
) -> dict[str, Any]:
    """The mean held-out log-likelihood and its standard error over data points.

    Args:
        model: has `log_likelihood(x, num_samples)`, of shape (batch,), in nats.
        images: array (n, *event).
        num_samples: draws a data point; with importance sampling more of them give a tighter bound.
        unit: "nats" a data point, or "bits_per_dim": nats over (number of dimensions x log 2),
            with the sign that makes less better.
        seed: of the draws.
        verbose: 1 for a progress bar.

    Returns:
        `{"value", "standard_error", "unit", "num_samples", "count", "seed"}`.
    """
    if unit not in ("nats", "bits_per_dim"):
        raise ValueError(f"The unit is 'nats' or 'bits_per_dim', got {unit!r}.")
    if len(images) < 2:
        raise ValueError(f"A standard error takes 2 data points at least, got {len(images)}.")
    values = np.asarray(
        model.log_likelihood(images, num_samples=num_samples, seed=seed, verbose=verbose)
    )
    scale = 1.0 if unit == "nats" else -1.0 / (math.prod(images.shape[1:]) * math.log(2.0))
    return {
        "value": float(values.mean() * scale),
        "standard_error": float(values.std(ddof=1) * abs(scale) / math.sqrt(len(values))),
        "unit": unit,
        "num_samples": int(num_samples),
        "count": len(values),
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
        "source": dataset.source,
        "licence": dataset.licence,
        "notes": dataset.notes,
    }


def describe_training(model: Any, seconds: float, **settings: Any) -> dict[str, Any]:
    """The `training` part: settings as given, and optimiser, seed, time and machine as found."""
    optimizers = getattr(model.optimizer, "by_player", {"": model.optimizer})
    return {
        "optimizer": "; ".join(_optimizer(*item) for item in optimizers.items()),
        **settings,
        "seed": getattr(model, "seed", None),
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


def _optimizer(player: str, optimizer: Any) -> str:
    rate = optimizer.get_config().get("learning_rate")
    if isinstance(rate, Mapping):
        rate = rate.get("class_name")
    elif isinstance(rate, float):
        rate = f"{rate:g}"
    text = f"{type(optimizer).__name__}, learning rate {rate}"
    return f"{player}: {text}" if player not in ("", "joint") else text
