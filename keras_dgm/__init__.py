"""Deep generative models in Keras, the model and the algorithm that learns it kept apart."""

from keras_dgm import (
    backend,
    datasets,
    distributions,
    evaluation,
    models,
    networks,
    plotting,
    presets,
    sampling,
)
from keras_dgm.algorithms.adversarial.acgan import ACGAN
from keras_dgm.algorithms.adversarial.fgan import FGAN
from keras_dgm.algorithms.adversarial.gan import GAN
from keras_dgm.algorithms.adversarial.sngan import SNGAN
from keras_dgm.algorithms.adversarial.wgan import WGAN
from keras_dgm.algorithms.adversarial.wgan_gp import WGANGP
from keras_dgm.algorithms.base import Algorithm
from keras_dgm.algorithms.directed.adversarial_variational_bayes import AdversarialVariationalBayes
from keras_dgm.algorithms.directed.auxiliary_vae import AuxiliaryVAE
from keras_dgm.algorithms.directed.gumbel_softmax import GumbelSoftmax
from keras_dgm.algorithms.directed.hamiltonian_vae import HamiltonianVAE
from keras_dgm.algorithms.directed.iwae import IWAE
from keras_dgm.algorithms.directed.jsa import JSA
from keras_dgm.algorithms.directed.maximum_likelihood import MaximumLikelihood
from keras_dgm.algorithms.directed.mean_field_vi import MeanFieldVI
from keras_dgm.algorithms.directed.muprop import MuProp
from keras_dgm.algorithms.directed.nvil import NVIL
from keras_dgm.algorithms.directed.reinforce import VariationalREINFORCE
from keras_dgm.algorithms.directed.reweighted_wake_sleep import ReweightedWakeSleep
from keras_dgm.algorithms.directed.semi_amortized_vae import SemiAmortizedVAE
from keras_dgm.algorithms.directed.vae import VAE
from keras_dgm.algorithms.directed.vimco import VIMCO
from keras_dgm.algorithms.directed.vqvae import VQVAE
from keras_dgm.algorithms.directed.wake_sleep import WakeSleep
from keras_dgm.algorithms.schedules import RobbinsMonro
from keras_dgm.algorithms.symmetric.bigan import ALI, BiGAN
from keras_dgm.algorithms.symmetric.extended_helmholtz_machine import (
    EHM,
    ExtendedHelmholtzMachine,
)
from keras_dgm.algorithms.symmetric.symmetric_vae import SymmetricVAE
from keras_dgm.algorithms.symmetric.wae import WAE
from keras_dgm.algorithms.undirected.contrastive_divergence import ContrastiveDivergence
from keras_dgm.algorithms.undirected.cooperative_training import CooperativeTraining
from keras_dgm.algorithms.undirected.denoising_autoencoder import DenoisingAutoencoder
from keras_dgm.algorithms.undirected.evae import EVAE
from keras_dgm.algorithms.undirected.exclusive_nrf import ExclusiveNRF
from keras_dgm.algorithms.undirected.gsn import GSN
from keras_dgm.algorithms.undirected.inclusive_nrf import InclusiveNRF
from keras_dgm.algorithms.undirected.nce import NCE, DynamicNCE
from keras_dgm.algorithms.undirected.pretraining import pretrain
from keras_dgm.algorithms.undirected.stochastic_maximum_likelihood import (
    StochasticMaximumLikelihood,
)
from keras_dgm.algorithms.undirected.up_down import UpDown
from keras_dgm.presets import from_preset

__version__ = "0.1.0"

__all__ = [
    "ACGAN",
    "ALI",
    "EHM",
    "EVAE",
    "FGAN",
    "GAN",
    "GSN",
    "IWAE",
    "JSA",
    "NCE",
    "NVIL",
    "SNGAN",
    "VAE",
    "VIMCO",
    "VQVAE",
    "WAE",
    "WGAN",
    "WGANGP",
    "AdversarialVariationalBayes",
    "Algorithm",
    "AuxiliaryVAE",
    "BiGAN",
    "ContrastiveDivergence",
    "CooperativeTraining",
    "DenoisingAutoencoder",
    "DynamicNCE",
    "ExclusiveNRF",
    "ExtendedHelmholtzMachine",
    "GumbelSoftmax",
    "HamiltonianVAE",
    "InclusiveNRF",
    "MaximumLikelihood",
    "MeanFieldVI",
    "MuProp",
    "ReweightedWakeSleep",
    "RobbinsMonro",
    "SemiAmortizedVAE",
    "StochasticMaximumLikelihood",
    "SymmetricVAE",
    "UpDown",
    "VariationalREINFORCE",
    "WakeSleep",
    "backend",
    "datasets",
    "distributions",
    "evaluation",
    "from_preset",
    "models",
    "networks",
    "plotting",
    "presets",
    "pretrain",
    "sampling",
]
