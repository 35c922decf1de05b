"""Recipes: plain scripts that train a zoo model, found by the model's name or by path."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from . import registry
from .integrity import RECIPE

FUNCTIONS = ("data", "build", "train", "evaluate")


def find_recipe(name_or_path: str) -> Path:
    """The script of a recipe: a path, or that of a model of the installed zoo.

    Only scripts on this machine are ever found: no recipe is downloaded, since running it runs its
    author's code.

    Raises:
        FileNotFoundError: when there is neither such a file nor such a model.
    """
    path = Path(name_or_path).expanduser()
    if path.suffix == ".py" and path.is_file():
        return path
    named = registry.zoo_folder() / name_or_path / RECIPE
    if registry.is_name(name_or_path) and named.is_file():
        return named
    known = ", ".join(list_recipes()) or "none"
    raise FileNotFoundError(
        f"There is no recipe {name_or_path!r}: expected the path of a script, or one of {known}."
    )


def list_recipes() -> list[str]:
    """The names of the installed zoo that `train` accepts."""
    folder = registry.zoo_folder()
    return sorted(path.parent.name for path in folder.glob(f"*/{RECIPE}"))


def is_installed(name: str) -> bool:
    """Whether `name` is a model of the installed zoo with a recipe."""
    return registry.is_name(name) and (registry.zoo_folder() / name / RECIPE).is_file()


def measure(name: str, model: Any, verbose: int = 0) -> dict[str, dict[str, Any]]:
    """The figures of a model of the installed zoo, as its recipe measures them for the card.

    Args:
        name: of the installed zoo.
        model: the loaded model.
        verbose: 1 for a progress bar, where the recipe has one.

    Raises:
        FileNotFoundError, ValueError: as `load_recipe`.
    """
    evaluate = load_recipe(name).evaluate
    takes = "verbose" in inspect.signature(evaluate).parameters
    return evaluate(model, **({"verbose": verbose} if takes else {}))


def recipe_name(path: Path) -> str:
    """The name of what a recipe trains: its folder's in the zoo, else the script's own."""
    return path.resolve().parent.name if path.name == RECIPE else path.stem


def load_recipe(name_or_path: str) -> ModuleType:
    """Runs a recipe's script as a module, without its `main`.

    Raises:
        FileNotFoundError: as `find_recipe`.
        ValueError: when it lacks one of the functions that a recipe has.
    """
    path = find_recipe(name_or_path)
    name = f"keras_dgm_recipe_{recipe_name(path)}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is not a Python script.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    missing = [function for function in FUNCTIONS if not hasattr(module, function)]
    if missing:
        raise ValueError(
            f"{path} is not a recipe: it lacks {', '.join(missing)}. zoo/README.md says what a "
            "recipe has."
        )
    return module
