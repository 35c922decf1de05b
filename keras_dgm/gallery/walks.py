"""Walks through a model's latent space, from one code to another."""

from __future__ import annotations

import contextlib
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dgm import backend


def latent_walk(
    model: Any, images: np.ndarray | None, rows: int = 4, columns: int = 10, seed: int = 0
) -> np.ndarray | None:
    """What a model decodes on the way from one latent code to another.

    The ends of a walk are codes of data where the model infers and there are data, else draws of
    the prior or of the generator's noise. Codes of real numbers are turned into one another on an
    arc; of binary or one-hot units, those that differ change over one after the other.

    Args:
        model: an algorithm.
        images: data (n, *event), n >= 2 * rows, or None.
        rows, columns: walks, and steps of each.
        seed: of the draws.

    Returns:
        Array (rows, columns, *event), or None for a model without one layer of latent vectors.
    """
    decode, draw = _decoder(model, rows * columns, columns)
    if decode is None:
        return None
    if images is not None and hasattr(model, "infer"):
        ends = model.infer(images[: 2 * rows], seed=seed)
    else:
        ends = draw(2 * rows, backend.as_seed(seed))
    if isinstance(ends, tuple | list | dict):
        return None
    ends = np.asarray(ops.convert_to_numpy(ends), "float32")
    path = between(ends[:rows], ends[rows:], columns)
    decoded = ops.convert_to_numpy(decode(path.reshape(rows * columns, *ends.shape[1:])))
    return decoded.reshape(rows, columns, *decoded.shape[1:])


def between(start: np.ndarray, end: np.ndarray, columns: int) -> np.ndarray:
    """Codes on the way from `start` to `end`, both included: (n, columns, *latent)."""
    if set(np.unique(start)) | set(np.unique(end)) <= {0.0, 1.0}:
        return _switch(start, end, columns)
    flat: list[Any] = [x.reshape(len(x), -1).astype("float64") for x in (start, end)]
    norms: list[Any] = [np.linalg.norm(x, axis=1, keepdims=True) for x in flat]
    units = [x / np.maximum(norm, 1e-9) for x, norm in zip(flat, norms)]
    angle = np.arccos(np.clip(np.sum(units[0] * units[1], axis=1, keepdims=True), -1.0, 1.0))
    steps = []
    for t in np.linspace(0.0, 1.0, columns):
        sine = np.sin(angle)
        # Codes that point the same way, or in opposite ways, have no arc between them.
        arc = np.where(sine > 1e-3, np.sin((1 - t) * angle) / np.maximum(sine, 1e-3), 1 - t)
        other = np.where(sine > 1e-3, np.sin(t * angle) / np.maximum(sine, 1e-3), t)
        length = (1 - t) * norms[0] + t * norms[1]
        steps.append((arc * units[0] + other * units[1]) * length)
    path = np.stack(steps, axis=1).astype("float32")
    return path.reshape(len(start), columns, *start.shape[1:])


def _switch(start: np.ndarray, end: np.ndarray, columns: int) -> np.ndarray:
    path = np.repeat(start[:, np.newaxis], columns, axis=1)
    for row in range(len(start)):
        differ = np.flatnonzero((start[row] != end[row]).reshape(len(start[row]), -1).any(axis=1))
        for column in range(columns):
            done = differ[: round(len(differ) * column / (columns - 1))]
            path[row, column, done] = end[row, done]
    return path


def _decoder(model: Any, count: int, columns: int) -> tuple[Any, Any]:
    """(codes -> E[x], (n, seed) -> codes), or (None, None)."""
    generative = getattr(model, "generative", None)
    if generative is not None and hasattr(generative, "prior"):
        if getattr(generative.prior, "parts", None):
            return None, None
        if hasattr(model, "draw_prior"):
            return _mean(generative), lambda n, seed: model.draw_prior(n, seed)[0]
        return _mean(generative), _prior(generative)
    generator = getattr(model, "generator", None)
    if generator is None:
        return None, None
    if hasattr(generator, "prior"):
        return _mean(generator), _prior(generator)
    if not hasattr(generator, "draw_noise"):
        return None, None
    condition = None
    if generator.is_conditional:
        if generator.num_classes is None:
            return None, None
        # A walk keeps its class.
        labels = (np.arange(count) // columns) % generator.num_classes
        condition = ops.convert_to_tensor(labels.astype("int32"))

    def decode(codes):
        average = getattr(model, "average", None)
        with average.in_place() if average is not None else contextlib.nullcontext():
            return generator.generate(ops.convert_to_tensor(codes), condition, training=False)

    return decode, generator.draw_noise


def _mean(generative: keras.layers.Layer) -> Any:
    return lambda codes: generative.mean(ops.convert_to_tensor(codes), training=False)


def _prior(generative: keras.layers.Layer) -> Any:
    return lambda n, seed: generative.prior.sample(sample_shape=(n,), seed=seed)
