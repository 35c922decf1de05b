"""Variational learning with one bound for both sides."""

import keras
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms import checks
from keras_dgm.algorithms.directed.base import LatentVariableAlgorithm

ESTIMATORS = (
    "reparameterized",
    "analytic_kl",
    "analytic_entropy",
    "path_derivative",
    "score_function",
)


@keras.saving.register_keras_serializable(package="keras_dgm")
class VAE(LatentVariableAlgorithm):
    """Variational auto-encoder: maximises the evidence lower bound in theta and phi together.

    Objective (Ou 2019, Eq. 7, 10), for each x:
        L(x) = E_q(h|x) [log p(x, h) - log q(h|x)].

    Estimators, all unbiased for the gradient of L, with K = `num_samples` draws:
    - `"reparameterized"`: h = h_phi(x, eps), total derivative of log p(x, h) - log q(h|x) (Eq. 13);
    - `"analytic_kl"`: the KL of Eq. 8 in closed form, log p(x|h) by reparameterisation;
    - `"analytic_entropy"`: the entropy of Eq. 9 in closed form;
    - `"path_derivative"`: as the first, without the score of q, whose mean is zero ("sticking the
      landing"): no variance at q(h|x) = p(h|x);
    - `"score_function"`: h is a constant and phi moves along (log p(x, h) - log q(h|x)) grad log
      q(h|x) (Alg. 3): any q, high variance.

    Cost per step: one pass and gradient of the inference network on the batch, one of the
    generative side on K times the batch.

    Args:
        generative: a `LatentVariableModel`.
        inference: q(h|x), a distribution layer or a `Chain`.
        estimator: see above.
        num_samples: K.
        kl_warmup: steps over which the KL's weight rises linearly from 1/n to 1, or None. While
            it is below 1 the loss is not a bound's; the terms reported are.
        others: see `LatentVariableAlgorithm`.

    Raises:
        ValueError: an estimator that needs gradients through draws, with a q that gives none; a
            closed form that does not exist.
    """

    terms = ("loss", "elbo", "reconstruction", "kl")

    def __init__(
        self, generative, inference, estimator="reparameterized", kl_warmup=None, **kwargs
    ):
        super().__init__(generative, inference, **kwargs)
        self.estimator = checks.one_of("estimator", estimator, ESTIMATORS)
        self.kl_warmup = kl_warmup
        if estimator != "score_function" and not inference.is_reparameterized:
            raise ValueError(
                f"The estimator {estimator!r} needs gradients through the draws of q(h|x), and "
                f"{type(inference).__name__} draws have none. Use estimator='score_function', or "
                "a rule for discrete latents (NVIL, VIMCO, ReweightedWakeSleep, JSA)."
            )
        if estimator in ("analytic_kl", "analytic_entropy"):
            self._check_closed_form()
        if kl_warmup is not None:
            self.warmup_step = self.add_learning_state("warmup_step", ())
        self.finish()

    def _check_closed_form(self):
        if self.generative.is_deep:
            raise ValueError(
                f"The estimator {self.estimator!r} needs a closed form, which a Chain has not; "
                "use 'reparameterized' or 'path_derivative'."
            )
        if self.estimator == "analytic_entropy" and not hasattr(self.inference, "entropy_from"):
            raise ValueError(
                f"The entropy of {type(self.inference).__name__} has no closed form here; use "
                "'reparameterized'."
            )
        if self.estimator == "analytic_kl":
            parameters = self.inference(ops.zeros((1, *self.generative.event_shape)))
            try:
                self.inference.kl_from(parameters, self.generative.prior)
            except NotImplementedError as error:
                raise ValueError(
                    f"KL({type(self.inference).__name__} || "
                    f"{type(self.generative.prior).__name__}) has no closed form; use "
                    "'reparameterized'."
                ) from error

    def train_step(self, data):
        """One step on the batch's mean of -L."""
        x = self.unpack(data)["x"]
        seed, weight = self.next_seed(), self._kl_weight()

        def loss_fn():
            if self.estimator == "score_function":
                return self._score_function(x, seed, weight)
            parameters = None
            if self.estimator in ("analytic_kl", "analytic_entropy"):
                parameters = self.inference(x, training=True)
                h = self.inference.sample_from(parameters, (self.num_samples,), seed)
                log_q = self.inference.log_prob_from(parameters, h)
            else:
                h, log_q = self.draw(x, self.num_samples, seed, training=True)
            if self.estimator == "path_derivative":
                with backend.frozen(self.inference.variables):
                    log_q = self.log_inference(h, x, training=True)
            log_likelihood = self.generative.log_likelihood(x, h, training=True)
            log_prior = self.generative.log_prior(h, training=True)
            kl = log_q - log_prior
            if self.estimator == "analytic_kl":
                kl = self.inference.kl_from(parameters, self.generative.prior)
            elif self.estimator == "analytic_entropy":
                kl = -self.inference.entropy_from(parameters) - log_prior
            loss = ops.mean(weight * kl) - ops.mean(log_likelihood)
            return loss, self._terms(loss, log_likelihood, kl)

        _, terms = self.minimize(loss_fn)
        return self.log(terms)

    def _score_function(self, x, seed, weight):
        """The surrogate whose gradient is Alg. 3's."""
        h, log_q = self.draw(x, self.num_samples, seed, training=True, stop_gradient=True)
        log_likelihood = self.generative.log_likelihood(x, h, training=True)
        log_prior = self.generative.log_prior(h, training=True)
        kl = log_q - log_prior
        signal = ops.stop_gradient(log_likelihood - weight * kl)
        surrogate = log_likelihood + weight * log_prior + signal * log_q
        terms = self._terms(ops.mean(weight * kl - log_likelihood), log_likelihood, kl)
        return -ops.mean(surrogate), terms

    def _terms(self, loss, log_likelihood, kl):
        reconstruction, kl = -ops.mean(log_likelihood), ops.mean(kl)
        return {
            "loss": loss,
            "elbo": -reconstruction - kl,
            "reconstruction": reconstruction,
            "kl": kl,
        }

    def _kl_weight(self):
        if self.kl_warmup is None:
            return 1.0
        step = ops.convert_to_tensor(self.warmup_step) + 1.0
        self.warmup_step.assign(step)
        return ops.minimum(step / float(self.kl_warmup), 1.0)

    def get_config(self):
        return {**super().get_config(), "estimator": self.estimator, "kl_warmup": self.kl_warmup}
