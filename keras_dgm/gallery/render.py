"""The page: what is said of each model, and the template that says it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from keras_dgm.presets import cards

from .curves import curves

_PAGE = Path(__file__).resolve().parent / "page"
FAMILIES = ("directed", "adversarial", "symmetric", "undirected")


@dataclasses.dataclass(frozen=True)
class Picture:
    """A PNG and the words beside it."""

    kind: str
    title: str
    caption: str
    png: bytes

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, as the PNG's header has them."""
        width, height = (int.from_bytes(self.png[k : k + 4], "big") for k in (16, 20))
        return width, height


@dataclasses.dataclass(frozen=True)
class Model:
    """A model as the page shows it."""

    name: str
    metadata: dict[str, Any]
    metrics: dict[str, Any]
    pictures: list[Picture]

    @property
    def family(self) -> str:
        """The part of the library that its class comes from."""
        parts = str(self.metadata.get("module", "")).split(".")
        return next((family for family in FAMILIES if family in parts), "network")

    @property
    def data(self) -> str:
        """The name of its data set."""
        return str((self.metrics.get("data") or {}).get("name", "unknown"))

    @property
    def figures(self) -> list[dict[str, str]]:
        """Name, measured and published value of each figure, in words."""
        published = self.metrics.get("published") or {}
        rows = []
        for key, figure in (self.metrics.get("figures") or {}).items():
            other = published.get(key)
            rows.append(
                {
                    "name": key.replace("_", " "),
                    "measured": cards.figure_text(figure),
                    "published": f"{other['value']}" if other else "",
                    "source": str(other["source"]) if other else "",
                }
            )
        return rows

    @property
    def value(self) -> float | None:
        """The first figure's value."""
        figures = self.metrics.get("figures") or {}
        return next((float(figure["value"]) for figure in figures.values()), None)

    @property
    def curves(self) -> list[dict[str, Any]]:
        """The course of its training, one panel a term."""
        return curves(self.metrics.get("history") or {})


def render(models: Sequence[Model]) -> str:
    """The page, styles and script included."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_PAGE),
        autoescape=jinja2.select_autoescape(["html", "j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["file_name"] = file_name
    families = [f for f in (*FAMILIES, "network") if any(m.family == f for m in models)]
    return environment.get_template("gallery.html.j2").render(
        models=models,
        families=families,
        data_sets=sorted({model.data for model in models}),
    )


def file_name(name: str, picture: Picture) -> str:
    """The name of a picture's file: letters, digits, underscores."""
    return re.sub(r"\W+", "_", f"{name}_{picture.kind}") + ".png"
