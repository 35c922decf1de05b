"""Figures of machines that learn in both directions, with and without the critic of z."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from .sampled import sample_figures

SAMPLING = {"mean": True}
COMPARED = (
    ("wake_mse", "wake MSE a pixel"),
    ("sleep_mse", "sleep latent MSE"),
    ("frechet_distance_of_reconstructions", "distance of reconstructions"),
    ("frechet_distance", "distance of samples"),
)


def helmholtz_figures(model: Any, dataset: Any, num_samples: int = 10_000) -> dict[str, Any]:
    """`sample_figures` of the means E[x|z], and how well each side undoes the other.

    `wake_mse` is the squared error a pixel of x from E[x|z], z ~ Q(z|x), in the units of the data;
    `sleep_mse` that a coordinate of z' from E[z|x'], x' from the model, one for an encoder that
    tells nothing of a standard normal prior. `latent_eigenvalues`: those of the covariance of
    Q(z) over the test images, by their mean; all are one where Q(z) fills a standard normal prior.

    Args:
        model: an `ExtendedHelmholtzMachine` or `SymmetricVAE`.
        dataset, num_samples: as in `sample_figures`.
    """
    figures = sample_figures(model, dataset, num_samples=num_samples, sampling=SAMPLING)
    test = dataset.test.images[:num_samples]
    if not model.compiled:  # as from_preset gives it; `evaluate` asks for it
        model.compile("sgd")
    errors = model.evaluate(test, batch_size=500, verbose=0, return_dict=True)
    values = np.linalg.eigvalsh(model.latent_covariance(test))[::-1]
    return {
        **figures,
        "wake_mse": {"value": float(errors["wake_mse"]), "unit": "a pixel, in the data's units"},
        "sleep_mse": {"value": float(errors["sleep_mse"]), "unit": "a coordinate of z"},
        "latent_eigenvalues": {
            "value": float(values.mean()),
            "unit": f"on average, from {values[-1]:.3g} to {values[0]:.3g}",
            "values": [float(f"{value:.4g}") for value in values],
        },
    }


def compare_latent_critics(
    build: Callable[..., Any], dataset: Any, epochs: int, batch_size: int, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Trains a machine with and without its latent critic, and prints what that changes.

    The Symmetric VAE post (2017) predicts that with the critic the sleep error and the distance of
    reconstructions fall while the squared error of pixels rises.

    Args:
        build: function of `latent_critic=`, True or False, that gives a compiled machine.
        dataset: what `datasets.load` gave.
        epochs, batch_size: of both trainings.
        seed: of the weights, the same for both.

    Returns:
        The figures of `helmholtz_figures`, by "with" and "without".
    """
    found = {}
    for label, latent_critic in (("with", True), ("without", False)):
        keras.utils.set_random_seed(seed)
        model = build(latent_critic=latent_critic)
        model.fit(dataset.train.images, batch_size=batch_size, epochs=epochs, verbose=0)
        found[label] = helmholtz_figures(model, dataset)
    print(comparison_table(found))
    return found


def comparison_table(found: dict[str, dict[str, Any]]) -> str:
    """What `compare_latent_critics` measured, as a Markdown table with the prediction's outcome."""
    lines = ["| | with latent critic | without | predicted | found |", "| --- " * 5 + "|"]
    for key, label in COMPARED:
        first, second = (found[run][key]["value"] for run in ("with", "without"))
        outcome = "falls" if first < second else "rises"
        predicted = {"wake_mse": "rises", "frechet_distance": "-"}.get(key, "falls")
        lines.append(f"| {label} | {first:.4g} | {second:.4g} | {predicted} | {outcome} |")
    for run in ("with", "without"):
        values = found[run]["latent_eigenvalues"]["values"]
        lines.append(f"\nEigenvalues of Cov Q(z), {run}: {' '.join(f'{v:.3g}' for v in values)}")
    return "\n".join(lines)
