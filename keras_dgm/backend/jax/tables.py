"""Tables with a row for each training point or chain, divided among the devices by rows on JAX."""

import contextlib

import jax
import keras
import numpy as np
from jax.experimental import multihost_utils
from keras.distribution import DataParallel, TensorLayout

from keras_dgm.backend.jax.engine import num_replicas


class _ByRows(DataParallel):
    """Gives every variable the layout of a batch: its rows divided among the devices."""

    def get_variable_layout(self, variable):
        axes = [self.batch_dim_name, *[None] * (len(variable.shape) - 1)]
        return TensorLayout(axes, self.device_mesh)


def divided_by_rows():
    """A context: a variable made in it is divided by rows among the devices that share a batch.

    XLA then reads and writes rows where they lie, and what travels are the rows of a batch. The
    number of rows is one that the devices divide: see `rows_over_devices`.
    """
    distribution = keras.distribution.distribution()
    if distribution is None or not isinstance(distribution, DataParallel):
        return contextlib.nullcontext()
    return _ByRows(device_mesh=distribution.device_mesh).scope()


def rows_over_devices(num_rows):
    """The least number of rows, `num_rows` or more, that a divided table can have."""
    return -(-num_rows // num_replicas()) * num_replicas()


def scatter_rows(variable, index, rows):
    """Writes `rows` at row numbers `index` of a table held in a variable."""
    variable.assign(variable.value.at[index].set(rows.astype(variable.dtype)))


def whole(variable):
    """A variable as a NumPy array, on every process; all of them call it."""
    value = variable.value
    if isinstance(value, jax.Array) and not value.is_fully_addressable:
        if not value.is_fully_replicated:
            value = multihost_utils.process_allgather(value, tiled=True)
    return np.asarray(value)
