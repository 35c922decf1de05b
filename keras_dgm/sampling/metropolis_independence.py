"""The Metropolis independence sampler: all proposals at once, then a walk over their numbers."""

import keras
from keras import ops, tree

from keras_dgm import backend
from keras_dgm.sampling.base import SamplingResult, check_count


def independence_walk(start, proposed, seed):
    """The states that independence chains visit, as numbers of proposals made beforehand.

    Proposals do not depend on the state, so their weights w = target / proposal are computed in
    one batch and what is sequential is a comparison of numbers. One try a move: accept h' with
    probability min(1, w(h') / w(h)) (Ou 2019, section 3.2.3). R tries a move: pick j out of R
    proposals in proportion to w, accept with min(1, W / (W - w_j + w)), W the R weights' sum (Liu
    2001, multiple-try independence sampler). Both leave the target unchanged.

    Args:
        start: (batch,), log w of the first states, of the weights that the proposals' have too: a
            log w kept from earlier parameters has another target.
        proposed: (num_moves, batch), log w of the proposals; or (num_moves, num_tries, batch).
        seed: integer or seed tensor.

    Returns:
        `(visited, accepted)`, both (num_moves, batch). `visited[t]` (int32) numbers the state held
        after move t: 0 is the first state, 1 + t' * num_tries + j is try j of move t'. A move
        that was refused holds the number of the one before. `accepted` is boolean.
    """
    choice_seed, accept_seed = backend.split_seed(backend.as_seed(seed), 2)
    num_moves = proposed.shape[0]
    numbers = 1 + ops.arange(num_moves, dtype="int32")[:, None]
    total = picked = proposed
    others = None
    if len(proposed.shape) == 3:
        num_tries = proposed.shape[1]
        gumbel = backend.gumbel(ops.shape(proposed), choice_seed)
        chosen = ops.cast(ops.argmax(proposed + gumbel, axis=1), "int32")
        is_chosen = ops.arange(num_tries, dtype="int32")[:, None] == chosen[:, None, :]
        total = ops.logsumexp(proposed, axis=1)
        picked = ops.take_along_axis(proposed, chosen[:, None, :], axis=1)[:, 0]
        others = ops.logsumexp(ops.where(is_chosen, -float("inf"), proposed), axis=1)
        numbers = 1 + num_tries * (numbers - 1) + chosen
    numbers = ops.broadcast_to(numbers, ops.shape(total))
    log_uniform = ops.log(backend.uniform(ops.shape(total), accept_seed))

    def move(t, carry):
        held, number = carry
        against = held
        if others is not None:
            against = ops.logsumexp(ops.stack([others[t], held]), axis=0)
        accept = log_uniform[t] < total[t] - against
        held = ops.where(accept, picked[t], held)
        number = ops.where(accept, numbers[t], number)
        return (held, number), (number, accept)

    zeros = ops.zeros(ops.shape(start), dtype="int32")
    _, (visited, accepted) = backend.scan(move, (start, zeros), num_moves)
    return visited, accepted


def times_visited(visited, num_states):
    """How often each state was visited: (num_moves, batch) to (num_states, batch), float32."""
    numbers = ops.arange(num_states, dtype="int32")[:, None, None]
    return ops.sum(ops.cast(visited[None] == numbers, "float32"), axis=1)


@keras.saving.register_keras_serializable(package="keras_dgm")
class MetropolisIndependence:
    """Metropolis independence sampling of any target with a proposal that can be drawn from.

    Args:
        num_steps: moves of a call of `sample`.
        num_tries: proposals a move; see `independence_walk`.
    """

    is_exact = True
    statistics = ("acceptance",)

    def __init__(self, num_steps=1, num_tries=1):
        self.num_steps = check_count("num_steps", num_steps)
        self.num_tries = check_count("num_tries", num_tries)

    def sample(self, propose, log_weight, state, seed, trace=False):
        """Runs the chains; for use inside a compiled program.

        Args:
            propose: callable (num, seed) -> states (num, batch, ...), independent draws of the
                proposal for each chain.
            log_weight: callable on states (num, batch, ...) -> (num, batch), log target - log
                proposal up to a constant of each chain.
            state: first states (batch, ...), or a tuple of such.
            seed: integer or seed tensor.
            trace: whether to give the states after every move.

        Returns:
            A `SamplingResult`, `acceptance` its statistic.
        """
        first, second = backend.split_seed(backend.as_seed(seed), 2)
        drawn = propose(self.num_steps * self.num_tries, first)
        states = tree.map_structure(
            lambda a, b: ops.concatenate([ops.cast(a, b.dtype)[None], b]), state, drawn
        )
        log_weights = log_weight(states)
        proposed = log_weights[1:]
        if self.num_tries > 1:
            shape = (self.num_steps, self.num_tries, *ops.shape(log_weights)[1:])
            proposed = ops.reshape(proposed, shape)
        visited, accepted = independence_walk(log_weights[0], proposed, second)
        statistics = {"acceptance": ops.mean(ops.cast(accepted, "float32"))}
        path = (
            tree.map_structure(lambda part: take_states(part, visited), states) if trace else None
        )
        last = tree.map_structure(lambda part: take_states(part, visited[-1:])[0], states)
        return SamplingResult(last, statistics, path)

    def get_config(self):
        """Arguments of the constructor."""
        return {"num_steps": self.num_steps, "num_tries": self.num_tries}

    @classmethod
    def from_config(cls, config):
        """The sampler of a config."""
        return cls(**config)


def take_states(states, numbers):
    """The states of these numbers: (num, batch, ...) and (m, batch) to (m, batch, ...)."""
    index = ops.reshape(numbers, (*ops.shape(numbers), *([1] * (len(states.shape) - 2))))
    index = ops.broadcast_to(index, (*ops.shape(numbers), *ops.shape(states)[2:]))
    return ops.take_along_axis(states, index, axis=0)
