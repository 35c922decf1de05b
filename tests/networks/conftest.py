import math

import keras
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(7)


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.fixture
def mixed_bfloat16():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


@pytest.fixture(autouse=True)
def quick_jax(monkeypatch):
    """Spares JAX what takes most of the time at these sizes: compiling, the initialisers above all.

    The initialisers keep what matters here: a scale, and equal numbers for an equal seed.
    """
    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    def draw(self, shape, dtype=None):
        numbers = np.random.default_rng([self.seed, *shape]).normal(size=shape)
        numbers /= math.sqrt(max(1, math.prod(shape[:-1])))
        return keras.ops.convert_to_tensor(numbers, dtype=dtype or keras.config.floatx())

    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", draw)
    monkeypatch.setattr(keras.initializers.RandomNormal, "__call__", draw)
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
