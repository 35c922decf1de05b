"""Exact sums over the states of a small Boltzmann machine, in NumPy float64."""

import numpy as np
from keras import ops

MAX_UNITS = 20
_ROWS = 2**14


def log_partition(machine):
    """log Z in nats, a float."""
    side = _small_side(machine)
    total = -np.inf
    for rows in _blocks(_units(machine, side)):
        total = np.logaddexp(total, np.logaddexp.reduce(_side_potential(machine, side, rows)))
    return float(total)


def sample(machine, num_samples, seed):
    """Exact draws: `(even layers, odd layers)`, lists of arrays (num_samples, units)."""
    rng = np.random.default_rng(seed)
    side = _small_side(machine)
    blocks = [_side_potential(machine, side, rows) for rows in _blocks(_units(machine, side))]
    values = np.concatenate(blocks)
    weights = np.exp(values - values.max())
    index = rng.choice(len(values), size=num_samples, p=weights / weights.sum())
    known = _split(machine, side, _bits(index, _units(machine, side)))
    inputs = _inputs(machine, side, known)
    other = []
    for number, value in enumerate(inputs):
        if side == 1 and number == 0 and machine.is_gaussian:
            other.append(value + machine.scale * rng.normal(size=value.shape))
        else:
            other.append((rng.random(value.shape) < _sigmoid(value)).astype("float64"))
    return (known, other) if side == 0 else (other, known)


def smoothed_logit(flat):
    """Logit of the mean of binary rows (n, units), with one half added to either count."""
    mean = (flat.sum(axis=0) + 0.5) / (len(flat) + 1.0)
    return np.log(mean) - np.log1p(-mean)


def _units(machine, side):
    return sum(machine.sizes[side::2])


def _small_side(machine):
    """0 to enumerate the even layers, 1 the odd ones."""
    even, odd = _units(machine, 0), _units(machine, 1)
    side = 1 if machine.is_gaussian or odd <= even else 0
    if _units(machine, side) > MAX_UNITS:
        what = "hidden units" if len(machine.sizes) == 2 else "units in the layers h1, h3, ..."
        also = "" if machine.is_gaussian else f" (or {MAX_UNITS} in the visibles and even layers)"
        raise ValueError(
            f"A machine with layers of {list(machine.sizes)} units has at least "
            f"2**{_units(machine, side)} states to sum over; {MAX_UNITS} {what}{also} are "
            "enumerated at most. For a larger machine estimate log Z by annealed importance "
            "sampling: keras_dgm.sampling.annealed_importance_sampling, or the algorithm's "
            "estimate_log_partition()."
        )
    return side


def _blocks(num_bits):
    for start in range(0, 2**num_bits, _ROWS):
        yield _bits(np.arange(start, min(start + _ROWS, 2**num_bits)), num_bits)


def _bits(numbers, num_bits):
    return ((numbers[:, None] >> np.arange(num_bits - 1, -1, -1)) & 1).astype("float64")


def _split(machine, side, rows):
    return np.split(rows, np.cumsum(machine.sizes[side::2])[:-1], axis=1)


def _inputs(machine, side, known):
    """Logits (means of Gaussian visibles) of the layers of the other side."""
    kernels = [_float64(machine.kernel_of(i)) for i in range(len(machine.sizes) - 1)]
    inputs = []
    for layer in range(1 - side, len(machine.sizes), 2):
        total = _float64(machine.bias_of(layer))
        if layer > 0:
            total = total + known[(layer - 1 - side) // 2] @ kernels[layer - 1]
        if layer + 1 < len(machine.sizes):
            total = total + known[(layer + 1 - side) // 2] @ kernels[layer].T
        inputs.append(total)
    return inputs


def _side_potential(machine, side, rows):
    """The potential of one side's layers, the other side's summed out, (n,)."""
    known = _split(machine, side, rows)
    total = np.zeros(len(rows))
    for value, layer in zip(known, range(side, len(machine.sizes), 2)):
        total += value @ _float64(machine.bias_of(layer))
    for number, value in enumerate(_inputs(machine, side, known)):
        if side == 1 and number == 0 and machine.is_gaussian:
            # The integral of exp(-|v - b|^2 / 2 s^2 + v (value - b) / s^2).
            bias = _float64(machine.bias_of(0))
            variance = machine.scale**2
            total += np.sum(value**2 - bias**2, axis=1) / (2.0 * variance)
            total += 0.5 * machine.sizes[0] * np.log(2.0 * np.pi * variance)
        else:
            total += np.sum(np.logaddexp(0.0, value), axis=1)
    return total


def _float64(tensor):
    return ops.convert_to_numpy(tensor).astype("float64")


def _sigmoid(x):
    return 0.5 * (1.0 + np.tanh(0.5 * x))
