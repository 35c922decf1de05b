"""How many latent units carry information about x."""

import keras
from keras import ops

THRESHOLD = 0.01


class ActiveUnits(keras.metrics.Metric):
    """Units whose posterior mean varies over the data: Var_x E_q[h | x] > 0.01.

    Args:
        shape: event shape of h.
    """

    def __init__(self, shape, name="active_units", **kwargs):
        super().__init__(name=name, **kwargs)
        self.sums = self.add_variable((2, *shape), "zeros", dtype="float32", name="sums")
        self.rows = self.add_variable((), "zeros", dtype="float32", name="rows")

    def update_state(self, means):
        """Adds posterior means, shape (batch, *event)."""
        means = ops.cast(means, "float32")
        both = ops.stack([ops.sum(means, axis=0), ops.sum(means * means, axis=0)])
        self.sums.assign(self.sums + both)
        self.rows.assign(self.rows + ops.cast(ops.shape(means)[0], "float32"))

    def result(self):
        """Number of active units so far."""
        rows = ops.maximum(ops.convert_to_tensor(self.rows), 1.0)
        sums = ops.convert_to_tensor(self.sums) / rows
        variance = sums[1] - sums[0] * sums[0]
        return ops.sum(ops.cast(variance > THRESHOLD, "float32"))

    def reset_state(self):
        for variable in self.variables:
            variable.assign(ops.zeros(variable.shape, variable.dtype))
