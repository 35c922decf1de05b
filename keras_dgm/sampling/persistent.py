"""Chains that go on from step to step of learning."""

from keras import ops, tree

from keras_dgm import backend
from keras_dgm.sampling.base import check_count


class PersistentChains:
    """States of chains kept from one step of learning to the next, in files and backups too.

    With `buffer_size` above `num_chains` this is a replay buffer: each step goes on with
    `num_chains` states drawn from it without replacement, and puts them back. A share
    `reset_fraction` of them begins anew each step, which brings chains to modes that none has
    reached (and makes the estimate lean towards where chains begin).

    Args:
        num_chains: chains that run in a step.
        buffer_size: states kept, `num_chains` by default: every chain runs in every step.
        reset_fraction: probability, for each chain and step, to begin anew, in [0, 1).
    """

    def __init__(self, num_chains=100, buffer_size=None, reset_fraction=0.0):
        self.num_chains = check_count("num_chains", num_chains)
        self.buffer_size = check_count("buffer_size", buffer_size or num_chains)
        if self.buffer_size < self.num_chains:
            raise ValueError(
                f"The buffer holds {self.buffer_size} states and {self.num_chains} chains run in "
                "a step; `buffer_size` must be `num_chains` or more."
            )
        if not 0.0 <= float(reset_fraction) < 1.0:
            raise ValueError(
                f"`reset_fraction` lies in [0, 1); received {reset_fraction!r}. Chains that all "
                "begin anew are not persistent: use ContrastiveDivergence(start='noise')."
            )
        self.reset_fraction = float(reset_fraction)

    def create(self, add_state, model, sampler, seed):
        """Makes the variables, at first states of fresh chains.

        Args:
            add_state: `algorithm.add_learning_state`.
            model: gives `initial_state`.
            sampler: says what is kept of a chain.
            seed: integer.
        """
        self.model, self.sampler = model, sampler
        first = sampler.expand(model.initial_state(self.buffer_size, backend.as_seed(seed)))
        self._structure = first
        # Devices divide chains as they divide tables, where that leaves none over.
        divided = backend.rows_over_devices(self.buffer_size) == self.buffer_size
        self.variables = [
            add_state(f"chains_{i}", tuple(part.shape), "float32", _constant(part), by_rows=divided)
            for i, part in enumerate(tree.flatten(first))
        ]

    def draw(self, seed):
        """`(rows, memory)`: which chains run in this step, and where they stand."""
        choice, coin, fresh = backend.split_seed(seed, 3)
        if self.buffer_size == self.num_chains:
            rows = ops.arange(self.num_chains, dtype="int32")
            parts = [ops.convert_to_tensor(variable) for variable in self.variables]
        else:
            rows = backend.permutation(self.buffer_size, choice)[: self.num_chains]
            parts = [ops.take(variable, rows, axis=0) for variable in self.variables]
        memory = tree.pack_sequence_as(self._structure, parts)
        if self.reset_fraction:
            reset = backend.uniform((self.num_chains,), coin) < self.reset_fraction
            new = self.sampler.expand(self.model.initial_state(self.num_chains, fresh))

            def choose(new, old):
                return ops.where(ops.reshape(reset, (-1, *[1] * (len(old.shape) - 1))), new, old)

            memory = tree.map_structure(choose, new, memory)
        return rows, memory

    def advance(self, target, seed, num_steps=None):
        """Runs this step's chains and stores where they come to.

        Returns:
            A `SamplingResult` with the states at p.
        """
        first, second = backend.split_seed(seed, 2)
        rows, memory = self.draw(first)
        carry = self.sampler.resume(target, memory)
        result, carry = self.sampler.run(target, carry, second, num_steps)
        self.store(rows, self.sampler.memory(carry))
        return result

    def store(self, rows, memory):
        """Puts states back where `draw` took them."""
        for variable, part in zip(self.variables, tree.flatten(memory)):
            if self.buffer_size == self.num_chains:
                variable.assign(part)
            else:
                backend.scatter_rows(variable, rows, part)


def _constant(value):
    return lambda shape, dtype: ops.cast(value, dtype)
