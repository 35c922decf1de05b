"""Variational learning with auxiliary variables."""

import keras
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms.directed.base import LatentVariableAlgorithm


class AuxiliaryVariables(LatentVariableAlgorithm):
    """A rule whose q(h|x) is a marginal of draws of more, weighed in the larger space.

    A subclass overrides `draw`, which gives h and log q~(h, a|x) = log q(h, a|x) - log r(a|x, h)
    at the draw, a the auxiliary variables. p(x, h) / q~ is then an unbiased estimate of p(x), so
    that the ELBO, the bounds of many draws and `log_likelihood` hold as they stand.
    """

    terms = ("loss", "elbo", "iw_bound", "reconstruction", "kl")

    def train_step(self, data):
        """One step on the batch's mean of minus the bound of K draws."""
        x = self.unpack(data)["x"]
        seed = self.next_seed()

        def loss_fn():
            h, log_q = self.draw(x, self.num_samples, seed, training=True)
            log_likelihood = self.generative.log_likelihood(x, h, training=True)
            log_prior = self.generative.log_prior(h, training=True)
            bounds = self.bound_terms(log_likelihood, log_prior, log_q)
            loss = -bounds["iw_bound"]
            kept = {name: bounds[name] for name in self.terms if name != "loss"}
            return loss, {"loss": loss, **kept}

        _, terms = self.minimize(loss_fn)
        return self.log(terms)

    def player_variables(self, player):
        """theta and phi, the reverse model's with the latter."""
        return self.trainable_variables

    def log_inference(self, h, x, training=None):
        """Raises: the density of h alone is an integral."""
        raise ValueError(
            f"log q(h|x) of {type(self).__name__} is an integral over its auxiliary variables; "
            "`draw` gives the weight of a draw in the larger space."
        )


@keras.saving.register_keras_serializable(package="keras_dgm")
class AuxiliaryVAE(AuxiliaryVariables):
    """Auxiliary deep generative model: q(h|x) is a mixture over an auxiliary variable a.

    Objective (Maaloe et al. 2016, Eq. 4; Ranganath et al. 2016; Ou 2019, section 3.2.1 item 4),
    for each x, with q(h|x) the integral of q(a|x) q(h|a, x) over a:
        E_q(a|x) q(h|a,x) [log p(x, h) + log r(a|x, h) - log q(a|x) - log q(h|a, x)]
            = ELBO of q(h|x) - E_q KL(q(a|x, h) || r(a|x, h)) <= log p(x).
    The generative side is what it was; r is a model of the auxiliary variable in reverse (p(a|x,
    z) in the paper). With K = `num_samples` > 1 the K-draw bound of these weights.

    Estimator: reparameterised, total derivative; unbiased.

    Cost per step: one pass and gradient of q(a|x) on the batch, one of q(h|a, x), r(a|x, h) and
    the generative side each on K times the batch.

    Args:
        generative: a `LatentVariableModel` of one latent layer.
        inference: q(h|a, x), a reparameterised distribution layer. Its context is the vector
            [x, a], both flattened and joined.
        auxiliary: q(a|x), a reparameterised distribution layer given x.
        reverse: r(a|x, h), a distribution layer over a given the vector [x, h].
        others: see `LatentVariableAlgorithm`.

    Raises:
        ValueError: several latent layers, draws without a gradient, an r of another a.
    """

    def __init__(self, generative, inference, auxiliary, reverse, **kwargs):
        if generative.is_deep:
            raise ValueError("AuxiliaryVAE takes one latent layer; the prior is a Chain.")
        x_size = flat_size(generative.event_shape)
        auxiliary.build((None, *generative.event_shape))
        inference.build((None, x_size + flat_size(auxiliary.event_shape)))
        reverse.build((None, x_size + flat_size(generative.latent_shape)))
        super().__init__(generative, inference, **kwargs)
        for name, layer in (("inference", inference), ("auxiliary", auxiliary)):
            if not layer.is_reparameterized:
                raise ValueError(
                    f"AuxiliaryVAE needs gradients through the draws of `{name}`, and "
                    f"{type(layer).__name__} draws have none."
                )
        if reverse.event_shape != auxiliary.event_shape:
            raise ValueError(
                f"`auxiliary` draws a of shape {auxiliary.event_shape}, `reverse` is over "
                f"{reverse.event_shape}; they must be the same."
            )
        self.auxiliary = auxiliary
        self.reverse = reverse
        self.finish()

    def finish(self):
        """See `Algorithm`. The mean of q(h|x) has no closed form, so units are not counted."""
        super(LatentVariableAlgorithm, self).finish()

    def draw(self, x, num_samples, seed, training=None, stop_gradient=False):
        """`(h, log q(a, h|x) - log r(a|x, h))`, (num_samples, batch, ...)."""
        first, second = backend.split_seed(seed, 2)
        a, log_a = self.auxiliary.sample_and_log_prob(
            x, (num_samples,), first, training, stop_gradient
        )
        h, log_h = self.inference.sample_and_log_prob(
            joined(x, a), (), second, training, stop_gradient
        )
        log_r = self.reverse.log_prob(a, joined(x, h), training=training)
        return h, log_a + log_h - log_r

    def call(self, x, training=None):
        """The raw parameters of q(a|x), as `predict` gives them."""
        return self.auxiliary(x, training=training)

    def get_config(self):
        return {
            **super().get_config(),
            "auxiliary": keras.saving.serialize_keras_object(self.auxiliary),
            "reverse": keras.saving.serialize_keras_object(self.reverse),
        }


def flat_size(shape):
    """Numbers in an event of this shape."""
    size = 1
    for length in shape:
        size *= int(length)
    return size


def joined(x, other):
    """The vectors [x, other]: (batch, *event), (num_samples, batch, *event) to (..., size)."""
    leading = ops.shape(other)[:2]
    flat = ops.reshape(ops.cast(x, "float32"), (-1, flat_size(x.shape[1:])))
    flat = ops.broadcast_to(flat, (leading[0], *ops.shape(flat)))
    other = ops.reshape(other, (*leading, flat_size(other.shape[2:])))
    return ops.concatenate([flat, other], axis=-1)
