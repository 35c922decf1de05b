"""`ReconstructionStrip`: a few images and what the model makes of them, epoch by epoch."""

from keras_dgm import plotting
from keras_dgm.callbacks.pictures import PictureCallback, checked_images, images_of


class ReconstructionStrip(PictureCallback):
    """Writes images above their reconstructions as `reconstructions-<epoch>.png`.

    Args:
        directory: where the pictures go.
        images: (n, height, width, channels), a dozen or so, held out by preference.
        every: epochs from one picture to the next.
        tensorboard_dir: log directory for TensorBoard, or None.
        value_range, average: see `PictureCallback`.

    Raises:
        ValueError: images of another rank; or, when training begins, a model without
            `reconstruct`.
    """

    tag = "reconstructions"
    needs = ("reconstruct",)

    def __init__(
        self, directory, images, every=1, tensorboard_dir=None, value_range=None, average=None
    ):
        super().__init__(directory, every, tensorboard_dir, value_range, average)
        self.images = checked_images(images, "ReconstructionStrip")

    def draw(self, epoch):
        """See `PictureCallback.draw`."""
        return plotting.reconstruction_strip(
            self.images,
            images_of(self.model.reconstruct(self.images), "model.reconstruct"),
            title=f"Reconstructions, epoch {epoch}",
            value_range=self.value_range,
        )
