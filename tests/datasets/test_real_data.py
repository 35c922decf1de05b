"""The published files themselves, where `$KERAS_DGM_DATA` has them."""

import hashlib
import os
import pathlib

import numpy as np
import pytest

from keras_dgm import datasets
from keras_dgm.datasets import files, sources

FOLDER = os.environ.get("KERAS_DGM_DATA")


def _need(*paths):
    for path in paths:
        if not FOLDER or not (pathlib.Path(FOLDER) / path).is_file():
            pytest.skip(f"needs {path} in $KERAS_DGM_DATA")


def _sizes(data):
    return [len(split) for split in data.splits.values()]


def _idx_md5(images):
    header = np.array([0x0803, *images.shape], ">i4").tobytes()
    return hashlib.md5(header + images.tobytes()).hexdigest()


def test_mnist_is_the_official_one_in_order():
    _need("mnist.npz")
    data = datasets.load("mnist")
    assert _sizes(data) == [50_000, 10_000, 10_000]
    assert data.image_shape == (28, 28, 1)
    official = np.concatenate([data.train.images, data.valid.images])
    stored = np.round(official[..., 0] * 255).astype(np.uint8)
    assert _idx_md5(stored) == "6bbc9ace898e44ae57da46a324031adb"  # of train-images-idx3-ubyte
    assert abs(official.mean() - 0.1306605) < 1e-5
    np.testing.assert_array_equal(data.train.labels[:5], [5, 0, 4, 1, 9])
    np.testing.assert_array_equal(data.test.labels[:5], [7, 2, 1, 0, 4])


def test_static_mnist_is_the_published_file():
    _need("binarized_mnist.npz")
    data = datasets.load("mnist", binarize="static")
    assert data.name == "mnist" and data.binarization == "static"
    assert _sizes(data) == [50_000, 10_000, 10_000]
    rows = data.test.images.reshape(10_000, 784).astype(np.uint8)
    text = np.full((10_000, 2 * 784), ord(" "), np.uint8)
    text[:, ::2] = rows + ord("0")
    text[:, -1] = ord("\n")
    # The original .amat file, written back.
    expected = sources.SOURCES["binarized_mnist"][1][2].sha256[0]
    assert hashlib.sha256(text.tobytes()).hexdigest() == expected
    assert data.train.labels is None
    alias = datasets.load("binarized_mnist")
    np.testing.assert_array_equal(alias.test.images, data.test.images)
    assert alias.binarization == "static"


def test_fashion_mnist():
    _need("fashion-mnist/train-images-idx3-ubyte.gz", "fashion-mnist/t10k-labels-idx1-ubyte.gz")
    data = datasets.load("fashion_mnist")
    assert _sizes(data) == [50_000, 10_000, 10_000]
    official = np.concatenate([data.train.images, data.valid.images])
    assert abs(official.mean() - 0.28604) < 1e-5
    assert abs(official.std() - 0.35302) < 1e-5
    np.testing.assert_array_equal(data.train.labels[:5], [9, 0, 0, 3, 0])


def test_silhouettes_are_upright():
    _need("caltech101_silhouettes_28_split1.mat")
    data = datasets.load("caltech101_silhouettes")
    assert _sizes(data) == [4_100, 2_264, 2_307]
    assert data.binarization == "static"
    labels = np.concatenate([split.labels for split in data.splits.values()])
    assert labels.min() == 0 and labels.max() == 100
    # Cars and planes are wider than high; lying on their side they would not be.
    ink = 1 - data.train.images[..., 0]
    rows, columns = ink.any(axis=2).sum(axis=1), ink.any(axis=1).sum(axis=1)
    planes = data.train.labels == np.bincount(data.train.labels).argmax()
    assert columns[planes].mean() > rows[planes].mean()
    inverted = datasets.load("caltech101_silhouettes", invert=True)
    np.testing.assert_array_equal(inverted.test.images, 1 - data.test.images)


def test_frey_faces():
    _need("frey_faces.npz")
    data = datasets.load("frey_faces")
    assert _sizes(data) == [1_565, 200, 200]
    assert data.image_shape == (28, 20, 1)
    together = np.concatenate([split.images for split in data.splits.values()])
    assert abs(together.mean() - 0.605729) < 1e-5


def test_omniglot_small_has_no_drawing_twice():
    _need("omniglot_small_28.npz")
    data = datasets.load("omniglot_small")
    assert _sizes(data) == [3_872, 484, 484]
    together = np.concatenate([split.images for split in data.splits.values()])
    assert len({image.tobytes() for image in together}) == 4_840
    for split, count in zip(data.splits.values(), (16, 2, 2), strict=True):
        np.testing.assert_array_equal(np.bincount(split.labels), np.full(242, count))


def test_cifar10_says_how_much_of_the_test_set_is_there():
    _need("cifar10.npz")
    data = datasets.load("cifar10")
    assert _sizes(data) == [45_000, 5_000, 1_000]
    assert data.image_shape == (32, 32, 3)
    assert "1 000 of the 10 000 test images" in data.notes
    mean = data.train.images.mean(axis=(0, 1, 2), dtype=np.float64)
    np.testing.assert_allclose(mean, [0.4914, 0.4822, 0.4465], atol=2e-3)
    np.testing.assert_array_equal(data.train.labels[:5], [6, 9, 9, 4, 1])


def test_a_real_file_through_the_mirror(server, home, monkeypatch):
    _need("omniglot_small_28.npz")
    content = (pathlib.Path(FOLDER) / "omniglot_small_28.npz").read_bytes()
    server.files["omniglot_small_28.npz"] = content
    monkeypatch.setenv("KERAS_DGM_DATA_URL", server.url)
    alternatives = sources.SOURCES["omniglot_small"][:1]
    _, (path,) = files.find("omniglot_small", alternatives)
    assert path.is_relative_to(home) and path.read_bytes() == content
