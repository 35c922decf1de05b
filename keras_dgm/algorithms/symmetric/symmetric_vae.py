"""The Symmetric VAE."""

import keras
from keras import ops

from keras_dgm.algorithms.symmetric.extended_helmholtz_machine import ExtendedHelmholtzMachine


@keras.saving.register_keras_serializable(package="keras_dgm")
class SymmetricVAE(ExtendedHelmholtzMachine):
    """Symmetric VAE: KL divergences between Q(x, z) and P(x, z), both ways, by critics.

    Objective (Symmetric VAE 2017, "Symmetric VAE"), the encoder phi and the decoder theta
    minimising
        J = E_Q(x,z) [log Q(z|x) - log P(x|z) - log P(z)]
          + E_P(x,z) [log P(x|z) - log Q(z|x) - log Q(x)],
    with critics for log Q(x) and log P(z): the loss of `ExtendedHelmholtzMachine` plus
    log Q(z|x) (wake) and log P(x'|z') (sleep). Same critics, paths and options.
    J_EHM - J_SVAE = H[Q(z|x)] + H[P(x|z)].

    Estimator: as `ExtendedHelmholtzMachine`, all gradients total derivatives along the draws.
    Bias: none of its own; with exact critics the minimum is Q(x, z) = P(x, z). That of inexact
    critics stays.

    The two additional terms oppose others: wake lowers log Q(z|x) where sleep raises it, sleep
    lowers log P(x|z) where wake raises it, which makes the game hard (the post). They are logged
    apart, as `wake_negative_entropy` and `sleep_negative_entropy`.

    Cost per step: as `ExtendedHelmholtzMachine`; the additional terms need no further pass.

    Args:
        others: see `HelmholtzAlgorithm`.

    Raises:
        ValueError: a deterministic decoder (`visible="mean"`, an `ImplicitModel`), whose
            log P(x'|z') is infinite.
    """

    joint_terms = (
        *ExtendedHelmholtzMachine.joint_terms,
        "wake_negative_entropy",
        "sleep_negative_entropy",
    )

    def __init__(self, generative, inference, visible_critic, latent_critic, **kwargs):
        if kwargs.get("visible", "sample") == "mean":
            raise ValueError(
                "SymmetricVAE needs log P(x'|z') at draws x' of P(x|z'), which a deterministic "
                "decoder (visible='mean') has not: its entropy is minus infinity. Use "
                "visible='sample', or ExtendedHelmholtzMachine, which leaves that term out."
            )
        super().__init__(generative, inference, visible_critic, latent_critic, **kwargs)

    def opposed(self, log_inference, log_likelihood):
        """Means of log Q(z|x) in wake and of log P(x'|z') in sleep."""
        return {
            "wake_negative_entropy": ops.mean(log_inference),
            "sleep_negative_entropy": ops.mean(log_likelihood),
        }
