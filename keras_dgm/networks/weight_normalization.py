"""Weight normalisation as a reparametrisation of the kernel."""

import keras
from keras import ops

from keras_dgm.networks.reparametrization import ReparametrizedLayer, output_axis

_TINY = 1e-24


@keras.saving.register_keras_serializable(package="keras_dgm")
class WeightNormalization(ReparametrizedLayer):
    """Runs a layer with w = g v / |v|, length and direction of each output's weights apart.

    Salimans & Kingma 2016, Eq. 2. v is the wrapped layer's own kernel, which is never written; g is
    a trainable weight of shape (outputs,), which starts at |v|, so that the wrapped layer begins as
    the bare one. The norm runs over all axes of the kernel but the output's, in the dtype of the
    variables. A v of norm zero gives w = 0.

    Args:
        layer: a Dense, Conv1D/2D/3D or Conv1D/2D/3DTranspose layer.

    Raises:
        ValueError: for any other layer.
    """

    def build(self, input_shape):
        super().build(input_shape)
        outputs = self.layer.kernel.shape[output_axis(self.layer)]
        self.g = self.add_weight(
            name="g", shape=(outputs,), initializer=self._initial_g, autocast=False
        )

    def _squared_norm(self, kernel):
        axis = len(kernel.shape) + output_axis(self.layer)
        axes = [i for i in range(len(kernel.shape)) if i != axis]
        return ops.sum(ops.square(kernel), axis=axes, keepdims=True)

    def _initial_g(self, shape, dtype=None):
        kernel = ops.cast(self.layer.kernel, dtype)
        return ops.reshape(ops.sqrt(self._squared_norm(kernel)), shape)

    def effective_kernel(self, training=False):
        """g v / |v|."""
        v = ops.convert_to_tensor(self.layer.kernel)
        squared_norm = self._squared_norm(v)
        g = ops.reshape(ops.convert_to_tensor(self.g), squared_norm.shape)
        return v * (g * ops.rsqrt(ops.maximum(squared_norm, _TINY)))
