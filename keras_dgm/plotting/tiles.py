"""Pictures without a canvas: images alone, pixel by pixel, for a page that has its own frame."""

import io

import numpy as np
from matplotlib.image import imsave

from keras_dgm.plotting import figures


def image_tiles(images, columns=None, value_range=None, gap=2):
    """A PNG of images in reading order; the gaps between them are transparent.

    Small images are enlarged by whole factors to 28 pixels or more.

    Args:
        images: (n, height, width) or (n, height, width, channels) with 1 or 3 channels.
        columns: of the grid; by default as square as n allows.
        value_range: see `image_grid`.
        gap: pixels between images.

    Returns:
        The PNG's bytes.

    Raises:
        ValueError: wrong shape, non-finite values.
    """
    images = figures.check_images(images, "images")
    rows, columns = figures.grid_shape(len(images), None, columns)
    low, high, _ = figures.display_range(images, value_range)
    shaded = figures.shade(images, low, high)
    shaded = shaded.repeat(3, axis=-1) if shaded.shape[-1] == 1 else shaded
    height, width = shaded.shape[1:3]
    picture = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, 4), np.uint8)
    for index, image in enumerate(shaded):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        place = picture[top : top + height, left : left + width]
        place[..., :3] = np.round(255 * image)
        place[..., 3] = 255
    stream = io.BytesIO()
    imsave(stream, picture, format="png")
    return stream.getvalue()
