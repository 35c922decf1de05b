import keras
import numpy as np
import pytest

from keras_dgm.networks import SelfAttention2D
from tests.networks.helpers import as_array, check_round_trip, compiled_call

IMAGE = np.random.default_rng(4).normal(size=(2, 4, 6, 8)).astype("float32")


def oracle(layer, x, pool):
    """The block in NumPy, place by place."""

    def kernel(convolution):
        return as_array(convolution.kernel)[0, 0]

    def places(features, pooled):
        if pooled:
            n, h, w, c = features.shape
            features = features.reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))
        return features.reshape(len(features), -1, features.shape[-1])

    query = places(x @ kernel(layer.query), False)
    key = places(x @ kernel(layer.key), pool)
    value = places(x @ kernel(layer.value), pool)
    logits = np.einsum("nic,njc->nij", query, key)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    attended = np.einsum("nij,njc->nic", weights, value) @ kernel(layer.projection)
    return x + as_array(layer.gamma) * attended.reshape(x.shape)


@pytest.mark.parametrize("pool", [True, False])
def test_against_numpy(pool, rng):
    layer = SelfAttention2D(reduction=4, pool=pool)
    np.testing.assert_array_equal(as_array(layer(IMAGE)), IMAGE)
    for variable in layer.weights:
        variable.assign(rng.normal(size=variable.shape))
    found = compiled_call(layer, IMAGE, training=True)
    expected = oracle(layer, IMAGE.astype("float64"), pool)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    assert np.abs(found - IMAGE).max() > 0.1


def test_channels_follow_the_authors_code():
    layer = SelfAttention2D()
    layer.build((None, 4, 4, 32))
    shapes = [tuple(part.kernel.shape[2:]) for part in (layer.query, layer.key, layer.value)]
    assert shapes == [(32, 4), (32, 4), (32, 16)]
    assert tuple(layer.projection.kernel.shape[2:]) == (16, 32)


def test_odd_sizes_and_unknown_ones():
    layer = SelfAttention2D()
    layer.build((None, None, None, 8))
    layer.gamma.assign(1.0)
    assert as_array(layer(IMAGE[:, :3, :5])).shape == (2, 3, 5, 8)


def test_spectral_normalization_wraps_all_four():
    layer = SelfAttention2D(spectral_normalization=True)
    layer(IMAGE, training=True)
    assert len(layer.non_trainable_variables) == 4


def test_round_trip(tmp_path):
    layer = SelfAttention2D(reduction=4, value_reduction=4, pool=False)
    check_round_trip(layer, IMAGE, tmp_path)


def test_mixed_precision(mixed_bfloat16):
    layer = SelfAttention2D()
    outputs = layer(IMAGE)
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="4 channels, fewer than its reduction 8"):
        SelfAttention2D()(IMAGE[..., :4])
    with pytest.raises(ValueError, match="feature maps"):
        SelfAttention2D()(IMAGE[:, 0])
