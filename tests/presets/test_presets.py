"""Saving and loading models: the round trip, the refusals, and nothing executed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from keras_dgm import presets
from keras_dgm.presets import saving


@keras.saving.register_keras_serializable(package="tests_of_keras_dgm")
class Scaler(keras.Model):
    """A user's own model, with state of learning that presets leave out."""

    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units, "tanh")])
        self.step = self.add_weight(name="step", shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        return self.inner(x)

    def get_config(self):
        return {**super().get_config(), "units": self.units}

    def save_preset_weights(self, path):
        self.inner.save_weights(path)

    def load_preset_weights(self, path):
        self.inner.load_weights(path)


def network(units=4):
    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(units, "relu", kernel_regularizer="l2")(inputs)
    return keras.Model(inputs, keras.layers.BatchNormalization()(hidden * 2.0), name="network")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with a functional model, and the model."""
    model = network()
    model.compile(optimizer="adam", loss="mse")
    model.fit(np.ones((8, 3)), np.ones((8, 4)), verbose=0)
    return model, presets.save_to_preset(model, tmp_path_factory.mktemp("saved") / "network")


@pytest.fixture
def folder(saved, tmp_path):
    """A copy of it that a test may damage."""
    target = tmp_path / "network"
    target.mkdir()
    for path in saved[1].iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def reseal(folder):
    """Brings sizes and hashes in line with the files, as an author of a hostile preset would."""
    path = folder / "metadata.json"
    metadata = json.loads(path.read_text())
    for name in metadata["files"]:
        metadata["files"][name] = presets.integrity.record_of(folder / name).as_dict()
    path.write_text(json.dumps(metadata))


def edit(folder, change):
    """Applies `change` to the parsed config.json, in place."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))
    reseal(folder)


def test_round_trip(saved):
    model, folder = saved
    x = np.linspace(-1, 1, 15).reshape(5, 3)
    loaded = presets.from_preset(folder, expected_class=None)
    assert type(loaded) is type(model)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert sorted(p.name for p in folder.iterdir()) == [
        "README.md",
        "config.json",
        "metadata.json",
        "model.weights.h5",
    ]
    assert "compile_config" not in (folder / "config.json").read_text()
    assert not loaded.compiled and model.compiled


def test_metadata(saved):
    model, folder = saved
    metadata = json.loads((folder / "metadata.json").read_text())
    assert metadata["format_version"] == 1
    assert metadata["class"] == "Functional"
    assert metadata["keras"] == keras.__version__
    assert metadata["backend"] == keras.backend.backend()
    assert metadata["parameters"] == model.count_params() == 32


def test_without_weights(saved):
    model, folder = saved
    loaded = presets.from_preset(folder, load_weights=False)
    assert not np.array_equal(loaded.get_weights()[0], model.get_weights()[0])
    assert [w.shape for w in loaded.weights] == [w.shape for w in model.weights]


def test_loads_in_a_new_process_on_the_other_backend(saved):
    model, folder = saved
    other = {"tensorflow": "jax", "jax": "tensorflow"}[keras.backend.backend()]
    digits = Path(__file__).resolve().parents[2] / "zoo" / "vae_digits"
    code = (
        "import sys, numpy as np; from keras_dgm import presets\n"
        "a, b = (presets.from_preset(path) for path in sys.argv[1:])\n"
        "print(a.predict(np.ones((1, 3)), verbose=0).tolist())\n"
        "print(np.asarray(b.reconstruct(np.ones((1, 8, 8, 1)))).shape)\n"
        "print(np.asarray(b.inference.mean(np.ones((1, 8, 8, 1)))).tolist())\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(digits)],
        env={**os.environ, "KERAS_BACKEND": other},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    first, shape, second = result.stdout.splitlines()[-3:]
    expected = model.predict(np.ones((1, 3)), verbose=0)
    np.testing.assert_allclose(np.array(json.loads(first)), expected, rtol=1e-5)
    assert shape == "(1, 8, 8, 1)"
    mean = presets.from_preset(digits).inference.mean(np.ones((1, 8, 8, 1)))
    np.testing.assert_allclose(
        np.array(json.loads(second)), keras.ops.convert_to_numpy(mean), rtol=1e-5, atol=1e-6
    )


def test_a_users_class_only_when_its_module_is_trusted(tmp_path):
    model = Scaler(5)
    folder = presets.save_to_preset(model, tmp_path / "scaler")
    with pytest.raises(ValueError, match="neither Keras' nor keras_dgm's.*trusted_modules"):
        presets.from_preset(folder)
    with pytest.raises(ValueError, match="neither Keras'"):
        presets.from_preset(folder, trusted_modules=["json"])
    loaded = presets.from_preset(folder, trusted_modules=[Scaler.__module__])
    np.testing.assert_array_equal(loaded(np.ones((1, 2))), model(np.ones((1, 2))))
    metadata = json.loads((folder / "metadata.json").read_text())
    assert metadata["parameters"] == 15, "the step counter belongs to learning"


@keras.saving.register_keras_serializable(package="tests_of_keras_dgm")
def wavy(x):
    return keras.ops.sin(x)


def test_a_users_function_only_when_its_module_is_trusted(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation=wavy)])
    folder = presets.save_to_preset(model, tmp_path / "wavy")
    with pytest.raises(ValueError, match="the function .*wavy"):
        presets.from_preset(folder)
    loaded = presets.from_preset(folder, trusted_modules=[__name__])
    np.testing.assert_array_equal(loaded(np.ones((1, 2))), model(np.ones((1, 2))))


def test_expected_class(tmp_path):
    folder = presets.save_to_preset(Scaler(), tmp_path / "scaler")
    options = {"trusted_modules": [Scaler.__module__]}
    assert isinstance(presets.from_preset(folder, expected_class=Scaler, **options), Scaler)

    class Other(keras.Model):
        pass

    with pytest.raises(ValueError, match="holds a Scaler, expected a Other"):
        presets.from_preset(folder, expected_class=Other, **options)


def test_saving_again_replaces_and_leaves_other_files(saved, folder):
    (folder / "recipe.py").write_text("mine")
    (folder / "README.md").write_text("# My own card")
    presets.save_to_preset(network(7), folder)
    assert presets.from_preset(folder).output_shape == (None, 7)
    assert (folder / "recipe.py").read_text() == "mine"
    assert (folder / "README.md").read_text() == "# My own card"
    assert [p.name for p in folder.parent.iterdir()] == ["network"]


def test_a_failing_save_leaves_nothing_and_destroys_nothing(folder, monkeypatch, tmp_path):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(model, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving, "write_weights", fail)
    with pytest.raises(ValueError, match="could not be written: .*No space left"):
        presets.save_to_preset(network(7), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    with pytest.raises(ValueError, match="could not be written"):
        presets.save_to_preset(network(7), tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["network"]


def test_saving_onto_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file; a preset needs a folder"):
        presets.save_to_preset(network(), tmp_path / "file")


def test_a_lambda_is_not_even_saved(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1)])
    with pytest.raises(ValueError, match="the layer Lambda"):
        presets.save_to_preset(model, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_weights_of_the_wrong_shape_are_listed(saved, folder, tmp_path):
    other = presets.save_to_preset(network(6), tmp_path / "other")
    (folder / "model.weights.h5").write_bytes((other / "model.weights.h5").read_bytes())
    reseal(folder)
    with pytest.raises(ValueError, match="nothing was loaded") as error:
        presets.from_preset(folder)
    assert "layers/dense/vars/0: shape (3, 6), expected (3, 4)" in str(error.value)
    assert str(error.value).count("\n") == 6


def test_weights_missing_or_too_many_are_listed(folder):
    with h5py.File(folder / "model.weights.h5", "r+") as file:
        file["extra/vars/0"] = np.zeros(3)
        del file["layers/dense/vars/1"]
    reseal(folder)
    with pytest.raises(ValueError) as error:
        presets.from_preset(folder)
    assert "layers/dense/vars/1: missing, expected shape (4,)" in str(error.value)
    assert "extra/vars/0: shape (3,), but the model has no such weight" in str(error.value)


def test_weights_that_are_a_pickle(folder):
    import pickle

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(folder / "executed"),)

    (folder / "model.weights.h5").write_bytes(pickle.dumps(Bomb()))
    reseal(folder)
    with pytest.raises(ValueError, match="not a readable weights file"):
        presets.from_preset(folder)
    assert not (folder / "executed").exists()


def _external_link(file, folder):
    file["link"] = h5py.ExternalLink("/etc/hostname", "/")


def _soft_link(file, folder):
    file["link"] = h5py.SoftLink("/layers")


def _external_data(file, folder):
    (folder / "secret").write_bytes(b"x" * 8)
    file.create_dataset("d", (8,), "u1", external=[(str(folder / "secret"), 0, 8)])


def _virtual(file, folder):
    layout = h5py.VirtualLayout((2,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "d", (2,))
    file.create_virtual_dataset("d", layout)


def _objects(file, folder):
    file.create_dataset("d", data=["text"], dtype=h5py.string_dtype())


def _enormous(file, folder):
    file.create_dataset("d", (10**12,), "f4", chunks=(1024,))


def _cycle(file, folder):
    file["layers/again"] = file["layers"]


@pytest.mark.parametrize(
    "change, says",
    [
        (_external_link, "is a link"),
        (_soft_link, "is a link"),
        (_external_data, "lies outside of the file"),
        (_virtual, "lies outside of the file"),
        (_objects, "not numbers"),
        (_enormous, "declare 40000000"),
        (_cycle, "inside one another without end"),
    ],
)
def test_hostile_weights(folder, change, says):
    with h5py.File(folder / "model.weights.h5", "r+") as file:
        change(file, folder)
    reseal(folder)
    with pytest.raises(ValueError, match=says):
        presets.from_preset(folder)


def layer(config, name):
    """The serialised layer of that class in a functional config."""
    (found,) = (one for one in config["config"]["layers"] if one["class_name"] == name)
    return found


def replaced(**fields):
    return lambda config: layer(config, "Dense").update(fields)


def inside(**fields):
    return lambda config: layer(config, "Dense")["config"].update(fields)


LAMBDA = {"class_name": "__lambda__", "config": {"value": ["4wEA", None, None]}}
FUNCTION = {"module": "os", "class_name": "function", "config": "system", "registered_name": "x"}


@pytest.mark.parametrize(
    "change, says",
    [
        (inside(activation=LAMBDA), "a lambda"),
        (inside(activation=FUNCTION), "the function 'system' of os"),
        (inside(activation={**FUNCTION, "module": "builtins"}), "the function 'system'"),
        (inside(activation={**FUNCTION, "module": "keras.utils"}), "the function 'system'"),
        (
            inside(activation={**FUNCTION, "module": "builtins", "config": "deserialize"}),
            "the function 'deserialize'",
        ),
        (inside(activation="other>fn"), "the registered object 'other>fn'"),
        (replaced(class_name="Lambda"), "the layer Lambda: it runs a function"),
        (replaced(class_name="TorchModuleWrapper"), "it loads a pickle"),
        (replaced(class_name="TFSMLayer"), "it loads a program"),
        (replaced(class_name="StringLookup"), "it reads a file"),
        (replaced(module="keras.src.layers.core.lambda_layer", class_name="Lambda"), "Lambda"),
        (replaced(module="keras.utils", class_name="get_file"), "no part of a model"),
        (replaced(module="keras", class_name="Variable"), "no part of a model"),
        (replaced(module="keras.callbacks", class_name="BackupAndRestore"), "no part of a model"),
        (replaced(registered_name="other>Dense"), "registered as 'other>Dense'"),
        (replaced(module="os", class_name="system"), "the class os.system"),
        (replaced(module="subprocess", class_name="Popen"), "neither Keras' nor keras_dgm's"),
        (replaced(module=None), "says not where it comes from"),
        (
            replaced(
                module="keras_dgm.presets.registry",
                class_name="Entry",
                registered_name="keras_dgm>Entry",
            ),
            "which is not registered",
        ),
        (
            replaced(module="keras_dgm.cli", class_name="main", registered_name="main"),
            "neither Keras' nor keras_dgm's",
        ),
        (inside(name="../../evil"), "climbs out"),
        (inside(units=10**12), "the enormous number 1000000000000"),
        (inside(batch_input_shape=[10**6, 10**6]), "the enormous shape"),
    ],
)
def test_hostile_config(folder, change, says, monkeypatch):
    edit(folder, change)

    def built(*arguments, **options):
        raise AssertionError("something was built from a hostile config")

    monkeypatch.setattr(keras.saving, "deserialize_keras_object", built)
    with pytest.raises(ValueError, match=says):
        presets.from_preset(folder)


@pytest.mark.parametrize("load_weights", [True, False])
def test_a_small_config_cannot_ask_for_enormous_variables(folder, load_weights):
    edit(folder, inside(units=2 * 10**9))
    with pytest.raises(ValueError, match=r"variable of shape \(3, 2000000000\), 24.0 GB"):
        presets.from_preset(folder, load_weights=load_weights)
    assert keras.Variable(np.zeros(3)).shape == (3,)


def test_the_limit_may_be_moved(tmp_path, monkeypatch):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1000)])
    folder = presets.save_to_preset(model, tmp_path / "x")
    monkeypatch.setenv("KERAS_DGM_MAX_PRESET_GB", "1e-5")
    with pytest.raises(ValueError, match="above the limit.*KERAS_DGM_MAX_PRESET_GB"):
        presets.from_preset(folder)
    monkeypatch.setenv("KERAS_DGM_MAX_PRESET_GB", "1e-4")
    presets.from_preset(folder)


def test_a_config_without_end(folder):
    (folder / "config.json").write_text('{"a":' * 100_000 + "1" + "}" * 100_000)
    reseal(folder)
    with pytest.raises(ValueError, match="config.json"):
        presets.from_preset(folder)
    (folder / "config.json").write_text('{"a":' * 900 + "1" + "}" * 900)
    reseal(folder)
    with pytest.raises(ValueError, match="config.json"):
        presets.from_preset(folder)


@pytest.mark.parametrize("config", [[], 3, {}, {"class_name": 3, "config": {}}])
def test_a_config_that_is_no_model(folder, config):
    (folder / "config.json").write_text(json.dumps(config))
    reseal(folder)
    with pytest.raises(ValueError, match="config.json"):
        presets.from_preset(folder)


def test_a_config_that_is_a_layer(folder):
    layer = keras.saving.serialize_keras_object(keras.layers.Dense(3))
    (folder / "config.json").write_text(json.dumps(layer))
    reseal(folder)
    with pytest.raises(ValueError, match="describes a Dense, expected a model"):
        presets.from_preset(folder)
    edit(folder, lambda config: config["config"].update(surprise=1))
    with pytest.raises(ValueError, match="could not be built"):
        presets.from_preset(folder)


def test_a_compile_config_is_not_looked_at(folder):
    edit(folder, lambda config: config.update(compile_config={"optimizer": FUNCTION}))
    assert not presets.from_preset(folder).compiled
