"""Reading variables through a stop-gradient."""

import contextlib

import keras
from keras import ops


class _FrozenScope(keras.StatelessScope):
    """A scope that continues the one around it and remembers which variables were assigned."""

    def __init__(self, frozen):
        super().__init__()
        outer = keras.src.backend.common.stateless_scope.get_stateless_scope()
        if outer is not None:
            self.state_mapping.update(outer.state_mapping)
        for variable in frozen:
            self.state_mapping[id(variable)] = ops.stop_gradient(variable.value)
        self.assigned = {}

    def add_update(self, update):
        super().add_update(update)
        variable, value = update
        self.assigned[id(variable)] = (variable, value)


@contextlib.contextmanager
def frozen(variables):
    """Within this context the variables are constants to every gradient.

    What is computed still depends on their values, and gradients still flow through the inputs
    of the layers that own them: a critic held fixed while its input is moved, or q(h|x) with its
    parameters stopped while h is not. Assignments made inside (batch statistics) take effect.

    Args:
        variables: Keras variables, for instance `layer.variables`.
    """
    with _FrozenScope(list(variables)) as scope:
        yield
    for variable, value in scope.assigned.values():
        variable.assign(value)
