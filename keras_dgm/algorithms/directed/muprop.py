"""The score-function gradient with a first-order control variate."""

import math

import keras
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms.directed import baselines
from keras_dgm.algorithms.directed.base import LatentVariableAlgorithm
from keras_dgm.algorithms.directed.layers import draw_layers, inference_parts, prior_log_probs
from keras_dgm.algorithms.directed.phases import move_each
from keras_dgm.algorithms.directed.relaxation import check_discrete, mean_from


@keras.saving.register_keras_serializable(package="keras_dgm")
class MuProp(LatentVariableAlgorithm):
    """MuProp: the score function less its first-order Taylor expansion at the mean-field point.

    Objective (Ou 2019, Eq. 7, 10), the evidence lower bound, in theta and phi together:
        L(x) = E_q(h|x) [f(h)],  f(h) = log p(x, h) - log q(h|x).

    Estimator (section 3.2.1; Gu et al. 2015), with constants h ~ q(h|x); mu_l = E[h_l | mu_{l-1}]
    is the mean-field pass, g_l = d f(mu) / d mu_l its gradient through the layers above:
        theta ascends grad log p(x, h),
        phi ascends sum_l s_l grad log q(h_l | h_{l-1}) + <g_l, grad E[h_l | h_{l-1}]>,
        s_l = f(h) - f(mu) - <g_l, h_l - mu_l> - b(x).
    Each layer's linear term multiplies that layer's own score, and the compensation takes the
    mean at the sampled h_{l-1}: with the mean-field one, or one joint signal, the estimator would
    be biased in deep networks. The baseline b is a network, a player of its own that minimises
    the sum of s_l^2 and takes no gradient from the bound.

    Bias: none.

    Cost per step: one pass and gradient of both sides on the batch for the mean field; then one
    pass and gradient of the inference network on the batch, one of the generative side on K times
    the batch, one of the baseline. With `updates="alternating"` twice that.

    Args:
        generative: a `LatentVariableModel`, its prior of Bernoulli or one-hot layers.
        inference: q(h|x), a Bernoulli or one-hot layer, or a `Chain` of such.
        num_samples: K, draws averaged.
        baseline: None for a perceptron of 100 tanh units, or a network from x to (batch, 1).
        updates: "simultaneous" or "alternating", as in `NVIL`.
        others: see `LatentVariableAlgorithm`.

    Raises:
        ValueError: latents of another family, a baseline with another output.
    """

    players = ("joint", "baseline")
    terms = ("loss", "elbo", "reconstruction", "kl", "baseline_loss")

    def __init__(
        self,
        generative,
        inference,
        num_samples=1,
        baseline=None,
        updates="simultaneous",
        **kwargs,
    ):
        super().__init__(generative, inference, num_samples=num_samples, updates=updates, **kwargs)
        check_discrete(self)
        (self.baseline,) = baselines.build_baselines(baseline, [generative.event_shape])
        self.finish()

    def player_variables(self, player):
        """Theta and phi, or the baseline's."""
        if player == "baseline":
            return self.baseline.trainable_variables
        return super().player_variables(player)

    def train_step(self, data):
        """One step on the batch's mean of -L, and one of the baseline."""
        x = self.unpack(data)["x"]
        seed = self.next_seed()

        def loss_fn():
            means, value_at_mean, slopes = self.mean_field(x)
            layers = draw_layers(self.inference, x, self.num_samples, seed, training=True)
            values = [layer.value for layer in layers]
            log_likelihood = self.generative.log_likelihood(x, values[0], training=True)
            log_prior = sum(prior_log_probs(self.generative, values, training=True))
            log_q = sum(layer.log_prob for layer in layers)
            value = ops.stop_gradient(log_likelihood + log_prior - log_q)
            shape = self.generative.event_shape
            baseline = baselines.baseline_value(self.baseline, x, shape, training=True)
            linear_terms = self.linear_terms(slopes, [v - mean for v, mean in zip(values, means)])
            surrogate = ops.mean(log_likelihood + log_prior) + self.compensation(slopes, layers)
            baseline_loss = 0.0
            for layer, linear in zip(layers, linear_terms):
                residual = value - value_at_mean - linear - baseline
                baseline_loss = baseline_loss + ops.mean(residual * residual)
                surrogate = surrogate + ops.mean(ops.stop_gradient(residual) * layer.log_prob)
            reconstruction, kl = -ops.mean(log_likelihood), ops.mean(log_q - log_prior)
            terms = {
                "loss": reconstruction + kl,
                "elbo": -reconstruction - kl,
                "reconstruction": reconstruction,
                "kl": kl,
                "baseline_loss": baseline_loss,
            }
            return baseline_loss - surrogate, terms

        return self.log(move_each(self, loss_fn))

    def mean_field(self, x):
        """The mean-field pass: mu, f(mu) and df/dmu, constants to every gradient.

        Returns:
            `(means, value, slopes)`: lists of (batch, *event) from x up, and (batch,).
        """
        parts = inference_parts(self.inference)

        def columns(offsets):
            """f and mu side by side, with each layer's mean moved by an offset."""
            means, log_q, context = [], 0.0, x
            for part, offset in zip(parts, offsets):
                parameters = part(context, training=True)
                context = mean_from(part, parameters) + offset
                means.append(context)
                log_q = log_q + part.log_prob_from(parameters, context)
            log_p = self.generative.log_likelihood(x, means[0], training=True)
            log_p = log_p + sum(prior_log_probs(self.generative, means, training=True))
            # Only f is differentiated; the means ride along, so that one pass gives both.
            flat = [ops.stop_gradient(ops.reshape(mean, (rows, -1))) for mean in means]
            return ops.concatenate([(log_p - log_q)[:, None], *flat], axis=1)

        rows = ops.shape(x)[0]
        zeros = [ops.zeros((rows, *part.event_shape)) for part in parts]
        with backend.frozen(self.trainable_variables):
            values, slopes = backend.value_and_input_grad(columns, zeros)
        value, values = ops.stop_gradient(values[:, 0]), values[:, 1:]
        means = []
        for part in parts:
            size = math.prod(part.event_shape)
            mean, values = values[:, :size], values[:, size:]
            means.append(ops.stop_gradient(ops.reshape(mean, (rows, *part.event_shape))))
        return means, value, [ops.stop_gradient(slope) for slope in slopes]

    def linear_terms(self, slopes, differences):
        """<g_l, h_l - mu_l> for each layer, a list of (num_samples, batch)."""
        return [_inner(slope, difference) for slope, difference in zip(slopes, differences)]

    def compensation(self, slopes, layers):
        """Mean over the batch of sum_l <g_l, E[h_l | h_{l-1}]>, with the mean's gradient."""
        return sum(
            ops.mean(_inner(slope, mean_from(layer.part, layer.parameters)))
            for slope, layer in zip(slopes, layers)
        )

    def get_config(self):
        return {
            **super().get_config(),
            "baseline": keras.saving.serialize_keras_object(self.baseline),
        }


def _inner(slope, value):
    """<slope, value> over the event's axes; `value` may have sample axes in front."""
    return ops.sum(slope * value, axis=tuple(range(1 - len(slope.shape), 0)))
