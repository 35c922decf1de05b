"""What the README promises exists, and continuous integration runs what it prints."""

import re
import types
from pathlib import Path

import numpy as np
import pytest

import keras_dgm
from keras_dgm import cli

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_ci_runs_the_readmes_test_command():
    commands = re.findall(r"\.venv/bin/python (-m pytest.*)", README)
    assert len(commands) == 1
    assert f'"$venv/bin/python" {commands[0]} ||' in (REPOSITORY / ".ci" / "run").read_text()


def test_every_command_exists():
    commands = set(re.findall(r"^(?:.*/)?keras-dgm ([a-z]+)", README, re.MULTILINE))
    assert {"train", "list", "sample", "evaluate", "show"} <= commands
    assert commands <= set(cli.commands.commands)


def test_the_table_names_the_public_algorithms_and_no_other():
    table = README.split("<!-- algorithms: begin -->")[1].split("<!-- algorithms: end -->")[0]
    cells = re.findall(r"^\| ([^|]*)\|", table, re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    public = [getattr(keras_dgm, name) for name in keras_dgm.__all__]
    classes = [v for v in public if isinstance(v, type) and issubclass(v, keras_dgm.Algorithm)]
    assert named == {c.__name__ for c in classes if c is not keras_dgm.Algorithm}


@pytest.mark.parametrize("path", re.findall(r"\]\(([\w./]+)\)", README))
def test_every_link_leads_somewhere(path):
    assert (REPOSITORY / path).exists()


def test_every_example_is_listed():
    scripts = {path.name for path in (REPOSITORY / "examples").glob("*.py")}
    assert scripts == set(re.findall(r"^\| `(\w+\.py)` \|", README, re.MULTILINE))


def test_every_variable_is_read_somewhere():
    names = set(re.findall(r"`(KERAS_DGM_\w+)`", README))
    assert names
    source = "".join(path.read_text() for path in (REPOSITORY / "keras_dgm").rglob("*.py"))
    assert {name for name in names if name not in source} == set()


def test_the_version_is_the_packages():
    text = (REPOSITORY / "pyproject.toml").read_text()
    assert f'version = "{keras_dgm.__version__}"' in text


def test_the_tour_runs(tmp_path, monkeypatch):
    """The README's code as printed, on forty random pictures and with small numbers."""
    (tour,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    for large, small in (("epochs=10", "epochs=1"), ("=5000", "=10"), ("[200, 200]", "[8]")):
        assert large in tour
        tour = tour.replace(large, small)
    images = (np.random.default_rng(0).random((40, 28, 28, 1)) > 0.5).astype("float32")
    split = keras_dgm.datasets.Split(images)
    dataset = types.SimpleNamespace(train=split, valid=split, test=split)
    monkeypatch.setattr(keras_dgm.datasets, "load", lambda name, binarize: dataset)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(tour, "README.md", "exec"), names)
    assert isinstance(names["model"], keras_dgm.IWAE)
    assert (tmp_path / "my_iwae" / "metadata.json").is_file()
