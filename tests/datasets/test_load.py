"""What `load` promises, on the embedded digits: ranges, binarizations, splits, errors."""

import numpy as np
import pytest

from keras_dgm import datasets


def _all_images(data):
    return np.concatenate([split.images for split in data.splits.values()])


def test_digits_is_the_default_and_needs_no_file(home):
    data = datasets.load()
    assert data.name == "digits"
    assert data.image_shape == (8, 8, 1)
    assert [len(split) for split in data.splits.values()] == [1297, 250, 250]
    assert data.value_range == (0.0, 1.0)
    assert data.binarization is None
    for split in data.splits.values():
        assert split.images.dtype == np.float32
        assert split.labels.dtype == np.int64
        assert split.images.min() == 0 and split.images.max() == 1
        assert set(split.labels) == set(range(10))
    assert not home.exists()


def test_the_splits_partition_the_source():
    from sklearn.datasets import load_digits

    bunch = load_digits()
    data = datasets.load("digits")
    rows = np.concatenate([s.images.reshape(len(s), -1) for s in data.splits.values()]) * 16
    labels = np.concatenate([split.labels for split in data.splits.values()])
    found = np.concatenate([rows, labels[:, None]], axis=1)
    expected = np.concatenate([bunch.data, bunch.target[:, None]], axis=1)
    order, expected_order = np.lexsort(found.T), np.lexsort(expected.T)
    np.testing.assert_array_equal(found[order], expected[expected_order])


def test_no_argument_moves_an_image_to_another_split():
    plain = datasets.load("digits")
    for options in ({"seed": 7}, {"binarize": "threshold"}, {"scale": "symmetric"}):
        other = datasets.load("digits", **options)
        for name, split in plain.splits.items():
            np.testing.assert_array_equal(split.labels, other.splits[name].labels)


def test_threshold():
    data = datasets.load("digits", binarize="threshold")
    grey = datasets.load("digits")
    assert data.binarization == "threshold"
    np.testing.assert_array_equal(_all_images(data), _all_images(grey) > 0.5)


def test_static_is_one_bernoulli_draw_that_the_seed_names():
    grey = _all_images(datasets.load("digits"))
    data = datasets.load("digits", binarize="static", seed=3)
    drawn = _all_images(data)
    assert set(np.unique(drawn)) == {0, 1}
    assert "seed 3" in data.notes
    np.testing.assert_array_equal(
        drawn, _all_images(datasets.load("digits", binarize="static", seed=3))
    )
    assert np.any(drawn != _all_images(datasets.load("digits", binarize="static", seed=4)))
    # Certain pixels stay; at each grey level the share of ones is that level.
    assert np.all(drawn[grey == 0] == 0) and np.all(drawn[grey == 1] == 1)
    for level in np.unique(grey)[1:-1]:
        ones = drawn[grey == level]
        error = np.sqrt(level * (1 - level) / ones.size)
        assert abs(ones.mean() - level) < 4.5 * error, level


def test_the_splits_are_drawn_independently():
    # With one stream for all, equal positions of two splits would share their uniforms, and
    # equal pixels would then always agree.
    grey = datasets.load("digits")
    drawn = datasets.load("digits", binarize="static")
    first = grey.valid.images, drawn.valid.images
    second = grey.test.images, drawn.test.images
    same = (first[0] == second[0]) & (first[0] > 0) & (first[0] < 1)
    assert same.sum() > 300
    assert np.mean(first[1][same] == second[1][same]) < 0.8


def test_dynamic_leaves_train_grey_and_draws_the_held_out_splits_once():
    grey = datasets.load("digits")
    data = datasets.load("digits", binarize="dynamic", seed=1)
    again = datasets.load("digits", binarize="dynamic", seed=1)
    assert data.binarization == "dynamic"
    np.testing.assert_array_equal(data.train.images, grey.train.images)
    for name in ("valid", "test"):
        images = data.splits[name].images
        assert set(np.unique(images)) == {0, 1}
        np.testing.assert_array_equal(images, again.splits[name].images)


@pytest.mark.parametrize("binarize", [None, "static", "threshold"])
def test_symmetric_scale(binarize):
    unit = datasets.load("digits", binarize=binarize)
    data = datasets.load("digits", binarize=binarize, scale="symmetric")
    assert data.value_range == (-1.0, 1.0)
    np.testing.assert_array_equal(_all_images(data), 2 * _all_images(unit) - 1)
    assert data.train.images.dtype == np.float32


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"name": "mnits"}, "Did you mean 'mnist'"),
        ({"name": "fashion-mnist"}, "fashion_mnist"),
        ({"name": 3}, "Known: digits"),
        ({"name": "digits", "binarize": "statik"}, "Did you mean 'static'"),
        ({"name": "digits", "binarize": True}, "Known: None, static"),
        ({"name": "digits", "scales": "unit"}, "Did you mean 'scale'"),
        ({"name": "digits", "scale": "symetric"}, "Did you mean 'symmetric'"),
        ({"name": "digits", "invert": True}, "Known: scale"),
        ({"name": "digits", "seed": -1}, "seed must be an integer >= 0; received -1"),
        ({"name": "digits", "seed": "0"}, "received '0'"),
        ({"name": "digits", "binarize": "dynamic", "scale": "symmetric"}, r"needs values in \[0"),
        ({"name": "binarized_mnist", "binarize": "dynamic"}, "load 'mnist'"),
        ({"name": "caltech101_silhouettes", "binarize": "dynamic"}, "0 or 1 as published"),
        ({"name": "ring8", "binarize": "static"}, "cannot be binarized"),
        ({"name": "ring8", "num_trian": 5}, "Did you mean 'num_train'"),
        ({"name": "ring8", "num_train": 0}, "integer > 0; received 0"),
        ({"name": "ring8", "num_train": 2.5}, "integer > 0"),
        ({"name": "ring8", "stddev": -0.1}, "number > 0"),
        ({"name": "two_moons", "noise": float("nan")}, "number > 0"),
    ],
)
def test_bad_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        datasets.load(**arguments)


def test_a_missing_file_says_where_it_looked(home, monkeypatch, tmp_path):
    from keras_dgm.datasets import sources

    (file,) = sources.SOURCES["mnist"][0]
    offline = sources.DataFile(file.path, file.sha256)
    monkeypatch.setitem(sources.SOURCES, "mnist", ((offline,),))
    monkeypatch.setenv("KERAS_DGM_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError) as caught:
        datasets.load("mnist")
    for part in ("mnist.npz", str(tmp_path), str(home / "datasets"), "KERAS_DGM_DATA_URL"):
        assert part in str(caught.value)


def test_repr_states_the_facts():
    text = repr(datasets.load("digits", binarize="dynamic"))
    for part in ("'digits'", "8 x 8 x 1", "[0, 1]", "dynamic", "train 1297", "CC BY 4.0"):
        assert part in text
    assert "1297" in repr(datasets.load("digits").train)


def test_a_split_refuses_labels_that_do_not_fit():
    with pytest.raises(ValueError, match="one label per image"):
        datasets.Split(np.zeros((3, 2), np.float32), np.zeros(2, np.int64))
