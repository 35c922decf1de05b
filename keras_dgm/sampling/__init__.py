"""Markov chains that leave a density unchanged, or nearly, each usable alone.

A sampler is a small serialisable object. Inside a compiled program (a `train_step`, say)

    result = sampler.sample(field, state, seed)     # SamplingResult(state, statistics, trace)

runs one compiled loop; `simulate` compiles that for use from outside. The target is a model (its
`potential` is read) or a callable from states (batch, ...) to potentials (batch,).
"""

from keras_dgm.sampling.annealed_importance_sampling import (
    AISResult,
    GeometricPath,
    annealed_importance_sampling,
    annealed_log_weights,
)
from keras_dgm.sampling.base import GradientField, Sampler, SamplingResult
from keras_dgm.sampling.gibbs import BlockGibbs
from keras_dgm.sampling.hmc import HMC
from keras_dgm.sampling.langevin import MALA, Langevin
from keras_dgm.sampling.metropolis_independence import (
    MetropolisIndependence,
    independence_walk,
)
from keras_dgm.sampling.parallel_tempering import ParallelTempering
from keras_dgm.sampling.persistent import PersistentChains
from keras_dgm.sampling.sghmc import SGHMC
from keras_dgm.sampling.simulate import simulate

__all__ = [
    "HMC",
    "MALA",
    "SGHMC",
    "AISResult",
    "BlockGibbs",
    "GeometricPath",
    "GradientField",
    "Langevin",
    "MetropolisIndependence",
    "ParallelTempering",
    "PersistentChains",
    "Sampler",
    "SamplingResult",
    "annealed_importance_sampling",
    "annealed_log_weights",
    "independence_walk",
    "simulate",
]
