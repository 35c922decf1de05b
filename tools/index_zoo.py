"""Writes zoo/index.json, the cards and docs/figures.md anew from the folders of the zoo.

Usage: python tools/index_zoo.py [--check] [ZOO_FOLDER]

With --check nothing is written; exits with 1 when the index or a card is not what it would write.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("zoo", nargs="?", type=Path, default=REPOSITORY / "zoo")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)

    sys.path.insert(0, str(REPOSITORY))
    from keras_dgm.presets import cards, integrity, registry, zoo

    stale = []
    for metadata in sorted(options.zoo.glob(f"*/{integrity.METADATA}")):
        folder = metadata.parent
        path, metrics = folder / integrity.CARD, folder / integrity.METRICS
        facts = integrity.read_json(metrics) if metrics.is_file() else None
        text = cards.card(folder.name, integrity.read_json(metadata), facts)
        if cards.is_ours(path) and not (path.is_file() and path.read_text("utf-8") == text):
            stale.append(path)
            if not options.check:
                zoo.write_card(folder)
    path = options.zoo / registry.INDEX
    index = json.dumps(zoo.make_index(options.zoo), indent=2) + "\n"
    if not (path.is_file() and path.read_text("utf-8") == index):
        stale.append(path)
        if not options.check:
            zoo.write_index(options.zoo)
    if options.zoo.resolve() == REPOSITORY / "zoo" and not options.check:
        sys.path.insert(0, str(REPOSITORY / "tools"))
        import figures_table

        figures_table.main([])
    state = "is stale" if options.check else "written"
    print("\n".join(f"{path} {state}" for path in stale) or "index_zoo: everything is up to date")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
