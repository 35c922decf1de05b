"""The one room that knows TensorFlow and JAX.

Everything else is written in `keras.ops`, TensorFlow Probability and the functions of this
package, which mean the same on both backends:

- `tfd`, `tfb`, `tfp_mcmc`: TFP's distributions, bijectors and MCMC kernels;
- `value_and_grad`, `value_and_input_grad`: gradients; `frozen`, `replaced`, `forgetting`: variables
  as constants, with other values, without lasting assignments;
- `as_seed`, `split_seed`, `fold_in`, `normal`, `uniform`, `bernoulli`, `categorical`,
  `gumbel`, `permutation`: stateless random numbers;
- `fori_loop`, `scan`: loops that compile once and can be differentiated;
- `fold_axes`, `unfold_axes`: leading axes as one, the way that devices divide it;
- `softplus`: with the cheapest gradient that the backend has;
- `join_processes`, `process_number`: several processes that train one model;
- `divided_by_rows`, `rows_over_devices`, `scatter_rows`, `whole`: tables that devices divide;
  `spread_rows`: draws that they divide;
- `compiled`: a function of the current weights, compiled;
- `Engine`: how `fit` and `evaluate` run a `train_step(self, data)` written once.
"""

import keras

_NAME = keras.backend.backend()

if _NAME == "tensorflow":
    from keras_dgm.backend import tensorflow as _implementation
elif _NAME == "jax":
    from keras_dgm.backend import jax as _implementation  # type: ignore[no-redef]
else:
    raise ValueError(
        f"keras_dgm runs on TensorFlow and JAX; the Keras backend of this process is {_NAME!r}. "
        "TensorFlow Probability, on which every density of this library rests, has no version for "
        "it. Set the environment variable KERAS_BACKEND to 'tensorflow' or 'jax' before the first "
        "import of keras."
    )

Engine = _implementation.Engine
as_seed = _implementation.as_seed
binary_dtype = _implementation.binary_dtype
compiled = _implementation.compiled
device_name = _implementation.device_name
divided_by_rows = _implementation.divided_by_rows
fast_jit = _implementation.fast_jit
fast_steps_per_execution = _implementation.fast_steps_per_execution
fold_axes = _implementation.fold_axes
fold_in = _implementation.fold_in
fori_loop = _implementation.fori_loop
join_processes = _implementation.join_processes
normal = _implementation.normal
num_replicas = _implementation.num_replicas
permutation = _implementation.permutation
process_number = _implementation.process_number
rows_over_devices = _implementation.rows_over_devices
scan = _implementation.scan
scatter_rows = _implementation.scatter_rows
softplus = _implementation.softplus
spread_rows = _implementation.spread_rows
split_seed = _implementation.split_seed
tfb = _implementation.tfb
tfd = _implementation.tfd
tfp_mcmc = _implementation.tfp_mcmc
unfold_axes = _implementation.unfold_axes
uniform = _implementation.uniform
value_and_grad = _implementation.value_and_grad
value_and_input_grad = _implementation.value_and_input_grad
whole = _implementation.whole

from keras_dgm.backend.random import bernoulli, categorical, gumbel  # noqa: E402
from keras_dgm.backend.scope import forgetting, frozen, replaced  # noqa: E402


def name():
    """The Keras backend of this process: `"tensorflow"` or `"jax"`."""
    return _NAME


__all__ = [
    "Engine",
    "as_seed",
    "bernoulli",
    "binary_dtype",
    "categorical",
    "compiled",
    "device_name",
    "divided_by_rows",
    "fast_jit",
    "fast_steps_per_execution",
    "fold_axes",
    "fold_in",
    "fori_loop",
    "forgetting",
    "frozen",
    "gumbel",
    "join_processes",
    "name",
    "normal",
    "num_replicas",
    "permutation",
    "process_number",
    "replaced",
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
