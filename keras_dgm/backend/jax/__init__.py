"""The JAX half of `keras_dgm.backend`."""

import jax
from jax.interpreters import xla

# TFP 0.25 looks for this name at its old place; JAX has moved it.
if not hasattr(xla, "pytype_aval_mappings"):
    xla.pytype_aval_mappings = jax._src.core.pytype_aval_mappings

import tensorflow_probability.substrates.jax as tfp  # noqa: E402

from keras_dgm.backend.jax.engine import (  # noqa: E402
    Engine,
    binary_dtype,
    compiled,
    device_name,
    fast_jit,
    fast_steps_per_execution,
    num_replicas,
    spread_rows,
)
from keras_dgm.backend.jax.functions import fold_axes, softplus, unfold_axes  # noqa: E402
from keras_dgm.backend.jax.gradients import (  # noqa: E402
    fori_loop,
    scan,
    value_and_grad,
    value_and_input_grad,
)
from keras_dgm.backend.jax.processes import join_processes, process_number  # noqa: E402
from keras_dgm.backend.jax.random import (  # noqa: E402
    as_seed,
    fold_in,
    normal,
    permutation,
    split_seed,
    uniform,
)
from keras_dgm.backend.jax.tables import (  # noqa: E402
    divided_by_rows,
    rows_over_devices,
    scatter_rows,
    whole,
)

tfd = tfp.distributions
tfb = tfp.bijectors
tfp_mcmc = tfp.mcmc

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
