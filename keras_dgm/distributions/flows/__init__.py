"""Normalising flows: invertible transforms over any continuous family."""

from keras_dgm.distributions.flows.autoregressive import InverseAutoregressive
from keras_dgm.distributions.flows.builders import (
    inverse_autoregressive_flow,
    masked_autoregressive_flow,
    nice,
    planar_flow,
    real_nvp,
)
from keras_dgm.distributions.flows.coupling import AdditiveCoupling, AffineCoupling
from keras_dgm.distributions.flows.flow import Flow
from keras_dgm.distributions.flows.planar import Planar
from keras_dgm.distributions.flows.transform import (
    DiagonalScaling,
    Inverted,
    Reverse,
    Transform,
)

__all__ = [
    "AdditiveCoupling",
    "AffineCoupling",
    "DiagonalScaling",
    "Flow",
    "InverseAutoregressive",
    "Inverted",
    "Planar",
    "Reverse",
    "Transform",
    "inverse_autoregressive_flow",
    "masked_autoregressive_flow",
    "nice",
    "planar_flow",
    "real_nvp",
]
