"""Pictures made of images: grids, reconstructions, traversals, chains."""

import numpy as np

from keras_dgm.plotting import figures


def image_grid(images, rows=None, columns=None, title=None, value_range=None, path=None):
    """Images in reading order on a grid.

    Args:
        images: (n, height, width) or (n, height, width, channels) with 1 or 3 channels.
        rows, columns: of the grid; by default as square as n allows.
        title: above the grid.
        value_range: (low, high) drawn as black and white; values beyond are drawn as these. By
            default [0, 1] if all values lie there, else [-1, 1] if they do, else from the
            smallest to the largest value, with these two in the caption.
        path: where to write a PNG.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: wrong shape, non-finite values, a grid too small for the images.
    """
    images = figures.check_images(images, "images")
    rows, columns = figures.grid_shape(len(images), rows, columns)
    figure = figures.mosaic(images, rows, columns, title, value_range)
    return figures.finish(figure, path)


def reconstruction_strip(x, x_hat, title="Reconstructions", value_range=None, path=None):
    """Data in the upper row, the model's reconstructions below.

    Args:
        x, x_hat: (n, height, width[, channels]), of equal shape.
        title, value_range, path: as in `image_grid`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: shapes that differ or are no images', non-finite values.
    """
    x, x_hat = figures.check_images(x, "x"), figures.check_images(x_hat, "x_hat")
    if x.shape != x_hat.shape:
        raise ValueError(
            f"x and x_hat must have the same shape; received {x.shape} and {x_hat.shape}."
        )
    figure = figures.mosaic(
        np.concatenate([x, x_hat]), 2, len(x), title, value_range, row_labels=["data", "model"]
    )
    return figures.finish(figure, path)


def latent_traversal(
    images, values=None, row_labels=None, title="Latent traversal", value_range=None, path=None
):
    """One row a traversal, one column a value of the latent coordinate that is moved.

    Args:
        images: (rows, columns, height, width[, channels]).
        values: the `columns` values, written below the columns.
        row_labels: `rows` labels, such as "h3".
        title, value_range, path: as in `image_grid`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: wrong shapes, numbers of labels that do not fit, non-finite values.
    """
    return _labelled_rows(images, "images", values, row_labels, title, None, value_range, path)


def chain_strip(states, steps=None, row_labels=None, title="Sampler", value_range=None, path=None):
    """Each row one chain, from left to right as it runs.

    Args:
        states: (num_steps, num_chains, height, width[, channels]), as samplers return them.
        steps: `num_steps` step numbers, written below the columns; by default 0, 1, ...
        row_labels: `num_chains` labels.
        title, value_range, path: as in `image_grid`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: wrong shapes, numbers of labels that do not fit, non-finite values.
    """
    states = np.asarray(states)
    if states.ndim not in (4, 5):
        raise ValueError(
            "states must have shape (num_steps, num_chains, height, width[, channels]); received "
            f"{states.shape}."
        )
    if steps is None:
        steps = range(len(states))
    rows = np.swapaxes(states, 0, 1)
    return _labelled_rows(rows, "states", steps, row_labels, title, "step", value_range, path)


def _labelled_rows(images, name, values, row_labels, title, x_label, value_range, path):
    images = figures.check_images(images, name, leading=2)
    rows, columns = images.shape[:2]
    for given, count, what in ((values, columns, "column"), (row_labels, rows, "row")):
        if given is not None and len(given) != count:
            raise ValueError(f"{count} {what} labels are needed; received {len(given)}.")
    flat = images.reshape(-1, *images.shape[2:])
    figure = figures.mosaic(flat, rows, columns, title, value_range, row_labels, values, x_label)
    return figures.finish(figure, path)
