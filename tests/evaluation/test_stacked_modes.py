"""Modes and KL of stacked images, where the classes can be read off."""

import keras
import numpy as np
import pytest

from keras_dgm.evaluation import FeatureNetwork, identity_features, stacked_modes


@pytest.fixture
def network():
    """A classifier of 1x3 images: the brightest pixel is the class."""
    layer = keras.layers.Flatten()
    layer.build((None, 1, 3, 1))
    return FeatureNetwork(layer, "brightest_pixel", layer)


def stacked(classes):
    """Images (n, 1, 3, channels) of given classes (n, channels)."""
    return np.eye(3)[np.asarray(classes)].transpose(0, 2, 1)[:, None]


def test_modes_and_kl_are_those_of_the_counts(network):
    # Two channels, nine modes: one twice, two once.
    report = stacked_modes(stacked([[0, 1], [0, 1], [1, 0], [2, 2]]), network)
    share = np.array([0.5, 0.25, 0.25])
    assert report.value == 3.0 and report.details["of"] == 9
    assert report.details["KL"] == pytest.approx(np.sum(share * np.log(9 * share)))
    assert report.n_fake == 4 and network.checksum in str(report)


def test_every_mode_once_is_uniform_and_order_of_channels_counts(network):
    every = [[a, b, c] for a in range(3) for b in range(3) for c in range(3)]
    report = stacked_modes(stacked(every), network, batch_size=5)
    assert report.value == 27.0
    assert report.details["KL"] == pytest.approx(0.0, abs=1e-12)
    # [0, 1] and [1, 0] are two modes, not one.
    assert stacked_modes(stacked([[0, 1], [1, 0]]), network).value == 2.0


def test_errors(network):
    with pytest.raises(ValueError, match="channels"):
        stacked_modes(np.zeros((4, 3)), network)
    with pytest.raises(ValueError, match="1 rows of `fake`"):
        stacked_modes(np.zeros((0, 1, 3, 2)), network)
    with pytest.raises(ValueError, match="no classifier"):
        stacked_modes(stacked([[0, 1]]), identity_features((1, 3, 1)))
