import numpy as np
import pytest

from keras_dgm.networks import GlobalSumPooling2D, MinibatchStddev
from tests.networks.helpers import as_array, check_round_trip, compiled_call

IMAGE = np.random.default_rng(3).normal(size=(6, 4, 5, 3)).astype("float32")


def test_global_sum_pooling():
    layer = GlobalSumPooling2D()
    np.testing.assert_allclose(as_array(layer(IMAGE)), IMAGE.sum((1, 2)), rtol=1e-5, atol=1e-5)
    assert layer.compute_output_shape((None, 4, 5, 3)) == (None, 3)
    with pytest.raises(ValueError, match=r"\(6, 3\).*feature maps"):
        GlobalSumPooling2D()(IMAGE[:, 0, 0])


def test_global_sum_pooling_sums_in_float32(mixed_bfloat16):
    # A running sum in bfloat16 stops at 256, where adding one is lost.
    ones = np.ones((1, 32, 32, 1), "float32")
    assert as_array(GlobalSumPooling2D()(ones)).item() == 1024


@pytest.mark.parametrize("group_size", [None, 2, 3, 6])
def test_minibatch_stddev_against_numpy(group_size):
    found = compiled_call(MinibatchStddev(group_size), IMAGE)
    np.testing.assert_allclose(found[..., :3], IMAGE, rtol=1e-6)
    size = group_size or 6
    for i in range(6):
        group = IMAGE[i // size * size : i // size * size + size]
        expected = np.sqrt(group.var(axis=0) + 1e-8).mean()
        np.testing.assert_allclose(found[i, ..., 3], np.full((4, 5), expected), rtol=1e-4)


def test_minibatch_stddev_of_vectors_and_of_equal_samples():
    layer = MinibatchStddev()
    same = np.repeat(IMAGE[:1, 0, 0], 4, axis=0)
    found = as_array(layer(same))
    assert found.shape == (4, 4) == layer.compute_output_shape((4, 3))
    np.testing.assert_allclose(found[:, 3], 1e-4, atol=1e-5)


def test_minibatch_stddev_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="batch of 6.*group_size=4"):
        MinibatchStddev(4)(IMAGE)
    with pytest.raises(ValueError, match="group_size=1"):
        MinibatchStddev(1)
    with pytest.raises(ValueError, match=r"\(6,\)"):
        MinibatchStddev()(IMAGE[:, 0, 0, 0])


def test_round_trip(tmp_path):
    check_round_trip(MinibatchStddev(3, epsilon=1e-6), IMAGE, tmp_path)
