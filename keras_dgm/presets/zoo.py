"""The zoo as a whole: listing, fetching and verifying it, writing its folders and its index."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_dgm import plotting

from . import cards, registry
from .fetch import Progress
from .files import write_bytes, write_text
from .histories import describe_history, dumps
from .integrity import (
    CARD,
    CONFIG,
    FORMAT_VERSION,
    KNOWN,
    METADATA,
    METRICS,
    RECIPE,
    SAMPLES,
    WEIGHTS,
    check_folder,
    parse_metadata,
    read_json,
    record_of,
    revision_of,
)
from .registry import Entry
from .saving import save_to_preset
from .sources import locate


def list_presets(remote: bool = False) -> dict[str, Entry]:
    """What the registry knows, by name: description, class, parameters, revision, size, figure.

    Args:
        remote: also ask the zoo at `$KERAS_DGM_ZOO_URL`, where that is set.
    """
    entries = dict(registry.installed_index())
    if remote:
        entries = {**registry.remote_index(), **entries}
    return dict(sorted(entries.items()))


def download(name: str, revision: str | None = None, progress: Progress | None = None) -> Path:
    """Brings a preset to this machine and checks it; returns its folder.

    Args, Raises: as `from_preset`.
    """
    return locate(name, revision, progress=progress).folder


def verify() -> dict[Path, str]:
    """Hashes every preset of the installed zoo and of the cache again.

    Returns:
        Folder to what is wrong with it; an empty text where nothing is.
    """
    entries = registry.installed_index()
    result: dict[Path, str] = {}
    for name, entry in entries.items():
        folder = registry.zoo_folder() / name
        if (folder / WEIGHTS).is_file():
            result[folder] = _fault(folder, entry)
    cache = registry.cache_folder()
    for metadata in sorted(cache.rglob(METADATA)):
        folder = metadata.parent
        if not folder.name.endswith(".partial"):
            result[folder] = _fault(folder, None)
    return result


def _fault(folder: Path, entry: Entry | None) -> str:
    try:
        metadata = check_folder(folder, entry.files if entry else None)
        found = revision_of(parse_metadata(metadata, str(folder / METADATA)))
    except (OSError, ValueError) as error:
        return str(error)
    if entry is None and found != folder.name:
        return f"{folder} holds revision {found}, not the one it is named after."
    return ""


def write_zoo_folder(
    model: Any,
    directory: str | os.PathLike[str],
    metrics: Mapping[str, Any],
    samples: np.ndarray | None = None,
    recipe: str | os.PathLike[str] | None = None,
) -> Path:
    """Writes a trained model with all that its card says: preset, metrics, samples, recipe.

    Args:
        model: the trained model.
        directory: the folder; its name is the preset's.
        metrics: what is to be said of it, see `zoo/README.md`: description, architecture, data,
            training, figures, published, limits. Without a `history` in it, that of the model's
            last `fit` is written.
        samples: images (n, height, width[, channels]) or points (n, 2), drawn into samples.png.
        recipe: the script that trained it, copied into the folder.

    Returns:
        The folder.
    """
    folder = save_to_preset(model, directory)
    name = folder.resolve().name
    commands = {"train": f"keras-dgm train {name}", "evaluate": f"keras-dgm evaluate {name}"}
    document = {"format_version": FORMAT_VERSION, "commands": commands, **metrics}
    document["samples"] = samples is not None
    history = document.get("history") or describe_history(getattr(model, "history", None))
    if history:
        document["history"] = history
    write_text(folder / METRICS, dumps(document))
    if samples is not None:
        draw_samples(samples, folder / SAMPLES)
    if recipe is not None and Path(recipe).resolve() != (folder / RECIPE).resolve():
        write_bytes(folder / RECIPE, Path(recipe).read_bytes())
    write_card(folder)
    return folder


def draw_samples(samples: np.ndarray, path: Path) -> None:
    """A PNG of what a model generates: a grid of images, or a scatter plot of points (n, 2)."""
    draw = plotting.scatter_latent if samples.ndim == 2 else plotting.image_grid
    options = {"title": "Samples"} if samples.ndim == 2 else {}
    draw(samples, path=str(path), **options)


def write_card(folder: Path) -> None:
    """Writes README.md from metadata.json and metrics.json, unless somebody else wrote it."""
    if cards.is_ours(folder / CARD):
        metrics = read_json(folder / METRICS) if (folder / METRICS).is_file() else None
        text = cards.card(folder.name, read_json(folder / METADATA), metrics)
        write_text(folder / CARD, text)


def make_index(folder: Path) -> dict[str, Any]:
    """The index.json of a zoo folder: one entry for each preset folder in it.

    An entry that carries a `url` describes weights that lie elsewhere and is kept as it stands.

    Raises:
        ValueError, FileNotFoundError: when one of the presets is damaged or incomplete.
    """
    path = folder / registry.INDEX
    before = read_json(path)["presets"] if path.is_file() else {}
    presets = {name: entry for name, entry in before.items() if entry.get("url")}
    for child in sorted(folder.iterdir()):
        if (child / CONFIG).is_file() and (child / WEIGHTS).is_file():
            presets[child.name] = _describe(child)
    return {"format_version": FORMAT_VERSION, "presets": dict(sorted(presets.items()))}


def _describe(folder: Path) -> dict[str, Any]:
    metadata = check_folder(folder)
    metrics = read_json(folder / METRICS) if (folder / METRICS).is_file() else {}
    figures = metrics.get("figures") or {}
    first = next(iter(figures), None)
    files = {name: record_of(folder / name) for name in KNOWN if (folder / name).is_file()}
    return {
        "description": metrics.get("description", ""),
        "class": metadata["class"],
        "parameters": metadata["parameters"],
        "data": (metrics.get("data") or {}).get("name", ""),
        "metric": {"name": first, **figures[first]} if first else {},
        "revision": revision_of(files),
        "files": {name: record.as_dict() for name, record in files.items()},
    }


def write_index(folder: Path) -> Path:
    """Writes the index.json of a zoo folder anew."""
    path = folder / registry.INDEX
    write_text(path, json.dumps(make_index(folder), indent=2) + "\n")
    return path
