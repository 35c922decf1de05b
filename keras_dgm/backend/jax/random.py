"""Stateless random numbers on JAX. A seed is a raw key, a uint32 array of shape (2,)."""

import jax
import jax.numpy as jnp
import numpy as np


def as_seed(seed):
    """Turns an integer or a pair of integers into a seed."""
    if isinstance(seed, (int, np.integer)):
        value = [int(seed) & 0xFFFFFFFF, (int(seed) >> 32) & 0xFFFFFFFF]
        return jnp.array(np.array(value, np.uint32))
    return jnp.asarray(seed).astype(jnp.uint32)


def split_seed(seed, num):
    """Returns `num` independent seeds, as a list."""
    return list(jax.random.split(as_seed(seed), num))


def fold_in(seed, data):
    """A seed made of a seed and an integer (a traced value will do)."""
    return jax.random.fold_in(as_seed(seed), data)


def normal(shape, seed, dtype="float32"):
    """Standard normal draws."""
    return jax.random.normal(as_seed(seed), tuple(shape), dtype=dtype)


def uniform(shape, seed, minval=0.0, maxval=1.0, dtype="float32"):
    """Uniform draws in [minval, maxval)."""
    return jax.random.uniform(as_seed(seed), tuple(shape), dtype, minval, maxval)


def permutation(num, seed):
    """A random order of 0 .. num - 1, int32."""
    return jax.random.permutation(as_seed(seed), num).astype(jnp.int32)
