"""Noise-contrastive estimation."""

import math

import keras
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms.undirected.base import RandomFieldAlgorithm


@keras.saving.register_keras_serializable(package="keras_dgm")
class NCE(RandomFieldAlgorithm):
    """Noise-contrastive estimation: a field learns to tell data from a noise of known density.

    The normalising constant is a parameter like the others: p(x) = exp(u(x) - c) (Ou 2019,
    Eq. 45), c the field's `log_partition`, which this rule makes trainable. So the learned
    field's `log_prob` is normalised as far as learning has come, and c estimates log Z.

    Objective (Ou 2019, Eq. 46 to 48, Alg. 9), nu = `noise_ratio`, minimised:
        - E_data log P(C=0|x) - nu E_noise log P(C=1|x),
        P(C=0|x) = p(x) / (p(x) + nu p_n(x)) = sigmoid(u(x) - c - log p_n(x) - log nu).
    Up to nu log nu it is minus the variational bound of an f-divergence between data and noise,
    with f(u) = u log u - (u + nu) log(u + nu) (App. B; the constant of Eq. 54 is -nu log nu, and
    the second line of Eq. 49 lacks the minus sign that Alg. 9 has).

    Estimator: means over a batch and over ceil(nu) draws of the noise for each of its rows;
    unbiased for this objective and its gradient. Its maximum is p = p_data wherever the noise
    covers the data; the smaller nu and the farther the noise, the larger the estimator's variance.

    Cost per step: one pass and one gradient of u over (1 + ceil(nu)) batches, drawing from the
    noise and its density; no chain.

    Terms: `loss`, `log_partition` (c), `potential_difference` (mean u of data minus noise),
    `data_posterior` (mean P(C=0|x) over the data), `noise_posterior` (mean P(C=0|x) over the
    noise): when both are 1 and 0, the noise is too far from the data to teach anything.

    Args:
        field: a `RandomField` (or `RBM`) without labels.
        noise: a distribution layer or flow without context, over the shape of x.
        noise_ratio: nu > 0.
        others: see `RandomFieldAlgorithm`.

    Raises:
        ValueError: noise over another shape than the data's or with a context, a ratio that is
            not positive, a field with labels.
    """

    terms: tuple[str, ...] = (
        "loss",
        "log_partition",
        "potential_difference",
        "data_posterior",
        "noise_posterior",
    )
    evaluation_terms = ("loss", "potential", "log_prob")

    def __init__(self, field, noise, noise_ratio=1.0, **kwargs):
        super().__init__(field, **kwargs)
        if field.num_classes is not None:
            raise ValueError(
                f"{type(self).__name__} learns p(x), and the field has {field.num_classes} "
                "labels; give a field without, or learn labels with InclusiveNRF."
            )
        if not float(noise_ratio) > 0.0:
            raise ValueError(
                "`noise_ratio` is the number of noise draws for each data point, positive; "
                f"received {noise_ratio!r}."
            )
        noise.build()
        self._check_noise(noise)
        self.noise = noise
        self.noise_ratio = float(noise_ratio)
        field.log_partition.trainable = True
        self.finish()

    def _check_noise(self, noise):
        if getattr(noise, "context_shape", None) is not None:
            raise ValueError(
                f"The noise {type(noise).__name__} needs a context; noise is drawn without one. "
                "Give a layer that is not conditional."
            )
        if tuple(noise.event_shape) != tuple(self.field.event_shape):
            raise ValueError(
                f"The noise draws x of shape {tuple(noise.event_shape)}, and the field is over "
                f"{tuple(self.field.event_shape)}: it must cover all of an x. Construct the noise "
                f"with the event shape {tuple(self.field.event_shape)}."
            )

    def draw_noise(self, rows, seed, training=None):
        """`(draws, log p_n of them)`, ceil(nu) for each of `rows` rows, constants."""
        draws, log_noise = self.noise.sample_and_log_prob(
            sample_shape=(math.ceil(self.noise_ratio) * rows,),
            seed=seed,
            training=training,
            stop_gradient=True,
        )
        return draws, ops.stop_gradient(log_noise)

    def log_noise(self, x, training=None):
        """log p_n(x) as a constant, nats, shape (batch,)."""
        return ops.stop_gradient(self.noise.log_prob(x, training=training))

    def contrast(self, data_logit, noise_logit):
        """The objective from the logits of P(C=0|x) on the data and on the noise."""
        data_term = ops.mean(ops.softplus(-data_logit))
        return data_term + self.noise_ratio * ops.mean(ops.softplus(noise_logit))

    def nce_loss(self, x, log_noise, draws, draws_log_noise, training=None):
        """`(loss, terms)`; the terms are those of the class.

        Args:
            x: observations (batch, *event).
            log_noise: log p_n(x), (batch,).
            draws: noise (n, *event).
            draws_log_noise: log p_n of the draws, (n,).
        """
        rows = ops.shape(x)[0]
        both = ops.concatenate([x, draws], axis=0)
        potential = self.field.data_potential(both, training=training)
        constant = ops.convert_to_tensor(self.field.log_partition)
        shift = constant + math.log(self.noise_ratio)
        data_logit = potential[:rows] - shift - log_noise
        noise_logit = potential[rows:] - shift - draws_log_noise
        loss = self.contrast(data_logit, noise_logit)
        if self.potential_penalty:
            squares = ops.square(potential)
            halves = 0.5 * (ops.mean(squares[:rows]) + ops.mean(squares[rows:]))
            loss = loss + self.potential_penalty * halves
        return loss, {
            "loss": loss,
            "log_partition": constant,
            "potential_difference": ops.mean(potential[:rows]) - ops.mean(potential[rows:]),
            "data_posterior": ops.mean(ops.sigmoid(data_logit)),
            "noise_posterior": ops.mean(ops.sigmoid(noise_logit)),
        }

    def train_step(self, data):
        """One step on the field and its constant."""
        x = ops.cast(self.unpack(data)["x"], "float32")
        draws, draws_log_noise = self.draw_noise(ops.shape(x)[0], self.next_seed())
        log_noise = self.log_noise(x)

        def loss_fn():
            return self.nce_loss(x, log_noise, draws, draws_log_noise, training=True)

        _, terms = self.minimize(loss_fn, "field")
        return self.log(terms)

    def evaluation_step(self, data):
        """The objective, mean u(x), and mean u(x) - c: log p(x) as far as c is log Z."""
        x = ops.cast(data["x"], "float32")
        draws, draws_log_noise = self.draw_noise(ops.shape(x)[0], self.next_seed(), training=False)
        log_noise = self.log_noise(x, training=False)
        loss, terms = self.nce_loss(x, log_noise, draws, draws_log_noise, training=False)
        potential = ops.mean(self.field.data_potential(x, training=False))
        return {
            "loss": loss,
            "potential": potential,
            "log_prob": potential - terms["log_partition"],
        }

    def check_data(self, x):
        """As the base's, and that the noise covers x."""
        super().check_data(x)
        self.noise.check_value(x, "x")

    @property
    def log_partition(self):
        """c, the learned estimate of log Z, in nats."""
        return float(ops.convert_to_numpy(self.field.log_partition))

    def log_prob(self, x, batch_size=1000):
        """u(x) - c in nats, NumPy array (n,): log p(x) as far as c is log Z."""
        return self.potential(x, batch_size) - self.log_partition

    def get_config(self):
        return {
            **super().get_config(),
            "noise": keras.saving.serialize_keras_object(self.noise),
            "noise_ratio": self.noise_ratio,
        }


@keras.saving.register_keras_serializable(package="keras_dgm")
class DynamicNCE(NCE):
    """NCE whose noise is learned too, and whose data class is data mixed with noise.

    Noise that follows the data keeps the two classes hard to tell, so that a small nu does; the
    mixture in the data's place keeps the field from the sparse empirical distribution (Wang & Ou
    2018b; Ou 2019, section 4.2.4).

    Objective: the noise by maximum likelihood, - E_data log p_n(x); the field, with alpha =
    `data_share` and P(C=0|x) as in `NCE`:
        - alpha E_data log P(C=0|x) - (1 - alpha) E_noise log P(C=0|x) - nu E_noise log P(C=1|x).
    At its optimum the field is alpha p_data + (1 - alpha) p_n, which is p_data where p_n is.

    Estimator: means over a batch and ceil(nu) draws of the noise for each row, the same draws in
    both terms over the noise: unbiased for both gradients. Biased for p_data by design where
    alpha < 1 and the noise is not the data's law.

    Cost per step: that of `NCE`, and one gradient of log p_n over the batch.

    Args:
        data_share: alpha in (0, 1]; 1 is NCE with learned noise.
        others: see `NCE`.

    Raises:
        ValueError: as `NCE`; noise with nothing to learn; a share outside (0, 1].
    """

    players = ("noise", "field")
    terms = (*NCE.terms, "noise_nll")

    def __init__(self, field, noise, noise_ratio=1.0, data_share=0.5, **kwargs):
        if not 0.0 < float(data_share) <= 1.0:
            raise ValueError(f"`data_share` lies in (0, 1]; received {data_share!r}.")
        self.data_share = float(data_share)
        super().__init__(field, noise, noise_ratio, **kwargs)

    def _check_noise(self, noise):
        super()._check_noise(noise)
        if not noise.trainable_variables:
            raise ValueError(
                f"DynamicNCE learns its noise, and this {type(noise).__name__} has no trainable "
                "weight: construct it with learned=True, or use NCE."
            )

    def player_variables(self, player):
        """The noise's weights, or the field's with its constant."""
        if player == "noise":
            return self.noise.trainable_variables
        return super().player_variables(player)

    def contrast(self, data_logit, noise_logit):
        """The objective with the data class mixed."""
        data_term = self.data_share * ops.mean(ops.softplus(-data_logit))
        data_term = data_term + (1.0 - self.data_share) * ops.mean(ops.softplus(-noise_logit))
        return data_term + self.noise_ratio * ops.mean(ops.softplus(noise_logit))

    def train_step(self, data):
        """The noise moves, then the field; both from the same draws and densities."""
        x = ops.cast(self.unpack(data)["x"], "float32")
        seed = self.next_seed()
        with backend.forgetting():
            draws, draws_log_noise = self.draw_noise(ops.shape(x)[0], seed, True)
            log_noise = self.log_noise(x, True)

        def noise_loss():
            return -ops.mean(self.noise.log_prob(x, training=True))

        def field_loss():
            return self.nce_loss(x, log_noise, draws, draws_log_noise, training=True)

        with self.moving_together():
            noise_nll, _ = self.minimize(noise_loss, "noise")
            _, terms = self.minimize(field_loss, "field")
        return self.log({**terms, "noise_nll": noise_nll})

    def get_config(self):
        return {**super().get_config(), "data_share": self.data_share}
