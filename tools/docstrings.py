"""An extension of griffe: the docstrings' plain text becomes the Markdown that it looks like.

Markdown wants an empty line before a list and before an indented equation; docstrings that are read
in an editor have none.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_ITEM = re.compile(r"- ")
_SECTION = re.compile(r"[A-Z][A-Za-z, ]*:$")


class Paragraphs(griffe.Extension):
    """Sets lists and indented lines apart in every docstring."""

    def on_object(self, *, obj: griffe.Object, **others: Any) -> None:
        """Called with each module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = apart(obj.docstring.value)


def apart(text: str) -> str:
    """`text` with an empty line before each list and each indented passage that lacks one.

    Sections (`Args:` and what is indented below it) and fenced code stay as they are.
    """
    lines: list[str] = []
    fenced = section = in_list = False
    for line in text.splitlines():
        before = lines[-1] if lines else ""
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced:
            if not line.strip():
                in_list = False
            elif not line.startswith(" "):
                section = bool(_SECTION.fullmatch(line)) and line.split(":")[0] in SECTIONS
                starts = bool(_ITEM.match(line))
                if starts and not in_list and before.strip():
                    lines.append("")
                in_list = starts
                if not starts and before.startswith("    ") and not section:
                    lines.append("")
            elif not section and not in_list and line.startswith("    "):
                if before.strip() and not before.startswith("    "):
                    lines.append("")
        lines.append(line)
    return "\n".join(lines)


SECTIONS = {"Args", "Returns", "Raises", "Attributes", "Yields", "Example", "Examples"}
