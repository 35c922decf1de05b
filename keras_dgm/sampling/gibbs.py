"""Block Gibbs sampling."""

import keras
from keras import ops, tree

from keras_dgm.sampling.base import Sampler, row_norm


@keras.saving.register_keras_serializable(package="keras_dgm")
class BlockGibbs(Sampler):
    """Block Gibbs sampling of an RBM or a DBM: v -> h -> v', each block drawn at once.

    Exact: it leaves p unchanged (Bachman & Precup 2015, section 5.4). The target gives the move,
    `gibbs_step(state, seed)`.

    Cost per step: two products with each weight matrix.

    Statistics: `acceptance` (1, nothing is refused), `step_norm` (mean |v' - v|, the root of the
    number of bits that changed).

    Args:
        num_steps: steps of a call.
    """

    is_exact = True
    statistics = ("acceptance", "step_norm")

    def initialize(self, target, state):
        if not hasattr(target, "gibbs_step"):
            raise ValueError(
                f"Block Gibbs sampling needs a target with `gibbs_step` (an RBM, a DBM); "
                f"received {type(target).__name__}. For a RandomField use Langevin, MALA, SGHMC "
                "or HMC."
            )
        return {"state": state}

    def step(self, target, carry, seed):
        """One step of every chain."""
        state = carry["state"]
        new = target.gibbs_step(state, seed)
        move = tree.map_structure(lambda a, b: a - b, new, state)
        return {"state": new}, {
            "acceptance": ops.ones((), "float32"),
            "step_norm": ops.mean(row_norm(move)),
        }
