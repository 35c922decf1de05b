"""Writes the README's table of algorithms from their docstrings, so that it lists what exists.

Usage: python tools/algorithm_table.py [--check]

With --check nothing is written; exits with 1 when the table is not what it would write.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- algorithms: begin -->", "<!-- algorithms: end -->"
FAMILIES = ("directed", "adversarial", "symmetric", "undirected")


def rows() -> list[tuple[str, str, str]]:
    """Family, class and first sentence of every public algorithm, in the README's order."""
    sys.path.insert(0, str(REPOSITORY))
    import keras_dgm

    found = []
    for name in keras_dgm.__all__:
        value = getattr(keras_dgm, name)
        if not isinstance(value, type) or not issubclass(value, keras_dgm.Algorithm):
            continue
        if value is keras_dgm.Algorithm or value.__name__ != name:
            continue  # the base class; a second name of a class
        family = next((f for f in FAMILIES if f".{f}." in value.__module__), "")
        sentence = " ".join((value.__doc__ or "").split("\n\n")[0].split())
        found.append((family, name, sentence.replace("|", "\\|")))
    order = {family: number for number, family in enumerate(FAMILIES)}
    return sorted(found, key=lambda row: (order.get(row[0], len(FAMILIES)), row[1].lower()))


def table() -> str:
    """The table as the README holds it."""
    lines = ["| class | family | what it does |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | {family} | {sentence} |" for family, name, sentence in rows()]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args(arguments).check
    path = REPOSITORY / "README.md"
    text = path.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    new = f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.split(END)[1]}"
    if new == text:
        print("algorithm_table: README.md is up to date")
        return 0
    if check:
        print("algorithm_table: README.md is stale; run python tools/algorithm_table.py")
        return 1
    path.write_text(new, encoding="utf-8")
    print("algorithm_table: README.md written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
