"""Readers of the official forms, on small files made here in those forms."""

import io
import pathlib
import tarfile
import zipfile

import numpy as np
import pytest
import scipy.io

from keras_dgm.datasets import omniglot, readers, sources


def test_amat_text(tmp_path):
    bits = np.random.default_rng(0).integers(0, 2, (7, 784), dtype=np.uint8)
    for name in ("train", "valid", "test"):
        np.savetxt(tmp_path / f"{name}.amat", bits, fmt="%d")
        bits = 1 - bits
    raw = readers.read_binarized_mnist(
        1, [tmp_path / f"{name}.amat" for name in ("train", "valid", "test")]
    )
    np.testing.assert_array_equal(raw.images["train"].reshape(7, 784), 1 - bits)
    np.testing.assert_array_equal(raw.images["valid"].reshape(7, 784), bits)
    assert raw.labels is None and raw.maximum == 1


def test_frey_matrix_and_its_checksum(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (1965, 28, 20), dtype=np.uint8)
    path = tmp_path / "frey_rawface.mat"
    scipy.io.savemat(path, {"ff": frames.reshape(1965, 560).T})
    np.testing.assert_array_equal(sources.read_frey_matrix(path), frames)
    digest = sources.frey_pixels_sha256(path)
    frames[0, 0, 0] ^= 1
    scipy.io.savemat(path, {"ff": frames.reshape(1965, 560).T})
    assert sources.frey_pixels_sha256(path) != digest
    path.write_text("<html>Moved</html>")
    assert "not a readable" in sources.frey_pixels_sha256(path)


def _cifar_archive(path, images, labels):
    with tarfile.open(path, "w:gz") as archive:
        names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
        for name, x, y in zip(names, np.split(images, 6), np.split(labels, 6), strict=True):
            records = np.concatenate([y[:, None], x.transpose(0, 3, 1, 2).reshape(len(x), -1)], 1)
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = records.size
            archive.addfile(info, io.BytesIO(records.tobytes()))


def test_cifar_binary_archive(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (18, 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(0, 10, 18, dtype=np.uint8)
    _cifar_archive(tmp_path / "cifar.tar.gz", images, labels)
    x, y = readers._read_cifar(
        tmp_path / "cifar.tar.gz", [f"data_batch_{i}.bin" for i in range(1, 6)]
    )
    np.testing.assert_array_equal(x, images[:15])
    np.testing.assert_array_equal(y, labels[:15])
    x, y = readers._read_cifar(tmp_path / "cifar.tar.gz", ["test_batch.bin"])
    np.testing.assert_array_equal(x, images[15:])
    np.testing.assert_array_equal(y, labels[15:])


def _omniglot_zip(path, drawings):
    from PIL import Image

    with zipfile.ZipFile(path, "w") as archive:
        for name, drawing in drawings.items():
            stream = io.BytesIO()
            Image.fromarray(drawing.astype(bool)).save(stream, "png")
            archive.writestr(f"{pathlib.Path(path).stem}/{name}.png", stream.getvalue())
        archive.writestr("__MACOSX/._0001_01.png", b"not a picture")


def test_omniglot_zips(tmp_path):
    rng = np.random.default_rng(0)
    names = [f"Greek/character{c:02}/{c:04}_{i:02}" for c in (2, 1) for i in (2, 1)]
    drawings = {name: rng.random((105, 105)) < 0.8 for name in names}  # True is paper
    blank = np.ones((105, 105), bool)
    square = blank.copy()
    square[30:75, 30:75] = False
    paths = [tmp_path / "images_background_small1.zip", tmp_path / "images_background_small2.zip"]
    _omniglot_zip(paths[0], drawings)
    _omniglot_zip(paths[1], {"Latin/character01/0001_01": square})
    with pytest.warns(UserWarning, match="sha256"):  # these are not the real drawings
        (first, characters), (second, _) = omniglot.read_background_sets(paths)
    np.testing.assert_array_equal(characters, [0, 0, 1, 1])
    assert first.shape == (4, 28, 28) and first.dtype == np.uint8
    # Drawings are sorted by name, ink is bright, and the mean is kept by a box filter.
    means = [255 * (1 - drawings[name]).mean() for name in sorted(names)]
    np.testing.assert_allclose(first.mean(axis=(1, 2)), means, atol=4)
    assert second[0, 14, 14] == 255 and second[0, 2, 2] == 0


@pytest.mark.parametrize("image_shape", [(28, 28), (32, 32, 3)])
def test_official_splits_keep_the_order(image_shape):
    x = np.arange(20).reshape(20, *[1] * len(image_shape)) * np.ones(image_shape, int)
    raw = readers._official((x[:15], np.arange(15)), (x[15:], np.arange(15, 20)), num_valid=4)
    labels = {name: list(value) for name, value in raw.labels.items()}
    assert labels["train"] == list(range(11))
    assert labels["valid"] == [11, 12, 13, 14]
    assert labels["test"] == [15, 16, 17, 18, 19]
    for name, images in raw.images.items():
        assert images.ndim == 4
        np.testing.assert_array_equal(images[:, 0, 0, 0], labels[name])


def test_a_wrong_number_of_images_is_noticed():
    with pytest.raises(ValueError, match="Expected 10 images for the splits, found 9"):
        readers._shuffled(np.zeros((9, 8, 8)), None, (6, 2, 2), maximum=255)
