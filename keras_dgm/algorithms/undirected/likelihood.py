"""log Z, and with it log p(x), by annealed importance sampling."""

import collections

import numpy as np
from keras import ops

from keras_dgm import backend
from keras_dgm.sampling import annealed_importance_sampling, simulate

LogPartition = collections.namedtuple("LogPartition", ["forward", "reverse"])
LogPartition.__doc__ = """Two estimates of log Z, each an `AISResult`.

Fields:
    forward: from the base to the model: a lower bound in expectation.
    reverse: from the model to the base: an upper bound in expectation where the chains began as
        draws of the model; or None.
"""


def annealed_log_partition(
    field,
    num_temperatures=1000,
    num_chains=100,
    data=None,
    kernel=None,
    schedule="linear",
    reverse=True,
    states=None,
    burn_in=1000,
    seed=0,
    verbose=0,
):
    """log Z of a field by annealed importance sampling, forward and reverse.

    Args:
        field: a `RandomField`, an `RBM` or a `DBM`.
        num_temperatures: intervals between the base and the model.
        num_chains: chains in either direction.
        data: array (n, *event): the base is fitted to its mean, and the chains of the reverse
            direction begin there.
        kernel: an exact sampler, the field's own by default (block Gibbs for an RBM, HMC for a
            RandomField, whose step size and acceptance you should look at).
        schedule: see `annealed_importance_sampling`.
        reverse: whether to run the other direction too.
        states: chains' states that are draws of the model, where the reverse begins; by default
            the ends of chains of `burn_in` steps from the data. These are draws of the model only
            as far as the chains have mixed, and the reverse is a bound only as far as they are.
        burn_in: steps of these chains.
        seed: integer.
        verbose: 1 for progress bars.

    Returns:
        A `LogPartition`.
    """
    path = field.annealing_path(data)
    kernel = kernel or field.annealing_kernel()
    options = {"num_temperatures": num_temperatures, "schedule": schedule, "verbose": verbose}
    forward = annealed_importance_sampling(
        path, kernel, num_chains=num_chains, seed=seed, **options
    )
    if not reverse:
        return LogPartition(forward, None)
    if states is None:
        start = _chain_starts(field, num_chains, data, seed)
        states = simulate(kernel, field, start, seed + 2, num_steps=burn_in, verbose=verbose).state
    backward = annealed_importance_sampling(
        path, kernel, seed=seed + 1, initial=states, reverse=True, **options
    )
    return LogPartition(forward, backward)


def _chain_starts(field, num_chains, data, seed):
    key = backend.fold_in(backend.as_seed(seed), 1)
    if data is None:
        return field.initial_state(num_chains, key)
    rows = np.random.default_rng(seed).integers(0, len(data), num_chains)
    x = ops.convert_to_tensor(np.asarray(data)[rows].astype("float32"))
    return field.chain_start(x, key)


class AnnealedLikelihood:
    """Mixin: `estimate_log_partition` and `log_likelihood` of an algorithm with a `field`."""

    def estimate_log_partition(self, **kwargs):
        """log Z of the field, forward and reverse; see `annealed_log_partition`.

        Args:
            **kwargs: `num_temperatures`, `num_chains`, `data`, `kernel`, `schedule`, `reverse`,
                `states`, `burn_in`, `seed`, `verbose`.

        Returns:
            A `LogPartition`.
        """
        return annealed_log_partition(self.field, **kwargs)

    def log_likelihood(
        self, x, num_samples=100, num_temperatures=10000, log_partition=None, seed=0, verbose=0
    ):
        """log p(x) = u(x) - log Z in nats, log Z by (forward) annealed importance sampling.

        An estimate of log Z that is a lower bound in expectation makes this an upper one: too
        few temperatures flatter the model. `estimate_log_partition` gives both directions. For a
        DBM u(x) is a lower bound itself.

        Args:
            x: array (n, *event).
            num_samples: chains of the estimate.
            num_temperatures: of the estimate.
            log_partition: log Z, where it is known: `exact_log_partition()` of a small RBM, or
                an estimate made before. None estimates it, with a base fitted to x.
            seed: integer.
            verbose: 1 for a progress bar.

        Returns:
            NumPy array (n,).
        """
        if log_partition is None:
            log_partition = self.estimate_log_partition(
                num_temperatures=num_temperatures,
                num_chains=num_samples,
                data=np.asarray(x),
                reverse=False,
                seed=seed,
                verbose=verbose,
            ).forward.log_partition
        return self.potential(x).astype("float64") - float(log_partition)
