import numpy as np
import pytest
from keras import layers, ops

from keras_dgm.networks import WeightNormalization
from tests.networks.helpers import (
    as_array,
    check_round_trip,
    compiled_call,
    weight_gradients,
    wrapping_model,
)

_RNG = np.random.default_rng(1)
IMAGE = _RNG.normal(size=(2, 6, 6, 3)).astype("float32")
VECTOR = _RNG.normal(size=(4, 6)).astype("float32")

CASES = {
    "dense": (lambda: layers.Dense(5, activation="tanh"), VECTOR, (0,)),
    "conv2d": (lambda: layers.Conv2D(4, 3, 2, "same"), IMAGE, (0, 1, 2)),
    "transposed": (lambda: layers.Conv2DTranspose(5, 4, 2, "same"), IMAGE, (0, 1, 3)),
}


def built(name):
    make, inputs, axes = CASES[name]
    bare, wrapper = make(), WeightNormalization(make())
    bare.build(inputs.shape)
    wrapper.build(inputs.shape)
    return bare, wrapper, inputs, axes


@pytest.mark.parametrize("name", CASES)
def test_starts_as_the_bare_layer_and_runs_with_g_v_over_its_norm(name, rng):
    bare, wrapper, inputs, axes = built(name)
    bare.set_weights([as_array(weight) for weight in wrapper.layer.weights])
    np.testing.assert_allclose(as_array(wrapper(inputs)), as_array(bare(inputs)), atol=1e-5)

    wrapper.layer.kernel.assign(rng.normal(size=wrapper.layer.kernel.shape))
    wrapper.g.assign(rng.normal(size=wrapper.g.shape))
    v, g = as_array(wrapper.layer.kernel), as_array(wrapper.g)
    norm = np.sqrt(np.sum(v**2, axis=axes, keepdims=True))
    kernel = np.expand_dims(g, axes) * v / norm
    bare.set_weights([kernel, as_array(wrapper.layer.bias)])
    found = compiled_call(wrapper, inputs, training=True)
    np.testing.assert_allclose(found, as_array(bare(inputs)), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(as_array(wrapper.layer.kernel), v)


def test_gradients_follow_the_paper(rng):
    """Salimans & Kingma 2016, Eq. 3: the gradient of v is orthogonal to v, that of g the rest."""
    wrapper = WeightNormalization(layers.Dense(5, use_bias=False))
    wrapper.build(VECTOR.shape)
    wrapper.g.assign(rng.uniform(0.5, 2.0, size=5))
    target = rng.normal(size=(4, 5)).astype("float32")
    found = weight_gradients(wrapper, VECTOR, lambda y: ops.sum(y * target))
    v, g = as_array(wrapper.layer.kernel), as_array(wrapper.g)
    norm = np.linalg.norm(v, axis=0)
    inner = VECTOR.astype("float64").T @ target
    gradient_g = np.sum(inner * v, axis=0) / norm
    gradient_v = g / norm * inner - g * gradient_g / norm**2 * v
    np.testing.assert_allclose(found[wrapper.g.path], gradient_g, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[wrapper.layer.kernel.path], gradient_v, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.sum(found[wrapper.layer.kernel.path] * v, axis=0), 0, atol=1e-4)


def test_built_inside_another_layers_call():
    class Lazy(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = WeightNormalization(layers.Dense(8))

        def call(self, inputs):
            return self.inner(inputs)

    inner = wrapping_model(Lazy(), VECTOR).layers[-1].inner
    norm = np.linalg.norm(as_array(inner.layer.kernel), axis=0)
    np.testing.assert_allclose(as_array(inner.g), norm, rtol=1e-5)


def test_round_trip(tmp_path):
    check_round_trip(WeightNormalization(layers.Dense(5)), VECTOR, tmp_path)


def test_refuses_an_embedding():
    with pytest.raises(ValueError, match="Embedding.*reparametrises Dense"):
        WeightNormalization(layers.Embedding(3, 4))
