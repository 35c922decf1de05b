"""Cards, indices and verification; the repository's own zoo is consistent."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from keras_dgm import presets
from keras_dgm.presets import cards, integrity, recipes, records, registry, zoo

REPOSITORY = Path(__file__).resolve().parents[2]

FIGURE = {"value": -88.123, "standard_error": 0.21, "unit": "nats", "num_samples": 5000, "count": 9}
METRICS = {
    "description": "A thing.",
    "architecture": "784-200",
    "data": {"name": "digits", "split": "valid", "binarization": "static", "licence": "MIT"},
    "training": {"optimizer": "Adam", "batch_size": 20},
    "figures": {"log_likelihood": FIGURE, "modes": {"value": 7, "unit": "of 8"}},
    "published": {"log_likelihood": {"value": -87.63, "source": "Burda 2016, Table 1"}},
    "limits": "Small.",
    "commands": {"train": "keras-dgm train thing", "evaluate": "keras-dgm evaluate thing"},
}
METADATA = {"class": "IWAE", "parameters": 1234, "keras_dgm": "1", "keras": "3", "backend": "jax"}


def test_card_says_everything():
    text = cards.card("thing", METADATA, METRICS)
    for line in (
        "# thing",
        "| Class | `keras_dgm.IWAE` |",
        "| Parameters | 1,234 |",
        "| Measured on | the valid split |",
        "| Batch size | 20 |",
        "| log likelihood | -88.12 ± 0.21 nats (5000 samples a point, 9 points) "
        "| -87.63 (Burda 2016, Table 1) |",
        "| modes | 7 of 8 | none known to compare with |",
        "keras-dgm evaluate thing",
        "Small.",
    ):
        assert line in text.splitlines()


def test_a_figure_of_another_model_says_so():
    text = cards.figure_text({**FIGURE, "of": "the same model by CD-1, not stored"})
    assert text.endswith("9 points, of the same model by CD-1, not stored)")


def test_card_without_metrics_claims_nothing():
    text = cards.card("thing", METADATA)
    assert "None were measured." in text and "±" not in text


def test_index_of_a_folder(tmp_path, make):
    make.folder(tmp_path / "b_thing")
    make.folder(tmp_path / "a_thing")
    (tmp_path / "a_thing" / "metrics.json").write_text(json.dumps(METRICS))
    (tmp_path / "a_thing" / "recipe.py").write_text("")
    (tmp_path / "untrained").mkdir()
    path = zoo.write_index(tmp_path)
    entries = registry.parse_index(integrity.read_json(path), str(path))
    assert list(entries) == ["a_thing", "b_thing"]
    assert entries["a_thing"].metric["value"] == FIGURE["value"]
    assert sorted(entries["a_thing"].files) == [
        "config.json",
        "metadata.json",
        "metrics.json",
        "model.weights.h5",
    ]
    document = json.loads(path.read_text())
    document["presets"]["far"] = {**document["presets"]["b_thing"], "url": "https://example.org/f"}
    path.write_text(json.dumps(document))
    assert list(zoo.make_index(tmp_path)["presets"]) == ["a_thing", "b_thing", "far"]


def test_verify_finds_each_kind_of_damage(tmp_path, make, monkeypatch):
    make.folder(tmp_path / "elsewhere" / "thing_digits")
    make.index(tmp_path / "elsewhere", "thing_digits")
    monkeypatch.setenv("KERAS_DGM_ZOO_URL", str(tmp_path / "elsewhere"))
    folder = presets.download("thing_digits")
    assert zoo.verify() == {folder: ""}
    (folder / "config.json").write_text("[]")
    assert "damaged" in zoo.verify()[folder]
    (folder / "config.json").unlink()
    assert "lacks config.json" in zoo.verify()[folder]
    make.folder(folder, weights=b"other")
    assert "not the one it is named after" in zoo.verify()[folder]
    folder.rename(folder.with_name(folder.name + ".partial"))
    assert zoo.verify() == {}


def test_figure_in_nats_and_bits():
    class Model:
        def log_likelihood(self, x, num_samples, seed, verbose):
            assert (num_samples, seed) == (7, 3)
            return np.array([-10.0, -20.0, -30.0])

    images = np.zeros((3, 2, 2, 1))
    nats = records.log_likelihood_figure(Model(), images, num_samples=7, seed=3)
    assert nats["value"] == -20.0
    assert nats["standard_error"] == pytest.approx(10 / 3**0.5)
    assert (nats["unit"], nats["num_samples"], nats["count"]) == ("nats", 7, 3)
    bits = records.log_likelihood_figure(Model(), images, 7, "bits_per_dim", 3)
    assert bits["value"] == pytest.approx(20 / np.log(2) / 4)
    assert bits["standard_error"] == pytest.approx(10 / 3**0.5 / np.log(2) / 4)


def test_samples_of_points_are_drawn_too(tmp_path):
    zoo.draw_samples(np.random.default_rng(0).normal(size=(50, 2)), tmp_path / "points.png")
    zoo.draw_samples(np.zeros((4, 8, 8, 1)), tmp_path / "images.png")
    for path in tmp_path.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def own(monkeypatch):
    """The zoo of this repository."""
    monkeypatch.setattr(registry, "zoo_folder", lambda: REPOSITORY / "zoo")
    return REPOSITORY / "zoo"


def test_own_zoo_is_whole_and_small(own):
    faults = zoo.verify()
    assert not any(faults.values()), faults
    size = sum(path.stat().st_size for path in own.glob("*/model.weights.h5"))
    assert size < 60e6


@pytest.mark.parametrize(
    "name", [path.parent.name for path in REPOSITORY.glob("zoo/*/config.json")]
)
def test_own_presets_load_and_sample(own, name):
    model = presets.from_preset(name, local_files_only=True)
    if hasattr(model, "sample"):
        samples = model.sample(4, seed=0)
        assert len(samples) == 4 and np.isfinite(samples).all()
    else:
        assert name.startswith("classifier_") and presets.load_features(name).classifier.built
    metadata = integrity.read_json(own / name / integrity.METADATA)
    assert type(model).__name__ == metadata["class"]


def test_a_preset_outlives_a_move_of_its_classes(own, tmp_path):
    """Classes are found by their registered names, whatever module once held them."""
    model = presets.from_preset("vae_digits", load_weights=False)
    folder = presets.save_to_preset(model, tmp_path / "vae")
    text = (folder / "config.json").read_text()
    assert '"keras_dgm.algorithms.directed.vae"' in text
    text = text.replace('"keras_dgm.algorithms.directed.vae"', '"keras_dgm.once.upon_a_time"')
    (folder / "config.json").write_text(text)
    metadata = json.loads((folder / "metadata.json").read_text())
    metadata["files"]["config.json"] = integrity.record_of(folder / "config.json").as_dict()
    (folder / "metadata.json").write_text(json.dumps(metadata))
    assert type(presets.from_preset(folder)) is type(model)


def test_a_card_is_what_evaluation_gives_today(own):
    """On either backend; the draws differ, so a tenth of the standard error is allowed."""
    card = integrity.read_json(own / "vae_digits" / integrity.METRICS)["figures"]["log_likelihood"]
    figures = recipes.load_recipe("vae_digits").evaluate(presets.from_preset("vae_digits"))
    found = figures["log_likelihood"]
    assert found["count"] == card["count"]
    assert abs(found["value"] - card["value"]) < 0.1 * card["standard_error"]
    untrained = presets.from_preset("vae_digits", load_weights=False)
    worse = recipes.load_recipe("vae_digits").evaluate(untrained, num_samples=10)
    assert worse["log_likelihood"]["value"] < card["value"] - 10


def test_own_index_and_cards_are_up_to_date(own):
    spec = importlib.util.spec_from_file_location("index", REPOSITORY / "tools" / "index_zoo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.main(["--check", str(own)]) == 0


def test_a_stale_index_or_card_is_noticed(tmp_path, make):
    spec = importlib.util.spec_from_file_location("index", REPOSITORY / "tools" / "index_zoo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = make.folder(tmp_path / "thing")
    metadata = json.loads((folder / "metadata.json").read_text())
    (folder / "metadata.json").write_text(json.dumps({**metadata, **METADATA}))
    assert module.main(["--check", str(tmp_path)]) == 1
    assert not (tmp_path / "index.json").exists()
    assert module.main([str(tmp_path)]) == 0
    assert module.main(["--check", str(tmp_path)]) == 0
    (folder / "metrics.json").write_text(json.dumps(METRICS))
    assert module.main(["--check", str(tmp_path)]) == 1
