"""Layers that run with a function of their kernel in the kernel's place."""

from keras import layers, ops

CONVOLUTIONS = (layers.Conv1D, layers.Conv2D, layers.Conv3D)
TRANSPOSED_CONVOLUTIONS = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)


def kernel_variable(layer):
    """The weight that a linear layer multiplies its input with (an Embedding's table)."""
    return layer.embeddings if isinstance(layer, layers.Embedding) else layer.kernel


def output_axis(layer):
    """The axis of the kernel that runs over the layer's outputs."""
    return -2 if isinstance(layer, TRANSPOSED_CONVOLUTIONS) else -1


def kernel_matrix(layer, kernel):
    """The kernel as a matrix of shape (inputs of one output, outputs), as in Miyato et al. 2018.

    For a convolution that is (height * width * channels in, channels out): the norm of this matrix
    and not that of the convolution as a linear map.
    """
    if output_axis(layer) == -2:
        kernel = ops.swapaxes(kernel, -1, -2)
    return ops.reshape(kernel, (-1, kernel.shape[-1]))


def apply_with_kernel(layer, inputs, kernel):
    """What `layer(inputs)` would be if `kernel` were its kernel.

    Strides, padding, dilation, bias and activation are the layer's own; its variables are read and
    never written.

    Args:
        layer: a built Dense, Embedding, Conv or ConvTranspose layer of Keras.
        inputs: what the layer takes.
        kernel: tensor of the shape of the layer's kernel.
    """
    kernel = ops.cast(kernel, layer.compute_dtype)
    if isinstance(layer, layers.Embedding):
        return ops.take(kernel, ops.cast(inputs, "int32"), axis=0)
    inputs = ops.cast(inputs, layer.compute_dtype)
    if isinstance(layer, layers.Dense):
        outputs = ops.matmul(inputs, kernel)
        bias_shape = (-1,)
    else:
        settings = {
            "strides": list(layer.strides),
            "padding": layer.padding,
            "dilation_rate": layer.dilation_rate,
            "data_format": layer.data_format,
        }
        if isinstance(layer, TRANSPOSED_CONVOLUTIONS):
            settings["output_padding"] = layer.output_padding
            outputs = ops.conv_transpose(inputs, kernel, **settings)
        else:
            outputs = ops.conv(inputs, kernel, **settings)
        channels_first = layer.data_format == "channels_first"
        bias_shape = (-1,) + (1,) * layer.rank if channels_first else (-1,)
    if layer.use_bias:
        outputs = outputs + ops.reshape(ops.cast(layer.bias, layer.compute_dtype), bias_shape)
    return outputs if layer.activation is None else layer.activation(outputs)


class ReparametrizedLayer(layers.Wrapper):
    """A layer that runs with `effective_kernel()` in place of its kernel, which stays as it is.

    Subclasses say how the effective kernel comes from the layer's own. It is computed in the dtype
    of the variables and cast to the compute dtype afterwards, so under mixed precision norms are
    those of the float32 weights.

    Args:
        layer: the layer to wrap, of one of the types in `supported`. Subclasses of those types are
            refused, because what they compute is not known here.
    """

    supported: tuple[type, ...] = (layers.Dense, *CONVOLUTIONS, *TRANSPOSED_CONVOLUTIONS)

    def __init__(self, layer, **kwargs):
        if type(layer) not in self.supported:
            names = ", ".join(kind.__name__ for kind in self.supported)
            raise ValueError(
                f"{type(self).__name__} came with a layer of type {type(layer).__name__}; it "
                f"reparametrises {names}."
            )
        if getattr(layer, "padding", None) == "causal":
            raise ValueError(
                f"{type(self).__name__} came with a convolution of padding 'causal'; use 'valid' "
                "and pad the input with keras.layers.ZeroPadding1D."
            )
        kwargs.setdefault("dtype", layer.dtype_policy)
        # Without autocasting the variables are read in their own precision.
        super().__init__(layer, autocast=False, **kwargs)

    def effective_kernel(self, training=False):
        """The kernel that the layer runs with, a tensor of the kernel's shape."""
        raise NotImplementedError

    def call(self, inputs, training=None):
        kernel = self.effective_kernel(training=bool(training))
        return apply_with_kernel(self.layer, inputs, kernel)

    def compute_output_shape(self, input_shape):
        return tuple(self.layer.compute_output_shape(input_shape))
