"""Reweighted wake-sleep."""

import keras
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms import checks
from keras_dgm.algorithms.directed import weights
from keras_dgm.algorithms.directed.base import LatentVariableAlgorithm
from keras_dgm.algorithms.directed.phases import move_each, sleep_loss

PHI_UPDATES = ("wake", "sleep", "both")


@keras.saving.register_keras_serializable(package="keras_dgm")
class ReweightedWakeSleep(LatentVariableAlgorithm):
    """Reweighted wake-sleep: wake phases whose draws count by their importance weights.

    Objectives: theta maximises the K-sample bound I_K on log p(x) (Ou 2019, Eq. 19, 24); phi
    minimises KL(p(h|x) || q(h|x)), over the data (wake), over dreams of p (sleep), or the sum.

    Estimator, with constants h_1..K ~ q(h|x) and w~ their weights p(x, h_k) / q(h_k|x) normalised
    over the K draws of each x:
        theta ascends sum_k w~_k grad log p(x, h_k)        (wake theta, Eq. 23),
        phi ascends sum_k w~_k grad log q(h_k|x)           (wake phi, Eq. 25)
        and / or grad log q(h'|x'), x', h' ~ p(x, h)       (sleep phi, Eq. 22).
    Any family of latents, discrete or continuous: no gradient passes through a draw.

    Bias: theta's is unbiased for I_K, and biased by O(1/K) for log p(x). Wake phi is biased by
    O(1/K), with the normalised weights; at K = 1 its mean is zero, since E_q[grad log q] = 0.
    Sleep phi is unbiased, over the model's x in place of the data's.

    Cost per step: one pass and gradient of the inference network on the batch, one of the
    generative side on K times the batch; with a sleep phase also one pass of the generative side
    on a batch, without gradient, and one and its gradient of the inference network. With
    `updates="alternating"` twice that.

    Args:
        generative: a `LatentVariableModel`.
        inference: q(h|x), a distribution layer or a `Chain`.
        num_samples: K.
        phi_update: "wake", "sleep" or "both". As many dreams are dreamt as the batch has rows.
        updates: "simultaneous" (theta and phi move from the same weights and draws) or
            "alternating" (theta moves first; weights and dreams of phi's move are of the moved
            theta).
        others: see `LatentVariableAlgorithm`.

    Raises:
        ValueError: an unknown `phi_update`; a wake phi with K = 1, which does not move it.
    """

    players = ("generative", "inference")

    def __init__(
        self,
        generative,
        inference,
        num_samples=10,
        phi_update="wake",
        updates="simultaneous",
        **kwargs,
    ):
        super().__init__(generative, inference, num_samples=num_samples, updates=updates, **kwargs)
        self.phi_update = checks.one_of("phi_update", phi_update, PHI_UPDATES)
        if phi_update != "sleep" and self.num_samples < 2:
            raise ValueError(
                "One draw has the normalised weight 1 whatever it is, so that a wake phase with "
                f"num_samples={num_samples} teaches the inference side nothing: use "
                "num_samples >= 2, or phi_update='sleep'."
            )
        losses = {"wake": ("wake_loss",), "sleep": ("sleep_loss",)}
        losses["both"] = losses["wake"] + losses["sleep"]
        bounds = ("iw_bound", "elbo", "reconstruction", "kl", "effective_sample_size")
        self.terms = ("loss", *losses[phi_update], *bounds)
        self.finish()

    def train_step(self, data):
        """One wake phase of theta, and what phi is asked to do."""
        x = self.unpack(data)["x"]
        wake_seed, sleep_seed = backend.split_seed(self.next_seed(), 2)

        def loss_fn():
            h, log_q = self.draw(x, self.num_samples, wake_seed, training=True, stop_gradient=True)
            log_likelihood = self.generative.log_likelihood(x, h, training=True)
            log_prior = self.generative.log_prior(h, training=True)
            log_p = log_likelihood + log_prior
            normalized = weights.normalized(log_p - log_q)
            bounds = self.bound_terms(log_likelihood, log_prior, log_q)
            terms = {name: bounds[name] for name in self.terms if name in bounds}
            loss = -ops.mean(ops.sum(normalized * log_p, axis=0))
            if self.phi_update != "sleep":
                terms["wake_loss"] = -ops.mean(ops.sum(normalized * log_q, axis=0))
                loss = loss + terms["wake_loss"]
            if self.phi_update != "wake":
                terms["sleep_loss"] = sleep_loss(self, ops.shape(x)[0], sleep_seed)
                loss = loss + terms["sleep_loss"]
            return loss, {"loss": -terms["iw_bound"], **terms}

        return self.log(move_each(self, loss_fn))

    def get_config(self):
        return {**super().get_config(), "phi_update": self.phi_update}
