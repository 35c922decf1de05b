import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_dgm.networks import SpectralNormalization, power_iteration
from keras_dgm.networks.reparametrization import kernel_matrix, kernel_variable
from tests.networks.helpers import (
    as_array,
    check_round_trip,
    compiled_call,
    function_gradient,
    weight_gradients,
    wrapping_model,
)

_RNG = np.random.default_rng(0)
SEQUENCE = _RNG.normal(size=(2, 9, 3)).astype("float32")
IMAGE = _RNG.normal(size=(2, 7, 6, 3)).astype("float32")
VECTOR = _RNG.normal(size=(4, 6)).astype("float32")
LABELS = np.array([0, 2, 1, 2], "int32")

CASES = {
    "dense": (lambda: layers.Dense(5, activation="tanh"), VECTOR),
    "dense_no_bias": (lambda: layers.Dense(5, use_bias=False), VECTOR),
    "conv1d": (lambda: layers.Conv1D(4, 3, padding="same"), SEQUENCE),
    "conv2d_strides": (lambda: layers.Conv2D(4, (3, 2), 2, "same", activation="relu"), IMAGE),
    "conv2d_dilation": (lambda: layers.Conv2D(4, 2, dilation_rate=2, padding="valid"), IMAGE),
    "conv2d_groups": (lambda: layers.Conv2D(6, 3, groups=3), IMAGE),
    "transposed": (lambda: layers.Conv2DTranspose(5, 4, 2, "same", activation="tanh"), IMAGE),
    "transposed_valid": (
        lambda: layers.Conv2DTranspose(5, 3, 2, "valid", output_padding=1),
        IMAGE,
    ),
    "embedding": (lambda: layers.Embedding(3, 4), LABELS),
}


def largest_singular_value(layer):
    kernel = as_array(kernel_variable(layer))
    if isinstance(layer, layers.Conv2DTranspose):
        kernel = np.swapaxes(kernel, -1, -2)
    return np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)[0]


def trained(wrapper, inputs, calls):
    for _ in range(calls):
        wrapper(inputs, training=True)
    return wrapper


def test_power_iteration_finds_the_leading_pair(rng):
    matrix = rng.normal(size=(7, 4)).astype("float32")
    u = rng.normal(size=7)
    u, v = power_iteration(matrix, (u / np.linalg.norm(u)).astype("float32"), 100)
    left, values, right = np.linalg.svd(matrix.astype("float64"))
    u, v = as_array(u), as_array(v)
    assert abs(u @ left[:, 0]) == pytest.approx(1, abs=1e-5)
    assert abs(v @ right[0]) == pytest.approx(1, abs=1e-5)
    assert u @ matrix @ v == pytest.approx(values[0], rel=1e-5)


def test_power_iteration_grows_to_the_singular_value_from_below(rng):
    matrix = rng.normal(size=(6, 5)).astype("float32")
    u = np.full(6, 6**-0.5, "float32")
    top = np.linalg.svd(matrix, compute_uv=False)[0]
    estimates = []
    for steps in range(4):
        left, right = power_iteration(matrix, u, steps)
        estimates.append(float(as_array(left) @ matrix @ as_array(right)))
    assert estimates == sorted(estimates)
    assert 0 < estimates[0] < estimates[-1] <= top * (1 + 1e-6)


def test_power_iteration_survives_a_zero_matrix():
    u = np.full(4, 0.5, "float32")
    left, right = power_iteration(np.zeros((4, 3), "float32"), u, 2)
    np.testing.assert_array_equal(as_array(left), u)
    np.testing.assert_array_equal(as_array(right), np.zeros(3))


@pytest.mark.parametrize("name", CASES)
def test_runs_the_layer_with_the_kernel_over_its_norm_and_leaves_the_kernel_alone(name, rng):
    make, inputs = CASES[name]
    bare, wrapper = make(), SpectralNormalization(make(), power_iterations=30)
    bare.build(inputs.shape)
    wrapper.build(inputs.shape)
    for variable in wrapper.layer.weights:
        variable.assign(3 * rng.normal(size=variable.shape))
    before = as_array(kernel_variable(wrapper.layer))
    trained(wrapper, inputs, 3)
    np.testing.assert_array_equal(as_array(kernel_variable(wrapper.layer)), before)
    sigma = largest_singular_value(wrapper.layer)
    for ours, theirs in zip(wrapper.layer.weights, bare.weights, strict=True):
        theirs.assign(ours.value / sigma if ours is kernel_variable(wrapper.layer) else ours.value)
    outputs = as_array(wrapper(inputs, training=False))
    np.testing.assert_allclose(outputs, as_array(bare(inputs)), rtol=2e-4, atol=2e-5)
    assert wrapper.compute_output_shape(inputs.shape) == outputs.shape
    assert kernel_matrix(bare, bare.weights[0]).shape[1] == outputs.shape[-1]


def kernel_is_left_alone(wrapper, rng):
    wrapper.build(VECTOR.shape)
    wrapper.layer.kernel.assign(rng.normal(size=wrapper.layer.kernel.shape) * 4)
    before = as_array(wrapper.layer.kernel)
    wrapper(VECTOR, training=True)
    return np.array_equal(before, as_array(wrapper.layer.kernel))


def test_keras_own_wrapper_fails_the_check_that_ours_passes(rng):
    assert kernel_is_left_alone(SpectralNormalization(layers.Dense(5)), rng)
    assert not kernel_is_left_alone(layers.SpectralNormalization(layers.Dense(5)), rng)


def test_u_moves_in_training_and_is_frozen_at_inference(rng):
    wrapper = SpectralNormalization(layers.Dense(5))
    wrapper.build(VECTOR.shape)
    wrapper.layer.kernel.assign(rng.normal(size=(6, 5)))
    assert [variable.name for variable in wrapper.non_trainable_variables] == ["u"]
    start = as_array(wrapper.u)
    first = as_array(wrapper(VECTOR, training=False))
    np.testing.assert_array_equal(first, as_array(wrapper(VECTOR)))
    np.testing.assert_array_equal(start, as_array(wrapper.u))
    compiled_call(wrapper, VECTOR, training=True)
    moved = as_array(wrapper.u)
    assert np.abs(moved - start).max() > 1e-3
    assert np.linalg.norm(moved) == pytest.approx(1, abs=1e-6)
    # One step from the stored vector, by the definition in float64.
    kernel = as_array(wrapper.layer.kernel)
    v = kernel.T @ start
    expected = kernel @ v
    np.testing.assert_allclose(moved, expected / np.linalg.norm(expected), atol=1e-5)


def test_an_untrained_layer_is_normalised_too():
    wrapper = SpectralNormalization(layers.Dense(40, kernel_initializer="he_normal"))
    wrapper.build((None, 50))
    norm = np.linalg.svd(as_array(wrapper.effective_kernel()), compute_uv=False)[0]
    assert norm == pytest.approx(1, abs=0.05)


def test_gradient_goes_through_sigma_with_its_vectors_fixed(rng):
    wrapper = SpectralNormalization(layers.Dense(5, use_bias=False), power_iterations=5)
    wrapper.build(VECTOR.shape)
    wrapper.layer.kernel.assign(rng.normal(size=(6, 5)))
    trained(wrapper, VECTOR, 12)
    target = rng.normal(size=(4, 5)).astype("float32")
    found = weight_gradients(wrapper, VECTOR, lambda y: ops.sum(y * target), training=True)
    (found,) = found.values()

    kernel = as_array(wrapper.layer.kernel)
    left, values, right = np.linalg.svd(kernel)
    inner = VECTOR.astype("float64").T @ target
    outer = np.outer(left[:, 0], right[0])
    exact = (inner - np.sum(inner * kernel) / values[0] * outer) / values[0]
    np.testing.assert_allclose(found, exact, atol=1e-4)
    # Without the term through sigma the check would fail.
    assert np.abs(inner / values[0] - exact).max() > 1e-2

    # And that is the derivative of the loss with the exact norm.
    def loss(kernel):
        return np.sum(inner * kernel) / np.linalg.svd(kernel, compute_uv=False)[0]

    direction = rng.normal(size=kernel.shape)
    difference = (loss(kernel + 1e-5 * direction) - loss(kernel - 1e-5 * direction)) / 2e-5
    assert np.sum(found * direction) == pytest.approx(difference, rel=1e-3)


def test_power_iteration_carries_no_gradient_of_its_own_into_the_kernel(rng):
    """At an unconverged u the gradient is still that of u^T W v with u and v held fixed."""
    wrapper = SpectralNormalization(layers.Dense(5, use_bias=False))
    wrapper.build(VECTOR.shape)
    wrapper.layer.kernel.assign(rng.normal(size=(6, 5)))
    start = np.eye(6)[0].astype("float32")
    wrapper.u.assign(start)
    target = rng.normal(size=(4, 5)).astype("float32")
    found = weight_gradients(wrapper, VECTOR, lambda y: ops.sum(y * target), training=True)
    kernel = as_array(wrapper.layer.kernel)
    u, v = (as_array(vector) for vector in power_iteration(kernel.astype("float32"), start, 1))
    sigma = u @ kernel @ v
    inner = VECTOR.astype("float64").T @ target
    exact = (inner - np.sum(inner * kernel) / sigma * np.outer(u, v)) / sigma
    np.testing.assert_allclose(next(iter(found.values())), exact, rtol=1e-3, atol=1e-4)

    def leaky(kernel):
        u, v = power_iteration(kernel, ops.convert_to_tensor(start), 1)
        return ops.sum(inner.astype("float32") * kernel) / ops.sum(u * ops.matmul(kernel, v))

    (wrong,) = function_gradient(leaky, kernel.astype("float32"))
    assert np.abs(wrong - exact).max() > 1e-2


def test_a_zero_kernel_gives_zero_and_no_nan():
    wrapper = SpectralNormalization(layers.Dense(5, kernel_initializer="zeros"))
    outputs = wrapper(VECTOR, training=True)
    np.testing.assert_array_equal(as_array(outputs), np.zeros((4, 5)))
    assert np.linalg.norm(as_array(wrapper.u)) == pytest.approx(1, abs=1e-6)


def test_built_inside_another_layers_call():
    class Lazy(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = SpectralNormalization(layers.Dense(8, use_bias=False))

        def call(self, inputs):
            return self.inner(inputs)

    model = wrapping_model(Lazy(), VECTOR)
    inner = model.layers[-1].inner
    norm = np.linalg.svd(as_array(inner.effective_kernel()), compute_uv=False)[0]
    assert norm == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("name", ["dense", "transposed", "embedding"])
def test_round_trip(name, tmp_path):
    make, inputs = CASES[name]
    check_round_trip(SpectralNormalization(make(), power_iterations=2), inputs, tmp_path)


def test_mixed_precision_keeps_the_norm_in_float32(mixed_bfloat16):
    wrapper = SpectralNormalization(layers.Dense(5), power_iterations=30)
    outputs = wrapper(VECTOR, training=True)
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    assert wrapper.u.dtype == wrapper.layer.kernel.dtype == "float32"
    kernel = wrapper.effective_kernel()
    assert keras.backend.standardize_dtype(kernel.dtype) == "float32"
    assert np.linalg.svd(as_array(kernel), compute_uv=False)[0] == pytest.approx(1, abs=1e-4)


def test_refuses_what_it_cannot_reparametrise():
    with pytest.raises(ValueError, match="BatchNormalization.*reparametrises Dense"):
        SpectralNormalization(layers.BatchNormalization())

    class Doubled(layers.Dense):
        def call(self, inputs):
            return 2 * super().call(inputs)

    with pytest.raises(ValueError, match="Doubled"):
        SpectralNormalization(Doubled(3))
    with pytest.raises(ValueError, match="causal"):
        SpectralNormalization(layers.Conv1D(3, 2, padding="causal"))
    with pytest.raises(ValueError, match="power_iterations=0"):
        SpectralNormalization(layers.Dense(3), power_iterations=0)
