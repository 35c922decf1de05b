"""Vector-quantised auto-encoders."""

import math
import random

import keras
import numpy as np
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms import checks
from keras_dgm.algorithms.base import Algorithm
from keras_dgm.algorithms.directed.code_usage import CodeUsage
from keras_dgm.models.outputs import output_shape
from keras_dgm.networks.vector_quantizer import VectorQuantizer

# Rows of data that are encoded at a time.
ROWS = 1000


@keras.saving.register_keras_serializable(package="keras_dgm")
class VQVAE(Algorithm):
    """Vector-quantised VAE: N discrete latents a picture, code vectors by nearest neighbour.

    Objective (van den Oord et al. 2017, Eq. 3; Ou 2019, section 3.2.1 item 2), with z(x) the
    encoder's N vectors, e the nearest code vector of each and sg stop-gradient, for each x:
        -log p(x | z + sg(e - z)) + |sg(z) - e|^2 + beta |z - sg(e)|^2,
    sums over positions. q(h|x) puts all mass on the nearest codes; under the uniform prior over
    K codes its KL is the constant N log K, so that `elbo` = log p(x|e) - N log K bounds log p(x).

    Estimator: straight-through for the encoder, whose reconstruction gradient is taken at e and
    applied at z: biased. The decoder's gradient is exact; the codebook moves by the second term
    alone, or, with `ema_decay`, by moving averages of the vectors assigned to each code, without
    gradients (the second term is then left out).

    Cost per step: one pass and gradient of the encoder and the decoder on the batch, and the
    distances of its N vectors a row to K codes.

    Logged besides: `quantization_error`, |z - e|^2; over the epoch so far `perplexity`, the
    exponential of the entropy of the codes' usage (K when all are used alike), and `dead_codes`,
    those that nothing was assigned to.

    Args:
        encoder: Keras layer from x to z, (batch, *positions, code_size).
        likelihood: p(x|h), a distribution layer given (*positions, code_size).
        num_codes: K.
        commitment: beta.
        ema_decay: gamma of the moving averages, or None for a codebook trained by gradients.
        others: see `Algorithm`.

    Raises:
        ValueError: a single code, a negative commitment, an encoder without positions' vectors.
    """

    terms = ("loss", "elbo", "reconstruction", "kl", "quantization_error")

    def __init__(
        self, encoder, likelihood, num_codes=512, commitment=0.25, ema_decay=None, **kwargs
    ):
        super().__init__(**kwargs)
        if not float(commitment) >= 0.0:
            raise ValueError(f"`commitment` is not negative; received {commitment!r}.")
        self.encoder = encoder
        self.likelihood = likelihood
        self.commitment = float(commitment)
        shape = (None, *likelihood.event_shape)
        if not encoder.built:
            encoder.build(shape)
        self.latent_shape = tuple(output_shape(encoder, shape)[1:])
        if not self.latent_shape:
            raise ValueError(
                "The encoder gives one number for each x; VQVAE needs vectors, (batch, "
                "*positions, code_size)."
            )
        self.num_positions = math.prod(self.latent_shape[:-1])
        self.quantizer = VectorQuantizer(num_codes, ema_decay)
        self.quantizer.build((None, *self.latent_shape))
        self.kl = self.num_positions * math.log(self.quantizer.num_codes)
        likelihood.build((None, *self.latent_shape))
        self._train_usage = CodeUsage(num_codes, name="train_usage")
        self._test_usage = CodeUsage(num_codes, name="test_usage")
        self.finish()

    def train_step(self, data):
        """One step on the batch's mean loss."""
        x = ops.cast(self.unpack(data)["x"], "float32")

        def loss_fn():
            z = ops.cast(self.encoder(x, training=True), "float32")
            e, codes = self.quantizer(z)
            through = z + ops.stop_gradient(e - z)
            log_likelihood = self.likelihood.log_prob(x, through, training=True)
            to_codes = ops.mean(_squared(ops.stop_gradient(z) - e))
            to_encoder = ops.mean(_squared(z - ops.stop_gradient(e)))
            loss = -ops.mean(log_likelihood) + self.commitment * to_encoder
            if self.quantizer.ema_decay is None:
                loss = loss + to_codes
            return loss, (self._terms(log_likelihood, to_codes, loss), z, codes)

        _, (terms, z, codes) = self.minimize(loss_fn)
        if self.quantizer.ema_decay is not None:
            self.quantizer.update(z, codes)
        self._train_usage.update_state(codes)
        return self.log(terms)

    def _terms(self, log_likelihood, error, loss):
        reconstruction = -ops.mean(log_likelihood)
        kl = ops.cast(self.kl, "float32")
        return {
            "loss": loss,
            "elbo": -reconstruction - kl,
            "reconstruction": reconstruction,
            "kl": kl,
            "quantization_error": error,
        }

    def evaluation_step(self, data):
        """The terms of training."""
        x = ops.cast(data["x"], "float32")
        z = ops.cast(self.encoder(x, training=False), "float32")
        e, codes = self.quantizer(z)
        log_likelihood = self.likelihood.log_prob(x, e, training=False)
        error = ops.mean(_squared(z - e))
        weight = self.commitment + (1.0 if self.quantizer.ema_decay is None else 0.0)
        self._test_usage.update_state(codes)
        loss = weight * error - ops.mean(log_likelihood)
        return self._terms(log_likelihood, error, loss)

    @property
    def metrics(self):
        return [*super().metrics, self._train_usage, self._test_usage] if self.built else []

    def evaluation_extras(self):
        return self._test_usage.result()

    def log(self, terms):
        """See `Algorithm.log`."""
        logs = super().log(terms)
        if self._step.record is not None or self._step.evaluating:
            return logs
        return {**logs, **self._train_usage.result()}

    def get_metrics_result(self):
        result = super().get_metrics_result()
        return result if self._in_evaluate else {**result, **self._train_usage.result()}

    def check_data(self, x):
        """Shape, finiteness and the likelihood's support."""
        checks.event("x", x, self.likelihood.event_shape)
        checks.finite("x", x)
        self.likelihood.check_value(x)

    def init_codebook(self, x, seed=0):
        """Starts the code vectors at the encoder's vectors for randomly chosen data.

        Against codes that die before they are ever used.

        Args:
            x: array (n, *event), with as many vectors as codes together.
            seed: integer.
        """
        vectors = ops.convert_to_numpy(self._on_rows("vectors", x, self._vectors))
        vectors = vectors.reshape(-1, self.latent_shape[-1])
        if len(vectors) < self.quantizer.num_codes:
            raise ValueError(
                f"{self.quantizer.num_codes} codes need as many vectors; the {len(x)} rows of x "
                f"give {len(vectors)}."
            )
        chosen = np.random.default_rng(seed).choice(
            len(vectors), self.quantizer.num_codes, replace=False
        )
        self.quantizer.assign_codebook(vectors[chosen])

    def call(self, x, training=None):
        """The codes of x, as `predict` gives them."""
        return self.quantizer.nearest(self._vectors(ops.convert_to_tensor(x)))

    def encode(self, x):
        """The codes of x: NumPy int32 (batch, *positions)."""
        return self._on_rows("encode", x, self.call)

    def decode(self, codes):
        """E[x | codes]: NumPy array (batch, *event), for codes (batch, *positions)."""
        codes = np.asarray(codes)
        if codes.shape[1:] != self.latent_shape[:-1] or codes.dtype.kind not in "iu":
            raise ValueError(
                f"Codes are integers of shape (batch, {', '.join(map(str, self.latent_shape[:-1]))}"
                f"); received {codes.dtype} of shape {codes.shape}."
            )
        program = self.compiled_function("decode", self._decoded)
        return ops.convert_to_numpy(program(ops.convert_to_tensor(codes.astype("int32"))))

    def reconstruct(self, x):
        """E[x' | codes of x]: NumPy array (batch, *event)."""
        return self._on_rows("reconstruct", x, lambda x: self._decoded(self.call(x)))

    def sample(self, num_samples, seed=None, mean=False):
        """Draws under the uniform prior over codes; NumPy array (num_samples, *event).

        The prior that the ELBO is reckoned with is a poor generator. Fit one over `encode(x)` and
        give its draws to `decode` for better.

        Args:
            num_samples: how many.
            seed: integer, or None for a fresh one.
            mean: whether to give E[x | codes] in place of a draw of x.
        """

        def draw(seed):
            code_seed, seed = backend.split_seed(seed, 2)
            shape = (num_samples, *self.latent_shape[:-1])
            uniform = backend.uniform(shape, code_seed)
            codes = ops.cast(ops.floor(uniform * self.quantizer.num_codes), "int32")
            codes = ops.minimum(codes, self.quantizer.num_codes - 1)
            if mean:
                return self._decoded(codes)
            e = self.quantizer.look_up(codes)
            return self.likelihood.sample(e, seed=seed, training=False)

        seed = backend.as_seed(random.randint(0, 2**31 - 1) if seed is None else seed)
        return ops.convert_to_numpy(
            self.compiled_function(("sample", num_samples, mean), draw)(seed)
        )

    def log_likelihood(self, x, num_samples=1, seed=0, verbose=0):
        """log p(x | codes of x) - N log K, a lower bound on log p(x); NumPy array (batch,), nats.

        Args:
            x: array (batch, *event).
            num_samples, seed, verbose: accepted for the interface of other models; nothing is
                drawn.
        """

        def bound(x):
            e, _ = self.quantizer(self._vectors(x))
            return self.likelihood.log_prob(x, e, training=False) - self.kl

        return self._on_rows("log_likelihood", x, bound)

    def _vectors(self, x):
        return ops.cast(self.encoder(x, training=False), "float32")

    def _decoded(self, codes):
        return self.likelihood.mean(self.quantizer.look_up(codes), training=False)

    def _on_rows(self, name, x, function):
        x = ops.convert_to_numpy(x) if hasattr(x, "dtype") else np.asarray(x)
        self.check_data(x)
        program = self.compiled_function(name, function)
        parts = [x[start : start + ROWS] for start in range(0, max(1, len(x)), ROWS)]
        parts = [program(ops.convert_to_tensor(part.astype("float32"))) for part in parts]
        return np.concatenate([ops.convert_to_numpy(part) for part in parts])

    def get_config(self):
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "likelihood": keras.saving.serialize_keras_object(self.likelihood),
            "num_codes": self.quantizer.num_codes,
            "commitment": self.commitment,
            "ema_decay": self.quantizer.ema_decay,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for part in ("encoder", "likelihood"):
            config[part] = keras.saving.deserialize_keras_object(config[part])
        return cls(**config)


def _squared(difference):
    """Sum of squares of each row."""
    return ops.sum(difference * difference, axis=tuple(range(1, len(difference.shape))))
