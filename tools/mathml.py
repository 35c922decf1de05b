"""A hook of MkDocs: equations become MathML while the site is built.

Browsers draw MathML themselves, so that the pages need no script and no network for it.
"""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert

_ARITHMATEX = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">(?P<body>.*?)</(?P=tag)>', re.DOTALL
)


def on_page_content(text: str, page: Any, **others: Any) -> str:
    """Called by MkDocs with each page's HTML."""

    def equation(found: re.Match[str]) -> str:
        latex = html.unescape(found["body"]).strip()
        block = latex.startswith(r"\[")
        latex = latex.removeprefix(r"\[").removesuffix(r"\]")
        latex = latex.removeprefix(r"\(").removesuffix(r"\)").strip()
        try:
            mathml = convert(latex, display="block" if block else "inline")
        except Exception as error:
            raise ValueError(f"{page.file.src_path}: {latex!r} is no equation: {error}") from error
        tag = found["tag"]
        return f'<{tag} class="equation">{mathml}</{tag}>' if block else mathml

    return _ARITHMATEX.sub(equation, text)
