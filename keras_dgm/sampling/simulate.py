"""Running a sampler from outside: compiled, NumPy in and out, with a bar on long runs."""

import keras
import numpy as np
from keras import ops, tree

from keras_dgm import backend
from keras_dgm.sampling.base import SamplingResult, check_count

_BAR_PIECES = 50
_CACHE = "_sampling_programs"


def simulate(sampler, target, state, seed=0, num_steps=None, trace=False, verbose=0):
    """Runs chains of a sampler from given states.

    ```python
    field = RandomField(network, event_shape=(2,))
    result = simulate(MALA(step_size=0.1), field, np.zeros((100, 2)), num_steps=1000, verbose=1)
    result.state, result.statistics["acceptance"]
    ```

    Args:
        sampler: one of `keras_dgm.sampling`.
        target: a model with `potential`, a callable from states (batch, ...) to potentials
            (batch,) in `keras.ops`, or a `GradientField`.
        state: the chains' first states, an array (batch, ...) or a tuple of such.
        seed: integer; the same seed gives the same chains.
        num_steps: steps, the sampler's own number by default.
        trace: whether to keep every state.
        verbose: 1 for a progress bar.

    Returns:
        A `SamplingResult` of NumPy arrays and floats.

    Raises:
        ValueError: a chain's state is no longer finite, with the step at which it was noticed.
    """
    num_steps = check_count("num_steps", num_steps or sampler.num_steps)
    pieces = min(_BAR_PIECES, num_steps) if verbose else 1
    length = -(-num_steps // pieces)
    state = tree.map_structure(lambda x: ops.cast(ops.convert_to_tensor(x), "float32"), state)
    key = backend.as_seed(seed)
    start = compile_for(
        target, ("start", _identity(sampler)), lambda s: sampler.initialize(target, s)
    )
    carry = start(state)
    bar = keras.utils.Progbar(num_steps, verbose=verbose, unit_name="step")
    means, traces, done = {}, [], 0
    while done < num_steps:
        count = min(length, num_steps - done)

        def advance(carry, seed, count=count):
            return sampler.run(target, carry, seed, count, trace)

        program = compile_for(target, (_identity(sampler), count, trace), advance)
        result, carry = program(carry, backend.fold_in(key, done))
        done += count
        for name, value in result.statistics.items():
            value = float(ops.convert_to_numpy(value))
            last = name == "chain_norm"
            means[name] = value if last else means.get(name, 0.0) + value * count / num_steps
        if not np.isfinite(means["chain_norm"]):
            raise ValueError(
                f"A chain of {type(sampler).__name__} is not finite after {done} steps: lower "
                "the step size, or clip the gradients (clip_gradient=)."
            )
        if trace:
            traces.append(tree.map_structure(ops.convert_to_numpy, result.trace))
        bar.update(done)
    states = None
    if trace:
        states = tree.map_structure(lambda *parts: np.concatenate(parts), *traces)
    return SamplingResult(tree.map_structure(ops.convert_to_numpy, result.state), means, states)


def compile_for(owner, key, fn, layers=()):
    """`fn` compiled once for an owner under this key.

    Args:
        owner: a layer, a function or an object, which keeps the program.
        key: what identifies `fn` among the owner's.
        fn: function of tensors; it may read the weights of the owner and of `layers`.
        layers: Keras layers.
    """
    weights = _Weights([layer for layer in (owner, *layers) if hasattr(layer, "variables")])
    # Written past Keras' attribute tracking, which has no use for programs.
    programs = getattr(owner, "__dict__", {}).setdefault(_CACHE, {})
    if key not in programs:
        programs[key] = backend.compiled(weights, fn)
    return programs[key]


class _Weights:
    """What `backend.compiled` reads of a layer, for several at once."""

    def __init__(self, layers):
        self.layers = layers

    @property
    def variables(self):
        return [variable for layer in self.layers for variable in layer.variables]


def _identity(sampler):
    """What tells samplers apart: kind and settings."""
    return f"{type(sampler).__name__} {sampler.get_config()!r}"
