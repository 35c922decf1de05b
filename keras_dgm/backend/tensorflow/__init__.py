"""The TensorFlow half of `keras_dgm.backend`."""

import tensorflow as tf
import tensorflow_probability as tfp

from keras_dgm.backend.tensorflow.engine import (
    Engine,
    binary_dtype,
    compiled,
    device_name,
    fast_jit,
    fast_steps_per_execution,
    num_replicas,
)
from keras_dgm.backend.tensorflow.functions import fold_axes, unfold_axes
from keras_dgm.backend.tensorflow.gradients import (
    fori_loop,
    scan,
    value_and_grad,
    value_and_input_grad,
)
from keras_dgm.backend.tensorflow.processes import join_processes, process_number
from keras_dgm.backend.tensorflow.random import (
    as_seed,
    fold_in,
    normal,
    permutation,
    split_seed,
    uniform,
)
from keras_dgm.backend.tensorflow.tables import (
    divided_by_rows,
    rows_over_devices,
    scatter_rows,
    spread_rows,
    whole,
)

tfd = tfp.distributions
tfb = tfp.bijectors
tfp_mcmc = tfp.mcmc
softplus = tf.nn.softplus

__all__ = [
    "Engine",
    "as_seed",
    "binary_dtype",
    "compiled",
    "device_name",
    "divided_by_rows",
    "fast_jit",
    "fast_steps_per_execution",
    "fold_axes",
    "fold_in",
    "fori_loop",
    "join_processes",
    "normal",
    "num_replicas",
    "permutation",
    "process_number",
    "rows_over_devices",
    "scan",
    "scatter_rows",
    "softplus",
    "split_seed",
    "spread_rows",
    "tfb",
    "tfd",
    "tfp_mcmc",
    "unfold_axes",
    "uniform",
    "value_and_grad",
    "value_and_input_grad",
    "whole",
]
