import numpy as np
import pytest
from keras import layers

from keras_dgm.networks import SpectralNormalization, conv_decoder, conv_encoder
from tests.networks.helpers import as_array, check_round_trip, compiled_call


@pytest.mark.parametrize(
    ("image_shape", "filters", "features"),
    [((28, 28, 1), (2, 3), 147), ((32, 32, 3), (2, 3, 4), 64), ((28, 20, 1), (2, 3), 105)],
)
def test_shapes(image_shape, filters, features):
    encoder = conv_encoder(image_shape, filters)
    decoder = conv_decoder(image_shape, filters[::-1])
    encoder.build((None, *image_shape))
    decoder.build((None, 5))
    assert encoder.output_shape == (None, features)
    assert decoder.output_shape == (None, *image_shape[:2], filters[0])


def test_hidden_units_and_latents_of_any_shape(rng):
    encoder = conv_encoder((8, 8, 1), (2,), hidden_units=[6], normalization="batch")
    decoder = conv_decoder((8, 8, 1), (2,), hidden_units=[6], normalization="layer")
    encoder.build((None, 8, 8, 3))
    assert encoder.output_shape == (None, 6)
    latent = rng.normal(size=(4, 3, 2)).astype("float32")
    decoder.build(latent.shape)
    assert compiled_call(decoder, latent, training=True).shape == (4, 8, 8, 2)
    assert not any(getattr(layer, "use_bias", False) for layer in encoder.layers[:1])


def test_normalization_reaches_every_linear_layer():
    network = conv_decoder((8, 8, 1), (2, 2), hidden_units=[4], normalization="spectral")
    linear = (layers.Dense, layers.Conv2DTranspose)
    assert not any(isinstance(layer, linear) for layer in network.layers)
    assert sum(isinstance(layer, SpectralNormalization) for layer in network.layers) == 4


def test_round_trip(tmp_path, rng):
    images = rng.normal(size=(3, 8, 8, 1)).astype("float32")
    check_round_trip(conv_encoder((8, 8, 1), (2, 3), normalization="layer"), images, tmp_path)
    latents = rng.normal(size=(3, 4)).astype("float32")
    check_round_trip(conv_decoder((8, 8, 1), (3, 2), normalization="batch"), latents, tmp_path)


def test_mixed_precision(mixed_bfloat16, rng):
    decoder = conv_decoder((8, 8, 1), (2,))
    assert np.isfinite(as_array(decoder(rng.normal(size=(2, 3)).astype("float32")))).all()


def test_refuses_sizes_that_the_strides_do_not_divide():
    with pytest.raises(ValueError, match=r"\(28, 28, 1\).*3 strides.*multiples of 8"):
        conv_encoder((28, 28, 1), (2, 3, 4))
    with pytest.raises(ValueError, match=r"image_shape=\(28, 28\).*\(28, 28, 1\) for MNIST"):
        conv_decoder((28, 28))
    with pytest.raises(ValueError, match=r"filters=\[\]"):
        conv_decoder((28, 28, 1), [])
    with pytest.raises(ValueError, match="normalization='instance'"):
        conv_encoder((28, 28, 1), normalization="instance")
