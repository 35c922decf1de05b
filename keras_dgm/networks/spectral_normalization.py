"""Spectral normalisation as a reparametrisation of the kernel."""

import keras
import numpy as np
from keras import layers, ops

from keras_dgm.networks.checks import check_positive
from keras_dgm.networks.reparametrization import (
    ReparametrizedLayer,
    kernel_matrix,
    kernel_variable,
)

_TINY = 1e-12
_STEPS_AT_CREATION = 15


def _norm(vector):
    return ops.sqrt(ops.sum(ops.square(vector)))


def power_iteration(matrix, u, num_steps):
    """Approximates the singular vectors of a matrix's largest singular value.

    Each step is u <- W v / |W v| with v = W^T u / |W^T u|; afterwards v is computed once more from
    the final u, so that u^T W v = |W^T u|. That estimate is positive and grows with every step
    towards the largest singular value, which it never exceeds.

    Args:
        matrix: W, shape (rows, columns).
        u: unit vector, shape (rows,).
        num_steps: Python integer; 0 leaves u as it is.

    Returns:
        `(u, v)`, unit vectors of shape (rows,) and (columns,). A zero matrix leaves u unchanged
        and gives v = 0.
    """

    def right(u):
        v = ops.matmul(u, matrix)
        return v / ops.maximum(_norm(v), _TINY)

    for _ in range(num_steps):
        image = ops.matmul(matrix, right(u))
        norm = _norm(image)
        u = ops.where(norm > _TINY, image / ops.maximum(norm, _TINY), u)
    return u, right(u)


@keras.saving.register_keras_serializable(package="keras_dgm")
class SpectralNormalization(ReparametrizedLayer):
    """Runs a layer with W / sigma(W), the kernel divided by its spectral norm.

    Miyato et al. 2018, Algorithm 1 (Ou 2019, section on SN-GANs). The kernel W is never written:
    the optimiser moves W, the network sees W / sigma(W), and the gradient flows through both W and
    sigma(W) = u^T W v with u, v held fixed, that is (grad - <grad, W/sigma> u v^T) / sigma.
    `keras.layers.SpectralNormalization` overwrites the kernel instead, which makes the optimiser's
    steps another algorithm.

    In training, each call makes `power_iterations` steps from the stored u and stores the result;
    v follows from u and is not stored. At inference u is left alone, so equal inputs give equal
    outputs. u starts at a fixed vector after 15 steps, so an untrained network is normalised as
    well. sigma is computed in the dtype of the variables (float32 under mixed precision).

    The matrix of a convolution is (height * width * channels in, channels out), the paper's
    choice: its norm bounds the convolution's Lipschitz constant only up to a factor that depends on
    the kernel's size. An Embedding's matrix is its table.

    Args:
        layer: a Dense, Embedding, Conv1D/2D/3D or Conv1D/2D/3DTranspose layer.
        power_iterations: steps a training call, at least 1.

    Raises:
        ValueError: for any other layer, and for `power_iterations` below 1.
    """

    supported = (*ReparametrizedLayer.supported, layers.Embedding)

    def __init__(self, layer, power_iterations=1, **kwargs):
        super().__init__(layer, **kwargs)
        self.power_iterations = check_positive("power_iterations", power_iterations)

    def build(self, input_shape):
        super().build(input_shape)
        rows = kernel_matrix(self.layer, kernel_variable(self.layer)).shape[0]
        # Replicas hold equal kernels and equal u, so any one of their updates is the update.
        self.u = self.add_weight(
            name="u",
            shape=(rows,),
            initializer=self._initial_u,
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
        )

    def _initial_u(self, shape, dtype=None):
        # In NumPy, because JAX would compile every operation for every layer's shape. The kernel is
        # random, so the first vector need not be.
        matrix = kernel_matrix(self.layer, ops.convert_to_tensor(kernel_variable(self.layer)))
        matrix = ops.convert_to_numpy(matrix).astype("float64")
        u = np.random.default_rng(0).normal(size=shape)
        u = u / np.linalg.norm(u)
        for _ in range(_STEPS_AT_CREATION):
            image = matrix @ (u @ matrix)
            norm = np.linalg.norm(image)
            u = image / norm if norm > _TINY else u
        return ops.convert_to_tensor(u, dtype=dtype)

    def effective_kernel(self, training=False):
        """W / sigma(W); with `training=True` u takes its steps and is stored."""
        kernel = ops.convert_to_tensor(kernel_variable(self.layer))
        matrix = kernel_matrix(self.layer, kernel)
        steps = self.power_iterations if training else 0
        u, v = power_iteration(ops.stop_gradient(matrix), ops.convert_to_tensor(self.u), steps)
        u, v = ops.stop_gradient(u), ops.stop_gradient(v)
        if training:
            self.u.assign(u)
        sigma = ops.sum(u * ops.matmul(matrix, v))
        return kernel / ops.maximum(sigma, _TINY)

    def get_config(self):
        return {**super().get_config(), "power_iterations": self.power_iterations}
