"""Canvases, checks and files shared by the functions of `plotting`."""

import io
import math
import os
import pathlib

import numpy as np
from matplotlib.figure import Figure

INCH_PER_IMAGE = 0.55
GAP_GREY = 0.6


def save_png(figure, path):
    """Writes the figure to `path`, whole or not at all, making folders as needed.

    Returns:
        `pathlib.Path` of the file.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = png_bytes(figure)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        scratch.write_bytes(picture)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
    return path


def png_bytes(figure):
    """The figure as PNG, trimmed to its contents."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=150, bbox_inches="tight", pad_inches=0.08)
    return stream.getvalue()


def finish(figure, path):
    """Writes the figure if there is a path, and returns it."""
    if path is not None:
        save_png(figure, path)
    return figure


def check_finite(values, name):
    """An array of finite numbers."""
    values = np.asarray(values)
    if values.dtype == bool:
        values = values.astype(np.uint8)
    if values.dtype.kind not in "iuf":
        # bfloat16, which NumPy knows only by name, among others
        try:
            values = values.astype(np.float32)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} must be an array of numbers: {error}.") from error
    if not np.isfinite(values).all():
        count = np.count_nonzero(~np.isfinite(values))
        raise ValueError(f"{name} has {count} of {values.size} values that are not finite.")
    return values


def check_images(images, name, leading=1):
    """Images with a channel axis, after `leading` axes."""
    images = check_finite(images, name)
    axes = "n" if leading == 1 else "rows, columns"
    if images.ndim == leading + 2:
        images = images[..., np.newaxis]
    if images.ndim != leading + 3 or images.shape[-1] not in (1, 3) or images.size == 0:
        raise ValueError(
            f"{name} must have shape ({axes}, height, width) or ({axes}, height, width, channels) "
            f"with 1 or 3 channels and at least one image; received {images.shape}."
        )
    return images


def grid_shape(count, rows, columns):
    """(rows, columns) with room for `count`, as square as can be where not given."""
    if rows is None and columns is None:
        columns = math.ceil(math.sqrt(count))
    if columns is None:
        columns = math.ceil(count / rows)
    if rows is None:
        rows = math.ceil(count / columns)
    if rows * columns < count:
        raise ValueError(f"A grid of {rows} x {columns} has no room for {count} images.")
    return rows, columns


def display_range(images, value_range):
    """(low, high, caption or None)."""
    if value_range is not None:
        low, high = value_range
        if not low < high:
            raise ValueError(f"value_range must be (low, high), low < high; got {value_range}.")
        return low, high, None
    low, high = float(images.min()), float(images.max())
    if images.dtype == np.uint8 and high > 1:
        return 0, 255, None
    if low >= 0 and high <= 1:
        return 0, 1, None
    if low >= -1 and high <= 1:
        return -1, 1, None
    return low, high, f"values from {low:.3g} (black) to {high:.3g} (white)"


def shade(images, low, high):
    """Values in [0, 1]; small images are enlarged, or the gaps would outweigh them."""
    factor = max(1, 28 // max(images.shape[1:3]))
    shaded = np.clip((images.astype(np.float64) - low) / (high - low), 0, 1)
    return shaded.repeat(factor, axis=1).repeat(factor, axis=2)


def tile(images, rows, columns, gap=1):
    """One RGB picture of (n, height, width, channels) images in [0, 1], with grey gaps.

    Places without an image are white.
    """
    _, height, width, _ = images.shape
    picture = np.ones((rows * (height + gap) + gap, columns * (width + gap) + gap, 3))
    for index, image in enumerate(images):
        top = (index // columns) * (height + gap)
        left = (index % columns) * (width + gap)
        picture[top : top + height + 2 * gap, left : left + width + 2 * gap] = GAP_GREY
        frame = picture[top + gap : top + gap + height, left + gap : left + gap + width]
        frame[...] = image
    # A later image's frame crosses none but gaps: equal grey, so no image is touched.
    return picture


def mosaic(
    images, rows, columns, title, value_range, row_labels=None, column_labels=None, x_label=None
):
    """A figure of (n, height, width, channels) images on a grid, labelled where asked."""
    low, high, caption = display_range(images, value_range)
    height, width = images.shape[1:3]
    # Few images are drawn larger than many.
    scale = INCH_PER_IMAGE * max(1.0, min(3.0, 4.0 / max(rows, columns))) / max(height, width)
    size = (max(columns * width * scale, 1.0), max(rows * height * scale, 0.5))
    figure = Figure(figsize=size)
    axes = figure.add_axes((0, 0, 1, 1))
    pixels = shade(images, low, high)
    axes.imshow(tile(pixels, rows, columns), interpolation="nearest")
    axes.spines[:].set_visible(False)
    axes.set_xticks([])
    axes.set_yticks([])
    if title:
        axes.set_title(title, fontsize=10)
    if row_labels is not None:
        _label(axes.yaxis, [str(label) for label in row_labels], pixels.shape[1])
    if column_labels is not None:
        # More than a dozen numbers side by side would run into each other.
        texts = [f"{label:.3g}" for label in column_labels]
        _label(axes.xaxis, texts, pixels.shape[2], most=12)
    notes = [note for note in (x_label, caption) if note]
    if notes:
        axes.set_xlabel("\n".join(notes), fontsize=8)
    return figure


def _label(axis, labels, size, most=None):
    which = np.arange(0, len(labels), math.ceil(len(labels) / most) if most else 1)
    centres = 1 + size / 2 - 0.5 + (size + 1) * which
    axis.set_ticks(centres, [labels[i] for i in which], fontsize=8)
    axis.set_tick_params(length=0)


def soften(axes):
    """Takes away the frame's upper and right side."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(color="0.5")
