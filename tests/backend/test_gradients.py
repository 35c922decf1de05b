"""Gradients, frozen parts and loops mean the same on both backends."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_dgm import backend


def dense(seed=0, units=1):
    layer = keras.layers.Dense(units, activation="tanh")
    layer.build((None, 2))
    generator = np.random.default_rng(seed)
    for variable in layer.trainable_variables:
        variable.assign(generator.normal(size=variable.shape))
    return layer


X = np.array([[0.5, -1.0], [2.0, 0.3], [-0.7, 0.9]], "float32")


def test_value_and_grad_equals_finite_differences():
    layer = dense()

    def loss_fn():
        out = layer(X)
        return ops.sum(out * out), {"mean": ops.mean(out)}

    (loss, aux), gradients = backend.value_and_grad(loss_fn, layer.trainable_variables)
    kernel = layer.kernel
    start = ops.convert_to_numpy(kernel.value)
    for index in np.ndindex(start.shape):
        sides = []
        for sign in (1.0, -1.0):
            moved = start.copy()
            moved[index] += sign * 1e-2
            kernel.assign(moved)
            sides.append(float(loss_fn()[0]))
        kernel.assign(start)
        slope = (sides[0] - sides[1]) / 2e-2
        assert float(gradients[0][index]) == pytest.approx(slope, abs=2e-3)
    assert float(aux["mean"]) == pytest.approx(float(ops.mean(layer(X))), rel=1e-5)


def test_a_variable_that_does_not_matter_has_a_zero_gradient():
    used, unused = dense(0), dense(1)
    variables = [*used.trainable_variables, *unused.trainable_variables]
    _, gradients = backend.value_and_grad(lambda: (ops.sum(used(X)), None), variables)
    assert np.abs(ops.convert_to_numpy(gradients[2])).max() == 0.0
    assert np.abs(ops.convert_to_numpy(gradients[0])).max() > 0.0


def test_state_assigned_inside_a_loss_is_carried_out():
    norm = keras.layers.BatchNormalization(momentum=0.5)
    norm.build((None, 2))
    counter = keras.Variable(0.0, trainable=False)

    def loss_fn():
        counter.assign(counter + 1.0)
        return ops.sum(norm(X, training=True) ** 2), None

    state = [*norm.non_trainable_variables, counter]
    backend.value_and_grad(loss_fn, norm.trainable_variables, state)
    assert float(counter.value) == 1.0
    np.testing.assert_allclose(norm.moving_mean.numpy(), 0.5 * X.mean(axis=0), rtol=1e-5)


def test_frozen_parts_are_constants_with_a_path_through_them():
    first, second = dense(0, units=2), dense(1)

    def loss_fn():
        hidden = first(X)
        with backend.frozen(second.variables):
            return ops.sum(second(hidden)), None

    variables = [*first.trainable_variables, *second.trainable_variables]
    _, gradients = backend.value_and_grad(loss_fn, variables)
    assert all(np.abs(ops.convert_to_numpy(g)).max() > 0 for g in gradients[:2])
    assert all(np.abs(ops.convert_to_numpy(g)).max() == 0 for g in gradients[2:])

    def not_frozen():
        return ops.sum(second(first(X))), None

    _, free = backend.value_and_grad(not_frozen, variables)
    assert all(np.abs(ops.convert_to_numpy(g)).max() > 0 for g in free)
    np.testing.assert_allclose(gradients[0], free[0], rtol=1e-6)


def test_assignments_in_a_frozen_context_take_effect():
    norm = keras.layers.BatchNormalization(momentum=0.5)
    norm.build((None, 2))
    with backend.frozen(norm.trainable_variables):
        norm(X, training=True)
    np.testing.assert_allclose(norm.moving_mean.numpy(), 0.5 * X.mean(axis=0), rtol=1e-5)


def test_input_gradients_are_per_row_and_drop_assignments():
    norm = keras.layers.BatchNormalization(momentum=0.5)
    norm.build((None, 2))
    before = norm.moving_mean.numpy()
    backend.value_and_input_grad(lambda x: ops.sum(norm(x, training=True) ** 2, axis=-1), X)
    np.testing.assert_array_equal(norm.moving_mean.numpy(), before)
    values, gradient = backend.value_and_input_grad(lambda x: ops.sum(x**3, axis=-1), X)
    np.testing.assert_allclose(values, (X**3).sum(axis=-1), rtol=1e-5)
    np.testing.assert_allclose(gradient, 3.0 * X**2, rtol=1e-5)


def test_a_gradient_penalty_can_be_differentiated():
    # u(x) = a |x|^2 / 2, so |grad u|^2 = a^2 |x|^2 and its derivative in a is 2 a |x|^2.
    scale = keras.Variable(1.5)

    def loss_fn():
        def potential(x):
            return 0.5 * ops.convert_to_tensor(scale) * ops.sum(x * x, axis=-1)

        _, gradient = backend.value_and_input_grad(potential, X)
        return ops.sum(gradient * gradient), None

    (loss, _), (slope,) = backend.value_and_grad(loss_fn, [scale])
    assert float(loss) == pytest.approx(1.5**2 * (X**2).sum(), rel=1e-5)
    assert float(slope) == pytest.approx(3.0 * (X**2).sum(), rel=1e-5)


def test_a_loop_can_be_differentiated_through():
    # x <- x (1 - a) n times: x_n = x (1 - a)^n.
    rate = keras.Variable(0.1)

    def loss_fn():
        def body(i, x):
            return x - ops.convert_to_tensor(rate) * x

        return ops.sum(backend.fori_loop(3, body, ops.ones((2,)))), None

    (loss, _), (slope,) = backend.value_and_grad(loss_fn, [rate])
    assert float(loss) == pytest.approx(2 * 0.9**3, rel=1e-5)
    assert float(slope) == pytest.approx(-2 * 3 * 0.9**2, rel=1e-5)


def test_scan_stacks_what_a_loop_gives():
    state, outputs = backend.scan(lambda i, x: (x * 2.0, {"x": x}), ops.ones((3,)), 4)
    np.testing.assert_allclose(state, np.full(3, 16.0))
    np.testing.assert_allclose(outputs["x"][:, 0], [1.0, 2.0, 4.0, 8.0])


def test_compiled_functions_follow_the_weights():
    layer = dense()
    program = backend.compiled(layer, lambda x: layer(x))
    before = ops.convert_to_numpy(program(ops.convert_to_tensor(X)))
    layer.kernel.assign(layer.kernel * 0.0)
    layer.bias.assign(layer.bias * 0.0)
    after = ops.convert_to_numpy(program(ops.convert_to_tensor(X)))
    assert np.abs(before).max() > 0 and np.abs(after).max() == 0
