"""Pictures for TensorBoard, written with TensorFlow's own record writer on either backend."""

import os
import pathlib
import socket
import time


class ImageSummaryWriter:
    """Writes PNG pictures to a TensorBoard event file.

    Neither the package `tensorboard` nor an eager context is needed, so that on the JAX backend
    TensorFlow does not take hold of the accelerator's memory.

    Args:
        directory: TensorBoard's log directory; made if it does not exist.

    Raises:
        ImportError: TensorFlow is not installed.
    """

    def __init__(self, directory):
        try:
            import tensorflow as tf
        except ImportError as error:
            raise ImportError(
                "Writing pictures for TensorBoard needs TensorFlow, which is not installed. "
                "Install it with `pip install tensorflow`, or leave tensorboard_dir=None."
            ) from error
        self._tf = tf
        directory = pathlib.Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}.images"
        self.path = directory / name
        self._writer = tf.io.TFRecordWriter(str(self.path))
        self._add(file_version="brain.Event:2")

    def write(self, tag, png, step):
        """Adds one picture.

        Args:
            tag: the name under which TensorBoard shows the series.
            png: bytes of a PNG file.
            step: integer, the place in the series.
        """
        proto = self._tf.compat.v1.Summary
        # A PNG's width and height are two big-endian integers in its first chunk.
        width, height = (int.from_bytes(png[start : start + 4], "big") for start in (16, 20))
        image = proto.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
        self._add(step=step, summary=proto(value=[proto.Value(tag=tag, image=image)]))

    def close(self):
        """Closes the event file."""
        self._writer.close()

    def _add(self, **fields):
        event = self._tf.compat.v1.Event(wall_time=time.time(), **fields)
        self._writer.write(event.SerializeToString())
        self._writer.flush()
