"""Denoising auto-encoders: a generative chain of corruption and reconstruction."""

import random

import keras
import numpy as np
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms import checks
from keras_dgm.algorithms.base import Algorithm
from keras_dgm.distributions import Chain

ESTIMATORS = ("reparameterized", "score_function")


@keras.saving.register_keras_serializable(package="keras_dgm")
class DenoisingAutoencoder(Algorithm):
    """Learns p(x | x~) for x~ ~ C(. | x), and samples by alternating the two.

    Objective: E_data E_C(x~|x) [- log p(x | x~)], minimal at the Bayes reconstruction, where the
    chain x -> x~ -> x' has the data's law as its stationary law (Bengio et al. 2013).

    In the KL form (Bachman & Precup 2015, section 2) the noisy code z_bar may come after latent
    layers, and the noise may be learned: with q(z|x) q(z_bar|z) = `corruption`, a `Chain` or its
    last part alone, and p(x, z | z_bar) = `reconstruction`,
        J = E [log q(z|x) - log p(x, z | z_bar)],
    where q(z_bar | .) is left out. J = KL(q || p) + H(data) - I(z_bar; x, z): the paper's Eq. 9
    drops the gradient of the mutual information, so for a learned corruption J is not the KL,
    and it favours noise that tells more about x.

    Estimator: one draw of the noise a row, unbiased for J's gradient: fixed noise needs nothing;
    learned noise is `"reparameterized"` (through z and z_bar), or for discrete noise
    `"score_function"` with the mean of the batch's other rows as baseline.

    Cost per step: one pass and gradient of the reconstruction, one pass of the corruption.

    Terms: `loss` (J), `nll` (mean - log p(x, z | z_bar)), nats.

    Args:
        corruption: a conditional distribution layer given x (`distributions.GaussianCorruption`,
            `FlipCorruption`, `MaskingCorruption`, any other), or a `Chain` whose last part is
            the noisy code and the others latent layers.
        reconstruction: a distribution layer given the noisy code; with n latent layers a `Chain`
            of n + 1, that draws the latents in reverse order, then x.
        learn_corruption: whether the corruption's weights move too.
        estimator: of the corruption's gradient, by default whichever its draws allow.
        others: see `Algorithm`.

    Raises:
        ValueError: parts whose latent layers do not match, a corruption with nothing to learn, or
            whose draws carry no gradient where one is asked for.
    """

    players = ("reconstruction",)
    terms: tuple[str, ...] = ("loss", "nll")

    def __init__(
        self, corruption, reconstruction, learn_corruption=False, estimator=None, **kwargs
    ):
        super().__init__(**kwargs)
        self.corruption, self.reconstruction = corruption, reconstruction
        self.learn_corruption = bool(learn_corruption)
        self._build_parts()
        if estimator is None:
            estimator = ESTIMATORS[0 if corruption.is_reparameterized else 1]
        self.estimator = checks.one_of("estimator", estimator, ESTIMATORS)
        if self.learn_corruption:
            self.players = ("reconstruction", "corruption")
            self._check_learnable()
        self._finish_parts()

    def _finish_parts(self):
        self.finish()

    def _build_parts(self):
        event = _last(self.reconstruction.event_shape, self.reconstruction)
        self.corruption.build((None, *event))
        self.reconstruction.build((None, *_last(self.corruption.event_shape, self.corruption)))
        self.event_shape = tuple(event)
        drawn = _others(self.corruption)
        expected = _others(self.reconstruction)
        if tuple(reversed(drawn)) != expected:
            raise ValueError(
                f"The corruption draws latent layers of shapes {drawn} before the noisy code, and "
                f"the reconstruction {expected} before x; it must draw the same in reverse order. "
                "Without latent layers neither is a Chain."
            )

    def _check_learnable(self):
        if not self.corruption.trainable_variables:
            raise ValueError(
                f"learn_corruption=True, and {type(self.corruption).__name__} has no trainable "
                "weight: construct it with learned=True, or with a network."
            )
        if self.estimator == "reparameterized" and not self.corruption.is_reparameterized:
            raise ValueError(
                f"Draws of {type(self.corruption).__name__} carry no gradient: use "
                "estimator='score_function'."
            )

    def player_variables(self, player):
        """The weights of the part of that name."""
        part = self.corruption if player == "corruption" else self.reconstruction
        return part.trainable_variables

    def corrupt(self, x, seed, training=None, stop_gradient=True):
        """`(latents, noisy, log q(latents | x), log q of all)`, constants with `stop_gradient`."""
        options = {"seed": seed, "training": training, "stop_gradient": stop_gradient}
        if not isinstance(self.corruption, Chain):
            if not self.learn_corruption:
                noisy = self.corruption.sample(x, seed=seed, training=training)
                return (), ops.stop_gradient(noisy) if stop_gradient else noisy, 0.0, 0.0
            noisy, log_q = self.corruption.sample_and_log_prob(x, **options)
            return (), noisy, 0.0, log_q
        values, log_q = self.corruption.sample_and_log_prob(x, **options)
        log_last = self.corruption.parts[-1].log_prob(values[-1], values[-2], training=training)
        return values[:-1], values[-1], log_q - log_last, log_q

    def row_losses(self, source, target, seed, training=None):
        """`(losses (batch,), nll (batch,), noisy)` of reconstructing `target` from a noisy source.

        The losses' gradients are those of J, their values J's terms.
        """
        through = self.learn_corruption and self.estimator == "reparameterized"
        latents, noisy, log_latents, log_q = self.corrupt(source, seed, training, not through)
        value = (*reversed(latents), target) if latents else target
        nll = -self.reconstruction.log_prob(value, noisy, training=training)
        losses = log_latents + nll
        if self.learn_corruption and not through:
            signal = ops.stop_gradient(_without_baseline(losses))
            losses = losses + signal * (log_q - ops.stop_gradient(log_q))
        return losses, nll, noisy

    def train_step(self, data):
        """One step on J."""
        x, seed = ops.cast(self.unpack(data)["x"], "float32"), self.next_seed()
        _, terms = self.minimize(lambda: self.batch_loss(x, seed, training=True), self.players)
        return self.log(terms)

    def batch_loss(self, x, seed, training=None):
        """`(loss, terms)` of a batch."""
        losses, nll, _ = self.row_losses(x, x, seed, training)
        loss = ops.mean(losses)
        return loss, {"loss": loss, "nll": ops.mean(nll)}

    def evaluation_step(self, data):
        """The terms of a batch."""
        x = ops.cast(data["x"], "float32")
        return self.batch_loss(x, self.next_seed(), training=False)[1]

    def check_data(self, x):
        """Shape, finiteness, and the reconstruction's support."""
        checks.event("x", x, self.event_shape)
        checks.finite("x", x)
        self.reconstruction.check_value(x)

    def call(self, x, training=None):
        """E[x' | x~ = x]: x taken for a noisy one (of data's own shape)."""
        return self._mean(x, backend.as_seed(0))

    def _mean(self, noisy, seed):
        """E[x | noisy], given a draw of the latent layers where there are some."""
        if not isinstance(self.reconstruction, Chain):
            return self.reconstruction.mean(noisy, training=False)
        values = self.reconstruction.sample(noisy, seed=seed, training=False)
        return self.reconstruction.parts[-1].mean(values[-2], training=False)

    def _draw(self, noisy, seed, training=None):
        value = self.reconstruction.sample(noisy, seed=seed, training=training)
        return ops.stop_gradient(value[-1] if isinstance(value, tuple) else value)

    def reconstruct(self, x, seed=0):
        """E[x' | x~] at a draw of x~ ~ C(. | x), NumPy array (batch, *event)."""

        def rebuild(x, seed):
            first, second = backend.split_seed(seed, 2)
            return self._mean(self.corrupt(x, first, training=False)[1], second)

        x = np.asarray(x)
        self.check_data(x)
        program = self.compiled_function("reconstruct", rebuild)
        return ops.convert_to_numpy(program(x.astype("float32"), backend.as_seed(seed)))

    def chain(self, start, num_steps, seed=None, mean=False):
        """Markov chains x -> x~ -> x', for pictures.

        Args:
            start: where the chains begin, array (n, *event): data, or anything of their shape.
            num_steps: alternations.
            seed: integer, or None for a fresh one.
            mean: whether to give E[x' | x~] at every step in place of the drawn x'; the chain
                itself goes on with the draw.

        Returns:
            NumPy array (num_steps, n, *event).

        Raises:
            ValueError: a start of another shape; a chain that is no longer finite.
        """
        start = np.asarray(start, "float32")
        checks.event("start", start, self.event_shape)
        if int(num_steps) < 1:
            raise ValueError(f"`num_steps` is 1 at least; received {num_steps!r}.")

        def run(x, seed):
            def body(i, x):
                first, second, third = backend.split_seed(backend.fold_in(seed, i), 3)
                noisy = self.corrupt(x, first, training=False)[1]
                new = self._draw(noisy, second, training=False)
                return new, self._mean(noisy, third) if mean else new

            return backend.scan(body, x, int(num_steps))[1]

        program = self.compiled_function(("chain", int(num_steps), bool(mean)), run)
        seed = random.randint(0, 2**31 - 1) if seed is None else seed
        out = ops.convert_to_numpy(program(start, backend.as_seed(seed)))
        if not np.isfinite(out).all():
            bad = int(np.argmin(np.isfinite(out).reshape(len(out), -1).all(axis=1)))
            raise ValueError(
                f"The chain of {type(self).__name__} is not finite from step {bad + 1} on: the "
                "reconstruction runs away where it has seen no data. Train it longer, with "
                "walkback (GSN), or with less noise."
            )
        return out

    def sample(self, num_samples, seed=None, num_steps=100, start=None, mean=False):
        """Ends of chains.

        Args:
            num_samples: how many.
            seed: integer, or None for a fresh one.
            num_steps: alternations of each chain; it must forget where it began.
            start: array (num_samples, *event) where the chains begin; zeros by default.
            mean: whether to give E[x' | x~] at the last step in place of x'.

        Returns:
            NumPy array (num_samples, *event).
        """
        if start is None:
            start = np.zeros((int(num_samples), *self.event_shape), "float32")
        if len(start) != int(num_samples):
            raise ValueError(f"{num_samples} chains need as many starts; received {len(start)}.")
        return self.chain(start, num_steps, seed, mean)[-1]

    def get_config(self):
        return {
            **super().get_config(),
            "corruption": keras.saving.serialize_keras_object(self.corruption),
            "reconstruction": keras.saving.serialize_keras_object(self.reconstruction),
            "learn_corruption": self.learn_corruption,
            "estimator": self.estimator,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for part in ("corruption", "reconstruction"):
            config[part] = keras.saving.deserialize_keras_object(config[part])
        return cls(**config)


def _last(shapes, layer):
    """Event shape of a layer, or of a chain's last part."""
    return shapes[-1] if isinstance(layer, Chain) else shapes


def _others(layer):
    """Event shapes of a chain's parts but the last, () for a single layer."""
    return layer.event_shape[:-1] if isinstance(layer, Chain) else ()


def _without_baseline(values):
    """Each value minus the mean of the batch's others (nothing, for a batch of one)."""
    count = ops.cast(ops.shape(values)[0], "float32")
    centred = (values - ops.mean(values)) * count / ops.maximum(count - 1.0, 1.0)
    return ops.where(count > 1.5, centred, values)
