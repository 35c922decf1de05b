import numpy as np
import pytest

from keras_dgm.networks import MaskedDense, autoregressive_mlp
from tests.networks.helpers import as_array, check_round_trip, compiled_call, jacobian, scramble

SIZE = 5


def dependence(network, inputs, index=0):
    """Whether the outputs of dimension i depend on input j: a matrix of booleans."""
    found = jacobian(network, inputs, index).reshape(SIZE, -1, inputs[index][0].size)
    return np.any(found != 0, axis=1)


def inputs(rng, *sizes):
    return [rng.normal(size=(1, size)).astype("float32") for size in sizes]


@pytest.mark.parametrize(
    ("order", "positions"),
    [
        ("left_to_right", range(SIZE)),
        ("right_to_left", reversed(range(SIZE))),
        ([2, 0, 3, 1, 4], [2, 0, 3, 1, 4]),
    ],
)
def test_each_output_depends_on_exactly_the_inputs_before_it(order, positions, rng):
    network = autoregressive_mlp(SIZE, [12, 16], 2, activation="tanh", order=order)
    network.build((None, SIZE))
    scramble(network)
    positions = np.array(list(positions))
    found = dependence(network, inputs(rng, SIZE))
    np.testing.assert_array_equal(found, positions[:, None] > positions[None, :])


def test_a_mask_that_is_not_strict_fails_that_check(rng):
    network = autoregressive_mlp(SIZE, [12], activation="tanh")
    network.build((None, SIZE))
    scramble(network)
    last = network.layers[-2]
    last.mask = (np.array(last.output_degrees) >= np.array(last.input_degrees)[:, None]) * 1.0
    found = dependence(network, inputs(rng, SIZE))
    assert np.any(found & ~np.tri(SIZE, k=-1, dtype=bool))


def test_a_layer_narrower_than_the_event_still_sees_all_of_it(rng):
    network = autoregressive_mlp(SIZE, [2], activation="tanh")
    network.build((None, SIZE))
    scramble(network)
    found = dependence(network, inputs(rng, SIZE))
    assert not np.any(found & ~np.tri(SIZE, k=-1, dtype=bool))
    assert found[-1, : SIZE - 1].all()


def test_a_context_reaches_every_output_and_opens_no_leak(rng):
    network = autoregressive_mlp(SIZE, [12, 12], 2, activation="tanh", context_size=3)
    network.build([(None, SIZE), (None, 3)])
    scramble(network)
    x = inputs(rng, SIZE, 3)
    np.testing.assert_array_equal(dependence(network, x), np.tri(SIZE, k=-1, dtype=bool))
    assert dependence(network, x, index=1).all()


def test_one_dimension_and_image_events(rng):
    network = autoregressive_mlp(1, [3], 2)
    found = as_array(network(rng.normal(size=(4, 1)).astype("float32")))
    assert found.shape == (4, 1, 2)
    assert np.ptp(found, axis=0).max() == 0
    image = autoregressive_mlp(12, [3], 1)
    assert as_array(image(rng.normal(size=(2, 4, 3, 1)).astype("float32"))).shape == (2, 12, 1)


def test_masked_dense_against_numpy(rng):
    layer = MaskedDense([1, 2, 3], [0, 1, 2, 3], activation="tanh")
    x = rng.normal(size=(5, 3)).astype("float32")
    layer.build(x.shape)
    scramble(layer)
    mask = np.array([[0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]])
    expected = np.tanh(x @ (as_array(layer.kernel) * mask) + as_array(layer.bias))
    np.testing.assert_allclose(compiled_call(layer, x), expected, rtol=1e-5)
    strict = MaskedDense([1, 2, 3], [0, 1, 2, 3], strict=True)
    np.testing.assert_array_equal(strict.mask, [[0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]])


def test_a_zero_output_layer_starts_at_zero(rng):
    network = autoregressive_mlp(SIZE, [4], 2, output_initializer="zeros")
    assert np.abs(as_array(network(inputs(rng, SIZE)[0]))).max() == 0


def test_round_trip(tmp_path, rng):
    network = autoregressive_mlp(SIZE, [6], 2, order="right_to_left", context_size=2)
    check_round_trip(network, inputs(rng, SIZE, 2), tmp_path)


def test_refuses_what_does_not_fit(rng):
    with pytest.raises(ValueError, match="order=.*permutation of 0 .. 4"):
        autoregressive_mlp(SIZE, [4], order=[0, 1, 1, 2, 3])
    with pytest.raises(ValueError, match="order='up'"):
        autoregressive_mlp(SIZE, [4], order="up")
    with pytest.raises(ValueError, match="at least one hidden layer"):
        autoregressive_mlp(SIZE, [])
    with pytest.raises(ValueError, match="params_per_dim=0"):
        autoregressive_mlp(SIZE, [4], 0)
    with pytest.raises(ValueError, match="last axis of 5"):
        autoregressive_mlp(SIZE, [4])(inputs(rng, 4)[0])
