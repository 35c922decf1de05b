"""Generative stochastic networks: denoising trained by walkback."""

import keras
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms.undirected.denoising_autoencoder import DenoisingAutoencoder


@keras.saving.register_keras_serializable(package="keras_dgm")
class GSN(DenoisingAutoencoder):
    """Denoising along the model's own chain (walkback, Bengio et al. 2013).

    Objective: x*_0 = x; for t = 1 .. k: x~_t ~ C(. | x*_{t-1}), the loss gains
    - w_t log p(x | x~_t), the clean x the target, and x*_t ~ p(. | x~_t) without gradient. The
    chain is thereby sent back from wherever it strays to, which plain denoising never sees, and
    its stationary law at the optimum is still the data's.

    k is fixed (w_t = 1), or geometric: a walk that goes on with probability c after each step has
    the expected loss with w_t = c^(t-1), which is what is computed, cut at `walkback_steps`.

    Estimator: one walk a row. Unbiased for the loss's gradient at the present walk's law; the
    dependence of that law on the weights is left out by design.

    Cost per step: k passes and gradients of the reconstruction.

    Terms: `loss` and `nll` (sums over the walk), `last_nll` (its last step's), `chain_norm` (mean
    norm of x*_k-1's corruption).

    Args:
        corruption, reconstruction, learn_corruption, estimator: see `DenoisingAutoencoder`. Latent
            layers are the KL form's, at each step of the walk.
        walkback_steps: k, or the cut of a geometric k.
        continuation: c in (0, 1], 1 for a fixed k; 0.5 is the geometric walk of the paper.
        others: see `Algorithm`.

    Raises:
        ValueError: see `DenoisingAutoencoder`; k below 1, c outside (0, 1].
    """

    terms = ("loss", "nll", "last_nll", "chain_norm")

    def __init__(self, corruption, reconstruction, walkback_steps=5, continuation=1.0, **kwargs):
        if int(walkback_steps) < 1 or not 0.0 < float(continuation) <= 1.0:
            raise ValueError(
                "`walkback_steps` is 1 at least and `continuation` lies in (0, 1]; received "
                f"{walkback_steps!r} and {continuation!r}."
            )
        self.walkback_steps = int(walkback_steps)
        self.continuation = float(continuation)
        super().__init__(corruption, reconstruction, **kwargs)

    def batch_loss(self, x, seed, training=None):
        """`(loss, terms)` of a walk from each row."""
        current, total, nll_total = x, 0.0, 0.0
        for t in range(self.walkback_steps):
            first, second = backend.split_seed(backend.fold_in(seed, t), 2)
            losses, nll, noisy = self.row_losses(current, x, first, training)
            weight = self.continuation**t
            total = total + weight * ops.mean(losses)
            nll_total = nll_total + weight * ops.mean(nll)
            if t + 1 < self.walkback_steps:
                current = self._draw(ops.stop_gradient(noisy), second, training)
        flat = ops.reshape(noisy, (ops.shape(noisy)[0], -1))
        return total, {
            "loss": total,
            "nll": nll_total,
            "last_nll": ops.mean(nll),
            "chain_norm": ops.mean(ops.sqrt(ops.sum(ops.square(flat), axis=-1))),
        }

    def get_config(self):
        return {
            **super().get_config(),
            "walkback_steps": self.walkback_steps,
            "continuation": self.continuation,
        }
