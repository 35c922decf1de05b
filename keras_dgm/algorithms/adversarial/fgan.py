"""Variational divergence minimisation."""

import keras
from keras import ops

from keras_dgm.algorithms import checks
from keras_dgm.algorithms.adversarial import divergences
from keras_dgm.algorithms.adversarial.generator_critic import (
    DensityRatio,
    GeneratorCriticAlgorithm,
)

OBJECTIVES = ("divergence", "non_saturating")


@keras.saving.register_keras_serializable(package="keras_dgm")
class FGAN(DensityRatio, GeneratorCriticAlgorithm):
    """f-GAN: minimises an f-divergence through its variational bound (Ou 2019, Alg. 6).

    Objective (Eq. 33 to 36), minimised by the generator and maximised by the critic V:
        F = E_p0 g_f(V(x)) - E_e f+(g_f(V(G(e)))) <= D_f = E_p_theta f(p0 / p_theta),
    with g_f(v) = f'(e^v), so that the optimal critic is V* = log p0 / p_theta for every f with
    f'' > 0. `"total_variation"` uses 0.5 tanh(v) instead, and tells no density ratio.

    | divergence | D_f |
    | --- | --- |
    | kl, reverse_kl | KL(p0 || p_theta), KL(p_theta || p0) |
    | jeffrey | their sum |
    | gan | 2 JS - log 4, the minimax game of `GAN` |
    | jensen_shannon | 2 JS |
    | pearson, neyman | E_theta (u - 1)^2, E_theta (1 - u)^2 / u, u = p0 / p_theta |
    | squared_hellinger | integral of (sqrt p0 - sqrt p_theta)^2 |
    | total_variation | half the integral of abs(p0 - p_theta) |
    | alpha | E_theta (u^alpha - 1 - alpha (u - 1)) / (alpha (alpha - 1)) |
    | a function f | E_theta f(u), f' by automatic differentiation |

    Estimator: means over a batch of data and as many draws e, unbiased for the gradient of F; F's
    gradient is the divergence's at V* only. `bound` is F, at most D_f in expectation for any V.

    Cost per step, in batches: G 1 + critic_steps forwards and one backward; V 2 critic_steps
    forwards and backwards, and one of each for the generator.

    Args:
        generator, critic: see `GeneratorCriticAlgorithm`.
        divergence: a name, or a convex f(u) in `keras.ops`, registered with Keras if it is to be
            saved.
        alpha: of the alpha divergence.
        objective: of the generator: `"divergence"` minimises F; `"non_saturating"` maximises
            E g_f(V(G(e))), with the same fixed point and gradients where the critic rejects
            (Nowozin et al. 2016, section 3.2).
        others: see `AdversarialAlgorithm`.

    Raises:
        ValueError: an unknown divergence; an f that is not convex on a grid.
    """

    terms = (*GeneratorCriticAlgorithm.terms, "bound")

    def __init__(
        self, generator, critic, divergence="gan", alpha=None, objective="divergence", **kwargs
    ):
        super().__init__(generator, critic, **kwargs)
        self._divergence = divergences.resolve(divergence, alpha)
        self.divergence = divergence
        self.alpha = alpha
        self.objective = checks.one_of("objective", objective, OBJECTIVES)
        self.finish()

    def critic_loss(self, real, fake, condition):
        """- F."""
        gain = ops.mean(self._divergence.activation(self.value(real)))
        loss = ops.mean(self._divergence.conjugate(self.value(fake))) - gain
        return loss, {"bound": -loss}

    def generator_loss(self, fake, condition):
        """- E f+(g_f(V)), or - E g_f(V)."""
        fake = self.value(fake)
        if self.objective == "divergence":
            return -ops.mean(self._divergence.conjugate(fake)), {}
        return -ops.mean(self._divergence.activation(fake)), {}

    def density_ratio(self, x, y=None):
        """V(x), the critic's estimate of log p0(x) / p_theta(x), nats, NumPy (batch,).

        Raises:
            ValueError: for total variation, whose optimal critic tells only which is larger.
        """
        if not self._divergence.gives_ratio:
            raise ValueError(
                "The optimal critic of the total variation is +-1/2, whichever density is larger: "
                "it tells no density ratio. Any other divergence does."
            )
        return super().density_ratio(x, y)

    def get_config(self):
        return {
            **super().get_config(),
            "divergence": divergences.serialized(self.divergence),
            "alpha": self.alpha,
            "objective": self.objective,
        }
