"""The course of a training as metrics.json holds it: one list a term, thinned for a curve."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

POINTS = 120
_LEFT_OUT = "learning_rate"  # and that of each player


def describe_history(*runs: Any, points: int = POINTS) -> dict[str, list]:
    """The `history` part: what `fit` returned, one run after another, over the epochs.

    Args:
        *runs: what `fit` returned, or its `history`, in the order of training.
        points: epochs kept at most, the first and the last among them.

    Returns:
        `{"epoch": [1, ...], name: [value, ...]}`: five digits a value, None where there was none
        or it was not finite; empty where no epoch ran.
    """
    epochs = 0
    columns: dict[str, list] = {}
    for run in runs:
        logs = getattr(run, "history", run) or {}
        logs = {name: values for name, values in logs.items() if not name.startswith(_LEFT_OUT)}
        length = max((len(values) for values in logs.values()), default=0)
        for name in columns.keys() | logs.keys():
            column = columns.setdefault(name, [])
            column += [None] * (epochs - len(column)) + list(logs.get(name, ()))
        epochs += length
    if not epochs:
        return {}
    kept = np.unique(np.linspace(0, epochs - 1, min(points, epochs)).round().astype(int))
    result: dict[str, list] = {"epoch": [int(epoch) + 1 for epoch in kept]}
    for name, values in sorted(columns.items()):
        values += [None] * (epochs - len(values))
        result[name] = [_rounded(values[epoch]) for epoch in kept]
    return result


def _rounded(value: Any) -> float | None:
    if value is None or not math.isfinite(float(value)):
        return None
    return float(f"{float(value):.5g}")


def dumps(document: Mapping[str, Any]) -> str:
    """JSON with one key a line and a list of numbers on one line."""
    text = json.dumps(document, indent=2)
    flat = re.compile(r"\[\s*((?:-?[\d.eE+-]+|null)(?:,\s*(?:-?[\d.eE+-]+|null))*)\s*\]")
    return flat.sub(lambda found: "[" + re.sub(r"\s+", " ", found[1]) + "]", text) + "\n"
