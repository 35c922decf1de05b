"""Conditional distributions as Keras layers; with no context, priors."""

from keras_dgm.distributions import flows
from keras_dgm.distributions.base import Distribution
from keras_dgm.distributions.bernoulli import Bernoulli, RelaxedBernoulli
from keras_dgm.distributions.categorical import OneHotCategorical, RelaxedOneHotCategorical
from keras_dgm.distributions.chain import Chain
from keras_dgm.distributions.corruption import (
    FlipCorruption,
    GaussianCorruption,
    MaskingCorruption,
)
from keras_dgm.distributions.discretized_logistic import DiscretizedLogistic
from keras_dgm.distributions.flows import Flow
from keras_dgm.distributions.normal import MultivariateNormal, Normal

__all__ = [
    "Bernoulli",
    "Chain",
    "DiscretizedLogistic",
    "Distribution",
    "FlipCorruption",
    "Flow",
    "GaussianCorruption",
    "MaskingCorruption",
    "MultivariateNormal",
    "Normal",
    "OneHotCategorical",
    "RelaxedBernoulli",
    "RelaxedOneHotCategorical",
    "flows",
]
