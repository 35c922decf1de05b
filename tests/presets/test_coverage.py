"""Every public algorithm class has a model in the zoo, every entry's files are there and right."""

import importlib.util
from pathlib import Path

import pytest

import keras_dgm
from keras_dgm.presets import integrity, recipes, registry

REPOSITORY = Path(__file__).resolve().parents[2]
ZOO = REPOSITORY / "zoo"


def tool():
    spec = importlib.util.spec_from_file_location(
        "evaluate_zoo", REPOSITORY / "tools" / "evaluate_zoo.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def index():
    return registry.parse_index(integrity.read_json(ZOO / "index.json"), "index.json")


def test_every_algorithm_has_a_model():
    public = [getattr(keras_dgm, name) for name in keras_dgm.__all__]
    classes = {c for c in public if isinstance(c, type) and issubclass(c, keras_dgm.Algorithm)}
    algorithms = {c.__name__ for c in classes - {keras_dgm.Algorithm}}
    shown = {entry.class_name for entry in index().values()}
    assert algorithms - shown == set()


def test_every_entry_is_a_folder_with_these_files():
    for name, entry in index().items():
        if entry.url is not None:
            continue
        for file, record in entry.files.items():
            path = ZOO / name / file
            assert path.is_file() and integrity.record_of(path) == record, path
        for file in (integrity.METRICS, integrity.CARD, integrity.RECIPE):
            assert (ZOO / name / file).is_file(), f"{name} lacks {file}"
    weights = {path.parent.name for path in ZOO.glob(f"*/{integrity.WEIGHTS}")}
    assert weights == {name for name, entry in index().items() if entry.url is None}


def test_the_weights_stay_small():
    assert sum(path.stat().st_size for path in ZOO.rglob("*.h5")) < 60e6


def test_every_card_says_what_was_measured_on_what():
    for name in index():
        metrics = integrity.read_json(ZOO / name / integrity.METRICS)
        for entry in ("description", "architecture", "limits"):
            assert metrics.get(entry), f"{name} lacks {entry}"
        assert metrics["figures"] and metrics["data"]["licence"] and metrics["training"]["time"]
        text = (ZOO / name / integrity.METRICS).read_text() + (ZOO / name / "README.md").read_text()
        assert "/tmp/" not in text and str(REPOSITORY) not in text


def test_figures_are_held_against_the_card():
    card = {
        "a": {"value": -10.0, "standard_error": 0.5},
        "b": {"value": 100.0},
        "gone": {"value": 1.0},
        "other": {"value": 1.0, "of": "a model that is not stored"},
    }
    today = {"a": {"value": -10.4}, "b": {"value": 104.0}, "new": {"value": 2.0}}
    rows = {name: agrees for name, _, _, agrees in tool().compare(card, today)}
    assert rows == {"a": True, "b": True, "gone": False, "new": False}
    off = {"a": {"value": -10.6}, "b": {"value": 106.0}, "gone": {"value": float("nan")}}
    assert not any(agrees for _, _, _, agrees in tool().compare(card, off))


def test_small_is_what_takes_seconds():
    small = tool().is_small
    assert small("vae_digits", {"data": {"image_shape": [8, 8, 1]}})
    assert small("nce_mixture", {"data": {"image_shape": [2]}})
    assert not small("vae_mnist", {"data": {"image_shape": [28, 28, 1]}})
    assert not small("unknown", {})


@pytest.mark.parametrize("shift, status", [(0.0, 0), (0.2, 0), (0.3, 1)])
def test_the_script_ends_with_1_when_a_card_no_longer_holds(monkeypatch, capsys, shift, status):
    module = tool()
    card = integrity.read_json(ZOO / "vae_digits" / integrity.METRICS)["figures"]
    today = {"log_likelihood": {"value": card["log_likelihood"]["value"] + shift}}
    monkeypatch.setattr(registry, "zoo_folder", lambda: ZOO)
    monkeypatch.setattr(recipes, "measure", lambda name, model: today)
    assert module.main(["--names", "vae_digits"]) == status
    out = capsys.readouterr().out
    assert ("DIFFERS" in out) == bool(status) and f"{status} figures differ" in out
