import keras
import numpy as np
import pytest
from keras import ops

from keras_dgm.networks import orthonormal_penalty
from tests.networks.helpers import as_array, function_gradient


@pytest.mark.parametrize("shape", [(6, 4), (3, 2, 2, 5), (3, 5)])
def test_value_and_gradient_against_numpy(shape, rng):
    kernel = rng.normal(size=shape).astype("float32")
    matrix = kernel.reshape(-1, shape[-1]).astype("float64")
    gap = matrix.T @ matrix - np.eye(shape[-1])
    value = as_array(orthonormal_penalty(keras.Variable(kernel)))
    assert value == pytest.approx(np.sum(gap**2), rel=1e-5)
    (gradient,) = function_gradient(orthonormal_penalty, kernel)
    np.testing.assert_allclose(gradient, (4 * matrix @ gap).reshape(shape), rtol=1e-3, atol=1e-3)


def test_zero_at_orthonormal_columns_alone(rng):
    basis = np.linalg.qr(rng.normal(size=(6, 4)))[0].astype("float32")
    assert as_array(orthonormal_penalty(basis)) == pytest.approx(0, abs=1e-9)
    assert as_array(orthonormal_penalty(2 * basis)) == pytest.approx(36, rel=1e-5)
    # More outputs than inputs: the least value is their difference.
    assert as_array(orthonormal_penalty(basis.T)) == pytest.approx(2, rel=1e-5)


def test_runs_in_float32_under_mixed_precision(rng):
    kernel = ops.cast(rng.normal(size=(5, 3)), "bfloat16")
    value = orthonormal_penalty(kernel)
    assert keras.backend.standardize_dtype(value.dtype) == "float32"


def test_refuses_a_bias():
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        orthonormal_penalty(np.ones(3, "float32"))
