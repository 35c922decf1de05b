"""Loads a model from a preset, after everything about it has been checked."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from .fetch import Progress
from .integrity import CONFIG, WEIGHTS, read_json
from .safety import bounded_variables, check_config, without_compilation
from .sources import locate
from .weights import read_weights


def from_preset(
    name: str | Path,
    load_weights: bool = True,
    local_files_only: bool = False,
    revision: str | None = None,
    expected_class: type | None = None,
    trusted_modules: Sequence[str] = (),
    progress: Progress | None = None,
) -> Any:
    """Loads a pretrained model; its class is the one that was saved.

    A registry name is looked up in the installed zoo, then in the cache below `$KERAS_HOME`, then
    at `$KERAS_DGM_ZOO_URL`. Sizes and sha256 are checked. No code of the preset is run: it can name
    only Keras' own parts and keras_dgm's.

    Args:
        name: a name of `list_presets()`, a folder, `https://...` or `hf://user/name`.
        load_weights: False builds the model with new random weights.
        local_files_only: do not use the network.
        revision: the content that is asked for, as `metadata.json` and the registry name it; for
            `hf://` a branch, tag or commit.
        expected_class: the class that the model has to be of.
        trusted_modules: modules whose registered classes the preset may name too; they are
            imported when it does.
        progress: called with file, bytes arrived and bytes expected while fetching.

    Returns:
        The model, not compiled: call `compile` to train it further.

    Raises:
        FileNotFoundError: when the preset is nowhere, with the places that were searched.
        ValueError: when it is damaged, hostile, too new, of another class, or does not fit.
    """
    located = locate(name, revision, local_files_only, progress)
    path = located.folder / CONFIG
    # Registers the library's classes with Keras, so that the config can name them.
    importlib.import_module("keras_dgm")
    config = _read_config(path)
    check_config(config, str(path), trusted_modules)
    _check_class(config, str(path), expected_class)
    model = _build(config, str(path))
    if load_weights:
        read_weights(model, located.folder / WEIGHTS)
    return model


def _read_config(path: Path) -> Any:
    try:
        return without_compilation(read_json(path))
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply to be a model's. Refused.") from None


def _check_class(config: Any, where: str, expected: type | None) -> None:
    if not isinstance(config, dict) or "class_name" not in config:
        raise ValueError(f"{where} describes no model: expected an object with a class_name.")
    found = keras.saving.get_registered_object(config.get("registered_name") or "")
    if expected is not None and not (isinstance(found, type) and issubclass(found, expected)):
        raise ValueError(
            f"{where} holds a {config['class_name']}, expected a {expected.__name__}. "
            "keras_dgm.from_preset loads it whatever its class."
        )


def _build(config: dict[str, Any], where: str) -> keras.Model:
    try:
        with bounded_variables(where):
            model = keras.saving.deserialize_keras_object(config, safe_mode=True)
    except (TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise ValueError(
            f"{where} could not be built: {error}\nThe preset may be damaged, or written by a "
            "version of keras_dgm whose classes took other arguments."
        ) from error
    if not isinstance(model, keras.Model):
        raise ValueError(f"{where} describes a {type(model).__name__}, expected a model.")
    return model
