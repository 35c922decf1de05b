"""Maximum likelihood for a tractable density."""

import random

import keras
import numpy as np
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms import checks
from keras_dgm.algorithms.base import Algorithm


@keras.saving.register_keras_serializable(package="keras_dgm")
class MaximumLikelihood(Algorithm):
    """Maximum likelihood: theta ascends log p(x) itself.

    Objective (Ou 2019, Eq. 6): the mean over the data of log p_theta(x), equivalently
    KL(data || p_theta) minimised.

    Estimator: the gradient of the batch's mean of log p_theta(x). Unbiased; no draws.

    Cost per step: one pass and gradient of the density on the batch.

    Args:
        model: a layer with trainable weights and `log_prob(x)`, nats, shape (batch,): a
            distribution layer without context (`learned=True`), a flow, or a layer of
            one's own with `event_shape`. It is built with `model.build()` where it is not.
        others: see `Algorithm`.

    Raises:
        ValueError: a model without a density, or without anything to train.
    """

    players = ("model",)
    terms = ("loss", "log_likelihood")
    evaluation_terms = ("log_likelihood",)

    def __init__(self, model, **kwargs):
        super().__init__(**kwargs)
        if not callable(getattr(model, "log_prob", None)):
            raise ValueError(
                f"{type(model).__name__} has no `log_prob(x)`: maximum likelihood needs a density. "
                "For latent variables take VAE or IWAE, for unnormalised densities NCE."
            )
        self.model = model
        if not model.built:
            model.build()
        if not model.trainable_variables:
            raise ValueError(
                f"{type(model).__name__} has nothing to train; a prior learns with `learned=True`."
            )
        self.finish()

    def player_variables(self, player):
        """The density's weights."""
        return self.model.trainable_variables

    def train_step(self, data):
        """One step on the batch's mean of -log p(x)."""
        x = self.unpack(data)["x"]

        def loss_fn():
            loss = -ops.mean(self.model.log_prob(x, training=True))
            return loss, {"loss": loss, "log_likelihood": -loss}

        _, terms = self.minimize(loss_fn, "model")
        return self.log(terms)

    def evaluation_step(self, data):
        """The mean of log p(x), nats."""
        return {"log_likelihood": ops.mean(self.model.log_prob(data["x"], training=False))}

    def check_data(self, x):
        """Shape, finiteness and support."""
        checks.event("x", x, self.model.event_shape)
        checks.finite("x", x)
        if hasattr(self.model, "check_value"):
            self.model.check_value(x)

    def sample(self, num_samples, seed=None):
        """Draws, NumPy array (num_samples, *event)."""

        def draw(seed):
            return self.model.sample(sample_shape=(num_samples,), seed=seed, training=False)

        seed = random.randint(0, 2**31 - 1) if seed is None else seed
        program = self.compiled_function(("sample", num_samples), draw)
        return ops.convert_to_numpy(program(backend.as_seed(seed)))

    def log_likelihood(self, x, num_samples=1, seed=0, rows=1000, verbose=0):
        """log p(x), exact; NumPy array (batch,), nats.

        Args:
            x: array (batch, *event).
            num_samples, seed: accepted for the interface of other models; nothing is drawn.
            rows: rows evaluated at once.
            verbose: 1 for a progress bar.
        """
        x = ops.convert_to_numpy(x)
        self.check_data(x)
        rows = min(rows, len(x))
        program = self.compiled_function(
            "log_prob", lambda batch: self.model.log_prob(batch, training=False)
        )
        starts = range(0, len(x), rows)
        bar = keras.utils.Progbar(len(starts), verbose=verbose, unit_name="batch")
        out = np.empty(len(x))
        for start in starts:
            batch = x[start : start + rows].astype("float32")
            padded = np.concatenate([batch, np.repeat(batch[:1], rows - len(batch), axis=0)])
            values = ops.convert_to_numpy(program(ops.convert_to_tensor(padded)))
            out[start : start + rows] = values[: len(batch)]
            bar.add(1)
        return out

    def get_config(self):
        return {
            **super().get_config(),
            "model": keras.saving.serialize_keras_object(self.model),
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "model": keras.saving.deserialize_keras_object(config["model"])})
