"""The wake-sleep algorithm."""

import keras
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms.directed.base import LatentVariableAlgorithm
from keras_dgm.algorithms.directed.phases import move_each, sleep_loss


@keras.saving.register_keras_serializable(package="keras_dgm")
class WakeSleep(LatentVariableAlgorithm):
    """Wake-sleep: theta learns from data explained by q, phi from dreams of p.

    Objectives (Ou 2019, Eq. 21): theta maximises the bound E_p0(x) L(x; theta, phi), phi minimises
    E_p(x) KL(p(h|x) || q(h|x)), over the model's x in place of the data's.

    Estimator (Alg. 4, Eq. 22), with constants h ~ q(h|x) and x', h' ~ p(x, h):
        theta ascends grad log p(x, h), phi ascends grad log q(h'|x').
    Any family of latents, discrete or continuous: no gradient passes through a draw.

    Bias: each is unbiased for its own objective. Phi's is not the bound's: theta and phi follow no
    common objective, and where q cannot hold p(h|x), or p(x) is far from the data, the result is
    biased away from maximum likelihood.

    Cost per step: one pass of the inference network on the batch, and one on the dreams, with
    gradient; one pass of the generative side on K times the batch, with gradient, and one to dream,
    without. With `updates="alternating"` twice that.

    Args:
        generative: a `LatentVariableModel`.
        inference: q(h|x), a distribution layer or a `Chain`.
        num_samples: K, draws of q averaged in the wake phase. As many dreams are dreamt as the
            batch has rows.
        updates: "simultaneous" (theta and phi move from the same weights, as Alg. 4 reads) or
            "alternating" (theta moves first, and phi learns from dreams of the moved theta).
        others: see `LatentVariableAlgorithm`.
    """

    players = ("generative", "inference")
    terms = ("loss", "sleep_loss", "elbo", "reconstruction", "kl")

    def __init__(self, generative, inference, num_samples=1, updates="simultaneous", **kwargs):
        super().__init__(generative, inference, num_samples=num_samples, updates=updates, **kwargs)
        self.finish()

    def train_step(self, data):
        """One wake phase and one sleep phase."""
        x = self.unpack(data)["x"]
        wake_seed, sleep_seed = backend.split_seed(self.next_seed(), 2)

        def loss_fn():
            h, log_q = self.draw(x, self.num_samples, wake_seed, training=True, stop_gradient=True)
            log_q = ops.stop_gradient(log_q)
            log_likelihood = self.generative.log_likelihood(x, h, training=True)
            log_prior = self.generative.log_prior(h, training=True)
            wake = -ops.mean(log_likelihood + log_prior)
            sleep = sleep_loss(self, ops.shape(x)[0], sleep_seed)
            kl = ops.mean(log_q - log_prior)
            reconstruction = -ops.mean(log_likelihood)
            terms = {
                "loss": wake,
                "sleep_loss": sleep,
                "elbo": -reconstruction - kl,
                "reconstruction": reconstruction,
                "kl": kl,
            }
            return wake + sleep, terms

        return self.log(move_each(self, loss_fn))
