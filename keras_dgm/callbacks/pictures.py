"""What the callbacks that draw a picture an epoch have in common."""

import contextlib
import pathlib

import keras
import numpy as np
from keras import ops

from keras_dgm import plotting


class PictureCallback(keras.callbacks.Callback):
    """Draws a picture every few epochs; a subclass says which.

    A subclass sets `tag`, the name of its series, and `needs`, the methods it calls on the
    model, and overrides `draw(epoch)`.

    Args:
        directory: where `<tag>-<epoch>.png` go, epochs counted from 1.
        every: epochs from one picture to the next.
        tensorboard_dir: log directory to which the pictures are added for TensorBoard, or None.
        value_range: (low, high) shown as black and white; by default read off the pictures, see
            `keras_dgm.plotting.image_grid`.
        average: an `ExponentialMovingAverage` of the same `fit`, whose weights draw the
            picture; by default those in training do.
    """

    tag = "picture"
    needs: tuple[str, ...] = ()

    def __init__(self, directory, every=1, tensorboard_dir=None, value_range=None, average=None):
        super().__init__()
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"every must be an integer >= 1; received {every!r}.")
        self.directory = pathlib.Path(directory)
        self.every = every
        self.tensorboard_dir = tensorboard_dir
        self.value_range = value_range
        self.average = average
        self._writer = None

    def draw(self, epoch):
        """The figure for an epoch, counted from 1."""
        raise NotImplementedError

    def on_train_begin(self, logs=None):
        """Checks the model before an epoch is spent on it."""
        missing = [name for name in self.needs if not hasattr(self.model, name)]
        if missing:
            raise ValueError(
                f"{type(self).__name__} calls {', '.join(f'model.{m}' for m in self.needs)}, but "
                f"{type(self.model).__name__} has no {' and no '.join(missing)}."
            )
        if self.tensorboard_dir is not None and self._writer is None:
            from keras_dgm.backend.tensorboard import ImageSummaryWriter

            self._writer = ImageSummaryWriter(self.tensorboard_dir)

    def on_epoch_end(self, epoch, logs=None):
        """Draws, where the epoch is one of those asked for."""
        epoch += 1
        if epoch % self.every:
            return
        averaged = self.average is not None and self.average.started
        with self.average.swap() if averaged else contextlib.nullcontext():
            figure = self.draw(epoch)
        plotting.save_png(figure, self.directory / f"{self.tag}-{epoch:04d}.png")
        if self._writer is not None:
            self._writer.write(self.tag, plotting.png_bytes(figure), step=epoch)

    def on_train_end(self, logs=None):
        """Closes the event file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def checked_images(images, name):
    """A copy of a few fixed images as float32, or a ValueError that says what is wrong."""
    images = np.array(images, np.float32)
    if images.ndim != 4 or len(images) == 0:
        raise ValueError(
            f"{name} needs images of shape (n, height, width, channels); received {images.shape}."
        )
    return images


def images_of(result, source):
    """The images among what a model returned: x itself, (x, h), or a dict with "x"."""
    if isinstance(result, tuple):
        result = result[0]
    if isinstance(result, dict):
        if "x" not in result:
            raise ValueError(f"{source} returned a dict without 'x': {sorted(result)}.")
        result = result["x"]
    return ops.convert_to_numpy(result)
