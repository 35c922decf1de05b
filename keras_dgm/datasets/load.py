"""`load` and `list`: from a name to a `Dataset`."""

import dataclasses
import difflib
import operator
from collections.abc import Callable

import numpy as np

from keras_dgm.datasets import readers, toys
from keras_dgm.datasets.dataset import Dataset, Split
from keras_dgm.datasets.files import find
from keras_dgm.datasets.sources import SOURCES

BINARIZATIONS = ("static", "dynamic", "threshold")
SCALES = ("unit", "symmetric")


@dataclasses.dataclass(frozen=True)
class _Entry:
    """An image data set: its reader and the facts that `Dataset` repeats."""

    reader: Callable
    licence: str
    origin: str
    binary: bool = False
    notes: str = ""


_MNIST_LICENCE = "CC BY-SA 3.0 (Y. LeCun, C. Cortes; derived from NIST data)"
_ENTRIES = {
    "digits": _Entry(
        readers.read_digits,
        "CC BY 4.0 (E. Alpaydin, C. Kaynak)",
        "UCI optical recognition of handwritten digits, as in scikit-learn",
    ),
    "mnist": _Entry(readers.read_mnist, _MNIST_LICENCE, "LeCun et al., 1998"),
    "binarized_mnist": _Entry(
        readers.read_binarized_mnist,
        _MNIST_LICENCE,
        "Salakhutdinov & Murray, 2008; Larochelle & Murray, 2011",
        binary=True,
    ),
    "fashion_mnist": _Entry(
        readers.read_fashion_mnist, "MIT (Zalando SE)", "Xiao et al., arXiv:1708.07747"
    ),
    "caltech101_silhouettes": _Entry(
        readers.read_caltech101_silhouettes,
        "none stated (B. Marlin; derived from Caltech 101)",
        "Marlin et al., 2010, 28x28, split 1",
        binary=True,
        notes="The object is 0 and the background 1, as published; invert=True swaps them.",
    ),
    "frey_faces": _Entry(
        readers.read_frey_faces,
        "none stated (B. Frey, S. Roweis)",
        "Roweis' data page",
        notes="Consecutive video frames, divided at random: a held-out frame has near copies in "
        "the training split, so held-out figures flatter.",
    ),
    "omniglot_small": _Entry(
        readers.read_omniglot_small,
        "MIT (B. Lake)",
        "Lake et al., 2015, the two minimal background sets, 28x28",
        notes="Not the 24345/8070 OMNIGLOT of the IWAE paper: log-likelihoods do not compare "
        "with published ones.",
    ),
    "cifar10": _Entry(readers.read_cifar10, "none stated (A. Krizhevsky)", "Krizhevsky, 2009"),
}


def list_datasets():
    """Names that `load` knows, images first, then the two-dimensional toys."""
    return [*_ENTRIES, *toys.NAMES]


def load(name="digits", binarize=None, seed=0, **options):
    """Loads a data set by name.

    Files are looked up in `$KERAS_DGM_DATA`, then in Keras' cache (`$KERAS_HOME` or `~/.keras`,
    under `datasets/`), then downloaded with a checksum, from `$KERAS_DGM_DATA_URL` first if it is
    set. `digits` and the toys need no file.

    Which images are in which split never depends on an argument.

    Args:
        name: one of `keras_dgm.datasets.list()`.
        binarize: of an image data set,
            None: pixels as published, scaled to [0, 1];
            "threshold": x > 0.5;
            "static": one fixed binary data set. For `mnist` the published static file (which has
                no labels), of which `binarized_mnist` is another name; for other data one
                Bernoulli draw with `seed`, which is nobody's but this library's;
            "dynamic": `train` stays grey, and the training step draws a fresh binary image from
                it on the device at each visit: give the algorithm
                `transform="dynamic_binarization"`. `valid` and `test` are drawn once with
                `seed`, so that a figure measured on them repeats.
        seed: int >= 0: of the Bernoulli draws, or of the toys' samples.
        **options: of image data, `scale`: "unit" for [0, 1] (default), "symmetric" for [-1, 1].
            Of `caltech101_silhouettes` also `invert=True`, for an object of 1 on 0. Of the toys
            `num_train`, `num_valid`, `num_test` and the parameters of
            `keras_dgm.datasets.toys`.

    Returns:
        A `Dataset`; of a toy a `ToyDataset`.

    Raises:
        ValueError: unknown name, binarization or option (the message has the nearest ones), or a
            damaged file.
        FileNotFoundError: a file is neither here nor to be had; the message says where it looked.

    Example:

    ```python
    data = keras_dgm.datasets.load("mnist", binarize="static")
    data.train.images.shape   # (50000, 28, 28, 1)
    ```
    """
    names = list_datasets()
    if name not in names:
        raise ValueError(_unknown("data set", name, names))
    seed = _check_seed(seed)
    if name in toys.NAMES:
        if binarize is not None:
            raise ValueError(
                f"Data set {name!r} holds points of the plane, which cannot be binarized; "
                f"received binarize={binarize!r}. Leave it None."
            )
        return toys.make(name, seed=seed, **options)
    return _load_images(name, binarize, seed, **_check_options(name, options))


def _load_images(name, binarize, seed, scale="unit", invert=False):
    binarization = _check_binarization(name, binarize, scale)
    file = "binarized_mnist" if name == "mnist" and binarize == "static" else name
    entry = _ENTRIES[file]
    index, paths = find(name, SOURCES[file]) if file in SOURCES else (0, [])
    raw = entry.reader(index, paths)
    notes = [note for note in (entry.notes, raw.notes) if note]

    splits = {}
    for number, (split, stored) in enumerate(raw.images.items()):
        images = np.divide(stored, np.float32(raw.maximum), dtype=np.float32)
        if not entry.binary:
            drawn = binarization == "static" or (binarization == "dynamic" and split != "train")
            if drawn:
                uniform = np.random.default_rng([seed, number]).random(images.shape, np.float32)
                images = (uniform < images).astype(np.float32)
            elif binarization == "threshold":
                images = (images > 0.5).astype(np.float32)
        if invert:
            images = 1 - images
        if scale == "symmetric":
            images = 2 * images - 1
        labels = None if raw.labels is None else raw.labels[split].astype(np.int64)
        splits[split] = Split(images, labels)

    if binarization == "static" and not entry.binary:
        notes.append(f"Binarized by one Bernoulli draw of this library's with seed {seed}.")
    if binarization == "dynamic":
        notes.append(f"train is grey; valid and test are one Bernoulli draw with seed {seed}.")
    return Dataset(
        name=name,
        **splits,
        value_range=(-1.0, 1.0) if scale == "symmetric" else (0.0, 1.0),
        binarization=binarization,
        licence=entry.licence,
        source=f"{entry.origin}; read from {_where(paths)}",
        notes=" ".join(notes),
    )


def _where(paths):
    if not paths:
        return "scikit-learn"
    return str(paths[0]) if len(paths) == 1 else f"{len(paths)} files in {paths[0].parent}"


def _check_seed(seed):
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise ValueError(f"seed must be an integer >= 0; received {seed!r}.")
    return number


def _check_options(name, options):
    allowed = ["scale", "invert"] if name == "caltech101_silhouettes" else ["scale"]
    for option in options:
        if option not in allowed:
            raise ValueError(_unknown(f"option of data set {name!r}:", option, allowed))
    if options.get("scale", "unit") not in SCALES:
        raise ValueError(_unknown("scale", options["scale"], SCALES))
    return options


def _check_binarization(name, binarize, scale):
    if binarize is not None and binarize not in BINARIZATIONS:
        raise ValueError(_unknown("binarization", binarize, ("None", *BINARIZATIONS)))
    if _ENTRIES[name].binary:
        if binarize == "dynamic":
            advice = " For fresh draws of MNIST load 'mnist'." if name == "binarized_mnist" else ""
            raise ValueError(
                f"The pixels of {name!r} are 0 or 1 as published: there is nothing to draw "
                f"afresh; received binarize='dynamic'. Leave it None.{advice}"
            )
        return "static"
    if binarize == "dynamic" and scale == "symmetric":
        raise ValueError(
            "binarize='dynamic' draws each pixel with its grey value for probability, which needs "
            "values in [0, 1]; received scale='symmetric'. Use scale='unit', or another "
            "binarization."
        )
    return binarize


def _unknown(what, received, known):
    nearest = difflib.get_close_matches(str(received), known, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(match) for match in nearest)}?" if nearest else ""
    return f"Unknown {what} {received!r}.{hint} Known: {', '.join(known)}."
