"""Writes the gallery: loads each model, draws its pictures, renders one page."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from keras_dgm import datasets, presets
from keras_dgm.presets import integrity
from keras_dgm.presets.files import write_bytes, write_text

from .pictures import draw_pictures
from .render import Model, file_name, render


def make_gallery(
    output: str | os.PathLike[str] = "gallery",
    names: Sequence[str] | None = None,
    seed: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> Path:
    """Writes `output/index.html` and its pictures: the zoo, drawn by its own models.

    The page needs no network and no script but its own.

    Args:
        output: the folder; files of an earlier gallery are replaced.
        names: which presets, folders included; by default all that are installed.
        seed: of every draw.
        say: called with one line for each model, and for what was left out and why.

    Returns:
        The path of index.html.

    Raises:
        ValueError, FileNotFoundError: as `from_preset`; names that are not there, or none at all.
    """
    names = list(presets.list_presets()) if names is None else list(names)
    if not names:
        raise ValueError("There is nothing to show: the registry is empty and no name was given.")
    folder = Path(output)
    models = []
    for name in names:
        model = _draw(name, seed, say)
        for picture in model.pictures:
            path = folder / "pictures" / file_name(model.name, picture)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, picture.png)
        models.append(model)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "index.html", render(models))
    return folder / "index.html"


def _draw(name: str, seed: int, say: Callable[[str], None]) -> Model:
    folder = presets.download(name)
    metadata = integrity.read_json(folder / integrity.METADATA)
    path = folder / integrity.METRICS
    metrics = integrity.read_json(path) if path.is_file() else {}
    loaded = presets.from_preset(folder)
    pictures = draw_pictures(loaded, _data(name, metrics, say), folder, seed)
    shown = ", ".join(picture.kind for picture in pictures) or "no pictures"
    # A fetched preset lies in a folder named after its revision.
    label = name if presets.registry.is_name(name) else Path(name).name
    say(f"{label}: {shown}")
    return Model(label, metadata, metrics, pictures)


def _data(name: str, metrics: dict[str, Any], say: Callable[[str], None]) -> Any:
    arguments = (metrics.get("data") or {}).get("arguments")
    if not arguments:
        return None
    try:
        return datasets.load(**arguments)
    except (ValueError, OSError) as error:
        say(f"{name}: without its data ({error}), so what is made of data is left out")
        return None
