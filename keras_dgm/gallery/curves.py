"""Training curves as points of an SVG, so that they take the page's colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

WIDTH, HEIGHT, PANELS = 240.0, 96.0, 3


def curves(history: Mapping[str, Sequence[float | None]]) -> list[dict[str, Any]]:
    """The panels of a history: those with validation first, then losses, three at most.

    Args:
        history: the part of metrics.json: `epoch`, and one list of equal length a term.

    Returns:
        For each panel `name`, `epochs` (first, last), `low`, `high`, and `lines`, each with a
        `label` and the `points` of SVG polylines, one for each stretch without gaps.
    """
    epochs = [int(epoch) for epoch in history.get("epoch", ()) if epoch is not None]
    if len(epochs) < 2:
        return []
    terms = [n for n in history if n != "epoch" and not n.startswith("learning_rate")]
    names = dict.fromkeys(name.removeprefix("val_") for name in terms)
    ordered = sorted(names, key=lambda name: (f"val_{name}" not in history, "loss" not in name))
    panels = (_panel(name, epochs, history) for name in ordered)
    return [panel for panel in panels if panel][:PANELS]


def _panel(name: str, epochs: list[int], history: Mapping[str, Any]) -> dict[str, Any] | None:
    both = {"training": history.get(name), "validation": history.get(f"val_{name}")}
    series = {label: values for label, values in both.items() if values}
    known = [v for values in series.values() for v in values if v is not None]
    if not known or min(known) == max(known):
        return None
    # The first epochs of a training often dwarf all that follows: they run off the panel.
    ranked = sorted(known)
    low, high = min(known), max(known)
    inner_low, inner_high = ranked[len(ranked) // 20], ranked[-1 - len(ranked) // 20]
    if high - low > 4 * (inner_high - inner_low) > 0:
        low, high = inner_low, inner_high

    def point(epoch: int, value: float) -> str:
        x = WIDTH * (epoch - epochs[0]) / (epochs[-1] - epochs[0])
        y = HEIGHT * (1.0 - (min(max(value, low), high) - low) / (high - low))
        return f"{x:.1f},{y:.1f}"

    lines = []
    for label, values in series.items():
        stretches: list[list[str]] = [[]]
        for epoch, value in zip(epochs, values):
            if value is None:
                stretches.append([])
            else:
                stretches[-1].append(point(epoch, value))
        # Validation that was measured now and then is one line all the same.
        if label == "validation":
            stretches = [[p for stretch in stretches for p in stretch]]
        points = [" ".join(stretch) for stretch in stretches if len(stretch) > 1]
        lines.append({"label": label, "points": points})
    return {
        "name": name.replace("_", " "),
        "epochs": (epochs[0], epochs[-1]),
        "low": f"{low:.4g}",
        "high": f"{high:.4g}",
        "lines": lines,
    }
