"""DCGAN and the residual nets: shapes, layouts, conditioning, saving, precision."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_dgm.networks import (
    ConditionalBatchNormalization,
    ConditionalSequential,
    ProjectionHead,
    ResidualBlock,
    SelfAttention2D,
    SpectralNormalization,
    dcgan_critic,
    dcgan_generator,
    joint_critic,
    resnet_critic,
    resnet_generator,
)
from tests.networks.helpers import (
    as_array,
    check_round_trip,
    compiled_call,
    scramble,
    weight_gradients,
)

LABELS = np.array([0, 2, 1], "int32")


@pytest.fixture
def latents(rng):
    return rng.normal(size=(3, 5)).astype("float32")


def images(rng, side, channels=1):
    return rng.uniform(-1, 1, size=(3, side, side, channels)).astype("float32")


def flat_layers(network):
    return list(network._flatten_layers(include_self=False))


@pytest.mark.parametrize("side", [28, 32, 64])
def test_dcgan_shapes_and_channels(side):
    generator = dcgan_generator((side, side, 3), width=2)
    critic = dcgan_critic((side, side, 3), width=2)
    generator.build((None, 5))
    critic.build((None, side, side, 3))
    assert generator.output_shape == (None, side, side, 3)
    assert critic.output_shape == (None, 1)
    widths = {28: [2, 4], 32: [2, 4, 8], 64: [2, 4, 8, 16]}[side]
    filters = [layer.filters for layer in critic.layers if isinstance(layer, layers.Conv2D)]
    assert filters == widths
    transposed = [
        layer.filters for layer in generator.layers if isinstance(layer, layers.Conv2DTranspose)
    ]
    assert transposed == [*widths[-2::-1], 3]


def test_dcgan_output_activation(latents):
    generator = dcgan_generator((28, 28, 1), width=2, output_activation="sigmoid")
    generator.build((None, 5))
    generator.layers[-1].kernel.assign(10 * as_array(generator.layers[-1].kernel))
    found = compiled_call(generator, latents)
    assert 0 < found.min() < 0.5 < found.max() < 1


@pytest.mark.parametrize("normalization", [None, "batch", "layer", "spectral", "weight"])
def test_dcgan_critic_normalizations(normalization, rng):
    critic = dcgan_critic((28, 28, 1), width=2, normalization=normalization)
    critic.build((None, 28, 28, 1))
    found = compiled_call(critic, images(rng, 28), training=True)
    assert found.shape == (3, 1) and np.isfinite(found).all()
    wrapped = [layer for layer in critic.layers if isinstance(layer, SpectralNormalization)]
    assert len(wrapped) == (3 if normalization == "spectral" else 0)
    # The first layer's outputs are not normalised, the second's are.
    norms = (layers.BatchNormalization, layers.GroupNormalization)
    count = sum(isinstance(layer, norms) for layer in critic.layers)
    assert count == (1 if normalization in ("batch", "layer") else 0)


def test_layer_normalization_of_a_critic_is_each_sample_s_own(rng):
    """What a gradient penalty needs: a sample's logit does not depend on the rest of the batch."""
    x = images(rng, 28)
    for normalization, independent in (("layer", True), ("batch", False)):
        critic = dcgan_critic((28, 28, 1), width=2, normalization=normalization)
        critic.build((None, 28, 28, 1))
        scramble(critic)
        together = compiled_call(critic, x, training=True, store=False)
        changed = compiled_call(critic, x * [[[[1]]], [[[3]]], [[[-2]]]], training=True)
        assert np.isclose(together[0], changed[0], rtol=1e-4) == independent


@pytest.mark.parametrize("conditioning", ["concatenate", "batch_norm"])
def test_conditional_dcgan_generator(conditioning, latents):
    generator = dcgan_generator(
        (28, 28, 1), width=2, conditioning=conditioning, num_classes=3, output_activation=None
    )
    generator.build([(None, 5), (None,)])
    scramble(generator)
    same = np.repeat(latents[:1], 3, axis=0)
    found = compiled_call(generator, [same, np.array([0, 1, 0], "int32")])
    np.testing.assert_allclose(found[0], found[2], rtol=1e-4, atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 1e-4
    conditional = [
        layer for layer in generator.layers if isinstance(layer, ConditionalBatchNormalization)
    ]
    assert len(conditional) == (2 if conditioning == "batch_norm" else 0)


@pytest.mark.parametrize("conditioning", ["concatenate", "projection"])
def test_conditional_dcgan_critic(conditioning, rng):
    critic = dcgan_critic(
        (28, 28, 1), 2, "spectral", conditioning=conditioning, num_classes=3, name="critic"
    )
    critic.build([(None, 28, 28, 1), (None,)])
    same = np.repeat(images(rng, 28)[:1], 3, axis=0)
    found = compiled_call(critic, [same, np.array([0, 1, 0], "int32")])
    assert found[0] == pytest.approx(found[2], rel=1e-4) and abs(found[0] - found[1]) > 1e-6
    assert isinstance(critic.layers[-1], ProjectionHead) == (conditioning == "projection")
    assert critic.name == "critic"


def test_conditioning_on_an_image(rng):
    x = images(rng, 28)
    generator = dcgan_generator((28, 28, 1), 2, conditioning="concatenate")
    critic = dcgan_critic((28, 28, 1), 2, conditioning="concatenate")
    generator.build([(None, 5), x.shape])
    critic.build([x.shape, x.shape])
    assert generator.compute_output_shape([(None, 5), x.shape]) == (None, 28, 28, 1)
    assert critic.compute_output_shape([x.shape, x.shape])[-1] == 1


def test_critic_without_head_is_a_body(rng):
    body = dcgan_critic((28, 28, 1), 2, include_head=False)
    critic = joint_critic(body, [4])
    critic.build([(None, 28, 28, 1), (None, 5)])
    assert body.output_shape == (None, 7 * 7 * 4)
    assert critic.compute_output_shape([(None, 28, 28, 1), (None, 5)]) == (None, 1)


@pytest.mark.parametrize("resample", [None, "up", "down"])
def test_residual_block_in_the_paper_s_order(resample, rng):
    """Ours runs the shortcut's convolution at the smaller size, which gives the same numbers."""
    block = ResidualBlock(4, resample=resample)
    x = rng.normal(size=(2, 4, 6, 3)).astype("float32")
    block.build(x.shape)
    for weight in block.weights:
        weight.assign(rng.normal(size=weight.shape))

    def convolve(layer, y):
        return ops.conv(y, layer.kernel.value, padding="same") + layer.bias.value

    def up(y):
        return ops.repeat(ops.repeat(y, 2, axis=1), 2, axis=2) if resample == "up" else y

    def down(y):
        return ops.average_pool(y, 2, strides=2) if resample == "down" else y

    residual = convolve(block.convolution_1, up(ops.relu(x)))
    residual = down(convolve(block.convolution_2, ops.relu(residual)))
    expected = residual + down(convolve(block.shortcut, up(ops.convert_to_tensor(x))))
    found = compiled_call(block, x, training=True)
    np.testing.assert_allclose(found, as_array(expected), rtol=1e-3, atol=1e-3)
    assert block.compute_output_shape(x.shape) == found.shape


def test_residual_block_shortcuts_and_norms(rng):
    x = rng.normal(size=(2, 4, 4, 3)).astype("float32")
    plain = ResidualBlock(3)
    for weight in (plain.build(x.shape), *plain.weights)[1:]:
        weight.assign(0 * weight)
    assert plain.shortcut is None
    np.testing.assert_array_equal(as_array(plain(x)), x)
    first = ResidualBlock(3, "down", normalization="batch", first=True)
    first.build(x.shape)
    assert len(first.normalization_1) == 0 and len(first.normalization_2) == 1


def test_resnet_critic_layout():
    critic = resnet_critic((32, 32, 3), width=8, attention=True)
    critic.build((None, 32, 32, 3))
    assert critic.output_shape == (None, 1)
    blocks = [layer for layer in critic.layers if isinstance(layer, ResidualBlock)]
    assert [block.resample for block in blocks] == ["down", "down", None, None]
    assert [block.first for block in blocks] == [True, False, False, False]
    assert [block.shortcut is None for block in blocks] == [False, False, True, True]
    attention = next(layer for layer in critic.layers if isinstance(layer, SelfAttention2D))
    assert attention.output.shape[1:3] == (16, 16)
    # Every kernel is normalised: 8 + 2 convolutions, 4 of the attention and the head.
    wrapped = [layer for layer in flat_layers(critic) if isinstance(layer, SpectralNormalization)]
    assert len(wrapped) == 15 == len(critic.non_trainable_variables)


def test_resnet_generator_layout(latents):
    generator = resnet_generator(
        (32, 32, 3), width=8, attention=True, conditioning="batch_norm", num_classes=3
    )
    assert isinstance(generator, ConditionalSequential)
    generator.build([(None, 5), (None,)])
    found = compiled_call(generator, [latents, LABELS], training=True)
    assert found.shape == (3, 32, 32, 3) and np.abs(found).max() <= 1
    order = [type(layer).__name__ for layer in generator.layers]
    assert order[2:6] == ["ResidualBlock", "ResidualBlock", "SelfAttention2D", "ResidualBlock"]
    conditional = [
        layer
        for layer in flat_layers(generator)
        if isinstance(layer, ConditionalBatchNormalization)
    ]
    assert len(conditional) == 6


@pytest.mark.parametrize("kind", ["dcgan_generator", "dcgan_critic", "residual_block"])
def test_round_trip(kind, latents, rng, tmp_path):
    if kind == "dcgan_generator":
        network = dcgan_generator((28, 28, 1), 2, conditioning="batch_norm", num_classes=3)
        inputs = [latents, LABELS]
    elif kind == "dcgan_critic":
        network = dcgan_critic((28, 28, 1), 2, "spectral", "projection", 3)
        inputs = [images(rng, 28), LABELS]
    else:
        network = ResidualBlock(4, "up", "batch", "spectral", num_classes=3)
        inputs = [rng.normal(size=(3, 4, 4, 2)).astype("float32"), LABELS]
    check_round_trip(network, inputs, tmp_path)


def test_mixed_precision_gradients_under_jit(mixed_bfloat16, latents, rng):
    generator = dcgan_generator((28, 28, 1), 2, spectral_normalization=True)
    generator.build((None, 5))
    critic = dcgan_critic((28, 28, 1), 2, "spectral", "projection", 3)
    critic.build([(None, 28, 28, 1), (None,)])
    block = ResidualBlock(4, "up", "batch", num_classes=3)
    maps = rng.normal(size=(3, 4, 4, 2)).astype("float32")
    block.build([maps.shape, (None,)])
    cases = [
        (generator, latents),
        (critic, [images(rng, 28), LABELS]),
        (block, [maps, LABELS]),
    ]
    for network, inputs in cases:
        found = weight_gradients(network, inputs, ops.sum, training=True)
        assert all(np.isfinite(gradient).all() for gradient in found.values())
        assert any(np.abs(gradient).max() > 0 for gradient in found.values())
        assert keras.backend.standardize_dtype(network(inputs).dtype) == "bfloat16"


def test_refuses_other_image_sizes():
    with pytest.raises(ValueError, match=r"dcgan_generator.*\(30, 30, 1\).*\(28, 28, channels\)"):
        dcgan_generator((30, 30, 1))
    with pytest.raises(ValueError, match=r"dcgan_critic.*\(28, 32, 1\)"):
        dcgan_critic((28, 32, 1))
    with pytest.raises(ValueError, match="resnet_critic.*Pad or resize"):
        resnet_critic((28, 28, 1))
    with pytest.raises(ValueError, match="resnet_generator"):
        resnet_generator((64, 64, 3))
    with pytest.raises(ValueError, match="even sides"):
        ResidualBlock(4, "down").build((None, 7, 7, 4))


def test_refuses_combinations_that_make_no_sense():
    shape = (28, 28, 1)
    with pytest.raises(ValueError, match="num_classes=3 came without conditioning"):
        dcgan_critic(shape, num_classes=3)
    with pytest.raises(ValueError, match="'projection' came without num_classes"):
        dcgan_critic(shape, conditioning="projection")
    with pytest.raises(ValueError, match="the projection is the head"):
        dcgan_critic(shape, conditioning="projection", num_classes=3, include_head=False)
    with pytest.raises(ValueError, match="conditioning='label'"):
        dcgan_generator(shape, conditioning="label", num_classes=3)
    with pytest.raises(ValueError, match="normalization=None; expected 'batch'"):
        dcgan_generator(shape, normalization=None, conditioning="batch_norm", num_classes=3)
    with pytest.raises(ValueError, match="normalization='spectral'.*expected one of"):
        dcgan_generator(shape, normalization="spectral")
    with pytest.raises(ValueError, match="num_classes=3 came with normalization=None"):
        ResidualBlock(4, num_classes=3)
    with pytest.raises(ValueError, match="resample='big'"):
        ResidualBlock(4, resample="big")
