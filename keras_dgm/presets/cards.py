"""The README.md of a preset, made from metadata.json and metrics.json by one template."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .integrity import SAMPLES

_MARK = "<!-- This card is written by keras_dgm from metadata.json and metrics.json. -->"


def is_ours(path: Path) -> bool:
    """Whether a card may be written at `path`: there is none, or this module wrote it."""
    if not path.exists():
        return True
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.readline().rstrip("\n") == _MARK


def card(name: str, metadata: Mapping[str, Any], metrics: Mapping[str, Any] | None = None) -> str:
    """The card's text.

    Args:
        name: the preset's name.
        metadata: what metadata.json holds.
        metrics: what metrics.json holds; without it the card says that nothing was measured.
    """
    metrics = metrics or {}
    head = [_MARK, f"# {name}", ""]
    if metrics.get("description"):
        head += [str(metrics["description"]), ""]
    facts = [
        ("Class", f"`{_package(metadata)}.{metadata['class']}`"),
        ("Parameters", f"{metadata['parameters']:,}"),
        ("Architecture", metrics.get("architecture")),
        ("Written with", _written_with(metadata)),
    ]
    body = [*_table("Model", facts), *_data(metrics.get("data")), *_training(metrics)]
    return "\n".join([*head, *body, *_figures(metrics), *_use(name, metrics)]) + "\n"


def figure_text(figure: Mapping[str, Any]) -> str:
    """A measured figure in words: value ± standard error, unit, and how it was estimated."""
    text = f"{figure['value']:.4g}" if abs(figure["value"]) < 10 else f"{figure['value']:.2f}"
    if figure.get("standard_error") is not None:
        text += f" ± {figure['standard_error']:.2g}"
    text += f" {figure['unit']}" if figure.get("unit") else ""
    details = []
    if figure.get("num_samples"):
        details.append(f"{figure['num_samples']} samples a point")
    if figure.get("count"):
        details.append(f"{figure['count']} points")
    if figure.get("features"):
        details.append(f"features of {figure['features']}")
    if figure.get("of"):
        details.append(f"of {figure['of']}")
    details += [f"{key} {figure[key]}" for key in ("n_real", "n_fake") if figure.get(key)]
    return f"{text} ({', '.join(details)})" if details else text


def _package(metadata: Mapping[str, Any]) -> str:
    """The package that the class is imported from: this one, or Keras for a plain network."""
    return str(metadata.get("module", "keras_dgm")).split(".")[0]


def _written_with(metadata: Mapping[str, Any]) -> str:
    return (
        f"keras_dgm {metadata['keras_dgm']}, Keras {metadata['keras']} on {metadata['backend']}; "
        "loads on TensorFlow and on JAX"
    )


def _data(data: Mapping[str, Any] | None) -> list[str]:
    if not data:
        return []
    rows = [
        ("Name", f"`{data['name']}`"),
        ("Measured on", f"the {data.get('split', 'test')} split"),
        ("Binarisation", data.get("binarization") or "none"),
        ("Source", data.get("source")),
        ("Licence", data.get("licence")),
        ("Note", data.get("notes")),
    ]
    return _table("Data", rows)


def _training(metrics: Mapping[str, Any]) -> list[str]:
    training = metrics.get("training") or {}
    rows = [(key.replace("_", " ").capitalize(), value) for key, value in training.items()]
    return _table("Training", rows) if rows else []


def _figures(metrics: Mapping[str, Any]) -> list[str]:
    figures = metrics.get("figures") or {}
    if not figures:
        return ["## Figures", "", "None were measured.", ""]
    lines = ["## Figures", "", "| figure | measured | published |", "| --- | --- | --- |"]
    published = metrics.get("published") or {}
    for key, figure in figures.items():
        other = published.get(key)
        beside = f"{other['value']} ({other['source']})" if other else "none known to compare with"
        lines.append(f"| {key.replace('_', ' ')} | {figure_text(figure)} | {beside} |")
    lines.append("")
    if metrics.get("limits"):
        lines += ["## Limits", "", str(metrics["limits"]), ""]
    return lines


def _use(name: str, metrics: Mapping[str, Any]) -> list[str]:
    lines = ["## Use", "", "```python", "import keras_dgm as dgm", ""]
    use = str(metrics.get("use") or f'model = dgm.from_preset("{name}")\nmodel.sample(64, seed=0)')
    lines += [*use.splitlines(), "```", ""]
    commands = metrics.get("commands") or {}
    if commands.get("train"):
        lines += ["Train it again:", "", "```bash", commands["train"], "```", ""]
    if commands.get("evaluate"):
        lines += ["Measure it again:", "", "```bash", commands["evaluate"], "```", ""]
    if metrics.get("samples"):
        lines += [f"![samples]({SAMPLES})", ""]
    return lines


def _table(title: str, rows: list[tuple[str, Any]]) -> list[str]:
    lines = [f"## {title}", "", "| | |", "| --- | --- |"]
    for label, value in rows:
        if value not in (None, ""):
            lines.append(f"| {label} | {str(value).replace('|', '/')} |")
    return [*lines, ""]
