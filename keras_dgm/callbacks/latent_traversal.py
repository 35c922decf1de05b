"""`LatentTraversal`: what single latent coordinates do, epoch by epoch."""

import numpy as np
from keras import ops

from keras_dgm import plotting
from keras_dgm.callbacks.pictures import PictureCallback, checked_images


class LatentTraversal(PictureCallback):
    """Writes rows of E[x | h] with one coordinate of h moved, as `traversals-<epoch>.png`.

    Each image is inferred, h = `model.infer(x)`; then one coordinate at a time runs from -span
    to span, the others held, and `model.generative.likelihood.mean(h)` is drawn. Rows go through
    the images, and for each image through the dimensions.

    Args:
        directory: where the pictures go.
        images: (n, height, width, channels), one to three for a picture one can read.
        dimensions: coordinates of h to move; by default the first eight.
        span: the largest value; with a standard normal prior 3 reaches its tails.
        num_values: how many values in a row.
        every: epochs from one picture to the next.
        tensorboard_dir: log directory for TensorBoard, or None.
        value_range, average: see `PictureCallback`.

    Raises:
        ValueError: images of another rank, a bad span; or, when training begins, a model
            without `infer` and `generative`, with several latent layers, or with fewer
            coordinates than asked for.
    """

    tag = "traversals"
    needs = ("infer", "generative")

    def __init__(
        self,
        directory,
        images,
        dimensions=None,
        span=3.0,
        num_values=9,
        every=1,
        tensorboard_dir=None,
        value_range=None,
        average=None,
    ):
        super().__init__(directory, every, tensorboard_dir, value_range, average)
        if not (np.isfinite(span) and span > 0):
            raise ValueError(f"span must be a number > 0; received {span!r}.")
        if num_values < 2:
            raise ValueError(f"num_values must be 2 at least; received {num_values!r}.")
        self.images = checked_images(images, "LatentTraversal")
        self.dimensions = dimensions
        self.values = np.linspace(-span, span, num_values)

    def on_train_begin(self, logs=None):
        """See `PictureCallback.on_train_begin`."""
        super().on_train_begin(logs)
        self._latents()

    def _latents(self):
        """(h, dimensions): h of shape (n, d)."""
        h = self.model.infer(self.images)
        if isinstance(h, tuple | list | dict):
            raise ValueError(
                f"LatentTraversal moves the coordinates of one latent layer; model.infer gives "
                f"{len(h)}."
            )
        h = ops.convert_to_numpy(h)
        if h.ndim != 2 or len(h) != len(self.images):
            raise ValueError(
                f"LatentTraversal needs latent vectors, shape ({len(self.images)}, d); "
                f"model.infer gives {h.shape}."
            )
        dimensions = self.dimensions
        if dimensions is None:
            dimensions = range(min(8, h.shape[1]))
        unknown = [d for d in dimensions if not 0 <= d < h.shape[1]]
        if unknown:
            raise ValueError(
                f"The latent vectors have coordinates 0, ..., {h.shape[1] - 1}; received "
                f"dimensions={list(dimensions)}."
            )
        return h, list(dimensions)

    def draw(self, epoch):
        """See `PictureCallback.draw`."""
        h, dimensions = self._latents()
        rows, columns = len(h) * len(dimensions), len(self.values)
        moved = np.repeat(h[:, np.newaxis], len(dimensions), axis=1)
        moved = np.repeat(moved[:, :, np.newaxis], columns, axis=2)
        for place, dimension in enumerate(dimensions):
            moved[:, place, :, dimension] = self.values
        flat = ops.convert_to_tensor(moved.reshape(rows * columns, -1))
        mean = ops.convert_to_numpy(self.model.generative.likelihood.mean(flat))
        return plotting.latent_traversal(
            mean.reshape(rows, columns, *mean.shape[1:]),
            values=self.values,
            row_labels=[
                f"x{image} h{dimension}" if len(h) > 1 else f"h{dimension}"
                for image in range(len(h))
                for dimension in dimensions
            ],
            title=f"Latent traversal, epoch {epoch}",
            value_range=self.value_range,
        )
