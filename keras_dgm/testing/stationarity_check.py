"""Does a Markov kernel leave its target law unchanged?"""

import dataclasses

import numpy as np
from scipy import stats

# A chi-square cell with a smaller expected count is pooled with its neighbours.
MIN_EXPECTED_COUNT = 8.0


@dataclasses.dataclass(frozen=True)
class StationarityReport:
    """What `check_stationarity` measured.

    Attributes:
        p_values: {name of the test: p-value}.
        statistics: {name of the test: Kolmogorov-Smirnov distance or chi-square}.
        num_chains, num_steps: size of the check.
        moved: share of the chains whose state changed.
        finite: whether every state is finite.
    """

    p_values: dict
    statistics: dict
    num_chains: int
    num_steps: int
    moved: float
    finite: bool

    @property
    def p_value(self):
        """Smallest p-value times the number of tests (Bonferroni), at most 1."""
        return min(1.0, min(self.p_values.values()) * len(self.p_values))

    def passed(self, significance=1e-3):
        """Whether nothing changed: finite, some chain moved, `p_value` above `significance`.

        A kernel that never moves keeps every law; it does not pass.
        """
        return self.finite and self.moved > 0.0 and self.p_value > significance

    def __str__(self):
        verdict = "passed" if self.passed() else "FAILED"
        lines = [
            f"{verdict}: {self.num_chains} chains, {self.num_steps} steps, moved "
            f"{self.moved:.3f}, corrected p-value {self.p_value:.3g}"
            + ("" if self.finite else ", some states are not finite")
        ]
        lines += [
            f"  {name:<24} statistic {self.statistics[name]:.4g}, p-value {p:.3g}"
            for name, p in self.p_values.items()
        ]
        return "\n".join(lines)


def chi_square_test(counts, probabilities):
    """Goodness of fit of counts to probabilities, small cells pooled: (statistic, p-value).

    A count where the probability is zero gives p-value 0.
    """
    counts = np.asarray(counts, dtype="float64")
    probabilities = np.asarray(probabilities, dtype="float64")
    if counts.shape != probabilities.shape or abs(probabilities.sum() - 1.0) > 1e-6:
        raise ValueError(
            f"Expected {counts.shape} probabilities that sum to one; received shape "
            f"{probabilities.shape} with sum {probabilities.sum():.6g}."
        )
    if np.any(counts[probabilities <= 0.0] > 0):
        return np.inf, 0.0
    order = np.argsort(probabilities)
    cells = [[0.0, 0.0]]
    for expected, observed in zip(probabilities[order] * counts.sum(), counts[order], strict=True):
        if cells[-1][0] >= MIN_EXPECTED_COUNT:
            cells.append([0.0, 0.0])
        cells[-1][0] += expected
        cells[-1][1] += observed
    if len(cells) < 2:
        raise ValueError("Fewer than two cells hold enough chains; use more chains.")
    expected, observed = np.array(cells).T
    statistic = float(np.sum((observed - expected) ** 2 / expected))
    return statistic, float(stats.chi2.sf(statistic, len(cells) - 1))


def check_stationarity(
    kernel,
    draw_exact,
    *,
    num_chains=20000,
    num_steps=1,
    seed=0,
    cdf=None,
    state_index=None,
    probabilities=None,
    statistics=None,
):
    """Starts chains from exact draws, applies the kernel, tests that the law is still the same.

    Three ways to say what the law is:
    - `cdf`: one-sample Kolmogorov-Smirnov of each marginal against it;
    - `state_index` and `probabilities`: chi-square over a finite space;
    - neither: two-sample Kolmogorov-Smirnov against fresh exact draws, each marginal.
    `statistics` adds two-sample tests of functions of the state (log_prob, a product of two
    coordinates): they see what no marginal shows. A kernel that is only right in x, say, may be
    tested on x alone by returning x from `statistics` and passing `cdf=False`.

    Args:
        kernel: callable (states, seed) -> states, `seed` an int32 array of shape (2,); states
            are an array or a tuple of arrays with the chains on the first axis, of NumPy or of
            the backend.
        draw_exact: callable (num_chains, seed) -> states.
        num_chains, num_steps: number of independent chains and of kernel applications.
        seed: an integer.
        cdf: callable on values (n,) for every marginal, or a list with one a marginal, or False
            for no test of marginals.
        state_index: callable states -> integers (n,).
        probabilities: (N,) exact probabilities, indexed by `state_index`.
        statistics: {name: callable states -> (n,)}.

    Returns:
        A `StationarityReport`; its `passed()` asks for a p-value above 1e-3.

    Raises:
        ValueError: `state_index` without `probabilities` or the reverse, no test at all, or a
            kernel that changes the shape of the states.
    """
    if (state_index is None) != (probabilities is None):
        raise ValueError("state_index and probabilities go together.")
    start = draw_exact(num_chains, _seed(seed, 0))
    states = start
    for step in range(num_steps):
        states = kernel(states, _seed(seed, 2 + step))
    first, last = _columns(start), _columns(states)
    if first.shape != last.shape:
        raise ValueError(
            f"The kernel turned states of {first.shape[1]} numbers a chain into {last.shape[1]} "
            f"({first.shape[0]} and {last.shape[0]} chains)."
        )
    results = {}
    if state_index is not None:
        counts = np.bincount(np.asarray(state_index(states)), minlength=len(probabilities))
        results["states"] = chi_square_test(counts, probabilities)
    elif cdf is None:
        fresh = _columns(draw_exact(num_chains, _seed(seed, 1)))
        for column in range(last.shape[1]):
            results[f"marginal {column}"] = _two_sample(last[:, column], fresh[:, column])
    elif cdf is not False:
        each = cdf if isinstance(cdf, (list, tuple)) else [cdf] * last.shape[1]
        if len(each) != last.shape[1]:
            raise ValueError(f"{len(each)} cdfs for {last.shape[1]} marginals.")
        for column, function in enumerate(each):
            test = stats.kstest(last[:, column], function)
            results[f"marginal {column}"] = (test.statistic, test.pvalue)
    if statistics:
        fresh_states = draw_exact(num_chains, _seed(seed, 1))
        for name, function in statistics.items():
            moved_value = np.asarray(function(states), dtype="float64").reshape(-1)
            fresh_value = np.asarray(function(fresh_states), dtype="float64").reshape(-1)
            results[name] = _two_sample(moved_value, fresh_value)
    if not results:
        raise ValueError("Nothing to test: give cdf, state_index, or statistics.")
    return StationarityReport(
        p_values={name: float(p) for name, (_, p) in results.items()},
        statistics={name: float(s) for name, (s, _) in results.items()},
        num_chains=num_chains,
        num_steps=num_steps,
        moved=float(np.mean(np.any(first != last, axis=1))),
        finite=bool(np.all(np.isfinite(last))),
    )


def check_transition_matrix(kernel, states, matrix, state_index, *, num_chains=2000, seed=0):
    """Compares a kernel on a finite space with an exact transition matrix, row by row.

    Stationarity does not tell a kernel from another that keeps the same law; this does.

    Args:
        kernel: callable (states, seed) -> states.
        states: array (N, ...) or tuple of such arrays, state n in row n.
        matrix: (N, N) exact transition probabilities.
        state_index: callable states -> integers (n,).
        num_chains: chains started from each state.
        seed: an integer.

    Returns:
        A `StationarityReport` with a p-value a row that can be tested (a row that the chain
        leaves with probability one or zero for one cell is compared exactly).
    """
    matrix = np.asarray(matrix, dtype="float64")
    repeated = _map(states, lambda s: np.repeat(np.asarray(s), num_chains, axis=0))
    after = np.asarray(state_index(kernel(repeated, _seed(seed, 0))))
    before = np.repeat(np.arange(len(matrix)), num_chains)
    counts = np.zeros_like(matrix)
    np.add.at(counts, (before, after), 1.0)
    results = {}
    for row, (count, probability) in enumerate(zip(counts, matrix, strict=True)):
        if np.max(probability) * num_chains > num_chains - MIN_EXPECTED_COUNT:
            best = int(np.argmax(probability))
            p = stats.binomtest(int(count[best]), num_chains, min(probability[best], 1.0)).pvalue
            results[f"row {row}"] = (count[best] / num_chains, p)
        else:
            results[f"row {row}"] = chi_square_test(count, probability)
    return StationarityReport(
        p_values={name: float(p) for name, (_, p) in results.items()},
        statistics={name: float(s) for name, (s, _) in results.items()},
        num_chains=num_chains * len(matrix),
        num_steps=1,
        moved=float(np.mean(before != after)),
        finite=True,
    )


def _seed(seed, number):
    return np.array([seed, number], dtype="int32")


def _map(states, function):
    if isinstance(states, (list, tuple)):
        return type(states)(function(s) for s in states)
    return function(states)


def _columns(states):
    """(n, numbers a chain), float64."""
    pieces = states if isinstance(states, (list, tuple)) else [states]
    arrays = [np.asarray(p, dtype="float64") for p in pieces]
    return np.concatenate([a.reshape(len(a), -1) for a in arrays], axis=1)


def _two_sample(a, b):
    if np.all(np.isfinite(a)):
        test = stats.ks_2samp(a, b, method="asymp")
        return test.statistic, test.pvalue
    return np.inf, 0.0
