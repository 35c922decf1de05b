"""Annealed importance sampling, forward and reverse."""

import collections

import numpy as np
from keras import ops, tree
from keras.utils import Progbar

from keras_dgm import backend
from keras_dgm.sampling.base import check_count, potential_of
from keras_dgm.sampling.simulate import compile_for

AISResult = collections.namedtuple(
    "AISResult",
    [
        "log_partition",
        "standard_error",
        "effective_sample_size",
        "log_weights",
        "acceptance",
        "state",
    ],
)
AISResult.__doc__ = """What annealed importance sampling estimates.

Fields:
    log_partition: the estimate of log Z in nats, a float.
    standard_error: of that estimate by the delta method; too small where few chains hold most of
        the weight.
    effective_sample_size: of the weights, between 1 and the number of chains.
    log_weights: (num_chains,), logs of the weights over Z of the base (of its inverse, reverse).
    acceptance: mean acceptance of the kernel.
    state: the chains' last states.
"""

SCHEDULES = ("linear", "sigmoid")


class GeometricPath:
    """p_beta proportional to r(x)^(1 - beta) exp(beta u(x)), from a density r to a target.

    Args:
        target: a model with `potential`, or a callable from states to potentials (batch,).
        base: a distribution layer without context (`sample`, `log_prob`), normalised, that covers
            the target.
    """

    base_log_partition = 0.0

    def __init__(self, target, base):
        self.potential = potential_of(target)
        self.base = base
        self.layers = [target, base]

    def initial_state(self, num_samples, seed):
        """Draws of the base."""
        return self.base.sample(sample_shape=(num_samples,), seed=seed)

    def at(self, beta):
        """The potential at beta, a callable."""

        def potential(state):
            base = self.base.log_prob(state)
            return (1.0 - beta) * base + beta * self.potential(state)

        return potential


def annealed_log_weights(path, kernel, betas, state, seed):
    """Log-weights of chains taken along a path; for use inside a compiled program.

    At each temperature: first the weight, log p*_next(x) - log p*_here(x), then the kernel's
    move at the next. The kernel begins anew at every temperature: potentials and gradients of
    the temperature before, carried over, bias the weights (as
    `tfp.mcmc.sample_annealed_importance_chain` 0.25 does).

    Args:
        path: gives `at(beta)`, the target at an inverse temperature.
        kernel: a sampler.
        betas: (T + 1,), from 0 to 1, or from 1 to 0 for the reverse weights.
        state: the chains' states, distributed as the path's law at `betas[0]`.
        seed: seed tensor.

    Returns:
        `(log_weights (batch,), state, acceptance)`.
    """
    betas = ops.convert_to_tensor(betas)

    def body(i, carry):
        state, total, accepted = carry
        here, there = path.at(betas[i]), path.at(betas[i + 1])
        total = total + potential_of(there)(state) - potential_of(here)(state)
        result = kernel.sample(there, state, backend.fold_in(seed, i))
        return result.state, total, accepted + result.statistics["acceptance"]

    num_rows = ops.shape(tree.flatten(state)[0])[0]
    init = (state, ops.zeros((num_rows,), "float32"), ops.zeros((), "float32"))
    steps = int(betas.shape[0]) - 1
    state, total, accepted = backend.fori_loop(steps, body, init)
    return total, state, accepted / float(steps)


def annealed_importance_sampling(
    path,
    kernel,
    num_temperatures=1000,
    num_chains=100,
    seed=0,
    schedule="linear",
    initial=None,
    reverse=False,
    verbose=0,
):
    """Estimates log Z of a path's end by annealed importance sampling (Neal 2001).

    Forward, chains go from exact draws of the base (beta = 0) to the target (beta = 1), and the
    mean weight is an unbiased estimate of Z / Z_base: its log is a lower bound on log Z in
    expectation, and exceeds log Z + b with probability at most exp(-b). Reverse, chains go from
    draws of the target to the base, the mean weight estimates Z_base / Z, and minus its log is an
    upper bound: the two bracket log Z. The reverse bound holds for exact draws of the target;
    from chains that have not mixed it may lie too low or too high.

    Args:
        path: `model.annealing_path(...)`, or a `GeometricPath`.
        kernel: a sampler that leaves the path's laws unchanged (MALA, HMC, BlockGibbs, ...); its
            `num_steps` steps are taken at each temperature.
        num_temperatures: T, intervals between base and target.
        num_chains: chains; forward.
        seed: integer.
        schedule: `"linear"`, `"sigmoid"` (dense at both ends), or an array that rises from 0 to 1.
        initial: reverse: draws of the target, states (num_chains, ...).
        reverse: the direction.
        verbose: 1 for a progress bar.

    Returns:
        An `AISResult`.

    Raises:
        ValueError: a kernel that is not exact, a schedule that does not rise from 0 to 1, a
            reverse run without draws of the target, weights that are not finite.
    """
    if not kernel.is_exact:
        raise ValueError(
            f"Annealed importance sampling needs a kernel that leaves each law on its way "
            f"unchanged, which {type(kernel).__name__} does not at any step size: its weights "
            "would be biased. Use MALA, HMC or BlockGibbs."
        )
    betas = schedule_betas(schedule, num_temperatures)
    key = backend.as_seed(seed)
    if reverse:
        if initial is None:
            raise ValueError(
                "Reverse annealed importance sampling starts from draws of the target: pass "
                "them as `initial`."
            )
        betas = betas[::-1].copy()
        state = tree.map_structure(ops.convert_to_tensor, initial)
    else:
        check_count("num_chains", num_chains)
        state = path.initial_state(num_chains, backend.fold_in(key, 1 << 30))
    pieces = 50 if verbose else 1
    length = -(-(len(betas) - 1) // pieces)
    program = compile_for(
        path,
        (length, type(kernel).__name__, repr(kernel.get_config())),
        lambda betas, state, seed: annealed_log_weights(path, kernel, betas, state, seed),
        path.layers,
    )
    bar = Progbar(len(betas) - 1, verbose=verbose, unit_name="temperature")
    total, accepted = 0.0, []
    for start in range(0, len(betas) - 1, length):
        part = betas[start : start + length + 1]
        # A last, shorter part stays at the last temperature, where weights do not change.
        part = np.concatenate([part, np.repeat(part[-1:], length + 1 - len(part))])
        weights, state, acceptance = program(
            part.astype("float32"), state, backend.fold_in(key, start)
        )
        total = total + ops.convert_to_numpy(weights).astype("float64")
        accepted.append(float(ops.convert_to_numpy(acceptance)))
        bar.add(min(length, len(betas) - 1 - start))
    base = float(ops.convert_to_numpy(path.base_log_partition))
    return _result(total, base, float(np.mean(accepted)), state, -1.0 if reverse else 1.0)


def schedule_betas(schedule, num_temperatures):
    """The inverse temperatures (num_temperatures + 1,) of a schedule, rising from 0 to 1."""
    if isinstance(schedule, str):
        check_count("num_temperatures", num_temperatures)
        steps = np.linspace(0.0, 1.0, num_temperatures + 1)
        if schedule == "linear":
            return steps
        if schedule == "sigmoid":
            ramp = 1.0 / (1.0 + np.exp(-4.0 * (2.0 * steps - 1.0)))
            return (ramp - ramp[0]) / (ramp[-1] - ramp[0])
        raise ValueError(f"`schedule` is one of {SCHEDULES} or an array; received {schedule!r}.")
    betas = np.asarray(schedule, "float64").reshape(-1)
    if len(betas) < 2 or betas[0] != 0.0 or betas[-1] != 1.0 or np.any(np.diff(betas) < 0.0):
        raise ValueError(
            "A schedule of inverse temperatures rises from 0 to 1; received "
            f"{len(betas)} values from {betas[:1]} to {betas[-1:]}."
        )
    return betas


def _result(log_weights, base_log_partition, acceptance, state, sign):
    if not np.all(np.isfinite(log_weights)):
        bad = int(np.sum(~np.isfinite(log_weights)))
        raise ValueError(
            f"{bad} of {len(log_weights)} annealed weights are not finite: the base does not "
            "cover the target, or the potential is not finite somewhere on the way."
        )
    peak = log_weights.max()
    weights = np.exp(log_weights - peak)
    mean = weights.mean()
    error = weights.std(ddof=1) / np.sqrt(len(weights)) / mean if len(weights) > 1 else np.inf
    return AISResult(
        log_partition=float(base_log_partition + sign * (peak + np.log(mean))),
        standard_error=float(error),
        effective_sample_size=float(weights.sum() ** 2 / np.sum(weights**2)),
        log_weights=log_weights,
        acceptance=acceptance,
        state=tree.map_structure(ops.convert_to_numpy, state),
    )
