"""`SampleGrid`: what the model draws, epoch by epoch."""

from keras_dgm import plotting
from keras_dgm.callbacks.pictures import PictureCallback, images_of


class SampleGrid(PictureCallback):
    """Writes a grid of samples as `samples-<epoch>.png`, and for TensorBoard.

    The seed is the same every epoch: from one picture to the next the weights change and the
    noise does not.

    Args:
        directory: where the pictures go.
        num_samples: how many samples.
        every: epochs from one picture to the next.
        seed: of `model.sample`.
        tensorboard_dir: log directory for TensorBoard, or None.
        value_range, average: see `PictureCallback`.
        **options: further arguments of `model.sample`, such as `mean=True`.

    Raises:
        ValueError: when training begins, if the model has no `sample`.
    """

    tag = "samples"
    needs = ("sample",)

    def __init__(
        self,
        directory,
        num_samples=64,
        every=1,
        seed=0,
        tensorboard_dir=None,
        value_range=None,
        average=None,
        **options,
    ):
        super().__init__(directory, every, tensorboard_dir, value_range, average)
        self.num_samples = num_samples
        self.seed = seed
        self.options = options

    def draw(self, epoch):
        """See `PictureCallback.draw`."""
        samples = self.model.sample(self.num_samples, seed=self.seed, **self.options)
        return plotting.image_grid(
            images_of(samples, "model.sample"),
            title=f"Samples, epoch {epoch}",
            value_range=self.value_range,
        )
