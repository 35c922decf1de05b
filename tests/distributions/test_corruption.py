"""Corruption layers: densities that sum to one, draws that follow them, files and errors."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_dgm import testing
from keras_dgm.distributions import FlipCorruption, GaussianCorruption, MaskingCorruption


def built(layer):
    layer.build((None, *layer.event_shape))
    return layer


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def test_flips_have_the_table_of_a_noisy_channel():
    layer = built(FlipCorruption(3, probability=0.2))
    states = testing.binary_states(3).astype("float32")
    log_prob = np.stack([numpy(layer.log_prob(states, np.tile(s, (8, 1)))) for s in states])
    np.testing.assert_allclose(np.exp(log_prob), testing.flip_corruption(3, 0.2), rtol=1e-5)
    x = np.tile([[1.0, 0.0, 1.0]], (20_000, 1)).astype("float32")
    flipped = np.abs(numpy(layer.sample(x, seed=0)) - x).mean(axis=0)
    np.testing.assert_allclose(flipped, 0.2, atol=0.012)


def test_masking_keeps_or_clears():
    layer = built(MaskingCorruption(2, probability=0.3))
    x = np.tile([[2.0, 0.0]], (20_000, 1)).astype("float32")
    drawn = numpy(layer.sample(x, seed=0))
    assert set(np.unique(drawn)) == {0.0, 2.0}
    assert np.mean(drawn[:, 0] == 0.0) == pytest.approx(0.3, abs=0.013)
    values = np.array([[2.0, 0.0], [0.0, 0.0], [1.0, 0.0]], "float32")
    log_prob = numpy(layer.log_prob(values, x[:3]))
    np.testing.assert_allclose(np.exp(log_prob), [0.7, 0.3, 0.0], atol=1e-6)


@pytest.mark.parametrize("learned", [False, True])
def test_gaussian_noise_has_its_scale_and_centre(learned):
    layer = built(GaussianCorruption((2, 2, 1), 0.5, learned=learned))
    assert len(layer.trainable_variables) == int(learned)
    x = np.ones((5_000, 2, 2, 1), "float32")
    noise = numpy(layer.sample(x, seed=0)) - x
    assert abs(noise.mean()) < 0.015
    assert noise.std() == pytest.approx(0.5, abs=0.012)
    exact = testing.normal_log_prob(noise[:3], 0.0, 0.5).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(numpy(layer.log_prob(x[:3] + noise[:3], x[:3])), exact, rtol=1e-4)


@pytest.mark.parametrize(
    "layer",
    [FlipCorruption(3, 0.25, learned=True), GaussianCorruption(3, 0.3), MaskingCorruption(3)],
)
def test_config_round_trip(layer):
    config = keras.saving.serialize_keras_object(layer)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == layer.get_config()
    x = np.ones((2, 3), "float32")
    draws = [numpy(built(one).sample(x, seed=4)) for one in (layer, again)]
    np.testing.assert_array_equal(*draws)


def test_errors_say_what_to_do():
    for kind in (FlipCorruption, MaskingCorruption):
        with pytest.raises(ValueError, match="probability"):
            kind(2, probability=0.0)
    with pytest.raises(ValueError, match="noise_scale"):
        GaussianCorruption(2, noise_scale=0.0)
    with pytest.raises(ValueError, match="event shape"):
        FlipCorruption(2).build((None, 3))
    with pytest.raises(ValueError, match="no context"):
        FlipCorruption(2).build()
    with pytest.raises(ValueError, match="none came"):
        built(MaskingCorruption(2))()
