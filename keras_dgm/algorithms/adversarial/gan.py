"""Generative adversarial networks."""

import math

import keras
from keras import ops

from keras_dgm.algorithms import checks
from keras_dgm.algorithms.adversarial.generator_critic import (
    DensityRatio,
    GeneratorCriticAlgorithm,
)

OBJECTIVES = ("minimax", "non_saturating", "maximum_likelihood")


@keras.saving.register_keras_serializable(package="keras_dgm")
class GAN(DensityRatio, GeneratorCriticAlgorithm):
    """Generative adversarial network, D(x) = sigmoid(V(x)) the probability that x is data.

    Objective (Ou 2019, Eq. 28, 29), for the critic the same in every variant:
        critic maximises E_p0 log D(x) + E_e log(1 - D(G(e))), that is it minimises
        softplus(-V(x)) + softplus(V(G(e))); at its optimum V* = log p0 / p_theta.
    The generator minimises, the critic fixed and the gradient through x = G(e):
    - `"minimax"`: log(1 - D(G(e))) = -softplus(V): 2 JS(p0, p_theta) - log 4 at V*; its gradient
      vanishes where D tells model from data with certainty;
    - `"non_saturating"`: -log D(G(e)) = softplus(-V), the same fixed point ("logD trick");
    - `"maximum_likelihood"`: -exp V(G(e)) = -f(D), f = exp sigma^-1 (Assignment 2018, section 3):
      at V* its gradient is that of KL(p0 || p_theta). The exponential is continued by its tangent
      above `cap`, exp(cap) (1 + V - cap), so that a gradient remains.

    Estimator: means over a batch of data and as many draws e; unbiased for the two losses as
    they stand. The game's gradient is biased for the divergence's whenever V is not V*; capped
    weights bias maximum likelihood further: `capped_share` (of the draws) and
    `effective_sample_size` (of the weights exp V, out of the batch) are logged.

    Cost per step, in batches: G 1 + critic_steps forwards and one backward; V 2 critic_steps
    forwards and backwards, and one of each for the generator.

    Args:
        generator, critic: see `GeneratorCriticAlgorithm`.
        objective: of the generator, see above.
        cap: c of maximum likelihood, on V, in nats.
        others: see `AdversarialAlgorithm`.
    """

    def __init__(self, generator, critic, objective="non_saturating", cap=5.0, **kwargs):
        super().__init__(generator, critic, **kwargs)
        self.objective = checks.one_of("objective", objective, OBJECTIVES)
        self.cap = float(cap)
        if self.objective == "maximum_likelihood":
            extra = ("effective_sample_size", "capped_share")
            self.terms = (*self.terms, *extra)
            self.evaluation_terms = (*self.evaluation_terms, *extra)
        self.finish()

    def critic_loss(self, real, fake, condition):
        """softplus(-V(x)) + softplus(V(G(e)))."""
        real, fake = self.value(real), self.value(fake)
        return ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(fake)), {}

    def generator_loss(self, fake, condition):
        """The objective's loss, and the weights' state for maximum likelihood."""
        fake = self.value(fake)
        if self.objective == "minimax":
            return -ops.mean(ops.softplus(fake)), {}
        if self.objective == "non_saturating":
            return ops.mean(ops.softplus(-fake)), {}
        terms = {
            "effective_sample_size": ops.exp(2.0 * ops.logsumexp(fake) - ops.logsumexp(2.0 * fake)),
            "capped_share": ops.mean(ops.cast(fake > self.cap, "float32")),
        }
        return -ops.mean(capped_exp(fake, self.cap)), terms

    def get_config(self):
        return {**super().get_config(), "objective": self.objective, "cap": self.cap}


def capped_exp(values, cap):
    """exp below `cap`, its tangent there above: increasing, with a gradient everywhere."""
    above = values > cap
    tangent = math.exp(cap) * (1.0 + values - cap)
    return ops.where(above, tangent, ops.exp(ops.where(above, cap, values)))
