"""An exponential moving average of a player's weights, kept with the learning state."""

import contextlib

from keras import ops

from keras_dgm import backend


class MovingAverage:
    """average <- d average + (1 - d) weights after each of the player's moves.

    d is `decay`, or (1 + t) / (10 + t) at move t while that is smaller, so that the start of
    training is forgotten. Statistics (batch normalisation) and power iterations are not averaged:
    the network's own serve both.

    Args:
        algorithm: holds the averages as learning state, so that files and resumes have them.
        variables: what is averaged.
        decay: in (0, 1).
    """

    def __init__(self, algorithm, variables, decay):
        if not 0.0 < float(decay) < 1.0:
            raise ValueError(
                f"`ema_decay` lies between 0 and 1 (0.999 say) or is None; received {decay!r}."
            )
        self.decay = float(decay)
        self._variables = tuple(variables)
        self._moves = algorithm.add_learning_state("average_moves", ())
        self._averages = tuple(
            algorithm.add_learning_state(
                f"average_{number}", variable.shape, variable.dtype, _copy_of(variable)
            )
            for number, variable in enumerate(self._variables)
        )

    @property
    def averages(self):
        """The averaged weights, in the order of the player's variables."""
        return self._averages

    def update(self):
        """After a move of the player."""
        moves = ops.convert_to_tensor(self._moves)
        decay = ops.minimum(self.decay, (1.0 + moves) / (10.0 + moves))
        self._moves.assign(moves + 1.0)
        for variable, average in zip(self._variables, self._averages):
            value = ops.convert_to_tensor(average)
            share = ops.cast(1.0 - decay, value.dtype)
            average.assign(value + share * (ops.convert_to_tensor(variable) - value))

    def restart(self):
        """The averages become the weights."""
        self._moves.assign(0.0)
        for variable, average in zip(self._variables, self._averages):
            average.assign(ops.copy(variable.value))

    def write_to_weights(self):
        """The weights become the averages."""
        for variable, average in zip(self._variables, self._averages):
            variable.assign(ops.copy(average.value))

    @contextlib.contextmanager
    def in_place(self):
        """Within this context the network computes with the averages."""
        with backend.replaced(self._variables, self._averages):
            yield


def _copy_of(variable):
    return lambda shape, dtype: ops.cast(ops.copy(variable.value), dtype)
