"""Learning by the importance-weighted bound."""

import keras
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms import checks
from keras_dgm.algorithms.directed import weights
from keras_dgm.algorithms.directed.base import LatentVariableAlgorithm

ESTIMATORS = ("iwae", "dreg", "path_derivative")


@keras.saving.register_keras_serializable(package="keras_dgm")
class IWAE(LatentVariableAlgorithm):
    """Importance-weighted auto-encoder: maximises the K-sample bound in theta and phi together.

    Objective (Ou 2019, Eq. 19; Assignment 2018, section 2), for each x:
        I_K(x) = E_{h_1..K ~ q} log (1/K) sum_k w_k,  w_k = p(x, h_k) / q(h_k|x).

    Estimators, with w~ the weights normalised over the K draws of each x:
    - `"iwae"`: the total derivative, sum_k w~_k grad log w_k through h_k. Unbiased; phi's
      signal-to-noise ratio falls as 1/sqrt(K);
    - `"dreg"`: phi moves along sum_k w~_k^2 (d log w_k / d h_k)(d h_k / d phi) with the parameters
      of q's density stopped; theta as before. Unbiased, phi's ratio rises with K;
    - `"path_derivative"`: w~ with the parameters of q's density stopped ("sticking the landing").
      Biased for phi when K > 1.

    Cost per step: one pass and gradient of the inference network on the batch, one of the
    generative side on K times the batch; `"dreg"` takes two of each, `"path_derivative"` two of
    the inference network.

    The loss reported is -I_K, not a surrogate.

    Args:
        generative: a `LatentVariableModel`.
        inference: q(h|x), reparameterised.
        num_samples: K.
        estimator: see above.
        others: see `LatentVariableAlgorithm`.

    Raises:
        ValueError: an unknown estimator, or a q whose draws carry no gradient.
    """

    terms = ("loss", "iw_bound", "elbo", "reconstruction", "kl", "effective_sample_size")

    def __init__(self, generative, inference, num_samples=5, estimator="iwae", **kwargs):
        super().__init__(generative, inference, num_samples=num_samples, **kwargs)
        self.estimator = checks.one_of("estimator", estimator, ESTIMATORS)
        if not inference.is_reparameterized:
            raise ValueError(
                f"IWAE needs gradients through the draws of q(h|x), and {type(inference).__name__} "
                "draws have none. VIMCO maximises the same bound for discrete latents; "
                "ReweightedWakeSleep and JSA take any."
            )
        self.finish()

    def train_step(self, data):
        """One step on the batch's mean of -I_K."""
        x = self.unpack(data)["x"]
        seed = self.next_seed()

        def loss_fn():
            h, log_q = self.draw(x, self.num_samples, seed, training=True)
            if self.estimator == "path_derivative":
                with backend.frozen(self.inference.variables):
                    log_q = self.log_inference(h, x, training=True)
            # DReG's theta sees the draws as constants.
            seen = self.stop(h) if self.estimator == "dreg" else h
            log_likelihood = self.generative.log_likelihood(x, seen, training=True)
            log_prior = self.generative.log_prior(seen, training=True)
            terms = self.bound_terms(log_likelihood, log_prior, log_q)
            loss = -terms["iw_bound"]
            kept = {name: terms[name] for name in self.terms if name != "loss"}
            if self.estimator == "dreg":
                theta = log_likelihood + log_prior
                return self._doubly_reparameterized(x, h, theta, log_q), {"loss": loss, **kept}
            return loss, {"loss": loss, **kept}

        _, terms = self.minimize(loss_fn)
        return self.log(terms)

    def _doubly_reparameterized(self, x, h, theta, log_q):
        """The surrogate whose gradient is DReG's for phi and IWAE's for theta."""
        normalized = weights.normalized(theta - log_q)
        with backend.frozen([*self.generative.variables, *self.inference.variables]):
            path = self.generative.log_prob(x, h, training=True)
            path = path - self.log_inference(h, x, training=True)
        per_row = ops.sum(normalized * theta + normalized * normalized * path, axis=0)
        return -ops.mean(per_row)

    def get_config(self):
        return {**super().get_config(), "estimator": self.estimator}
