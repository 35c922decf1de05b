"""Holds the library's import direction, and keeps TensorFlow and JAX inside keras_dgm/backend.

Usage: python tools/check_imports.py [PACKAGE_FOLDER]

Every part has a tier; a module may import parts of its own tier and of lower ones:

    backend <- distributions, networks <- models, sampling <- algorithms
            <- evaluation, callbacks, testing <- presets <- gallery <- cli

datasets and plotting stand beside: everyone above the backend may use them, they use nothing of the
library. Two parts of one tier may not import each other both ways. A few upward imports are allowed
when they are late, that is inside a function, because a method offers there what a higher part does
(`model.save_to_preset`). Prints one line a violation and exits with 1 when there is one.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "keras_dgm"
ROOT = "<root>"

TIERS = {
    "backend": 0,
    "distributions": 1,
    "networks": 1,
    "models": 2,
    "sampling": 2,
    "algorithms": 3,
    "evaluation": 4,
    "callbacks": 4,
    "testing": 4,
    "presets": 5,
    "gallery": 6,
    "cli": 7,
    ROOT: 8,
}
BESIDE = {"datasets", "plotting"}
LATE = {
    ("algorithms", "evaluation"),
    ("algorithms", "presets"),
    ("presets", ROOT),
    ("cli", ROOT),
}
BACKEND_ONLY = {"tensorflow", "tensorflow_probability", "tf_keras", "jax", "jaxlib", "torch"}


@dataclass(frozen=True)
class Import:
    """One imported module: its dotted name, its line, and whether a function delays it."""

    name: str
    line: int
    late: bool


def part_of(module: str) -> str:
    """The part a dotted module name belongs to; the package itself is `<root>`."""
    pieces = module.split(".")
    return pieces[1] if len(pieces) > 1 else ROOT


def imports_of(tree: ast.AST, module: str, is_package: bool, parts: set[str]) -> Iterator[Import]:
    """All imports of one parsed module, relative ones resolved, `import_module("x")` included."""
    yield from _walk(tree, module, is_package, parts, late=False)


def _walk(node: ast.AST, module: str, is_package: bool, parts: set[str], late: bool):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            for other in child.orelse:
                yield from _walk(ast.Module([other], []), module, is_package, parts, late)
            continue
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, child.lineno, late)
        elif isinstance(child, ast.ImportFrom):
            for name in _from_names(child, module, is_package, parts):
                yield Import(name, child.lineno, late)
        elif isinstance(child, ast.Call) and _imported_by_call(child):
            yield Import(_imported_by_call(child), child.lineno, late)
        inside = late or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        yield from _walk(child, module, is_package, parts, inside)


def _from_names(node: ast.ImportFrom, module: str, is_package: bool, parts: set[str]) -> list[str]:
    base = node.module or ""
    if node.level:
        up = module.split(".")
        up = up[: len(up) - (node.level - (1 if is_package else 0))]
        base = ".".join([*up, base] if base else up)
    if base != PACKAGE:
        return [base]
    # `from keras_dgm import backend` names a part, `from keras_dgm import VAE` the root.
    return [f"{PACKAGE}.{a.name}" if a.name in parts else PACKAGE for a in node.names]


def _imported_by_call(node: ast.Call) -> str:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name not in ("import_module", "__import__") or not node.args:
        return ""
    argument = node.args[0]
    value = argument.value if isinstance(argument, ast.Constant) else None
    return value if isinstance(value, str) else ""


def check(folder: Path) -> list[str]:
    """Violations in the package below `folder`, one line each, in the order of the files."""
    problems: list[str] = []
    seen: dict[tuple[str, str], str] = {}
    files = sorted(folder.rglob("*.py"))
    parts = {path.name.removesuffix(".py") for path in folder.iterdir()} - {"__init__"}
    for path in files:
        relative = path.relative_to(folder).with_suffix("")
        is_package = relative.name == "__init__"
        pieces = relative.parts[:-1] if is_package else relative.parts
        module = ".".join([PACKAGE, *pieces])
        source = part_of(module)
        if source not in TIERS and source not in BESIDE:
            problems.append(f"{path}: the part {source!r} has no tier; name it in {Path(__file__)}")
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        for found in imports_of(tree, module, is_package, parts):
            where = f"{path}:{found.line}"
            top = found.name.split(".")[0]
            if top in BACKEND_ONLY and source != "backend":
                problems.append(f"{where}: {found.name} may be imported in backend/ only")
            if top != PACKAGE:
                continue
            target = part_of(found.name)
            if target == source:
                continue
            reason = _refusal(source, target, found.late)
            if reason:
                problems.append(f"{where}: {source} imports {target}: {reason}")
            elif not found.late:
                seen.setdefault((source, target), where)
    for (source, target), where in sorted(seen.items()):
        if source < target and (target, source) in seen:
            other = seen[target, source]
            problems.append(f"{where}: {source} and {target} import each other (also {other})")
    return problems


def _refusal(source: str, target: str, late: bool) -> str:
    """Why `source` may not import `target`; empty where it may."""
    if source == ROOT:
        return ""
    if source in BESIDE:
        return f"{source} stands beside the library and imports none of it"
    if target in BESIDE:
        return "the backend imports nothing of the library" if source == "backend" else ""
    if target not in TIERS:
        return f"{target} has no tier"
    if TIERS[target] <= TIERS[source] or (late and (source, target) in LATE):
        return ""
    return f"{target} is above {source}"


def main(arguments: list[str]) -> int:
    folder = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent / PACKAGE
    if not (folder / "__init__.py").is_file():
        print(f"check_imports: {folder} is not a package: it has no __init__.py", file=sys.stderr)
        return 2
    problems = check(folder)
    print("\n".join(problems) if problems else f"check_imports: {folder.name} is in order")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
