"""Reading variables through a stop-gradient, or with other values in their place."""

import contextlib

import keras
from keras import ops


class _InnerScope(keras.StatelessScope):
    """A scope that continues the one around it and remembers which variables were assigned."""

    def __init__(self, pairs):
        super().__init__()
        outer = keras.src.backend.common.stateless_scope.get_stateless_scope()
        if outer is not None:
            self.state_mapping.update(outer.state_mapping)
        for variable, value in pairs:
            self.state_mapping[id(variable)] = value
        self.assigned = {}

    def add_update(self, update):
        super().add_update(update)
        variable, value = update
        self.assigned[id(variable)] = (variable, value)

    def hand_over(self):
        """Assigns in the scope around what was assigned in this one."""
        for variable, value in self.assigned.values():
            variable.assign(value)


@contextlib.contextmanager
def frozen(variables):
    """Within this context the variables are constants to every gradient.

    What is computed still depends on their values, and gradients still flow through the inputs
    of the layers that own them: a critic held fixed while its input is moved, or q(h|x) with its
    parameters stopped while h is not. Assignments made inside (batch statistics) take effect.

    Args:
        variables: Keras variables, for instance `layer.variables`.
    """
    pairs = [(variable, ops.stop_gradient(variable.value)) for variable in variables]
    with _InnerScope(pairs) as scope:
        yield
    scope.hand_over()


@contextlib.contextmanager
def replaced(variables, values):
    """Within this context the variables have these values; gradients flow to the values.

    Assignments made inside are forgotten.

    Args:
        variables: Keras variables.
        values: as many tensors (or variables), of their shapes.
    """
    pairs = [
        (variable, ops.cast(ops.convert_to_tensor(value), variable.dtype))
        for variable, value in zip(variables, values, strict=True)
    ]
    with _InnerScope(pairs):
        yield


@contextlib.contextmanager
def forgetting():
    """Assignments made inside this context are forgotten: a look, not a step.

    A player that runs another's network in training mode leaves that network's batch statistics
    and power iterations as they were.
    """
    with _InnerScope([]):
        yield
