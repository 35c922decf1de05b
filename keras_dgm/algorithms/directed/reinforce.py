"""The plain score-function update."""

import keras

from keras_dgm.algorithms.directed.vae import VAE


@keras.saving.register_keras_serializable(package="keras_dgm")
class VariationalREINFORCE(VAE):
    """Variational learning by the score function: `VAE(estimator="score_function")` by its name.

    Objective (Ou 2019, Eq. 7, 10), the evidence lower bound, in theta and phi together:
        L(x) = E_q(h|x) [log p(x, h) - log q(h|x)].

    Estimator (Alg. 3, Eq. 11), with constants h ~ q(h|x), K of them averaged:
        theta ascends grad log p(x, h),
        phi ascends (log p(x, h) - log q(h|x)) grad log q(h|x).
    Any family of latents. Without a baseline the variance is large: NVIL, MuProp and VIMCO are
    what is usually wanted; this is the ground they are measured from.

    Bias: none.

    Cost per step: one pass and gradient of the inference network on the batch, one of the
    generative side on K times the batch.

    Args:
        generative: a `LatentVariableModel`.
        inference: q(h|x), a distribution layer or a `Chain`.
        others: `num_samples` (K), `kl_warmup` and the rest as in `VAE`.
    """

    def __init__(self, generative, inference, **kwargs):
        super().__init__(generative, inference, estimator="score_function", **kwargs)

    def get_config(self):
        config = super().get_config()
        del config["estimator"]
        return config
