"""Writes a model as a preset folder, whole or not at all."""

from __future__ import annotations

import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import keras

from . import cards
from .integrity import (
    CARD,
    CONFIG,
    FORMAT_VERSION,
    HASHED,
    METADATA,
    METRICS,
    WEIGHTS,
    read_json,
    record_of,
)
from .safety import check_config, foreign_modules, without_compilation
from .weights import layout_of, write_weights


def save_to_preset(model: keras.Model, directory: str | os.PathLike[str]) -> Path:
    """Writes a model as a preset: config.json, model.weights.h5, metadata.json and README.md.

    The state that belongs to learning (optimisers, seeds, chains, caches, running baselines) stays
    out; `model.save("m.keras")` keeps it. All files are written beside the folder first, and what
    was there before stays untouched when anything fails.

    Args:
        model: a model whose class and parts are registered with Keras.
        directory: the folder; made if it does not exist. Other files in it are left alone, among
            them a README.md that was not written by this function.

    Returns:
        The folder.

    Raises:
        ValueError: when the model holds a lambda, a function or an unregistered class, which no
            preset can hold, or when the folder cannot be written.
    """
    folder = Path(directory).expanduser()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; a preset needs a folder.")
    config = without_compilation(keras.saving.serialize_keras_object(model))
    check_config(config, f"{type(model).__name__}.get_config()", sorted(foreign_modules(config)))
    try:
        text = json.dumps(config, indent=2) + "\n"
    except TypeError as error:
        raise ValueError(
            f"The config of {type(model).__name__} is not plain data ({error}): its get_config() "
            "should return numbers, texts, lists and serialised objects."
        ) from None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as name:
            draft = Path(name)
            (draft / CONFIG).write_text(text, encoding="utf-8")
            write_weights(model, draft / WEIGHTS)
            metadata = describe(model, draft)
            (draft / METADATA).write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
            if cards.is_ours(folder / CARD):
                metrics = read_json(folder / METRICS) if (folder / METRICS).is_file() else None
                card = cards.card(folder.name, metadata, metrics)
                (draft / CARD).write_text(card, encoding="utf-8")
            folder.mkdir(exist_ok=True)
            for file in draft.iterdir():
                os.replace(file, folder / file.name)
    except OSError as error:
        raise ValueError(f"The preset {folder} could not be written: {error}") from None
    return folder


def describe(model: keras.Model, folder: Path) -> dict[str, Any]:
    """The metadata.json of the config and weights that lie in `folder`."""
    shapes = layout_of(folder / WEIGHTS).values()
    return {
        "format_version": FORMAT_VERSION,
        "class": type(model).__name__,
        "module": type(model).__module__,
        "parameters": sum(math.prod(shape) for shape in shapes),
        "keras_dgm": library_version(),
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "files": {name: record_of(folder / name).as_dict() for name in HASHED},
    }


def library_version() -> str:
    """The version of keras_dgm that runs."""
    from keras_dgm import __version__

    return __version__
