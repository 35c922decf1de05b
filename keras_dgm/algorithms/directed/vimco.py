"""Variational inference for Monte Carlo objectives."""

import math

import keras
from keras import ops

from keras_dgm.algorithms.directed import weights
from keras_dgm.algorithms.directed.base import LatentVariableAlgorithm


@keras.saving.register_keras_serializable(package="keras_dgm")
class VIMCO(LatentVariableAlgorithm):
    """VIMCO: the K-sample bound for draws that carry no gradient, each its own control variate.

    Objective (Ou 2019, Eq. 19), the importance-weighted bound, in theta and phi together:
        I_K(x) = E_{h_1..K ~ q} [L^],  L^ = log (1/K) sum_k w_k,  w_k = p(x, h_k) / q(h_k|x).

    Estimator (section 3.2.1 item 2; Mnih & Rezende 2016), with constants h_k:
        sum_k w~_k grad log w_k + sum_k (L^ - c_k) grad log q(h_k|x),
    where c_k is L^ with log w_k replaced by the mean of the other log w_j. The sum over k is not
    an average. Any family of latents.

    Bias: none, for the gradient of I_K: c_k does not depend on h_k.

    Cost per step: one pass and gradient of the inference network on the batch, one of the
    generative side on K times the batch.

    The loss reported is -I_K, not the surrogate.

    Args:
        generative: a `LatentVariableModel`.
        inference: q(h|x), a distribution layer or a `Chain`.
        num_samples: K, 2 at least.
        others: see `LatentVariableAlgorithm`.

    Raises:
        ValueError: K < 2.
    """

    terms = ("loss", "iw_bound", "elbo", "reconstruction", "kl", "effective_sample_size")

    def __init__(self, generative, inference, num_samples=10, **kwargs):
        super().__init__(generative, inference, num_samples=num_samples, **kwargs)
        if self.num_samples < 2:
            raise ValueError(
                "VIMCO takes each draw's baseline from the other draws: `num_samples` is 2 at "
                f"least; received {num_samples!r}. NVIL and MuProp serve one draw."
            )
        self.finish()

    def train_step(self, data):
        """One step on the batch's mean of -I_K."""
        x = self.unpack(data)["x"]
        seed = self.next_seed()

        def loss_fn():
            h, log_q = self.draw(x, self.num_samples, seed, training=True, stop_gradient=True)
            log_likelihood = self.generative.log_likelihood(x, h, training=True)
            log_prior = self.generative.log_prior(h, training=True)
            log_weights = log_likelihood + log_prior - log_q
            signal = weights.log_mean_exp(log_weights) - leave_one_out_bounds(log_weights)
            score = ops.sum(ops.stop_gradient(signal) * log_q, axis=0)
            bounds = self.bound_terms(log_likelihood, log_prior, log_q)
            terms = {name: bounds[name] for name in self.terms if name in bounds}
            loss = -bounds["iw_bound"]
            return loss - ops.mean(score), {"loss": loss, **terms}

        _, terms = self.minimize(loss_fn)
        return self.log(terms)


def leave_one_out_bounds(log_weights):
    """The bound without each draw: log_mean_exp with log w_k replaced by the others' mean.

    Args:
        log_weights: (K, batch), K >= 2.

    Returns:
        (K, batch).
    """
    num_samples = log_weights.shape[0]
    others = (ops.sum(log_weights, axis=0, keepdims=True) - log_weights) / (num_samples - 1)
    own = ops.eye(num_samples, dtype="bool")[:, :, None]
    replaced = ops.where(own, others[:, None], log_weights[None])
    return ops.logsumexp(replaced, axis=1) - math.log(num_samples)
