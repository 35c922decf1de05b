"""The held-out likelihood of a field, log Z by annealed importance sampling."""

from __future__ import annotations

from typing import Any

import numpy as np

from .publishing import mean_figure


def annealed_figures(
    model: Any,
    images: np.ndarray,
    train: np.ndarray,
    num_temperatures: int = 10_000,
    num_chains: int = 100,
    seed: int = 0,
    verbose: int = 0,
) -> dict[str, Any]:
    """Mean log p(x) with log Z estimated from both directions.

    Args:
        model: an algorithm with `estimate_log_partition` and `potential`: rules for an RBM, a DBM
            (whose potential is a lower bound) or a random field.
        images: held-out observations.
        train: data that the base of the annealing is fitted to and where the reverse chains
            begin.
        num_temperatures, num_chains, seed, verbose: see `annealed_log_partition`.

    Returns:
        Figures `log_likelihood` (forward: too high in expectation) and `log_likelihood_reverse`
        (too low, as far as the chains that it starts from have mixed), in nats. The standard
        errors are those of the mean over points and of log Z together.
    """
    bracket = model.estimate_log_partition(
        num_temperatures=num_temperatures,
        num_chains=num_chains,
        data=train,
        seed=seed,
        verbose=verbose,
    )
    potential = model.potential(images).astype("float64")

    def figure(result):
        base = mean_figure(potential - result.log_partition, "nats", seed=seed)
        return {
            **base,
            "standard_error": float(np.hypot(base["standard_error"], result.standard_error)),
            "log_partition": float(result.log_partition),
            "num_temperatures": num_temperatures,
            "num_chains": num_chains,
            "effective_sample_size": float(result.effective_sample_size),
        }

    return {
        "log_likelihood": figure(bracket.forward),
        "log_likelihood_reverse": figure(bracket.reverse),
    }
