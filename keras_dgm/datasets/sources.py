"""The table of files behind the data sets: names, checksums, official addresses."""

import dataclasses
import hashlib
from collections.abc import Callable

import numpy as np


def file_sha256(path):
    """sha256 of the file's bytes, in hexadecimal."""
    checksum = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            checksum.update(block)
    return checksum.hexdigest()


def read_frey_matrix(path):
    """Frames of S. Roweis' `frey_rawface.mat`, whose matrix `ff` holds one frame a column.

    Returns:
        uint8 array of shape (1965, 28, 20).
    """
    import scipy.io

    matrix = scipy.io.loadmat(path)["ff"]
    return np.ascontiguousarray(matrix.T.reshape(-1, 28, 20))


def frey_pixels_sha256(path):
    """sha256 of the decoded frames: no checksum of the .mat file was ever published."""
    try:
        frames = read_frey_matrix(path)
    except Exception as error:  # what scipy raises on a damaged file is not one type
        return f"none (not a readable .mat file: {error})"
    return hashlib.sha256(frames.tobytes()).hexdigest()


@dataclasses.dataclass(frozen=True)
class DataFile:
    """One file of a source.

    Attributes:
        path: name relative to a data folder, to Keras' cache `datasets/` and to a web server.
        sha256: the accepted checksums; several where equal contents exist in several packings.
        url: the official address, or None if nobody serves this very file.
        digest: path -> checksum; the bytes' sha256 unless only the decoded contents are known.
    """

    path: str
    sha256: tuple[str, ...]
    url: str | None = None
    digest: Callable[[str], str] = file_sha256


def _files(base_url, folder, checksums):
    return tuple(
        DataFile(folder + name, (sha256,), base_url + name if base_url else None)
        for name, sha256 in checksums.items()
    )


# Each data set has alternatives, in the order of preference: sets of files that hold the same
# data in different forms. Only forms with an official address can be downloaded without a
# mirror of one's own.
SOURCES = {
    "mnist": (
        (
            DataFile(
                "mnist.npz",
                # Keras' own file, and the same four arrays packed on another day.
                (
                    "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
                    "26b54b2e41c496300463e102eefa98b82156c291242058230eb946c04a050dcc",
                ),
                "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
            ),
        ),
    ),
    "binarized_mnist": (
        _files(
            None,
            "",
            {
                "binarized_mnist.npz": (
                    "a5a84f3f0275afd9b7165c26503cef5e67ed031ac08b4ade33ca3baa6a0bce41"
                )
            },
        ),
        _files(
            "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",
            "",
            {
                "binarized_mnist_train.amat": (
                    "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d"
                ),
                "binarized_mnist_valid.amat": (
                    "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2"
                ),
                "binarized_mnist_test.amat": (
                    "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c"
                ),
            },
        ),
    ),
    "fashion_mnist": (
        _files(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "fashion-mnist/",
            {
                "train-images-idx3-ubyte.gz": (
                    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
                ),
                "train-labels-idx1-ubyte.gz": (
                    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
                ),
                "t10k-images-idx3-ubyte.gz": (
                    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
                ),
                "t10k-labels-idx1-ubyte.gz": (
                    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
                ),
            },
        ),
    ),
    "caltech101_silhouettes": (
        _files(
            "https://people.cs.umass.edu/~marlin/data/",
            "",
            {
                "caltech101_silhouettes_28_split1.mat": (
                    "eb6735e8d84b1850fabc5590124aab1755e90c9fd28123585324398405e1e42a"
                )
            },
        ),
    ),
    "frey_faces": (
        _files(
            None,
            "",
            {
                "frey_faces.npz": (
                    "77991039c0f2b4475a264cb7281f64be08068bfadf7ed8ed95e106ce59b45125"
                )
            },
        ),
        (
            DataFile(
                "frey_rawface.mat",
                ("2438ba4f0d2a6bd8bac43de756141eaa33c8d248dd613d464bdb1210d9b7af78",),
                "https://cs.nyu.edu/~roweis/data/frey_rawface.mat",
                frey_pixels_sha256,
            ),
        ),
    ),
    "omniglot_small": (
        _files(
            None,
            "",
            {
                "omniglot_small_28.npz": (
                    "272c8c05b46c786bfb22edab946e7965000ec8f2fb599a054ea3c1253b1b2303"
                )
            },
        ),
        _files(
            "https://github.com/brendenlake/omniglot/raw/master/python/",
            "omniglot/",
            {
                "images_background_small1.zip": (
                    "f38eb80f801274ac2b4dff5b24289016bfaba4a7d5bb50deebf27104ad6cb8a4"
                ),
                "images_background_small2.zip": (
                    "3ccaa407515a8778e5d0861875af38b17e418f301ad5bb3b5a6b65d901a41c7f"
                ),
            },
        ),
    ),
    "cifar10": (
        _files(
            "https://www.cs.toronto.edu/~kriz/",
            "",
            {
                "cifar-10-binary.tar.gz": (
                    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
                )
            },
        ),
        _files(
            None,
            "",
            {"cifar10.npz": ("824675ef42c6d10bf41d73b5ea0a5d581dfa38ebdb4dc5c98bd461dea10778ab")},
        ),
    ),
}
