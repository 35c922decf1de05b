"""Neural variational inference and learning."""

import keras
from keras import ops

from keras_dgm.algorithms.directed import baselines
from keras_dgm.algorithms.directed.base import LatentVariableAlgorithm
from keras_dgm.algorithms.directed.layers import draw_layers, inference_parts, prior_log_probs
from keras_dgm.algorithms.directed.phases import move_each


@keras.saving.register_keras_serializable(package="keras_dgm")
class NVIL(LatentVariableAlgorithm):
    """NVIL: the score-function gradient with a centred and normalised learning signal.

    Objective (Ou 2019, Eq. 7, 10), the evidence lower bound, in theta and phi together:
        L(x) = E_q(h|x) [l],  l = log p(x, h) - log q(h|x).

    Estimator (section 3.2.1 item 2; Mnih & Gregor 2014), with a constant h ~ q(h|x):
        theta ascends grad log p(x, h),
        phi ascends (l - b(x) - c) / max(1, sd) grad log q(h|x).
    The baseline b is a network, a player of its own that minimises (l - b(x) - c)^2 and takes no
    gradient from the bound; c and sd are running averages of l - b(x) and its deviation over
    earlier steps, so that they do not depend on the draw. (The first step, which has none, takes
    its own batch's.) With local signals, layer l of a deep network has its own b, given the layer
    below, its own c and sd, and a signal without the terms that its draw cannot change: those of
    log p(x, h) - log q(h|x) that involve no layer from l up.

    Bias: none for theta; phi's mean is the gradient of L times 1 / max(1, sd), layer by layer.

    Cost per step: one pass and gradient of the inference network on the batch, one of the
    generative side on K times the batch, one of each baseline. With `updates="alternating"` twice
    that.

    Args:
        generative: a `LatentVariableModel`.
        inference: q(h|x), a distribution layer or a `Chain`.
        num_samples: K, draws averaged.
        baseline: None for perceptrons of 100 tanh units; a network from x to (batch, 1); with
            local signals in a deep network a list, one network for each layer's context: x, h_1,
            and so on.
        local_signals: whether each layer has its own signal; False gives all layers the whole l
            and the one baseline b(x).
        decay: of the running averages, in [0, 1).
        updates: "simultaneous" (one evaluation moves model and baseline) or "alternating" (the
            baseline is fitted to the signals of the moved model).
        others: see `LatentVariableAlgorithm`.

    Raises:
        ValueError: baselines of another number or output; a decay outside [0, 1).
    """

    players = ("joint", "baseline")
    terms = ("loss", "elbo", "reconstruction", "kl", "baseline_loss", "signal_deviation")

    def __init__(
        self,
        generative,
        inference,
        num_samples=1,
        baseline=None,
        local_signals=True,
        decay=0.8,
        updates="simultaneous",
        **kwargs,
    ):
        super().__init__(generative, inference, num_samples=num_samples, updates=updates, **kwargs)
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"`decay` lies in [0, 1); received {decay!r}.")
        self.decay = float(decay)
        self.local_signals = bool(local_signals)
        shapes = [part.event_shape for part in inference_parts(inference)]
        contexts = [generative.event_shape, *shapes[:-1]]
        self.context_shapes = contexts if self.local_signals else contexts[:1]
        self.baselines = baselines.build_baselines(baseline, self.context_shapes)
        size = (len(self.context_shapes),)
        self.signal_mean = self.add_learning_state("signal_mean", size)
        self.signal_variance = self.add_learning_state("signal_variance", size)
        self.signal_steps = self.add_learning_state("signal_steps", ())
        self.finish()

    def player_variables(self, player):
        """Theta and phi, or the baselines'."""
        if player == "baseline":
            return [v for network in self.baselines for v in network.trainable_variables]
        return super().player_variables(player)

    def train_step(self, data):
        """One step on the batch's mean of -L, and one of the baselines."""
        x = self.unpack(data)["x"]
        seed = self.next_seed()

        def loss_fn():
            layers = draw_layers(self.inference, x, self.num_samples, seed, training=True)
            values = [layer.value for layer in layers]
            log_likelihood = self.generative.log_likelihood(x, values[0], training=True)
            log_priors = prior_log_probs(self.generative, values, training=True)
            log_qs = [layer.log_prob for layer in layers]
            signals = self.signals(log_likelihood, log_priors, log_qs)
            centred = [
                signal - baselines.baseline_value(network, layer.context, shape, training=True)
                for signal, network, layer, shape in zip(
                    signals, self.baselines, layers, self.context_shapes
                )
            ]
            mean, variance, averages = self._running(centred)
            residuals = [value - mean[i] for i, value in enumerate(centred)]
            scale = ops.maximum(1.0, ops.sqrt(variance))
            factors = [ops.stop_gradient(r) / scale[i] for i, r in enumerate(residuals)]
            log_prior, log_q = sum(log_priors), sum(log_qs)
            if self.local_signals:
                score = sum(factor * log_q_l for factor, log_q_l in zip(factors, log_qs))
            else:
                score = factors[0] * log_q
            baseline_loss = ops.mean(sum(r * r for r in residuals))
            reconstruction, kl = -ops.mean(log_likelihood), ops.mean(log_q - log_prior)
            terms = {
                "loss": reconstruction + kl,
                "elbo": -reconstruction - kl,
                "reconstruction": reconstruction,
                "kl": kl,
                "baseline_loss": baseline_loss,
                "signal_deviation": ops.mean(ops.sqrt(variance)),
            }
            loss = baseline_loss - ops.mean(log_likelihood + log_prior + score)
            return loss, (terms, averages)

        terms, averages = move_each(self, loss_fn)
        for variable, value in zip((self.signal_mean, self.signal_variance), averages):
            variable.assign(value)
        self.signal_steps.assign(ops.convert_to_tensor(self.signal_steps) + 1.0)
        return self.log(terms)

    def signals(self, log_likelihood, log_priors, log_qs):
        """The learning signal of each layer, a list of constants (num_samples, batch).

        Args:
            log_likelihood: log p(x | h_1).
            log_priors: [log p(h_1 | h_2), ..., log p(h_L)].
            log_qs: [log q(h_1 | x), log q(h_2 | h_1), ...].
        """
        total = log_likelihood + sum(log_priors) - sum(log_qs)
        signals = [ops.stop_gradient(total)]
        # log p(x | h_1) - log q(h_1 | x) holds neither h_2 nor a layer above, and so on up.
        below = [log_likelihood, *log_priors[:-1]]
        for number in range(1, len(self.context_shapes)):
            total = total - below[number - 1] + log_qs[number - 1]
            signals.append(ops.stop_gradient(total))
        return signals

    def _running(self, centred):
        """c and variance to use now, and the averages to keep, each (number of signals,)."""
        values = ops.stop_gradient(ops.stack([ops.reshape(value, (-1,)) for value in centred]))
        batch = ops.mean(values, axis=1), ops.var(values, axis=1)
        kept = [ops.convert_to_tensor(v) for v in (self.signal_mean, self.signal_variance)]
        first = ops.convert_to_tensor(self.signal_steps) == 0.0
        used = [ops.where(first, new, old) for new, old in zip(batch, kept)]
        after = [self.decay * old + (1.0 - self.decay) * new for new, old in zip(batch, used)]
        return *used, tuple(after)

    def get_config(self):
        return {
            **super().get_config(),
            "baseline": baselines.serialize(self.baselines),
            "local_signals": self.local_signals,
            "decay": self.decay,
        }

    @classmethod
    def from_config(cls, config):
        return super().from_config(
            {**config, "baseline": baselines.deserialize(config.get("baseline"))}
        )
