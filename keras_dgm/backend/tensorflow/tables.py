"""Tables with a row for each training point or chain: a whole copy in each TensorFlow replica."""

import contextlib

import keras
import tensorflow as tf
from keras.src.backend.common.stateless_scope import in_stateless_scope


def divided_by_rows():
    """A context: nothing is divided on TensorFlow, whose replicas keep whole copies."""
    return contextlib.nullcontext()


def rows_over_devices(num_rows):
    """The number of rows that a table has: `num_rows`, as none is divided."""
    return num_rows


def scatter_rows(variable, index, rows):
    """Writes `rows` at row numbers `index` of a table held in a variable."""
    context = tf.distribute.get_replica_context()
    if context is not None and context.num_replicas_in_sync > 1:
        # Small integers and truth values cannot be gathered.
        rows = rows if rows.dtype.is_floating else tf.cast(rows, "int32")
        index = context.all_gather(index, axis=0)
        rows = context.all_gather(rows, axis=0)
    rows = tf.cast(rows, variable.dtype)
    if in_stateless_scope():
        # What is assigned here is to be forgotten: the table itself must not be touched.
        variable.assign(tf.tensor_scatter_nd_update(variable.value, index[:, None], rows))
    else:
        variable.value.scatter_update(tf.IndexedSlices(rows, index))


def spread_rows(tensor):
    """The tensor: each replica draws as many rows as it was given of the batch."""
    return tensor


def whole(variable):
    """A variable as a NumPy array."""
    return keras.ops.convert_to_numpy(variable.value)
