"""The weights file of a preset: what may lie in it, and whether it fits a model."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import h5py

from .integrity import WEIGHTS

Layout = dict[str, tuple[int, ...]]
"""The shape of every array in a weights file, by its path."""


def write_weights(model: Any, path: Path) -> None:
    """Writes what of a model belongs in a preset: its weights without the state of learning."""
    save = getattr(model, "save_preset_weights", None) or model.save_weights
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        save(str(path))
        return
    # A compiled Keras model writes its optimiser among its weights.
    model.optimizer = None
    try:
        save(str(path))
    finally:
        model.optimizer = optimizer


def read_weights(model: Any, path: Path) -> None:
    """Reads a weights file into a model, or raises before the model is touched.

    Raises:
        ValueError: listing every array that is missing, too many or of the wrong shape.
    """
    found = layout_of(path)
    with tempfile.TemporaryDirectory() as folder:
        # What the model itself would write says where it looks for which shape.
        own = Path(folder) / WEIGHTS
        write_weights(model, own)
        expected = layout_of(own)
    problems = differences(found, expected)
    if problems:
        shown = "\n".join(f"  {line}" for line in problems[:20])
        more = f"\n  and {len(problems) - 20} more" if len(problems) > 20 else ""
        raise ValueError(
            f"{path} does not fit {type(model).__name__}; nothing was loaded:\n{shown}{more}"
        )
    load = getattr(model, "load_preset_weights", None) or model.load_weights
    load(str(path))


def differences(found: Layout, expected: Layout) -> list[str]:
    """One line for each array in which two layouts differ."""
    lines = []
    for name in sorted(found.keys() | expected.keys()):
        if name not in found:
            lines.append(f"{name}: missing, expected shape {expected[name]}")
        elif name not in expected:
            lines.append(f"{name}: shape {found[name]}, but the model has no such weight")
        elif found[name] != expected[name]:
            lines.append(f"{name}: shape {found[name]}, expected {expected[name]}")
    return lines


def layout_of(path: Path) -> Layout:
    """The shapes in a weights file, after checking that it holds plain arrays and nothing else.

    Raises:
        ValueError: for a file that is not HDF5, for links or data outside of the file, for Python
            objects, and for arrays that declare more bytes than the file has.
    """
    layout: Layout = {}
    size = path.stat().st_size
    try:
        with h5py.File(path, "r") as file:
            _collect(file, "", layout, path)
            declared = sum(math.prod(s) * file[n].dtype.itemsize for n, s in layout.items())
    except (OSError, RuntimeError, KeyError) as error:
        raise ValueError(f"{path} is not a readable weights file: {error}") from None
    if declared > size:
        raise ValueError(
            f"{path} is refused: its arrays declare {declared} bytes, the file has {size}."
        )
    return layout


def _collect(group: Any, prefix: str, layout: Layout, path: Path) -> None:
    for name in group:
        inner = f"{prefix}/{name}" if prefix else name
        if ".." in name.split("/") or not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{path} is refused: {inner!r} is a link or climbs out of the file.")
        if inner.count("/") > 100:
            raise ValueError(f"{path} is refused: its groups lie inside one another without end.")
        item = group[name]
        if isinstance(item, h5py.Group):
            _collect(item, inner, layout, path)
        elif isinstance(item, h5py.Dataset):
            if item.is_virtual or item.external:
                raise ValueError(f"{path} is refused: {inner!r} lies outside of the file.")
            if item.dtype.hasobject or item.dtype.kind not in "biufcV":
                raise ValueError(f"{path} is refused: {inner!r} holds {item.dtype}, not numbers.")
            layout[inner] = tuple(item.shape)
