"""GANs with a spectrally normalised critic."""

import keras
from keras import ops

from keras_dgm.algorithms.adversarial.generator_critic import GeneratorCriticAlgorithm
from keras_dgm.networks import SpectralNormalization


@keras.saving.register_keras_serializable(package="keras_dgm")
class SNGAN(GeneratorCriticAlgorithm):
    """Spectral normalisation GAN with the hinge loss (Miyato et al. 2018, Eq. 16, 17).

    Objective: the critic minimises max(0, 1 - V(x)) + max(0, 1 + V(G(e))), the generator
    - V(G(e)). At the optimal critic (V in [-1, 1]) the generator's loss falls with the total
    variation between data and model. Every kernel of the critic is divided by its largest
    singular value (`networks.SpectralNormalization`; Ou 2019, section 3.2.4), which bounds its
    Lipschitz constant. With a `projection` critic and conditional batch normalisation this is the
    conditional GAN of Miyato & Koyama 2018; with self-attention, spectral normalisation on both
    sides and an optimiser for each player, SAGAN.

    Estimator: means over a batch; unbiased for the two losses, biased for any divergence's
    gradient unless the critic is optimal.

    Cost per step, in batches: G 1 + critic_steps forwards and one backward; the critic
    2 critic_steps forwards and backwards, and one of each for the generator. Power iteration adds
    two products with a vector for each kernel.

    Args:
        generator, critic: see `GeneratorCriticAlgorithm`; the critic with
            `normalization="spectral"`.
        others: see `AdversarialAlgorithm`; the paper has critic_steps=5 at 32 pixels.

    Raises:
        ValueError: a critic without a spectrally normalised layer.
    """

    def __init__(self, generator, critic, **kwargs):
        super().__init__(generator, critic, **kwargs)
        layers = critic._flatten_layers()
        if not any(isinstance(layer, SpectralNormalization) for layer in layers):
            raise ValueError(
                "SNGAN's critic has no spectrally normalised layer: build it with "
                "normalization='spectral', or wrap its layers in networks.SpectralNormalization."
            )
        self.finish()

    def critic_loss(self, real, fake, condition):
        """max(0, 1 - V(x)) + max(0, 1 + V(G(e)))."""
        real, fake = self.value(real), self.value(fake)
        return ops.mean(ops.relu(1.0 - real)) + ops.mean(ops.relu(1.0 + fake)), {}

    def generator_loss(self, fake, condition):
        """- V(G(e))."""
        return -ops.mean(self.value(fake)), {}
