"""Parallel tempering of Boltzmann machines."""

import keras
import numpy as np
from keras import ops, tree

from keras_dgm import backend
from keras_dgm.sampling.base import Sampler, row_norm


@keras.saving.register_keras_serializable(package="keras_dgm")
class ParallelTempering(Sampler):
    """Parallel tempering of an RBM or a DBM (Desjardins et al. 2010): a ladder of temperatures.

    Each chain is a ladder of replicas at inverse temperatures 0 = beta_1 < ... < beta_T = 1, all
    moved by block Gibbs sampling; then neighbours i, i + 1 (i even or odd, by a coin) exchange
    their states with probability

        min(1, exp[u_i(x_{i+1}) + u_{i+1}(x_i) - u_i(x_i) - u_{i+1}(x_{i+1})]).

    Exact: the product of the p_beta is left unchanged, and the replica at beta = 1 is the sample.
    The hot replicas, which cross between modes at ease, hand their states down.

    Cost per step: T times a Gibbs step's, and T products for the exchanges.

    Statistics: `acceptance` (of the exchanges tried), `step_norm` (mean |v' - v| of the replica
    at beta = 1).

    Args:
        num_temperatures: T, evenly spaced in beta; or
        betas: the inverse temperatures, rising from 0 or more to 1.
        num_steps: steps of a call.
    """

    is_exact = True
    statistics = ("acceptance", "step_norm")

    def __init__(self, num_temperatures=10, betas=None, num_steps=1):
        super().__init__(num_steps)
        if betas is None:
            if int(num_temperatures) < 2:
                raise ValueError(
                    f"Tempering needs 2 temperatures at least; received {num_temperatures!r}."
                )
            betas = np.linspace(0.0, 1.0, int(num_temperatures))
        betas = np.asarray(betas, "float32").reshape(-1)
        rises = len(betas) >= 2 and np.all(np.diff(betas) > 0.0)
        if not rises or betas[0] < 0.0 or betas[-1] != 1.0:
            raise ValueError(
                "`betas` are inverse temperatures that rise from 0 or more to 1, two at least; "
                f"received {betas.tolist()}."
            )
        self.betas = betas

    def expand(self, state):
        """Ladders (batch, T, ...) whose replicas all start at the state."""
        size = len(self.betas)
        return tree.map_structure(lambda x: ops.repeat(x[:, None], size, axis=1), state)

    def initialize(self, target, state):
        return self.resume(target, self.expand(state))

    def resume(self, target, memory):
        if not hasattr(target, "tempered"):
            raise ValueError(
                "Parallel tempering needs a target with `tempered(beta)` (an RBM, a DBM); "
                f"received {type(target).__name__}."
            )
        return {"state": _coldest(memory), "ladder": memory}

    def memory(self, carry):
        return carry["ladder"]

    def step(self, target, carry, seed):
        """A Gibbs step of every replica, and one round of exchanges."""
        moving, coin, exchange = backend.split_seed(seed, 3)
        betas = self.betas
        ladder = target.tempered(betas[:, None]).gibbs_step(carry["ladder"], moving)
        own = target.tempered(betas[:, None]).potential(ladder)
        colder = np.append(betas[1:], betas[-1])
        hotter = np.insert(betas[:-1], 0, betas[0])
        up = target.tempered(colder[:, None]).potential(ladder)
        down = target.tempered(hotter[:, None]).potential(ladder)
        ratio = up[:, :-1] + down[:, 1:] - own[:, :-1] - own[:, 1:]
        parity = ops.cast(backend.uniform((), coin) < 0.5, "int32")
        tried = ops.arange(len(betas) - 1, dtype="int32") % 2 == parity
        lucky = ops.log(backend.uniform(ops.shape(ratio), exchange)) < ratio
        accept = ops.cast(ops.logical_and(lucky, tried[None]), "int32")
        nothing = ops.zeros_like(accept[:, :1])
        source = ops.arange(len(betas), dtype="int32")[None]
        source = source + ops.concatenate([accept, nothing], axis=1)
        source = source - ops.concatenate([nothing, accept], axis=1)
        ladder = tree.map_structure(lambda x: _reorder(x, source), ladder)
        state = _coldest(ladder)
        move = tree.map_structure(lambda a, b: a - b, state, carry["state"])
        attempts = ops.cast(ops.shape(accept)[0] * ops.sum(ops.cast(tried, "int32")), "float32")
        exchanged = ops.cast(ops.sum(accept), "float32")
        return {"state": state, "ladder": ladder}, {
            "acceptance": exchanged / ops.maximum(attempts, 1.0),
            "step_norm": ops.mean(row_norm(move)),
        }

    def get_config(self):
        return {**super().get_config(), "betas": self.betas.tolist()}


def _coldest(ladder):
    return tree.map_structure(lambda x: x[:, -1], ladder)


def _reorder(x, source):
    """Takes replica `source[n, t]` to place t of ladder n."""
    index = ops.reshape(source, (*ops.shape(source), *[1] * (len(x.shape) - 2)))
    return ops.take_along_axis(x, index, axis=1)
