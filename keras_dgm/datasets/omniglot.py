"""The minimal background sets of Omniglot from their official zips, made 28x28."""

import hashlib
import io
import warnings
import zipfile

import numpy as np

# Of the pixels of both sets in order, made with Pillow's BOX filter in 8-bit arithmetic.
REFERENCE_PIXELS = "9b5e198731e53d8485e55c666486463d65ac5567b84e46b0d43b38de2d082d02"


def read_background_sets(paths):
    """Reads `images_background_small1.zip` and `images_background_small2.zip`.

    The 105x105 drawings (ink 0 on 1) are inverted and resized with a box filter. Drawings come
    sorted by the names of alphabet, character and file.

    Args:
        paths: the two zips.

    Returns:
        [(images, characters)] for each set: uint8 (n, 28, 28), ink 255 on 0, and the character's
        number within the set, int64 (n,).
    """
    sets = [_read_zip(path) for path in paths]
    checksum = hashlib.sha256(b"".join(images.tobytes() for images, _ in sets)).hexdigest()
    if checksum != REFERENCE_PIXELS:
        warnings.warn(
            f"The 28x28 Omniglot drawings made here have sha256 {checksum}, not "
            f"{REFERENCE_PIXELS}: another Pillow may round otherwise, or order the drawings "
            f"otherwise, so figures may not compare to the last digit.",
            stacklevel=2,
        )
    return sets


def _read_zip(path):
    from PIL import Image, ImageOps

    images, names = [], []
    with zipfile.ZipFile(path) as archive:
        for member in sorted(_drawings(archive)):
            drawing = Image.open(io.BytesIO(archive.read(member))).convert("L")
            small = ImageOps.invert(drawing).resize((28, 28), Image.Resampling.BOX)
            images.append(np.asarray(small))
            names.append(member.rsplit("/", 1)[0])
    _, characters = np.unique(names, return_inverse=True)
    return np.stack(images), characters.astype(np.int64)


def _drawings(archive):
    # Some archivers add ._name.png beside name.png.
    for name in archive.namelist():
        base = name.rsplit("/", 1)[-1]
        if base.endswith(".png") and not base.startswith("."):
            yield name
