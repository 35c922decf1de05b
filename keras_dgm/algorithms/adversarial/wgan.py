"""Wasserstein GANs by weight clipping."""

import keras
from keras import ops

from keras_dgm.algorithms.adversarial.generator_critic import GeneratorCriticAlgorithm


@keras.saving.register_keras_serializable(package="keras_dgm")
class WGAN(GeneratorCriticAlgorithm):
    """Wasserstein GAN: the critic T measures the earth mover's distance.

    Objective (Ou 2019, Eq. 37): min over theta, max over T with |T|_Lipschitz <= 1 of
        E_p0 T(x) - E_e T(G(e)).
    Critic's loss: mean T(G(e)) - mean T(x); generator's: - mean T(G(e)). The Lipschitz bound is
    replaced by weights clipped to [-c, c] after each critic step, which bounds the constant by
    some unknown K, so the critic's gap estimates at best K times the distance.

    Estimator: means over a batch; unbiased for the two losses, biased for the distance's gradient
    as long as the critic is not optimal (hence several critic steps).

    Cost per step, in batches: G 1 + critic_steps forwards and one backward; the critic
    2 critic_steps forwards and backwards, and one of each for the generator.

    Args:
        generator, critic: see `GeneratorCriticAlgorithm`.
        weight_clip: c; 0.01 in Arjovsky et al. 2017. None leaves the critic unbounded.
        critic_steps: 5 there.
        others: see `AdversarialAlgorithm`.
    """

    def __init__(self, generator, critic, weight_clip=0.01, critic_steps=5, **kwargs):
        super().__init__(
            generator, critic, weight_clip=weight_clip, critic_steps=critic_steps, **kwargs
        )
        self.finish()

    def critic_loss(self, real, fake, condition):
        """mean T(G(e)) - mean T(x)."""
        return ops.mean(self.value(fake)) - ops.mean(self.value(real)), {}

    def generator_loss(self, fake, condition):
        """- mean T(G(e))."""
        return -ops.mean(self.value(fake)), {}
