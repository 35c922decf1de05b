"""What the rules for latent-variable models share."""

import random

import keras
import numpy as np
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms import checks
from keras_dgm.algorithms.base import Algorithm
from keras_dgm.algorithms.directed import weights
from keras_dgm.algorithms.directed.active_units import ActiveUnits
from keras_dgm.distributions import Chain

EVALUATION_TERMS = (
    "elbo",
    "reconstruction",
    "kl",
    "iw_bound",
    "effective_sample_size",
    "resampling_entropy",
)


class LatentVariableAlgorithm(Algorithm):
    """A rule that learns p(x, h) with the help of q(h | x).

    Players are the generative side (theta) and the inference side (phi), or both as one
    (`"joint"`), as the rule has it.

    Args:
        generative: a `LatentVariableModel`.
        inference: a distribution layer given x, or a `Chain` of them. A chain draws from the
            bottom up (h1, h2), the prior from the top down (h2, h1).
        num_samples: K, draws of h for each x.
        evaluation_samples: draws of h for each x in `evaluate`, K by default.
        others: see `Algorithm`.
    """

    evaluation_terms = EVALUATION_TERMS

    def __init__(self, generative, inference, num_samples=1, evaluation_samples=None, **kwargs):
        super().__init__(**kwargs)
        if int(num_samples) < 1:
            raise ValueError(f"`num_samples` is 1 at least; received {num_samples!r}.")
        self.generative = generative
        self.inference = inference
        self.num_samples = int(num_samples)
        self.evaluation_samples = int(evaluation_samples or num_samples)
        inference.build((None, *generative.event_shape))
        self._check_sides()
        self._active_units = None

    def _check_sides(self):
        prior, drawn = self.generative.latent_shape, self.inference.event_shape
        if self.generative.is_deep != isinstance(self.inference, Chain):
            raise ValueError(
                "The generative and the inference side must have as many stochastic layers; "
                f"the prior draws {prior}, the inference side {drawn}. Make both a Chain, or "
                "neither."
            )
        if self.generative.is_deep:
            drawn = tuple(reversed(drawn))
        if drawn != prior:
            raise ValueError(
                f"The prior draws h of shape {prior} (top first) and the inference side {drawn} "
                "in that order; they must be the same."
            )
        above = self.generative.prior.parts[::-1] if self.generative.is_deep else None
        below = self.inference.parts if self.generative.is_deep else [self.inference]
        for down, up in zip(above or [self.generative.prior], below):
            for relaxed, discrete in ((down, up), (up, down)):
                if _is(relaxed, "relaxed") and _is(discrete, "discrete"):
                    raise ValueError(
                        f"A latent layer is {type(relaxed).__name__} on one side and "
                        f"{type(discrete).__name__} on the other: the ratio of a mass and a "
                        "density at relaxed values bounds no likelihood. Make both relaxed, or "
                        "give GumbelSoftmax the discrete family on both, which it relaxes itself."
                    )

    def finish(self):
        if hasattr(self._first_inference(), "mean"):
            shape = self._first_inference().event_shape
            self._active_units = ActiveUnits(shape)
        super().finish()

    def _first_inference(self):
        return self.inference.parts[0] if isinstance(self.inference, Chain) else self.inference

    def player_variables(self, player):
        """theta, phi, or both."""
        if player == "generative":
            return self.generative.trainable_variables
        if player == "inference":
            return self.inference.trainable_variables
        return [*self.generative.trainable_variables, *self.inference.trainable_variables]

    @property
    def metrics(self):
        extra = [self._active_units] if getattr(self, "_active_units", None) is not None else []
        return [*super().metrics, *extra] if self.built else []

    def evaluation_extras(self):
        return {} if self._active_units is None else {"active_units": self._active_units.result()}

    def draw(self, x, num_samples, seed, training=None, stop_gradient=False):
        """`(h, log q(h | x))`, h (num_samples, batch, *latent) in the prior's order.

        With `stop_gradient` h is a constant, and the gradient of log q its score.
        """
        h, log_q = self.inference.sample_and_log_prob(
            x,
            sample_shape=(num_samples,),
            seed=seed,
            training=training,
            stop_gradient=stop_gradient,
        )
        return self.to_prior(h), log_q

    def to_prior(self, h):
        """The inference side's tuple in the prior's order."""
        return tuple(reversed(h)) if isinstance(h, (tuple, list)) else h

    def log_inference(self, h, x, training=None):
        """log q(h | x), for h in the prior's order."""
        h = tuple(reversed(h)) if isinstance(h, (tuple, list)) else h
        return self.inference.log_prob(h, x, training=training)

    def stop(self, h):
        """h as a constant."""
        return tuple(map(ops.stop_gradient, h)) if isinstance(h, tuple) else ops.stop_gradient(h)

    def evaluation_step(self, data):
        """Bounds on log p(x) with `evaluation_samples` draws, and what they are made of."""
        x = data["x"]
        h, log_q = self.draw(x, self.evaluation_samples, self.next_seed(), training=False)
        log_likelihood = self.generative.log_likelihood(x, h, training=False)
        log_prior = self.generative.log_prior(h, training=False)
        if self._active_units is not None:
            self._active_units.update_state(self._first_inference().mean(x, training=False))
        return self.bound_terms(log_likelihood, log_prior, log_q)

    def bound_terms(self, log_likelihood, log_prior, log_q):
        """The evaluation terms of weights (num_samples, batch)."""
        log_weights = log_likelihood + log_prior - log_q
        return {
            "elbo": ops.mean(log_weights),
            "reconstruction": -ops.mean(log_likelihood),
            "kl": ops.mean(log_q - log_prior),
            "iw_bound": ops.mean(weights.log_mean_exp(log_weights)),
            "effective_sample_size": ops.mean(weights.effective_sample_size(log_weights)),
            "resampling_entropy": ops.mean(weights.resampling_entropy(log_weights)),
        }

    def check_data(self, x):
        """Shape, finiteness and the likelihood's support."""
        checks.event("x", x, self.generative.event_shape)
        checks.finite("x", x)
        self.generative.likelihood.check_value(x)

    def call(self, x, training=None):
        """The raw parameters of q(h | x) (of its first layer), as `predict` gives them."""
        return self._first_inference()(x, training=training)

    def sample(self, num_samples, seed=None, mean=False):
        """Draws from the model.

        Args:
            num_samples: how many.
            seed: integer, or None for a fresh one.
            mean: whether to give E[x | h] at the drawn h in place of a draw of x.

        Returns:
            NumPy array (num_samples, *event).
        """

        def draw(seed):
            x, h = self.generative.sample(num_samples, seed, training=False)
            return self.generative.mean(h, training=False) if mean else x

        program = self.compiled_function(("sample", num_samples, mean), draw)
        return ops.convert_to_numpy(program(_seed(seed)))

    def infer(self, x, num_resamples=None, seed=0):
        """One draw of h for each x, from q(h | x) or nearer to p(h | x).

        Args:
            x: array (batch, *event).
            num_resamples: None for a draw from q; R for sampling-importance-resampling: R draws
                from q, one kept with probability proportional to p(x, h) / q(h | x) (Bachman &
                Precup 2015, Eq. 10), which tends to the posterior as R grows.
            seed: integer.

        Returns:
            NumPy array (batch, *latent), or a tuple, the top layer first.
        """
        x = self._checked(x)

        def draw(x, seed):
            first, second = backend.split_seed(seed, 2)
            h, log_q = self.draw(x, num_resamples or 1, first, training=False)
            if num_resamples is None:
                return keras.tree.map_structure(lambda part: part[0], h)
            log_weights = self.generative.log_prob(x, h, training=False) - log_q
            kept = backend.categorical(ops.transpose(log_weights), second)
            return keras.tree.map_structure(lambda part: weights.pick(part, kept), h)

        h = self.compiled_function(("infer", num_resamples), draw)(x, backend.as_seed(seed))
        return keras.tree.map_structure(ops.convert_to_numpy, h)

    def reconstruct(self, x, seed=0):
        """E[x' | h] at a draw of h ~ q(h | x), NumPy array (batch, *event)."""

        def decode(x, seed):
            h, _ = self.draw(x, 1, seed, training=False)
            return self.generative.mean(h, training=False)[0]

        program = self.compiled_function("reconstruct", decode)
        return ops.convert_to_numpy(program(self._checked(x), backend.as_seed(seed)))

    def log_likelihood(self, x, num_samples=1000, seed=0, rows=100, chunk=50, verbose=0):
        """Importance-weighted estimate of log p(x) (Ou 2019, Eq. 19): log of the mean weight.

        A lower bound in expectation, rising to log p(x) with the number of samples. Memory is
        bounded by `rows * chunk` decoded pictures.

        Args:
            x: array (batch, *event).
            num_samples: draws of h for each x.
            seed: integer; the same seed gives the same figures.
            rows: rows of x decoded at once.
            chunk: draws for each row decoded at once.
            verbose: 1 for a progress bar.

        Returns:
            NumPy array (batch,), nats.
        """
        if int(num_samples) < 1:
            raise ValueError(f"`num_samples` is 1 at least; received {num_samples!r}.")
        x = ops.convert_to_numpy(self._checked(x))
        rows, chunk = min(rows, len(x)), min(chunk, num_samples)

        num_chunks = -(-num_samples // chunk)
        # As many chunks in a call as there would be steps, the calls of one length.
        calls = -(-num_chunks // backend.fast_steps_per_execution(self._flatten_layers()))
        length = -(-num_chunks // calls)

        def log_weights(x, seed, first, num_samples):
            def one(number, state):
                done = (first + number) * chunk
                h, log_q = self.draw(x, chunk, backend.fold_in(seed, done), training=False)
                terms = self.generative.log_prob(x, h, training=False) - log_q
                keep = ops.arange(chunk)[:, None] < num_samples - done
                return state, ops.logsumexp(ops.where(keep, terms, -np.inf), axis=0)

            return backend.scan(one, (), length)[1]

        program = self.compiled_function(("log_likelihood", rows, chunk, length), log_weights)
        starts = range(0, len(x), rows)
        bar = keras.utils.Progbar(len(starts), verbose=verbose, unit_name="batch")
        out = np.full(len(x), -np.inf)
        key = backend.as_seed(seed)
        for number, start in enumerate(starts):
            batch = x[start : start + rows]
            padded = np.concatenate([batch, np.repeat(batch[:1], rows - len(batch), axis=0)])
            padded = ops.convert_to_tensor(padded)
            parts = []
            for first in range(0, num_chunks, length):
                arguments = backend.fold_in(key, number), np.int32(first), np.int32(num_samples)
                parts.append(program(padded, *arguments))
            parts = np.concatenate([ops.convert_to_numpy(part) for part in parts])[:num_chunks]
            total = np.logaddexp.reduce(parts.astype("float64"))
            out[start : start + rows] = total[: len(batch)] - np.log(num_samples)
            bar.add(1)
        return out

    def _checked(self, x):
        x = np.asarray(x) if not hasattr(x, "dtype") else ops.convert_to_numpy(x)
        self.check_data(x)
        return ops.convert_to_tensor(x.astype("float32"))

    def get_config(self):
        return {
            **super().get_config(),
            "generative": keras.saving.serialize_keras_object(self.generative),
            "inference": keras.saving.serialize_keras_object(self.inference),
            "num_samples": self.num_samples,
            "evaluation_samples": self.evaluation_samples,
        }

    @classmethod
    def from_config(cls, config):
        config = {
            key: keras.saving.deserialize_keras_object(value) if _is_object(value) else value
            for key, value in config.items()
        }
        return cls(**config)


def _is(layer, kind):
    return getattr(layer, f"is_{kind}", False)


def _is_object(value):
    return isinstance(value, dict) and "class_name" in value and "config" in value


def _seed(seed):
    return backend.as_seed(random.randint(0, 2**31 - 1) if seed is None else seed)
