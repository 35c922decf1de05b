"""The likelihood of a directed model by annealing from its prior to its posterior."""

import numpy as np
from keras import ops, tree

from keras_dgm import backend
from keras_dgm.algorithms import checks
from keras_dgm.sampling import HMC, annealed_log_weights
from keras_dgm.sampling.annealed_importance_sampling import schedule_betas
from keras_dgm.sampling.base import SamplingResult, check_count
from keras_dgm.sampling.simulate import compile_for


class _PosteriorPath:
    """p(h) p(x|h)^beta for the rows of x, each with `num_chains` chains: rows chain by chain."""

    def __init__(self, generative, x, num_chains):
        self.generative, self.x, self.num_chains = generative, x, num_chains

    def apart(self, state):
        """(num_chains * batch, ...) to (num_chains, batch, ...)."""
        shape = (self.num_chains, -1)
        return tree.map_structure(lambda h: ops.reshape(h, (*shape, *h.shape[1:])), state)

    def log_likelihood(self, state):
        """log p(x|h) of each chain, (num_chains * batch,)."""
        h = self.apart(state)
        return ops.reshape(self.generative.log_likelihood(self.x, h, training=False), (-1,))

    def at(self, beta):
        """The potential at beta."""

        def potential(state):
            log_prior = self.generative.log_prior(self.apart(state), training=False)
            return ops.reshape(log_prior, (-1,)) + beta * self.log_likelihood(state)

        potential.path, potential.beta = self, beta
        return potential


class PriorProposals:
    """Metropolis independence moves of latent states with the prior as proposal.

    A kernel for `annealed_log_likelihood` that serves any latents, discrete ones too: h' ~ p(h) is
    accepted with min(1, (p(x|h') / p(x|h))^beta). Exact, and slow to mix where the posterior is
    far from the prior.

    Args:
        num_steps: moves at each temperature.
    """

    is_exact = True

    def __init__(self, num_steps=1):
        self.num_steps = check_count("num_steps", num_steps)

    def sample(self, target, state, seed):
        """`num_steps` moves at the temperature of `target`, a potential of the posterior's path."""
        path, beta = target.path, target.beta
        rows = ops.shape(tree.flatten(state)[0])[0]

        def body(i, carry):
            state, log_weight, accepted = carry
            draw_seed, accept_seed = backend.split_seed(backend.fold_in(seed, i), 2)
            proposed = path.generative.prior.sample(sample_shape=(rows,), seed=draw_seed)
            proposed_weight = beta * path.log_likelihood(proposed)
            uniform = backend.uniform(ops.shape(log_weight), accept_seed)
            accept = ops.log(uniform) < proposed_weight - log_weight

            def choose(new, old):
                mask = ops.reshape(accept, (-1, *([1] * (len(old.shape) - 1))))
                return ops.where(mask, new, old)

            state = tree.map_structure(choose, proposed, state)
            log_weight = ops.where(accept, proposed_weight, log_weight)
            return state, log_weight, accepted + ops.mean(ops.cast(accept, "float32"))

        start = (state, beta * path.log_likelihood(state), ops.zeros(()))
        state, _, accepted = backend.fori_loop(self.num_steps, body, start)
        return SamplingResult(state, {"acceptance": accepted / self.num_steps}, None)

    def get_config(self):
        return {"num_steps": self.num_steps}


def annealed_log_likelihood(
    generative,
    x,
    kernel=None,
    num_temperatures=500,
    num_chains=16,
    seed=0,
    schedule="sigmoid",
    posterior=None,
    rows=100,
):
    """log p(x) of a directed model by annealed importance sampling; no inference model is used.

    For each x, `num_chains` chains go from p(h) to p(h|x) through p(h) p(x|h)^beta (Neal 2001; Wu
    et al. 2017). The mean of their weights is an unbiased estimate of p(x), and its log, which is
    what is returned, a lower bound of log p(x) in expectation. With `posterior` the chains go
    back from exact draws of p(h|x) and the log of the mean inverse weight gives an upper bound.
    Exact draws are to be had for simulated data alone: x, h = generative.sample(...); there the
    two bracket the truth and tell how far the lower one can be trusted (Grosse et al. 2015).

    Cost: (num_temperatures x the kernel's passes + 2 num_temperatures) passes of the generative
    side on num_chains x batch rows.

    Args:
        generative: a `LatentVariableModel`.
        x: array (batch, *event).
        kernel: a sampler exact at each temperature. By default `HMC(0.1, num_steps=1)` where all
            latents are continuous, else `PriorProposals()`.
        num_temperatures: intervals from prior to posterior.
        num_chains: chains for each x.
        seed: integer.
        schedule: `"linear"`, `"sigmoid"` or an array from 0 to 1.
        posterior: draws of p(h|x), (batch, *latent) or a tuple of such in the prior's order: one
            chain for each x, from the posterior to the prior.
        rows: rows of x at a time.

    Returns:
        Array (batch,), nats.

    Raises:
        ValueError: a kernel that is not exact, weights that are not finite, posterior draws of
            another number than x.
    """
    x = np.asarray(x, "float32")
    checks.event("x", x, generative.event_shape)
    if kernel is None:
        continuous = not _has_discrete(generative)
        kernel = HMC(0.1, num_steps=1) if continuous else PriorProposals()
    if not kernel.is_exact:
        raise ValueError(
            f"{type(kernel).__name__} leaves no law unchanged at a finite step size, so that the "
            "weights would be biased. Use HMC, MALA or PriorProposals."
        )
    betas = schedule_betas(schedule, num_temperatures).astype("float32")
    if posterior is not None:
        num_chains, betas = 1, betas[::-1].copy()
        for part in tree.flatten(posterior):
            if len(part) != len(x):
                raise ValueError(f"{len(x)} rows of x need as many draws; received {len(part)}.")
    check_count("num_chains", num_chains)

    def weights(x, state, seed):
        path = _PosteriorPath(generative, x, num_chains)
        first, second = backend.split_seed(seed, 2)
        if posterior is None:
            count = num_chains * ops.shape(x)[0]
            state = generative.prior.sample(sample_shape=(count,), seed=first)
        log_weights, _, _ = annealed_log_weights(path, kernel, betas, state, second)
        return ops.reshape(log_weights, (num_chains, -1))

    identity = (type(kernel).__name__, repr(kernel.get_config()), betas.tobytes())
    options = (num_chains, posterior is None)
    program = compile_for(generative, (*identity, *options), weights, [generative])
    key, results = backend.as_seed(seed), []
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        state = x[part, ..., :0]  # the chains' start is drawn inside
        if posterior is not None:
            state = tree.map_structure(
                lambda h, part=part: np.asarray(h, "float32")[part], posterior
            )
        values = program(x[part], state, backend.fold_in(key, start))
        results.append(ops.convert_to_numpy(values).astype("float64"))
    log_weights = np.concatenate(results, axis=1)
    if not np.all(np.isfinite(log_weights)):
        bad = int(np.sum(~np.isfinite(log_weights)))
        raise ValueError(f"{bad} of {log_weights.size} annealed weights are not finite.")
    sign = 1.0 if posterior is None else -1.0
    return sign * (np.logaddexp.reduce(log_weights, axis=0) - np.log(num_chains))


def _has_discrete(generative):
    parts = getattr(generative.prior, "parts", [generative.prior])
    return any(part.is_discrete for part in parts)
