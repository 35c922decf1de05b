"""What `load` returns: three splits and the facts about them."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Split:
    """One part of a data set.

    Attributes:
        images: float32 array of shape (n, height, width, channels), or (n, 2) for the toys.
        labels: int64 array of shape (n,), or None where the source has no labels.
    """

    images: np.ndarray
    labels: np.ndarray | None = None

    def __post_init__(self):
        if self.labels is not None and self.labels.shape != (len(self.images),):
            raise ValueError(
                f"A split needs one label per image: received {len(self.images)} images and "
                f"labels of shape {self.labels.shape}."
            )

    def __len__(self):
        return len(self.images)

    def __repr__(self):
        labels = "none" if self.labels is None else f"int64, {len(np.unique(self.labels))} classes"
        return f"Split({len(self)} of shape {self.images.shape[1:]}, labels: {labels})"


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Dataset:
    """Named splits with their value range and binarization recorded.

    Attributes:
        name: the name given to `load`.
        train, valid, test: the `Split`s. They are disjoint.
        value_range: (low, high), the interval that holds every value of every split.
        binarization: None (grey or colour), "static" (every split is one fixed binary sample),
            "threshold" (x > 0.5) or "dynamic" (`train` is grey, to be drawn afresh on the device
            at every training step; `valid` and `test` are drawn once).
        licence: of the data, as stated by its source.
        source: where the values come from: file and origin.
        notes: what a figure measured on this data must mention, or "".
    """

    name: str
    train: Split
    valid: Split
    test: Split
    value_range: tuple[float, float]
    binarization: str | None
    licence: str
    source: str
    notes: str = ""

    @property
    def image_shape(self):
        """Shape of one image, (height, width, channels), or (2,) for the toys."""
        return self.train.images.shape[1:]

    @property
    def splits(self):
        """The three splits by name."""
        return {"train": self.train, "valid": self.valid, "test": self.test}

    def __repr__(self):
        low, high = self.value_range
        shape = " x ".join(str(size) for size in self.image_shape)
        sizes = ", ".join(f"{name} {len(split)}" for name, split in self.splits.items())
        lines = [
            f"{type(self).__name__}({self.name!r}: {shape} in [{low:g}, {high:g}], "
            f"binarization: {self.binarization}",
            f"  {sizes}",
            f"  licence: {self.licence}",
            f"  source: {self.source}",
        ]
        if self.notes:
            lines.append(f"  notes: {self.notes}")
        return "\n".join(lines) + ")"
