"""Writes docs/figures.md, the table of figures, from the metrics.json of every model of the zoo.

Usage: python tools/figures_table.py [--check] [--zoo FOLDER] [--output FILE]

With --check nothing is written; exits with 1 when the file is not what would be written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
HEAD = """# Figures

What every model of the zoo was measured to be, beside the published figure where there is one with
the same protocol. This page is written by `tools/figures_table.py` from the `metrics.json` of each
model, which the run that measured it wrote. `keras-dgm evaluate NAME` measures again, `keras-dgm
show NAME` tells the rest: data and split, samples, optimiser, schedule, seed, hardware, limits.
"""
NAMES = {
    "directed": "Directed models",
    "adversarial": "Adversarial",
    "symmetric": "Symmetric",
    "undirected": "Undirected models",
    "network": "Networks",
}


def table(zoo: Path) -> str:
    """The page's text."""
    from keras_dgm.gallery.render import Model
    from keras_dgm.presets import integrity, registry

    models = []
    index = zoo / registry.INDEX
    # A folder that is being written is not in the index yet.
    known = integrity.read_json(index)["presets"] if index.is_file() else None
    for path in sorted(zoo.glob(f"*/{integrity.METRICS}")):
        if known is not None and path.parent.name not in known:
            continue
        metadata = integrity.read_json(path.parent / integrity.METADATA)
        models.append(Model(path.parent.name, metadata, integrity.read_json(path), []))
    lines = [HEAD]
    for family, title in NAMES.items():
        own = [model for model in models if model.family == family]
        if not own:
            continue
        lines += [f"## {title}", "", "| model | class | data | figure | measured | published |"]
        lines.append("| --- | --- | --- | --- | --- | --- |")
        for model in own:
            lines += [_row(model, figure) for figure in model.figures]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _row(model: Any, figure: Mapping[str, str]) -> str:
    published = f"{figure['published']} ({figure['source']})" if figure["published"] else "-"
    measured = figure["measured"]
    # The features' checksum is on the card.
    if " sha256 " in measured:
        before, _, after = measured.partition(" sha256 ")
        measured = before + after.lstrip("0123456789abcdef")
    cells = [
        f"`{model.name}`",
        f"`{model.metadata['class']}`",
        model.data,
        figure["name"],
        measured,
        published,
    ]
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--zoo", type=Path, default=REPOSITORY / "zoo")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "docs" / "figures.md")
    options = parser.parse_args(arguments)

    sys.path.insert(0, str(REPOSITORY))
    text = table(options.zoo)
    if options.output.is_file() and options.output.read_text("utf-8") == text:
        print("figures_table: up to date")
        return 0
    if options.check:
        print(f"{options.output} is stale: run python tools/figures_table.py")
        return 1
    options.output.write_text(text, encoding="utf-8")
    print(f"{options.output} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
