"""The import checker passes the library and catches each kind of wrong import."""

import importlib.util
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def _checker():
    spec = importlib.util.spec_from_file_location(
        "check_imports", REPOSITORY / "tools" / "check_imports.py"
    )
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["check_imports"] = module
    spec.loader.exec_module(module)
    return module


checker = _checker()


def _package(folder, **files):
    root = folder / "keras_dgm"
    parts = ["backend", "distributions", "networks", "models", "algorithms", "presets", "datasets"]
    for part in parts:
        (root / part).mkdir(parents=True)
        (root / part / "__init__.py").write_text("")
    (root / "__init__.py").write_text("from keras_dgm.algorithms import *\n")
    (root / "cli.py").write_text("def main():\n    import keras_dgm\n")
    for name, text in files.items():
        (root / (name.replace("__", "/") + ".py")).write_text(text)
    return root


def test_the_library_is_in_order():
    assert checker.check(REPOSITORY / "keras_dgm") == []


@pytest.mark.parametrize(
    "text",
    [
        "from keras_dgm import backend\nfrom keras_dgm.distributions import x\n",
        "from ..backend import tfd\nfrom . import x\nimport keras\n",
        "from keras_dgm import datasets\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from keras_dgm import presets\n",
        "def save(self):\n    from keras_dgm import presets\n",
    ],
)
def test_allowed(tmp_path, text):
    assert checker.check(_package(tmp_path, algorithms__vae=text)) == []


@pytest.mark.parametrize(
    "file, text, names",
    [
        ("models__a", "from keras_dgm.algorithms import VAE\n", "algorithms is above models"),
        ("models__a", "from ..algorithms import vae\n", "algorithms is above models"),
        ("models__a", "def f():\n    from keras_dgm import presets\n", "presets is above models"),
        ("algorithms__a", "from keras_dgm import presets\n", "presets is above algorithms"),
        ("algorithms__a", "import keras_dgm\n", "<root> is above algorithms"),
        ("algorithms__a", "from keras_dgm import VAE\n", "<root> is above algorithms"),
        ("algorithms__a", "import tensorflow as tf\n", "tensorflow may be imported in backend/"),
        ("models__a", "def f():\n    from jax import numpy\n", "jax may be imported in backend/"),
        ("models__a", "importlib.import_module('jax.lax')\n", "jax.lax may be imported"),
        ("datasets__a", "from keras_dgm import backend\n", "stands beside the library"),
        ("backend__a", "from keras_dgm import datasets\n", "imports nothing of the library"),
        ("surprise", "", "the part 'surprise' has no tier"),
    ],
)
def test_refused(tmp_path, file, text, names):
    (problem,) = checker.check(_package(tmp_path, **{file: text}))
    assert names in problem


def test_two_parts_of_one_tier_go_one_way_only(tmp_path):
    one_way = {"distributions__a": "from keras_dgm.networks import mlp\n"}
    assert checker.check(_package(tmp_path / "one", **one_way)) == []
    both = {**one_way, "networks__a": "from keras_dgm.distributions import Normal\n"}
    (problem,) = checker.check(_package(tmp_path / "both", **both))
    assert "import each other" in problem


def test_exit_status(tmp_path, capsys):
    assert checker.main([str(_package(tmp_path / "good"))]) == 0
    assert checker.main([str(_package(tmp_path / "bad", models__a="import jax\n"))]) == 1
    assert "a.py:1: jax may be imported in backend/ only" in capsys.readouterr().out
    assert checker.main([str(tmp_path)]) == 2
