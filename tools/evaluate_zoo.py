"""Measures the models of the zoo again and holds today's figures against their cards.

Usage: python tools/evaluate_zoo.py [--names A,B] [--small]

Prints one line a figure: model, figure, card, today. Exits with 1 when one is further from its card
than the card's standard error, or for a figure without one than five parts in a hundred: the draws
of the two backends differ, and a distance between samples moves with the draws. With --small only
the models that take seconds are measured, those of the 8x8 digits and of the plane.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
RELATIVE, ABSOLUTE = 0.05, 0.02
# Optimising variational parameters for every test point takes a minute, annealing too.
SLOW = {"mean_field_vi_digits", "adversarial_variational_bayes_digits"}
PIXELS = 64


def allowed(figure: Mapping[str, Any]) -> float:
    """How far from the card a figure measured today may be."""
    error = figure.get("standard_error")
    return float(error) if error else max(ABSOLUTE, RELATIVE * abs(figure["value"]))


def compare(card: Mapping[str, Any], today: Mapping[str, Any]) -> list[tuple[str, str, str, bool]]:
    """Name, card's value, today's value and whether they agree, for every figure of either."""
    rows: list[tuple[str, str, str, bool]] = []
    for name in [*card, *(name for name in today if name not in card)]:
        if name not in today and card[name].get("of"):
            continue  # measured on a model that was trained for comparison and is not stored
        if name not in today or name not in card:
            before, now = (
                str(side[name]["value"]) if name in side else "-" for side in (card, today)
            )
            rows.append((name, before, now, False))
            continue
        old, new = float(card[name]["value"]), float(today[name]["value"])
        agrees = math.isfinite(new) and abs(new - old) <= allowed(card[name])
        rows.append((name, f"{old:.6g}", f"{new:.6g}", agrees))
    return rows


def is_small(name: str, metrics: Mapping[str, Any]) -> bool:
    """Whether a model is measured in seconds."""
    shape = (metrics.get("data") or {}).get("image_shape") or [math.inf]
    return math.prod(shape) <= PIXELS and name not in SLOW


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", help="models, separated by commas [all]")
    parser.add_argument("--small", action="store_true", help="only those that take seconds")
    options = parser.parse_args(arguments)

    sys.path.insert(0, str(REPOSITORY))
    from keras_dgm import presets
    from keras_dgm.presets import integrity, recipes

    names = options.names.split(",") if options.names else list(presets.list_presets())
    wrong = measured = 0
    for name in names:
        folder = presets.download(name)
        metrics = integrity.read_json(folder / integrity.METRICS)
        if options.small and not is_small(name, metrics):
            continue
        started = time.monotonic()
        today = recipes.measure(name, presets.from_preset(name))
        seconds = time.monotonic() - started
        for figure, before, now, agrees in compare(metrics.get("figures") or {}, today):
            wrong += not agrees
            state = "" if agrees else "  DIFFERS"
            print(f"{name}: {figure}: card {before}, today {now}{state}", flush=True)
        print(f"{name}: {seconds:.1f} s", flush=True)
        measured += 1
    print(f"evaluate_zoo: {measured} models, {wrong} figures differ from their cards")
    return 1 if wrong or not measured else 0


if __name__ == "__main__":
    sys.exit(main())
