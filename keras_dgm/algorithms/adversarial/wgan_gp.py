"""Wasserstein GANs by a penalty on the critic's gradient."""

import keras

from keras_dgm.algorithms.adversarial.penalties import GradientPenalty, resolve
from keras_dgm.algorithms.adversarial.wgan import WGAN


@keras.saving.register_keras_serializable(package="keras_dgm")
class WGANGP(WGAN):
    """Wasserstein GAN whose critic is kept near slope one by a penalty on its gradient.

    Objective: that of `WGAN`, plus `penalty_weight` E (|grad T(x^)| - 1)^2 on lines between data
    and samples, x^ = x + a (G(e) - x), a ~ U(0, 1) for each row (Gulrajani et al. 2017, Eq. 3).

    Estimator and bias: as `WGAN`. Cost per step: as `WGAN`, plus for each critic step a forward
    and backward of the critic, differentiated again.

    Args:
        generator, critic: see `GeneratorCriticAlgorithm`; no batch normalisation in the critic.
        penalty_weight: lambda, 10 in the paper.
        penalty_target: 1 in the paper.
        penalties: further penalties.
        others: see `WGAN`; no weight clipping by default.
    """

    def __init__(
        self,
        generator,
        critic,
        penalty_weight=10.0,
        penalty_target=1.0,
        penalties=(),
        weight_clip=None,
        **kwargs,
    ):
        self.penalty_weight, self.penalty_target = float(penalty_weight), float(penalty_target)
        own = GradientPenalty(penalty_weight, penalty_target)
        super().__init__(
            generator,
            critic,
            penalties=[own, *resolve(penalties)],
            weight_clip=weight_clip,
            **kwargs,
        )

    def get_config(self):
        config = super().get_config()
        return {
            **config,
            "penalties": config["penalties"][1:],
            "penalty_weight": self.penalties[0].weight,
            "penalty_target": self.penalties[0].target,
        }
