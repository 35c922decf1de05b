"""The Extended Helmholtz Machine."""

import keras
import numpy as np
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms.adversarial.base import seed_of
from keras_dgm.algorithms.symmetric.base import HelmholtzAlgorithm, in_pieces
from keras_dgm.sampling import Langevin


@keras.saving.register_keras_serializable(package="keras_dgm")
class ExtendedHelmholtzMachine(HelmholtzAlgorithm):
    """Extended Helmholtz Machine: cross-entropies between Q(x, z) and P(x, z), both ways.

    Objective (Symmetric VAE 2017, "Extended Helmholtz Machine"), the encoder phi and the decoder
    theta minimising
        J = E_Q(x,z) [- log P(x|z) - log P(z)] + E_P(x,z) [- log Q(z|x) - log Q(x)]
    with critics in place of the densities that are not known: c_x for log Q(x), c_z for log P(z).
    With z = z_phi(x, e) in wake (x ~ data), and z' ~ P(z), x' = x_theta(z', e') in sleep:
        phi, theta:  - log P(x|z) - c_z(z) - log Q(z'|x') - c_x(x');
        c_x:  - c_x(x) + c_x(x');    c_z:  - c_z(z') + c_z(z), where the prior is real.
    The gradient goes through z and x' (no score terms).

    - `latent_critic=False`: c_z = log P(z), the post's Problems 2 and 3 (sleep reconstructions
      stay poor, Q(z) shrinks into a part of the prior).
    - `critic_loss="importance"`: - c_x(x) + log Z'', log Z'' = log mean exp(c_x(x') - log
      P(x'|z')) (the post's Appendix A). The post goes on from there by Jensen's inequality in the
      wrong direction: log Z'' >= E [c_x(x') - log P(x'|z')], so the Wasserstein loss is a *lower*
      bound of the cross-entropy that it stands for, and has no minimum unless the critic is
      clipped or penalised. c_z likewise, with Q(z|x).

    Estimator: means over a batch of data and as many draws of the model; unbiased for the losses
    as they stand. Bias: even with exact critics and densities the fixed point is not Q = P: a
    cross-entropy rewards narrow encoders and decoders (`SymmetricVAE` has the two entropies that
    correct it). Inexact critics add their own; the log of a mean is biased down, less so in large
    batches.

    Cost per step, in batches: encoder and decoder 2 forwards and 2 backwards each, and one more
    forward for each move of the critic that looks at them; each critic critic_steps times (3
    forwards, 2 backwards: one for the logged gradient norm), and one of each for the joint move.

    Logged: the four terms (`wake_reconstruction`, `wake_prior`, `sleep_reconstruction`,
    `sleep_prior`, nats), for each critic its loss, gap (real less fake) and mean gradient norm at
    the fake, and `latent_variance`, that of Q(z), the mean over coordinates.

    Args:
        others: see `HelmholtzAlgorithm` and `AdversarialAlgorithm`.
    """

    joint_terms: tuple[str, ...] = (
        "wake_reconstruction",
        "wake_prior",
        "sleep_reconstruction",
        "sleep_prior",
    )

    def sample_from_critic(self, num_samples, sampler=None, seed=None, start=None):
        """Draws of Q'(x) = exp c_x(x) / Z: the discriminator as the generator.

        Chains start at draws of the model. They sample Q' as far as they have mixed, and only
        where exp c_x is integrable, which the loss does not see to away from data and samples.

        Args:
            num_samples: number of chains, when they start at the model.
            sampler: one of `keras_dgm.sampling`, by default `Langevin(0.01, num_steps=100)`.
            seed: integer, or None for a fresh one.
            start: array (n, *event) to start at instead.

        Returns:
            NumPy array (num_samples, *event).

        Raises:
            ValueError: a start of another shape; chains that are not finite.
        """
        sampler = Langevin(0.01, num_steps=100) if sampler is None else sampler
        first, second = backend.split_seed(seed_of(seed), 2)
        if start is None:
            start = self.sample(num_samples, ops.convert_to_numpy(first), averaged=False)
        start = self.checked(start)

        def run(start, seed):
            target = lambda x: self.look("visible_critic", x, training=False)  # noqa: E731
            return sampler.sample(target, start, seed).state

        key = (type(sampler).__name__, repr(sorted(sampler.get_config().items())))
        state = ops.convert_to_numpy(self.compiled_function(("critic", key), run)(start, second))
        if not np.isfinite(state).all():
            raise ValueError(
                f"Chains of {type(sampler).__name__} on the critic ran away. Lower the step size, "
                "clip the sampler's gradients (clip_gradient=) or take fewer steps."
            )
        return state

    def log_partition(self, num_samples=10_000, seed=0):
        """Two estimates of log Z'' = log of the integral of exp c_x, by draws of the model.

        Both are lower bounds in expectation (Symmetric VAE 2017, Appendix A, Jensen corrected):
        "importance", log mean exp(c_x(x') - log P(x'|z')), which tends to log Z'' as the number of
        draws grows, and "jensen", the mean of the exponent, which stays below. The weights have
        finite variance only where P(x|z) has tails as wide as the critic's density.

        Returns:
            Dictionary with "importance" and "jensen", nats.
        """
        rows = min(int(num_samples), 500)

        def draw(seed):
            _, x, log_density = self.sleep(rows, seed, training=False)
            return self.look("visible_critic", x, training=False) - log_density

        if self.visible == "mean":
            raise ValueError("log Z'' is estimated by draws of P(x|z); visible='mean' has none.")
        program = self.compiled_function(("log_partition", rows), draw)
        weights = np.float64(in_pieces(program, int(num_samples), rows, seed))
        importance = np.logaddexp.reduce(weights) - np.log(len(weights))
        return {"importance": float(importance), "jensen": float(weights.mean())}

    def latent_covariance(self, x, seed=0):
        """Covariance of Q(z) over draws for the rows of x, NumPy (d, d), float64.

        Its eigenvalues tell in how many directions Q(z) fills the prior.
        """
        z = np.float64(self.infer(x, seed))
        return np.atleast_2d(np.cov(z.reshape(len(z), -1), rowvar=False))


EHM = ExtendedHelmholtzMachine
