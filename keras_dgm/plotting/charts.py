"""Charts: latent spaces, training curves, densities of the plane."""

import math
from collections.abc import Mapping

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from keras_dgm.plotting import figures

LINE_COLORS = ("#0b5fa5", "#d1601f")


def scatter_latent(z, labels=None, dimensions=(0, 1), title="Latent space", path=None):
    """Points of a latent space, coloured by label.

    Args:
        z: (n, d) with d >= 2.
        labels: (n,), or None. Up to 20 different ones get a legend, more a colour bar.
        dimensions: which two of the d coordinates to draw.
        title, path: as in `image_grid`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: wrong shapes or dimensions, non-finite values.
    """
    z = figures.check_finite(z, "z")
    if z.ndim != 2 or z.shape[1] < 2 or len(z) == 0:
        raise ValueError(f"z must have shape (n, d) with n >= 1 and d >= 2; received {z.shape}.")
    across, up = dimensions
    if not (0 <= across < z.shape[1] and 0 <= up < z.shape[1]):
        raise ValueError(
            f"dimensions must be two of 0, ..., {z.shape[1] - 1}; received {tuple(dimensions)}."
        )
    figure = Figure(figsize=(5.6, 4.8), layout="constrained")
    axes = figure.add_subplot()
    style = {"s": float(np.clip(20_000 / len(z), 3, 30)), "alpha": 0.75, "linewidths": 0}
    x, y = z[:, across], z[:, up]
    if labels is None:
        axes.scatter(x, y, color=LINE_COLORS[0], **style)
    else:
        labels = np.asarray(labels)
        if labels.shape != (len(z),):
            raise ValueError(f"labels must have shape ({len(z)},); received {labels.shape}.")
        _scatter_labelled(figure, axes, x, y, labels, style)
    axes.set_xlabel(f"$z_{{{across}}}$")
    axes.set_ylabel(f"$z_{{{up}}}$")
    axes.set_title(title)
    axes.set_aspect("equal", adjustable="datalim")
    figures.soften(axes)
    return figures.finish(figure, path)


def training_curves(history, metrics=None, title=None, path=None):
    """One panel a metric, training and validation together, over the epochs.

    Args:
        history: what `fit` returns, or a dict of metric name -> one value an epoch. The curve of
            `val_<name>` is drawn with that of `<name>`. A value that is not finite leaves a gap;
            None is an epoch without a measurement, and is bridged.
        metrics: which ones to draw; by default all.
        title, path: as in `image_grid`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: no such metric, or nothing to draw.
    """
    curves = _curves(getattr(history, "history", history))
    names = list(dict.fromkeys(name.removeprefix("val_") for name in curves))
    if metrics is not None:
        unknown = [name for name in metrics if name not in names]
        if unknown:
            raise ValueError(f"Unknown metrics {unknown}; the history has {names}.")
        names = list(metrics)
    if not names:
        raise ValueError("There is nothing to draw: the history holds no metric.")
    columns = min(len(names), 3)
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(0.6 + 3.3 * columns, 0.4 + 2.5 * rows), layout="constrained")
    for index, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, index + 1)
        for key, label, color in zip(
            (name, f"val_{name}"), ("training", "validation"), LINE_COLORS, strict=True
        ):
            if key in curves:
                epochs, values = curves[key]
                marker = "o" if len(values) <= 30 else None
                axes.plot(epochs, values, color=color, label=label, marker=marker, markersize=3)
        axes.set_title(name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if index + columns >= len(names):
            axes.set_xlabel("epoch")
        if f"val_{name}" in curves:
            axes.legend(frameon=False, fontsize="small")
        axes.grid(color="0.92")
        figures.soften(axes)
    if title:
        figure.suptitle(title)
    return figures.finish(figure, path)


def density_2d(
    log_density,
    samples=None,
    extent=(-4, 4, -4, 4),
    resolution=200,
    title=None,
    path=None,
    contours=0,
):
    """A density of the plane as a heat map, with samples on it.

    The map shows p over its largest value, so an unnormalised log-density will do.

    Args:
        log_density: a function (n, 2) -> (n,) in nats, or a grid of its values, shape
            (height, width), whose first row is the lowest y.
        samples: points, shape (n, 2).
        extent: (x_low, x_high, y_low, y_high).
        resolution: points along each axis, for a function.
        title, path: as in `image_grid`.
        contours: lines of equal log-density to draw, one nat apart from the highest down.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: wrong shapes or extent, NaN or +inf in the log-density, non-finite samples.
    """
    x_low, x_high, y_low, y_high = extent
    if not (x_low < x_high and y_low < y_high):
        raise ValueError(f"extent must be (x_low, x_high, y_low, y_high); received {extent}.")
    grid = _density_grid(log_density, extent, resolution)
    aspect = float(np.clip((y_high - y_low) / (x_high - x_low), 0.3, 3))
    figure = Figure(figsize=(5.4, 0.5 + 4.2 * aspect), layout="constrained")
    axes = figure.add_subplot()
    picture = axes.imshow(
        np.exp(grid - grid.max()),
        origin="lower",
        extent=extent,
        cmap="Blues",
        interpolation="nearest",
    )
    figure.colorbar(picture, ax=axes, label="density / largest density", shrink=0.9, aspect=25)
    if contours:
        levels = grid.max() - np.arange(contours, 0, -1)
        style = {"colors": "0.25", "linewidths": 0.7, "linestyles": "-"}
        # With an origin, values sit at the centres of the cells, as the image has them.
        axes.contour(grid, levels, origin="lower", extent=extent, **style)
    if samples is not None:
        samples = figures.check_finite(samples, "samples")
        if samples.ndim != 2 or samples.shape[1] != 2:
            raise ValueError(f"samples must have shape (n, 2); received {samples.shape}.")
        size = float(np.clip(2_000 / max(len(samples), 1), 1, 12))
        axes.scatter(*samples.T, s=size, color=LINE_COLORS[1], alpha=0.8, linewidths=0)
        axes.set_xlim(x_low, x_high)
        axes.set_ylim(y_low, y_high)
        low, high = (x_low, y_low), (x_high, y_high)
        outside = np.count_nonzero(((samples < low) | (samples > high)).any(axis=1))
        if outside:
            axes.set_xlabel(f"{outside} of {len(samples)} samples lie outside", fontsize=8)
    if title:
        axes.set_title(title)
    return figures.finish(figure, path)


def _scatter_labelled(figure, axes, x, y, labels, style):
    classes, index = np.unique(labels, return_inverse=True)
    if len(classes) <= 20:
        palette = colormaps["tab10" if len(classes) <= 10 else "tab20"]
        # Drawn in random order, so that no class covers the others.
        order = np.random.default_rng(0).permutation(len(x))
        axes.scatter(x[order], y[order], color=palette(index[order]), **style)
        for number, name in enumerate(classes):
            axes.scatter([], [], color=palette(number), label=str(name), s=25)
        figure.legend(loc="outside right center", frameon=False, fontsize="small")
        return
    cmap = ListedColormap(colormaps["viridis"](np.linspace(0, 1, len(classes))))
    norm = BoundaryNorm(np.arange(len(classes) + 1) - 0.5, len(classes))
    points = axes.scatter(x, y, c=index, cmap=cmap, norm=norm, **style)
    ticks = np.unique(np.linspace(0, len(classes) - 1, 8).round().astype(int))
    bar = figure.colorbar(points, ax=axes, label="label", shrink=0.85, ticks=ticks)
    bar.ax.set_yticklabels([str(classes[i]) for i in ticks])
    bar.minorticks_off()


def _curves(history):
    """Metric name -> (epochs, values)."""
    if not isinstance(history, Mapping):
        raise ValueError(
            f"history must be what fit returns, or a dict of lists; received {type(history)}."
        )
    curves = {}
    for name, values in history.items():
        if np.ndim(values) != 1:
            raise ValueError(
                f"{name!r} must be a list of one value an epoch; received {np.shape(values)}."
            )
        measured = [(epoch, value) for epoch, value in enumerate(values, 1) if value is not None]
        if measured:
            epochs, values = np.array(measured, np.float64).T
            curves[name] = epochs, np.where(np.isfinite(values), values, np.nan)
    return curves


def _density_grid(log_density, extent, resolution):
    if callable(log_density):
        x_low, x_high, y_low, y_high = extent
        step = np.arange(resolution) + 0.5
        x = x_low + (x_high - x_low) * step / resolution
        y = y_low + (y_high - y_low) * step / resolution
        points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float32)
        values = np.asarray(log_density(points), np.float64)
        if values.size != len(points):
            raise ValueError(
                f"log_density must give one value a point: it was called with {points.shape} and "
                f"gave {values.shape}."
            )
        grid = values.reshape(resolution, resolution)
    else:
        grid = np.asarray(log_density, np.float64)
        if grid.ndim != 2:
            raise ValueError(
                "log_density must be a function or a grid of shape (height, width); received shape "
                f"{grid.shape}."
            )
    if np.isnan(grid).any() or not np.isfinite(grid.max()):
        raise ValueError("log_density has NaN or +inf among its values, or -inf everywhere.")
    return grid
