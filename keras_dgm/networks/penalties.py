"""Penalties on kernels, pure functions."""

import keras
from keras import ops


def orthonormal_penalty(kernel):
    """|W^T W - I|^2, the squared Frobenius distance of a kernel's columns from orthonormal ones.

    Brock et al. 2017 (orthogonal regularisation). It keeps a critic's layers near isometries, where
    spectral normalisation bounds only the largest singular value.

    Args:
        kernel: variable or tensor of shape (..., outputs); leading axes are folded, so a
            convolution's W is (height * width * channels in, channels out). With more outputs than
            inputs the columns cannot be orthonormal: the least value is outputs - inputs.

    Returns:
        Scalar tensor, at least in float32.
    """
    kernel = ops.convert_to_tensor(kernel)
    if len(kernel.shape) < 2:
        raise ValueError(
            f"orthonormal_penalty came with a weight of shape {tuple(kernel.shape)}; expected a "
            "kernel of at least two axes. Leave biases and scales out."
        )
    if keras.backend.standardize_dtype(kernel.dtype) != "float64":
        kernel = ops.cast(kernel, "float32")
    matrix = ops.reshape(kernel, (-1, kernel.shape[-1]))
    gram = ops.matmul(ops.transpose(matrix), matrix)
    return ops.sum(ops.square(gram - ops.eye(matrix.shape[-1], dtype=matrix.dtype)))
