import keras
import numpy as np
import pytest
from keras import layers

from keras_dgm.networks import (
    SpectralNormalization,
    WeightNormalization,
    joint_critic,
    joint_mlp,
    mixture_generator,
    mlp,
    random_field_mlp,
)
from tests.networks.helpers import (
    as_array,
    check_round_trip,
    compiled_call,
    scramble,
    weight_gradients,
)

_RNG = np.random.default_rng(5)
IMAGE = _RNG.normal(size=(6, 3, 4, 1)).astype("float32")
VECTOR = _RNG.normal(size=(6, 2)).astype("float32")
LABELS = np.array([0, 1, 2, 0, 1, 2], "int32")


def kinds(network):
    return [type(layer) for layer in network.layers]


def test_against_numpy():
    network = mlp([5, 4], activation="leaky_relu", output_units=2, output_activation="sigmoid")
    network.build((None, *IMAGE.shape[1:]))
    for weight in network.weights:
        weight.assign(np.random.default_rng(0).normal(size=weight.shape))
    w1, b1, w2, b2, w3, b3 = (as_array(weight) for weight in network.weights)
    x = IMAGE.reshape(6, -1).astype("float64")
    for w, b in ((w1, b1), (w2, b2)):
        x = x @ w + b
        x = np.where(x > 0, x, 0.2 * x)
    expected = 1 / (1 + np.exp(-(x @ w3 + b3)))
    np.testing.assert_allclose(compiled_call(network, IMAGE), expected, rtol=1e-4, atol=1e-5)


def test_without_hidden_layers_it_flattens():
    found = as_array(mlp([])(IMAGE))
    np.testing.assert_array_equal(found, IMAGE.reshape(6, -1))
    assert mlp([], name="linear").name == "linear"


def test_ends_in_its_last_hidden_layer():
    assert as_array(mlp([5, 3])(IMAGE)).shape == (6, 3)
    assert kinds(mlp([5], dropout=0.1)) == [layers.Flatten, layers.Dense, layers.Dropout]


@pytest.mark.parametrize(
    ("normalization", "expected"),
    [
        ("batch", [layers.Dense, layers.BatchNormalization, layers.Activation, layers.Dense]),
        ("layer", [layers.Dense, layers.LayerNormalization, layers.Activation, layers.Dense]),
        ("spectral", [SpectralNormalization] * 2),
        ("weight", [WeightNormalization] * 2),
    ],
)
def test_normalization_puts_the_layers_in_order(normalization, expected):
    network = mlp([5], output_units=1, normalization=normalization)
    assert kinds(network) == [layers.Flatten, *expected]
    assert compiled_call_of_built(network).shape == (6, 1)


def compiled_call_of_built(network):
    network.build((None, *IMAGE.shape[1:]))
    return compiled_call(network, IMAGE, training=True)


def test_batch_normalization_is_the_batch_in_training_and_the_average_at_inference():
    network = mlp([5], activation="linear", normalization="batch")
    network.build((None, 2))
    trained = compiled_call(network, 5 + VECTOR, training=True)
    np.testing.assert_allclose(trained.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(trained.std(0), 1, atol=1e-2)
    assert np.abs(compiled_call(network, 5 + VECTOR).mean(0)).max() > 0.1


def test_dropout_acts_in_training_alone():
    network = mlp([40], dropout=0.5)
    network.build((None, 2))
    scramble(network)
    kept = compiled_call(network, np.abs(VECTOR))
    dropped = compiled_call(network, np.abs(VECTOR), training=True)
    assert np.all(kept > 0)
    share = np.mean(dropped == 0)
    assert 0.35 < share < 0.65
    np.testing.assert_allclose(dropped[dropped > 0], 2 * kept[dropped > 0], rtol=1e-5)


def test_layers_of_one_shape_start_apart_even_from_one_initializer():
    network = mlp([4, 4, 4], kernel_initializer=keras.initializers.RandomNormal())
    network.build((None, 4))
    first, second = (as_array(layer.kernel) for layer in network.layers[2:4])
    assert np.abs(first - second).max() > 1e-3


def test_random_field_and_mixture_generator_have_the_paper_s_layers():
    field = random_field_mlp()
    field.build((None, 2))
    sizes = [tuple(layer.layer.kernel.shape) for layer in field.layers[1:]]
    assert sizes == [(2, 100), (100, 100), (100, 1)]
    generator = mixture_generator()
    generator.build((None, 2))
    assert sum(kind is layers.BatchNormalization for kind in kinds(generator)) == 2
    assert as_array(generator(VECTOR)).shape == (6, 2)


def test_joint_mlp_sees_both_inputs():
    network = joint_mlp([8], output_units=1, activation="tanh")
    network.build([(None, 3, 4, 1), (None, 2)])
    scramble(network)
    base = as_array(network([IMAGE, VECTOR]))
    assert base.shape == (6, 1)
    assert np.all(base != as_array(network([IMAGE + 1, VECTOR])))
    assert np.all(base != as_array(network([IMAGE, VECTOR + 1])))


def test_joint_critic_runs_its_body_on_x_alone():
    body = mlp([4], activation="tanh")
    critic = joint_critic(body, [5], num_classes=3)
    critic.build([(None, 3, 4, 1), (None,)])
    assert body.built and tuple(body.layers[-1].kernel.shape) == (12, 4)
    gradients = weight_gradients(critic, [IMAGE, LABELS], keras.ops.sum, training=True)
    assert len(gradients) == 6
    assert all(np.abs(gradient).max() > 0 for gradient in gradients.values())


@pytest.mark.parametrize("normalization", ["batch", "weight"])
def test_round_trip(normalization, tmp_path):
    network = mlp([5, 4], output_units=2, normalization=normalization, dropout=0.2)
    check_round_trip(network, IMAGE, tmp_path)


def test_mixed_precision(mixed_bfloat16):
    network = mlp([5], output_units=1, normalization="spectral")
    network.build((None, 2))
    gradients = weight_gradients(network, VECTOR, keras.ops.sum, training=True)
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())
    assert keras.backend.standardize_dtype(network(VECTOR).dtype) == "bfloat16"


def test_refuses_what_makes_no_network():
    with pytest.raises(ValueError, match="'bach'.*Did you mean 'batch'"):
        mlp([3], normalization="bach")
    with pytest.raises(ValueError, match="hidden_units=200.*list"):
        mlp(200)
    with pytest.raises(ValueError, match=r"hidden_units\[1\]=0"):
        mlp([3, 0])
    with pytest.raises(ValueError, match="dropout=1.0"):
        mlp([3], dropout=1.0)
    with pytest.raises(ValueError, match="output_units=2.5"):
        mlp([3], output_units=2.5)
    with pytest.raises(ValueError, match="without output_units"):
        mlp([3], output_activation="tanh")
