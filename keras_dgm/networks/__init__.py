"""Plain Keras building blocks; they know nothing of any algorithm.

Builders return networks that are not built: their owner calls `network.build((None, *shape))`, or
with a condition `network.build([(None, *shape), (None, *condition_shape)])`. Only critics and
generators have a last layer of their own; a distribution layer adds its own head.
"""

from keras_dgm.networks.autoregressive import MaskedDense, autoregressive_mlp
from keras_dgm.networks.class_conditional import ConditionalBatchNormalization, ProjectionHead
from keras_dgm.networks.conditional import ConcatenateCondition, ConditionalSequential
from keras_dgm.networks.convolutional import conv_decoder, conv_encoder
from keras_dgm.networks.dcgan import dcgan_critic, dcgan_generator
from keras_dgm.networks.penalties import orthonormal_penalty
from keras_dgm.networks.perceptron import (
    joint_critic,
    joint_mlp,
    mixture_generator,
    mlp,
    random_field_mlp,
)
from keras_dgm.networks.pooling import GlobalSumPooling2D, MinibatchStddev
from keras_dgm.networks.residual_block import ResidualBlock
from keras_dgm.networks.resnet import resnet_critic, resnet_generator
from keras_dgm.networks.self_attention import SelfAttention2D
from keras_dgm.networks.spectral_normalization import SpectralNormalization, power_iteration
from keras_dgm.networks.vector_quantizer import VectorQuantizer
from keras_dgm.networks.weight_normalization import WeightNormalization

__all__ = [
    "ConcatenateCondition",
    "ConditionalBatchNormalization",
    "ConditionalSequential",
    "GlobalSumPooling2D",
    "MaskedDense",
    "MinibatchStddev",
    "ProjectionHead",
    "ResidualBlock",
    "SelfAttention2D",
    "SpectralNormalization",
    "VectorQuantizer",
    "WeightNormalization",
    "autoregressive_mlp",
    "conv_decoder",
    "conv_encoder",
    "dcgan_critic",
    "dcgan_generator",
    "joint_critic",
    "joint_mlp",
    "mixture_generator",
    "mlp",
    "orthonormal_penalty",
    "power_iteration",
    "random_field_mlp",
    "resnet_critic",
    "resnet_generator",
]
