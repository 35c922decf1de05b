"""The history that metrics.json holds: joined, thinned, and written on one line a term."""

import json

import keras
import numpy as np
import pytest

from keras_dgm import presets
from keras_dgm.presets import histories, integrity


def test_runs_follow_one_another_and_gaps_are_none():
    first = {"loss": [3.0, 2.0], "learning_rate": [1.0, 1.0]}
    second = {"loss": [1.5, float("nan"), 0.123456789], "val_loss": [2.0, 1.0, 0.5]}
    assert histories.describe_history(first, second) == {
        "epoch": [1, 2, 3, 4, 5],
        "loss": [3.0, 2.0, 1.5, None, 0.12346],
        "val_loss": [None, None, 2.0, 1.0, 0.5],
    }


def test_a_term_that_ends_early_is_filled_up():
    history = histories.describe_history({"a": [1.0, 2.0]}, {"b": [3.0]})
    assert history == {"epoch": [1, 2, 3], "a": [1.0, 2.0, None], "b": [None, None, 3.0]}


def test_long_runs_are_thinned_to_first_last_and_between():
    history = histories.describe_history({"loss": list(range(1000))}, points=5)
    assert history["epoch"] == [1, 251, 501, 750, 1000]
    assert history["loss"] == [0, 250, 500, 749, 999]


@pytest.mark.parametrize("runs", [(), (None,), ({},), ({"loss": []},)])
def test_nothing_trained_nothing_said(runs):
    assert histories.describe_history(*runs) == {}


def test_numbers_on_one_line_and_the_same_document():
    document = {"a": [1, -2.5, None, 1e-7], "b": [], "c": [["x"], [1]], "d": {"e": "[1,\n 2]"}}
    text = histories.dumps(document)
    assert json.loads(text) == document
    assert '"a": [1, -2.5, null, 1e-07]' in text


@pytest.mark.parametrize("given", [None, {"epoch": [1], "loss": [9.0]}])
def test_a_folder_holds_the_history_of_the_last_fit_or_the_one_given(tmp_path, given):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(loss="mse")
    model.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=3, verbose=0)
    metrics = {"history": given} if given else {}
    folder = presets.write_zoo_folder(model, tmp_path / "thing", metrics)
    history = integrity.read_json(folder / "metrics.json")["history"]
    assert history == given if given else (history["epoch"] == [1, 2, 3] and len(history) == 2)
