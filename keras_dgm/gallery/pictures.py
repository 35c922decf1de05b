"""What a model is shown by: samples, walks, reconstructions and revisions, each as a PNG."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from keras_dgm import plotting
from keras_dgm.presets.integrity import SAMPLES

from .render import Picture
from .walks import latent_walk

COLUMNS = 10
CHAIN_STEPS = (1, 10, 100, 1000)
RECONSTRUCTIONS = "reconstructions.png"


def draw_pictures(model: Any, dataset: Any, folder: Path, seed: int = 0) -> list[Picture]:
    """Everything that a model can show of itself, its samples first.

    Args:
        model: what `from_preset` loaded.
        dataset: what it was trained on, a `Dataset`; None where it is not on this machine, and
            then what needs data is left out.
        folder: the preset's, whose samples.png stands in for a model that draws none itself.
        seed: of every draw.
    """
    if not hasattr(model, "sample"):
        stored = _stored(folder, SAMPLES, "samples", "Samples", "")
        return [stored] if stored else []
    options = {"mean": True} if "mean" in inspect.signature(model.sample).parameters else {}
    samples = np.asarray(model.sample(50, seed=seed, **options))
    if samples.ndim == 2:
        return _of_the_plane(model, dataset, seed)
    if samples.ndim != 4 or samples.shape[-1] not in (1, 3):
        return []
    bounds = None if dataset is None else dataset.value_range
    images = None if dataset is None else _spread(dataset.test.images, 2 * COLUMNS, seed)
    what = "Expected pixels at drawn latents" if options else "Drawn by the model"
    result = [_tiles("samples", "Samples", f"{what}.", samples, COLUMNS, bounds)]
    walk = latent_walk(model, images, columns=COLUMNS, seed=seed)
    if walk is not None:
        inferred = images is not None and hasattr(model, "infer")
        what = "the code of a test image" if inferred else "a draw of the latent variable"
        caption = f"Each row leads from {what} to another."
        result.append(_tiles("walk", "Latent walk", caption, _rows(walk), COLUMNS, bounds))
    if images is not None and hasattr(model, "reconstruct"):
        result.append(_reconstructions(model, images, bounds))
    elif stored := _stored(folder, RECONSTRUCTIONS, "reconstructions", "Reconstructions", ""):
        result.append(stored)
    result += _revisions(model, images, bounds, seed)
    return result


def _spread(images: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Images from all over a split, which may be ordered by class."""
    chosen = np.random.default_rng(seed).permutation(len(images))[:count]
    return images[chosen]


def _reconstructions(model: Any, images: np.ndarray, bounds: Any) -> Picture:
    # Test images above, what the model makes of them below, twice.
    upper, lower = images[:COLUMNS], images[COLUMNS : 2 * COLUMNS]
    rows = np.concatenate([upper, model.reconstruct(upper), lower, model.reconstruct(lower)])
    caption = "Test images, and what the model makes of each below it."
    return _tiles("reconstructions", "Reconstructions", caption, rows, COLUMNS, bounds)


def _revisions(model: Any, images: Any, bounds: Any, seed: int) -> list[Picture]:
    if hasattr(model, "revise") and hasattr(model, "propose"):
        options: dict[str, Any] = {}
        if getattr(model.generator, "is_conditional", False):
            classes = getattr(model.generator, "num_classes", None) or 10
            options["y"] = np.arange(COLUMNS) % classes
        steps = model.sampler.num_steps
        drawn = [
            model.sample(COLUMNS, seed=seed, revise=count > 0, num_steps=count or None, **options)
            for count in (0, steps, 5 * steps)
        ]
        caption = (
            f"The generator's draws; revised by {steps} steps along the field's gradient, as in "
            f"training; by {5 * steps}."
        )
        rows = np.concatenate(drawn)
        return [_tiles("revisions", "Revisions", caption, rows, COLUMNS, bounds)]
    if hasattr(model, "chain") and images is not None:
        chain = np.asarray(model.chain(images[:4], 10 * COLUMNS, seed=seed, mean=True))
        rows = np.swapaxes(chain[9::10], 0, 1)
        caption = "Chains from test images: every tenth step."
        return [_tiles("revisions", "Chains", caption, _rows(rows), COLUMNS, bounds)]
    if hasattr(model, "potential") and "num_steps" in inspect.signature(model.sample).parameters:
        drawn = [model.sample(COLUMNS, seed=seed, num_steps=count) for count in CHAIN_STEPS]
        counts = ", ".join(f"{count:,}" for count in CHAIN_STEPS)
        caption = f"Chains from noise after {counts} steps of the sampler."
        rows = np.concatenate(drawn)
        return [_tiles("revisions", "Chains", caption, rows, COLUMNS, bounds)]
    return []


def _of_the_plane(model: Any, dataset: Any, seed: int) -> list[Picture]:
    points = np.asarray(model.sample(1000, seed=seed))
    both = points if dataset is None else np.concatenate([points, dataset.test.images])
    # A few stray samples do not set the scale.
    span = 1.15 * float(np.quantile(np.abs(both), 0.995))
    extent = (-span, span, -span, span)
    clouds = {"model": points}
    if dataset is not None:
        clouds = {"data": dataset.test.images[:1000], **clouds}
    caption = f"{len(points):,} points" + (" over held-out data." if dataset is not None else ".")
    drawn = [Picture("samples", "Samples", caption, _scatter(clouds))]
    if hasattr(model, "revise") and hasattr(model, "propose"):
        proposed = np.asarray(model.sample(1000, seed=seed, revise=False))
        caption = "The generator's draws, and the same draws revised along the field's gradient."
        clouds = {"generator": proposed, "revised": points}
        drawn.append(Picture("revisions", "Revisions", caption, _scatter(clouds)))
    potential = getattr(model, "log_prob", None) or getattr(model, "potential", None)
    if potential is not None:
        figure = plotting.density_2d(
            lambda x: np.asarray(ops.convert_to_numpy(potential(x))), points, extent, 160
        )
        caption = "The learned density over its largest value, with the model's samples."
        drawn.append(Picture("density", "Density", caption, plotting.png_bytes(figure)))
    return drawn


def _scatter(clouds: dict[str, np.ndarray]) -> bytes:
    labels: Any = np.repeat(list(clouds), [len(points) for points in clouds.values()])
    figure = plotting.scatter_latent(np.concatenate(list(clouds.values())), labels, title="")
    # Points of data, not of a latent space.
    figure.axes[0].set(xlabel="", ylabel="")
    return plotting.png_bytes(figure)


def _tiles(
    kind: str, title: str, caption: str, images: np.ndarray, columns: int, bounds: Any
) -> Picture:
    return Picture(kind, title, caption, plotting.image_tiles(images, columns, bounds))


def _rows(images: np.ndarray) -> np.ndarray:
    return images.reshape(-1, *images.shape[2:])


def _stored(folder: Path, name: str, kind: str, title: str, caption: str) -> Picture | None:
    path = folder / name
    return Picture(kind, title, caption, path.read_bytes()) if path.is_file() else None
