"""The command line end to end on a tiny model: exit codes, one-line errors, files, figures."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_dgm import cli, presets
from keras_dgm.presets import registry

REPOSITORY = Path(__file__).resolve().parents[1]

RECIPE = '''
"""A recipe that takes a second."""
import keras
import keras_dgm as dgm

DATA = {"name": "digits", "binarize": "threshold"}


def data():
    return dgm.datasets.load(**DATA)


def build():
    generative = dgm.models.LatentVariableModel(
        prior=dgm.distributions.Normal((2,)),
        likelihood=dgm.distributions.Bernoulli((8, 8, 1), network=dgm.networks.mlp([8])),
    )
    inference = dgm.distributions.Normal((2,), network=dgm.networks.mlp([8]))
    model = dgm.VAE(generative, inference, seed=0)
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    return model


def evaluate(model):
    images = data().test.images[:40]
    return {"log_likelihood": dgm.presets.log_likelihood_figure(model, images, num_samples=20)}


def train(epochs=None, directory="tiny"):
    dataset, model = data(), build()
    model.fit(dataset.train.images[:200], epochs=epochs or 1, batch_size=50, verbose=0)
    metrics = {
        "description": "A tiny model.",
        "data": dgm.presets.describe_data(dataset, **DATA),
        "training": dgm.presets.describe_training(model, 1.0, epochs=epochs),
        "figures": evaluate(model),
    }
    samples = model.sample(4, seed=0)
    dgm.presets.write_zoo_folder(model, directory, metrics, samples=samples, recipe=__file__)
    return model
'''


def run(*arguments):
    """Runs the command line in this process; returns its exit code."""
    with pytest.raises(SystemExit) as stopped:
        cli.main([str(argument) for argument in arguments])
    return stopped.value.code


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("script") / "tiny.py"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def tiny(script):
    """The folder that `train` writes."""
    folder = script.parent / "out" / "tiny"
    assert run("train", script, "--epochs", 2, "--output", folder) == 0
    return folder


@pytest.fixture(autouse=True)
def isolated(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KERAS_DGM_ZOO_URL", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def zoo(tiny, tmp_path, monkeypatch):
    """An installed zoo that holds the tiny model."""
    folder = tmp_path / "zoo"
    (folder / "tiny").mkdir(parents=True)
    for path in tiny.iterdir():
        (folder / "tiny" / path.name).write_bytes(path.read_bytes())
    presets.zoo.write_index(folder)
    monkeypatch.setattr(registry, "zoo_folder", lambda: folder)
    return folder


def test_train_writes_everything(tiny):
    assert sorted(path.name for path in tiny.iterdir()) == [
        "README.md",
        "config.json",
        "metadata.json",
        "metrics.json",
        "model.weights.h5",
        "recipe.py",
        "samples.png",
    ]
    metrics = json.loads((tiny / "metrics.json").read_text())
    assert metrics["training"]["epochs"] == 2
    assert metrics["training"]["optimizer"] == "Adam, learning rate 0.01"
    assert metrics["figures"]["log_likelihood"]["count"] == 40
    assert metrics["commands"]["train"] == "keras-dgm train tiny"
    card = (tiny / "README.md").read_text()
    value = metrics["figures"]["log_likelihood"]["value"]
    assert f"| log likelihood | {value:.2f} ± " in card
    assert "keras_dgm.VAE" in card and "threshold" in card and "CC BY 4.0" in card


def test_train_prints_figure_and_picture(script, tmp_path, capsys):
    assert run("train", script, "--epochs", 1, "-o", tmp_path / "again") == 0
    out = capsys.readouterr().out
    assert "Held-out log likelihood on digits/test: -" in out
    assert f"Samples: {tmp_path / 'again' / 'samples.png'}" in out


def test_sample_a_picture_and_an_array(tiny, tmp_path):
    assert run("sample", tiny, "-n", 9, "-o", "grid.png", "--seed", 3) == 0
    assert (tmp_path / "grid.png").read_bytes().startswith(b"\x89PNG")
    assert run("sample", tiny, "-n", 9, "-o", "a.npy", "--seed", 3) == 0
    assert run("sample", tiny, "-n", 9, "-o", "b.npy", "--seed", 3) == 0
    assert run("sample", tiny, "-n", 9, "-o", "c.npy", "--seed", 4, "--mean") == 0
    a, b, c = (np.load(tmp_path / f"{name}.npy") for name in "abc")
    assert a.shape == (9, 8, 8, 1)
    np.testing.assert_array_equal(a, b)
    assert set(np.unique(a)) == {0.0, 1.0}
    assert len(np.unique(c)) > 100 and c.min() > 0 and c.max() < 1


def test_evaluate_repeats_the_card(tiny, capsys):
    assert run("evaluate", tiny, "--limit", 40, "--json") == 0
    found = json.loads(capsys.readouterr().out)["log_likelihood"]
    card = json.loads((tiny / "metrics.json").read_text())["figures"]["log_likelihood"]
    assert found["value"] == pytest.approx(card["value"], rel=1e-5)
    assert {**found, "value": 0, "standard_error": 0} == {**card, "value": 0, "standard_error": 0}


def test_evaluate_otherwise_than_the_card(tiny, capsys):
    options = ["--num-samples", 8, "--limit", 10, "--split", "valid", "--unit", "bits_per_dim"]
    assert run("evaluate", tiny, *options, "--seed", 1) == 0
    out = capsys.readouterr().out
    assert "Held-out log likelihood on digits/valid: 0." in out or "digits/valid: 1." in out
    assert "bits_per_dim (8 samples a point, 10 points)" in out
    assert "on the card: -" in out


def test_evaluate_on_other_data(tiny, capsys):
    assert run("evaluate", tiny, "--data", "mnist_like") == 2
    assert "mnist_like" in capsys.readouterr().err
    (metrics := json.loads((tiny / "metrics.json").read_text()))["data"] = {}
    bare = tiny.parent / "bare"
    bare.mkdir(exist_ok=True)
    for name in ("config.json", "model.weights.h5", "metadata.json"):
        (bare / name).write_bytes((tiny / name).read_bytes())
    assert run("evaluate", bare) == 2
    assert "say which with --data NAME" in capsys.readouterr().err
    options = ["--data", "digits", "--binarize", "threshold", "--limit", 40, "--num-samples", 20]
    assert run("evaluate", bare, *options, "--json") == 0
    found = json.loads(capsys.readouterr().out)["log_likelihood"]["value"]
    assert found == pytest.approx(metrics["figures"]["log_likelihood"]["value"], rel=1e-5)


def test_list_show_download_verify(zoo, capsys, monkeypatch):
    assert run("list") == 0
    assert "tiny" in capsys.readouterr().out
    assert run("list", "--json") == 0
    (entry,) = json.loads(capsys.readouterr().out).values()
    assert entry["class_name"] == "VAE" and entry["metric"]["unit"] == "nats"
    assert run("show", "tiny") == 0
    out = capsys.readouterr().out
    assert out.startswith("<!-- This card") and f"Revision: {entry['revision']}" in out
    assert run("download", "tiny") == 0
    assert run("verify") == 0
    assert "1 models, 0 damaged" in capsys.readouterr().out
    path = zoo / "tiny" / "model.weights.h5"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert run("verify") == 1
    out = capsys.readouterr().out
    assert "damaged or was changed" in out and "1 models, 1 damaged" in out


def test_train_by_name(zoo, tmp_path):
    assert run("train", "tiny", "--epochs", 1) == 0
    model = presets.from_preset(tmp_path / "runs" / "tiny")
    assert type(model).__name__ == "VAE"


def test_a_model_without_a_density_is_measured_by_its_recipe(zoo, capsys, monkeypatch):
    class Implicit:
        """Stands for a model that can only be sampled."""

    monkeypatch.setattr(presets, "from_preset", lambda folder: Implicit())
    recipe = zoo / "tiny" / "recipe.py"
    text = recipe.read_text()
    start = text.index("def evaluate")
    figure = "def evaluate(model):\n    return {'modes': {'value': 7, 'unit': 'of 8'}}\n\n\n"
    recipe.write_text(text[:start] + figure + text[text.index("def train") :])
    assert run("evaluate", "tiny") == 0
    assert "Held-out modes on digits/test: 7 of 8" in capsys.readouterr().out
    assert run("evaluate", "tiny", "--num-samples", 3) == 2
    assert "--num-samples cannot change that" in capsys.readouterr().err


def test_a_model_of_the_zoo_shows_every_figure_of_its_recipe(zoo, capsys):
    recipe = zoo / "tiny" / "recipe.py"
    figures = "{'log_likelihood': {'value': -1}, 'modes': {'value': 7, 'unit': f'of {verbose}'}}"
    text = recipe.read_text()
    start = text.index("def evaluate")
    figure = f"def evaluate(model, verbose=0):\n    return {figures}\n\n\n"
    recipe.write_text(text[:start] + figure + text[text.index("def train") :])
    assert run("evaluate", "tiny") == 0
    out = capsys.readouterr().out
    assert "log likelihood on digits/test: -1" in out and "modes on digits/test: 7 of 1" in out
    # With an option the recipe is left aside.
    assert run("evaluate", "tiny", "--limit", 5, "--num-samples", 3) == 0
    assert "(3 samples a point, 5 points)" in capsys.readouterr().out


def test_a_fetched_recipe_is_never_run(zoo, monkeypatch, tmp_path):
    """A zoo elsewhere is data: what `train` and `evaluate` run is installed or named by path."""
    monkeypatch.setattr(registry, "zoo_folder", lambda: tmp_path / "nothing")
    monkeypatch.setenv("KERAS_DGM_ZOO_URL", str(zoo))
    assert run("train", "tiny") == 2
    assert not (presets.download("tiny") / "recipe.py").exists()
    assert run("evaluate", "tiny", "--limit", 5, "--num-samples", 3) == 0


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["sample", "nothing_here"], "There is no preset 'nothing_here'"),
        (["sample", "./nothing_here"], "neither a folder nor an address"),
        (["sample", "vae_digits", "-o", "grid.gif"], "should end with .png or .npy"),
        (["sample", "vae_digits", "-n", "0"], "0 is not in the range"),
        (["evaluate", "nothing_here"], "There is no preset"),
        (["evaluate", "x", "--split", "all"], "'all' is not one of"),
        (["train", "nothing_here"], "There is no recipe 'nothing_here'"),
        (["train", "vae_digits", "--epochs", "-1"], "not in the range"),
        (["download", "http://example.org/p"], "is not https"),
        (["download"], "Missing argument"),
        (["show", "hf://a"], "expected hf://user/name"),
        (["publish", ".", "hf://user/name"], "is not a whole preset"),
        (["surprise"], "No such command"),
    ],
)
def test_errors_are_one_line_and_exit_with_2(arguments, says, capsys):
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert "Traceback" not in captured.err
    lines = [line for line in captured.err.splitlines() if line.startswith("Error")]
    assert len(lines) == 1


def test_a_recipe_that_is_none(tmp_path, capsys):
    (tmp_path / "half.py").write_text("def build():\n    pass\n")
    assert run("train", "half.py") == 2
    assert "is not a recipe: it lacks data, train, evaluate" in capsys.readouterr().err
    (tmp_path / "broken.py").write_text("def (\n")
    assert run("train", "broken.py") == 1
    assert "SyntaxError" in capsys.readouterr().err
    (tmp_path / "lazy.py").write_text(
        "data = build = evaluate = lambda: None\ndef train(epochs, directory):\n    pass\n"
    )
    assert run("train", "lazy.py") == 2
    assert "ended without writing the preset runs/lazy" in capsys.readouterr().err


def test_traceback_on_request():
    with pytest.raises(ValueError, match="There is no preset"):
        cli.main(["sample", "nothing_here", "--traceback"])


def test_interrupted(monkeypatch, capsys):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(presets, "list_presets", interrupt)
    assert run("list") == 130
    assert capsys.readouterr().err.strip() == "Interrupted."


def test_help_and_version(capsys):
    assert run("--help") == 0
    out = capsys.readouterr().out
    for name in ("train", "sample", "evaluate", "list", "show", "download", "verify", "publish"):
        assert f"\n  {name} " in out


def test_the_recipes_of_the_zoo_build_models():
    for name in presets.recipes.list_recipes():
        recipe = presets.recipes.load_recipe(name)
        model = recipe.build()
        assert isinstance(model, keras.Model) and model.compiled
        assert recipe.__doc__ and callable(recipe.main)
