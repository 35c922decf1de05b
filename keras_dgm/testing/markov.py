"""Markov chains on a finite space: transition matrices, stationarity, detailed balance.

A transition matrix is row-stochastic: entry (i, j) is the probability of going from i to j.
"""

import numpy as np

from keras_dgm.testing.multisample import multisets


def metropolis_independence_matrix(log_weights, proposal, num_tries=1, num_steps=1):
    """Transition matrix of the Metropolis independence sampler.

    One try: propose j from `proposal`, accept with min(1, w_j / w_i) (Ou 2019, section 3.2.3).
    Several tries: draw a set from `proposal`, pick j out of it in proportion to w, accept with
    min(1, W / (W - w_j + w_i)), W the set's total weight (Liu 2001, multiple-try independence
    sampler). Both keep proposal * w, normalised, invariant.

    Args:
        log_weights: (N,), log of target over proposal, any constant added.
        proposal: (N,), proposal probabilities.
        num_tries: size of the proposed set.
        num_steps: the matrix is raised to this power.
    """
    log_weights = np.asarray(log_weights, dtype="float64")
    proposal = np.asarray(proposal, dtype="float64")
    if num_tries == 1:
        accept = np.exp(np.minimum(log_weights[None, :] - log_weights[:, None], 0.0))
        matrix = proposal[None, :] * accept
        np.fill_diagonal(matrix, 0.0)
    else:
        matrix = _multiple_try_moves(log_weights, proposal, num_tries)
    np.fill_diagonal(matrix, matrix.diagonal() + 1.0 - matrix.sum(axis=1))
    return np.linalg.matrix_power(matrix, num_steps)


def _multiple_try_moves(log_weights, proposal, num_tries):
    indices, orderings = multisets(len(proposal), num_tries)
    weights = np.exp(log_weights - np.max(log_weights))
    probability = orderings * np.prod(proposal[indices], axis=1)
    chosen = weights[indices]
    total = chosen.sum(axis=1)
    matrix = np.zeros((len(proposal), len(proposal)))
    for state, weight in enumerate(weights):
        accept = np.minimum(1.0, total[:, None] / (total[:, None] - chosen + weight))
        move = probability[:, None] * chosen / total[:, None] * accept
        matrix[state] = np.bincount(indices.ravel(), move.ravel(), minlength=len(proposal))
    return matrix


def stationary_distribution(matrix):
    """The stationary law of a row-stochastic matrix with one closed class, shape (N,).

    Raises:
        ValueError: rows that do not sum to one, or more than one stationary law.
    """
    matrix = np.asarray(matrix, dtype="float64")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"Expected a square matrix; received shape {matrix.shape}.")
    if np.min(matrix) < -1e-12 or not np.allclose(matrix.sum(axis=1), 1.0, atol=1e-9):
        raise ValueError("The rows of a transition matrix are probabilities that sum to one.")
    size = len(matrix)
    system = np.concatenate([matrix.T - np.eye(size), np.ones((1, size))])
    if np.linalg.matrix_rank(system[:-1], tol=1e-10) < size - 1:
        raise ValueError("The chain has more than one stationary law: it is not irreducible.")
    target = np.zeros(size + 1)
    target[-1] = 1.0
    return np.linalg.lstsq(system, target, rcond=None)[0]


def stationarity_gap(matrix, distribution):
    """Largest absolute change of `distribution` under one step of `matrix`."""
    return float(np.max(np.abs(np.asarray(distribution) @ matrix - distribution)))


def detailed_balance_gap(matrix, distribution):
    """Largest |pi_i T_ij - pi_j T_ji|; zero for a reversible chain."""
    flow = np.asarray(distribution)[:, None] * np.asarray(matrix)
    return float(np.max(np.abs(flow - flow.T)))


def check_detailed_balance(matrix, distribution, tolerance=1e-12):
    """Whether `matrix` is reversible with respect to `distribution`, to `tolerance`."""
    return detailed_balance_gap(matrix, distribution) <= tolerance


def total_variation(p, q):
    """Half the L1 distance of two distributions."""
    return 0.5 * float(np.sum(np.abs(np.asarray(p) - np.asarray(q))))


def visited_distribution(matrix, start, num_steps):
    """Mean law of the states visited at steps 1..num_steps (repeats counted), shape (N,)."""
    law = np.asarray(start, dtype="float64")
    total = np.zeros_like(law)
    for _ in range(num_steps):
        law = law @ matrix
        total += law
    return total / num_steps
