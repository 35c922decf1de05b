"""Exact expectations over K independent draws from a finite distribution.

Every multi-sample bound and estimator of a model with finitely many latent states (or of a
one-dimensional one on quadrature nodes) is a sum over states of a coefficient times that state's
score, and the coefficients are expectations over all K-tuples of states. The tuples are
exchangeable, so multisets with their multinomial weights do.
"""

import dataclasses
import itertools
import math

import numpy as np

from keras_dgm.testing.numeric import log_sum_exp

MAX_MULTISETS = 20_000_000


@dataclasses.dataclass(frozen=True)
class MultiSampleExpectations:
    """Expectations over h_1..h_K drawn from q, with w_k = exp(log_weight[h_k]).

    Attributes:
        bound: E[log mean_k w_k], the importance-weighted bound (Ou 2019, Eq. 19).
        visits: (N,), E[sum_k 1(h_k = n)] = K q(n).
        weights: (N,), E[sum_k v_k 1(h_k = n)], v_k = w_k / sum_j w_j.
        squared_weights: (N,), the same of v_k ** 2 (DReG).
        log_mean_weight: (N,), the same of log mean_j w_j (the score-function signal of VIMCO).
        resampling_entropy: E[- sum_k v_k log v_k] (Bachman & Precup 2015, Eq. 23).
        effective_sample_size: E[1 / sum_k v_k ** 2].
    """

    bound: float
    visits: np.ndarray
    weights: np.ndarray
    squared_weights: np.ndarray
    log_mean_weight: np.ndarray
    resampling_entropy: float
    effective_sample_size: float


def multisets(num_states, size, max_multisets=MAX_MULTISETS):
    """Every multiset of `size` out of `num_states` states and its number of orderings.

    Returns:
        (indices (M, size) ascending in each row, orderings (M,)).

    Raises:
        ValueError: more than `max_multisets`, or a size below one.
    """
    if size < 1:
        raise ValueError(f"The number of samples must be at least 1; received {size}.")
    count = math.comb(num_states + size - 1, size)
    if count > max_multisets:
        raise ValueError(
            f"Enumerating {size} samples of {num_states} states needs {count} multisets, more "
            f"than {max_multisets}. Use fewer samples or a smaller model."
        )
    if size == 1:
        return np.arange(num_states)[:, None], np.ones(num_states)
    if size == 2:
        indices = np.stack(np.triu_indices(num_states), axis=1)
    else:
        flat = itertools.chain.from_iterable(
            itertools.combinations_with_replacement(range(num_states), size)
        )
        indices = np.fromiter(flat, dtype="int64", count=count * size).reshape(count, size)
    # Orderings of a multiset: K! / prod_n (count of n)!; in an ascending row each position
    # multiplies the denominator by the length of the run that ends there.
    run = np.ones(len(indices))
    denominator = np.ones(len(indices))
    for position in range(1, size):
        run = np.where(indices[:, position] == indices[:, position - 1], run + 1.0, 1.0)
        denominator *= run
    return indices, math.factorial(size) / denominator


def multisample_expectations(log_weights, probabilities, num_samples):
    """`MultiSampleExpectations` by full enumeration.

    Args:
        log_weights: (N,), log w of every state.
        probabilities: (N,), the probability of every state under the sampler; they may be
            quadrature weights and need not sum to one exactly.
        num_samples: K.
    """
    log_weights = np.asarray(log_weights, dtype="float64")
    probabilities = np.asarray(probabilities, dtype="float64")
    if log_weights.ndim != 1 or log_weights.shape != probabilities.shape:
        raise ValueError(
            "log_weights and probabilities must be two vectors of the same length; received "
            f"shapes {log_weights.shape} and {probabilities.shape}."
        )
    indices, orderings = multisets(len(log_weights), num_samples)
    tuple_probability = orderings * np.prod(probabilities[indices], axis=1)
    gathered = log_weights[indices]
    total = log_sum_exp(gathered, axis=1)
    normalized = np.exp(gathered - total[:, None])
    log_mean = total - np.log(num_samples)

    def by_state(values):
        weighted = np.broadcast_to(values, indices.shape) * tuple_probability[:, None]
        return np.bincount(indices.ravel(), weighted.ravel(), minlength=len(log_weights))

    log_normalized = gathered - total[:, None]
    entropy = -np.sum(np.where(normalized > 0, normalized * log_normalized, 0.0), axis=1)
    return MultiSampleExpectations(
        bound=float(tuple_probability @ log_mean),
        visits=by_state(np.ones(1)),
        weights=by_state(normalized),
        squared_weights=by_state(normalized**2),
        log_mean_weight=by_state(log_mean[:, None]),
        resampling_entropy=float(tuple_probability @ entropy),
        effective_sample_size=float(tuple_probability @ (1.0 / np.sum(normalized**2, axis=1))),
    )
