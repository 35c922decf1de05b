"""Variational learning with an amortised start, refined for each point."""

import keras
from keras import ops, tree

from keras_dgm import backend
from keras_dgm.algorithms.directed import local_steps
from keras_dgm.algorithms.directed.base import LatentVariableAlgorithm


@keras.saving.register_keras_serializable(package="keras_dgm")
class SemiAmortizedVAE(LatentVariableAlgorithm):
    """Semi-amortised VAE: the network's q(h|x) is refined by k steps of gradient ascent for each x.

    Objective (Kim et al. 2018, Eq. 6, Alg. 1; Ou 2019, section 3.2.1 item 5): with lambda_0 the
    inference network's raw parameters for x and
        lambda_{t+1} = lambda_t + a grad_lambda L(x, lambda_t),   t = 0 .. k - 1,
    the ELBO L(x, lambda_k) at the refined parameters, maximised in theta and phi, the steps
    themselves differentiated through (second derivatives of the generative side). A bound on
    log p(x) whatever the steps do. k = 0 is the VAE.

    Estimator: reparameterised draws, fresh ones in every step; the gradient of the draws' mean,
    unbiased for the expected L(x, lambda_k) over the noise of all steps.

    Cost per step: one pass and gradient of the inference network on the batch; k gradients of the
    generative side in lambda on `inner_samples` times the batch and backwards through them, one
    pass and gradient on K times the batch.

    Logged besides the ELBO: `amortized_elbo`, of lambda_0, an estimate of the first inner step.

    Args:
        generative: a `LatentVariableModel` of one latent layer.
        inference: q(h|x), a reparameterised distribution layer.
        inner_steps: k.
        inner_learning_rate: a.
        inner_samples: draws a row in an inner step.
        inner_clipnorm: the norm of a row's inner gradient is scaled down to this where it is
            larger, or None.
        others: see `LatentVariableAlgorithm`.

    Raises:
        ValueError: several latent layers, draws without a gradient, numbers out of range.
    """

    terms = ("loss", "elbo", "amortized_elbo", "reconstruction", "kl")

    def __init__(
        self,
        generative,
        inference,
        inner_steps=5,
        inner_learning_rate=0.1,
        inner_samples=1,
        inner_clipnorm=5.0,
        **kwargs,
    ):
        if generative.is_deep:
            raise ValueError(
                "SemiAmortizedVAE refines the parameters of one latent layer; the prior is a Chain."
            )
        super().__init__(generative, inference, **kwargs)
        if not inference.is_reparameterized:
            raise ValueError(
                "SemiAmortizedVAE differentiates through the draws of q(h|x), and "
                f"{type(inference).__name__} draws carry no gradient. MeanFieldVI refines discrete "
                "latents, without a network."
            )
        for name, value, least in (
            ("inner_steps", inner_steps, 0),
            ("inner_samples", inner_samples, 1),
        ):
            if int(value) < least or int(value) != value:
                raise ValueError(f"`{name}` is an integer, {least} at least; received {value!r}.")
        for name, value in (
            ("inner_learning_rate", inner_learning_rate),
            ("inner_clipnorm", inner_clipnorm),
        ):
            if value is not None and not float(value) > 0.0:
                raise ValueError(f"`{name}` is positive; received {value!r}.")
        self.inner_steps = int(inner_steps)
        self.inner_learning_rate = float(inner_learning_rate)
        self.inner_samples = int(inner_samples)
        self.inner_clipnorm = None if inner_clipnorm is None else float(inner_clipnorm)
        self.finish()

    def train_step(self, data):
        """One step on the batch's mean of -L(x, lambda_k)."""
        x = self.unpack(data)["x"]
        inner_seed, seed = backend.split_seed(self.next_seed(), 2)

        def loss_fn():
            parameters, first = self.refine(x, inner_seed, training=True)
            h, log_q = local_steps.draw_from(
                self.generative, [self.inference], [parameters], self.num_samples, seed
            )
            log_likelihood = self.generative.log_likelihood(x, h, training=True)
            kl = ops.mean(log_q - self.generative.log_prior(h, training=True))
            reconstruction = -ops.mean(log_likelihood)
            loss = reconstruction + kl
            amortized = -loss if first is None else ops.mean(first)
            return loss, {
                "loss": loss,
                "elbo": -loss,
                "amortized_elbo": amortized,
                "reconstruction": reconstruction,
                "kl": kl,
            }

        _, terms = self.minimize(loss_fn)
        return self.log(terms)

    def refine(self, x, seed, training=None):
        """`(lambda_k, elbo)`, with gradients through the steps.

        lambda_k is a dictionary of raw parameters (batch, ...); elbo (batch,) the estimate at
        lambda_0, or None for k = 0.
        """
        parameters = self.inference(x, training=training)
        if self.inner_steps == 0:
            return parameters, None

        def gradient(parameters, i):
            values, gradients = local_steps.elbo_gradient(
                self.generative,
                [self.inference],
                [parameters],
                x,
                self.inner_samples,
                backend.fold_in(seed, i),
                training,
            )
            return values, self._clipped(gradients[0])

        def ascend(parameters, gradients):
            return tree.map_structure(
                lambda value, slope: value + self.inner_learning_rate * slope,
                parameters,
                gradients,
            )

        first, slope = gradient(parameters, 0)
        parameters = ascend(parameters, slope)
        if self.inner_steps > 1:
            parameters = backend.fori_loop(
                self.inner_steps - 1,
                lambda i, parameters: ascend(parameters, gradient(parameters, i + 1)[1]),
                parameters,
            )
        return parameters, first

    def _clipped(self, gradients):
        if self.inner_clipnorm is None:
            return gradients
        squared = sum(
            ops.sum(ops.square(ops.reshape(g, (ops.shape(g)[0], -1))), axis=1)
            for g in tree.flatten(gradients)
        )
        # The larger of the two, so that the root of zero is never differentiated.
        limit = self.inner_clipnorm
        scale = limit / ops.sqrt(ops.maximum(squared, limit * limit))
        return tree.map_structure(
            lambda g: g * ops.reshape(scale, (-1, *([1] * (len(g.shape) - 1)))), gradients
        )

    def draw(self, x, num_samples, seed, training=None, stop_gradient=False):
        """`(h, log q)` from the refined parameters."""
        first, second = backend.split_seed(seed, 2)
        parameters, _ = self.refine(x, first, training=training)
        return local_steps.draw_from(
            self.generative, [self.inference], [parameters], num_samples, second, stop_gradient
        )

    def log_inference(self, h, x, training=None):
        """Raises: the refined q depends on the noise of its steps."""
        raise ValueError(
            "The refined q(h|x) of SemiAmortizedVAE depends on the noise of its inner steps; "
            "`draw` gives draws together with their density."
        )

    def get_config(self):
        return {
            **super().get_config(),
            "inner_steps": self.inner_steps,
            "inner_learning_rate": self.inner_learning_rate,
            "inner_samples": self.inner_samples,
            "inner_clipnorm": self.inner_clipnorm,
        }
