"""From a source's files to arrays: one reader a data set, bytes in, uint8 splits out.

A reader takes `(index, paths)` as `files.find` returns them and gives a `Raw`. The division into
train, valid and test is fixed here, once and for all: figures measured on a split compare only
if everybody holds out the same images, so no argument of `load` can move them.
"""

import dataclasses
import gzip
import tarfile

import numpy as np

from keras_dgm.datasets.omniglot import read_background_sets
from keras_dgm.datasets.sources import read_frey_matrix

# Of the splits that no publisher has fixed.
SPLIT_SEED = 0


@dataclasses.dataclass
class Raw:
    """Images and labels by split, as stored.

    Attributes:
        images: split name -> uint8 array (n, height, width, channels).
        labels: split name -> integer array (n,), or None.
        maximum: the stored value that becomes 1.
        notes: what depends on the form in which the data was found.
    """

    images: dict
    labels: dict | None
    maximum: int
    notes: str = ""


def _with_channel(images):
    return images if images.ndim == 4 else images[..., np.newaxis]


def _official(train, test, num_valid, maximum=255, notes=""):
    """Splits in the official order; the last `num_valid` training images are for validation."""
    (x_train, y_train), (x_test, y_test) = train, test
    cut = len(x_train) - num_valid
    images = {"train": x_train[:cut], "valid": x_train[cut:], "test": x_test}
    labels = {"train": y_train[:cut], "valid": y_train[cut:], "test": y_test}
    images = {split: _with_channel(value) for split, value in images.items()}
    return Raw(images, labels, maximum, notes)


def _shuffled(images, labels, sizes, maximum):
    """Splits drawn by a fixed permutation, in the order train, valid, test."""
    if sum(sizes) != len(images):
        raise ValueError(f"Expected {sum(sizes)} images for the splits, found {len(images)}.")
    order = np.random.default_rng(SPLIT_SEED).permutation(len(images))
    parts = np.split(order, np.cumsum(sizes)[:-1])
    names = ("train", "valid", "test")
    return Raw(
        {name: _with_channel(images[part]) for name, part in zip(names, parts, strict=True)},
        None
        if labels is None
        else {name: labels[part] for name, part in zip(names, parts, strict=True)},
        maximum,
    )


def read_digits(index, paths):
    """The 1 797 8x8 digits that come with scikit-learn: 1 297 / 250 / 250."""
    del index, paths
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "Data set 'digits' comes with scikit-learn, which is not installed. Install it with "
            "`pip install scikit-learn`."
        ) from error
    bunch = load_digits()
    return _shuffled(bunch.images.astype(np.uint8), bunch.target, (1297, 250, 250), maximum=16)


def read_mnist(index, paths):
    """MNIST: 50 000 / 10 000 / 10 000."""
    del index
    with np.load(paths[0]) as data:
        return _official(
            (data["x_train"], data["y_train"]), (data["x_test"], data["y_test"]), num_valid=10_000
        )


def read_binarized_mnist(index, paths):
    """The static file of Salakhutdinov & Murray (2008): 50 000 / 10 000 / 10 000, no labels."""
    names = ("train", "valid", "test")
    if index == 0:
        with np.load(paths[0]) as data:
            bits = {name: np.unpackbits(data[name], axis=1) for name in names}
    else:
        bits = {name: _read_amat(path) for name, path in zip(names, paths, strict=True)}
    return Raw({name: value.reshape(-1, 28, 28, 1) for name, value in bits.items()}, None, 1)


def _read_amat(path):
    # 784 digits a row, each followed by one blank or the line's end.
    text = np.frombuffer(path.read_bytes(), np.uint8)
    return text.reshape(-1, 2 * 784)[:, ::2] - ord("0")


def read_fashion_mnist(index, paths):
    """Fashion-MNIST, divided as MNIST is: 50 000 / 10 000 / 10 000."""
    del index
    x_train, y_train, x_test, y_test = (_read_idx(path) for path in paths)
    return _official((x_train, y_train), (x_test, y_test), num_valid=10_000)


def _read_idx(path):
    # idx: two zero bytes, type code, number of axes, then each size as a big-endian int32.
    with gzip.open(path) as stream:
        raw = stream.read()
    num_axes = raw[3]
    shape = np.frombuffer(raw, ">i4", count=num_axes, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * num_axes).reshape(shape)


def read_caltech101_silhouettes(index, paths):
    """Split 1 of Marlin et al. (2010): 4 100 / 2 264 / 2 307, upright, classes 0 to 100."""
    del index
    import scipy.io

    data = scipy.io.loadmat(paths[0])
    keys = {"train": "train", "valid": "val", "test": "test"}
    return Raw(
        {
            # The rows are column-major images.
            split: data[f"{key}_data"].reshape(-1, 28, 28).transpose(0, 2, 1)[..., np.newaxis]
            for split, key in keys.items()
        },
        {
            split: data[f"{key}_labels"].reshape(-1).astype(np.int64) - 1
            for split, key in keys.items()
        },
        maximum=1,
    )


def read_frey_faces(index, paths):
    """1 965 video frames of 28x20, divided by a fixed permutation: 1 565 / 200 / 200."""
    if index == 0:
        with np.load(paths[0]) as data:
            frames = data["ff"]
    else:
        frames = read_frey_matrix(paths[0])
    return _shuffled(frames, None, (1565, 200, 200), maximum=255)


def read_omniglot_small(index, paths):
    """The 4 840 different drawings of the two minimal background sets: 3 872 / 484 / 484.

    Two alphabets are in both sets; their second copy is left out, or a test image could be a
    training image. Of the 20 drawings of each character 16, 2 and 2 go to the splits.
    """
    if index == 0:
        with np.load(paths[0]) as data:
            sets = [(data[f"x_small{i}"], data[f"char_small{i}"]) for i in (1, 2)]
    else:
        sets = read_background_sets(paths)
    (x_first, y_first), (x_second, y_second) = sets
    known = {image.tobytes() for image in x_first}
    new = np.array([image.tobytes() not in known for image in x_second])
    images = np.concatenate([x_first, x_second[new]])
    # Characters of the second set are numbered on, without the holes its copies leave.
    _, y_new = np.unique(y_second[new], return_inverse=True)
    labels = np.concatenate([y_first, y_new + int(y_first.max()) + 1])
    rng = np.random.default_rng(SPLIT_SEED)
    by_split = {"train": [], "valid": [], "test": []}
    for character in np.unique(labels):
        order = rng.permutation(np.flatnonzero(labels == character))
        for name, part in zip(by_split, np.split(order, [16, 18]), strict=True):
            by_split[name].append(part)
    chosen = {name: np.concatenate(parts) for name, parts in by_split.items()}
    return Raw(
        {name: images[part][..., np.newaxis] for name, part in chosen.items()},
        {name: labels[part] for name, part in chosen.items()},
        maximum=255,
    )


def read_cifar10(index, paths):
    """CIFAR-10: 45 000 / 5 000, and 10 000 test images, or 1 000 where only those are at hand."""
    if index == 0:
        train = _read_cifar(paths[0], [f"data_batch_{i}.bin" for i in range(1, 6)])
        return _official(train, _read_cifar(paths[0], ["test_batch.bin"]), num_valid=5_000)
    with np.load(paths[0]) as data:
        return _official(
            (data["x_train"], data["y_train"]),
            (data["x_test"], data["y_test"]),
            num_valid=5_000,
            notes="The local file holds only the first 1 000 of the 10 000 test images: say so "
            "wherever a test figure is quoted. The full test set is in cifar-10-binary.tar.gz.",
        )


def _read_cifar(path, batches):
    """(images NHWC, labels) of the archive's binary records: a label, then 3 x 32 x 32 bytes."""
    records = []
    with tarfile.open(path) as archive:
        for batch in batches:
            raw = archive.extractfile(f"cifar-10-batches-bin/{batch}").read()
            records.append(np.frombuffer(raw, np.uint8).reshape(-1, 1 + 3 * 32 * 32))
    records = np.concatenate(records)
    return records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), records[:, 0]
