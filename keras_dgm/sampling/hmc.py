"""Hamiltonian Monte Carlo."""

import keras
from keras import ops, tree

from keras_dgm import backend
from keras_dgm.sampling.base import (
    Sampler,
    check_count,
    check_positive,
    potential_of,
    row_norm,
)


@keras.saving.register_keras_serializable(package="keras_dgm")
class HMC(Sampler):
    """Hamiltonian Monte Carlo by TensorFlow Probability's kernel; exact at any step size.

    Cost per step: `num_leapfrog_steps` passes and input gradients of the network.

    Statistics: `acceptance`, `step_norm` (mean |x' - x|, refused moves counting as 0).

    Args:
        step_size: of the leapfrog integrator, positive, or a tuple with one for each part.
        num_leapfrog_steps: leapfrog steps between two tests of acceptance.
        num_steps: steps (tests of acceptance) of a call.
    """

    is_exact = True
    statistics = ("acceptance", "step_norm")

    def __init__(self, step_size=0.1, num_leapfrog_steps=5, num_steps=10):
        super().__init__(num_steps)
        self.step_size = check_positive("step_size", step_size)
        self.num_leapfrog_steps = check_count("num_leapfrog_steps", num_leapfrog_steps)

    def _kernel(self, target, state):
        potential = potential_of(target)

        def log_prob(*parts):
            return potential(tree.pack_sequence_as(state, list(parts)))

        step = list(self.step_size) if isinstance(self.step_size, tuple) else self.step_size
        return backend.tfp_mcmc.HamiltonianMonteCarlo(
            log_prob, step_size=step, num_leapfrog_steps=self.num_leapfrog_steps
        )

    def initialize(self, target, state):
        """The states with TFP's results: potentials and gradients of the target there."""
        results = self._kernel(target, state).bootstrap_results(_given(state))
        return {"state": state, "results": results}

    def step(self, target, carry, seed):
        """One trajectory for every chain."""
        state = carry["state"]
        kernel = self._kernel(target, state)
        new, results = kernel.one_step(_given(state), carry["results"], seed=seed)
        new = tree.pack_sequence_as(state, list(new) if isinstance(new, list) else [new])
        move = tree.map_structure(lambda a, b: a - b, new, state)
        return {"state": new, "results": results}, {
            "acceptance": ops.mean(ops.cast(results.is_accepted, "float32")),
            "step_norm": ops.mean(row_norm(move)),
        }

    def get_config(self):
        return {
            **super().get_config(),
            "step_size": self.step_size,
            "num_leapfrog_steps": self.num_leapfrog_steps,
        }


def _given(state):
    """The state as TFP takes it: a tensor, or a list of parts."""
    parts = tree.flatten(state)
    return parts if len(parts) > 1 else parts[0]
