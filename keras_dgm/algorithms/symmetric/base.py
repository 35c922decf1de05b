"""What algorithms that sample in both directions share: parts, phases, moves of the critics."""

import keras
import numpy as np
from keras import ops, tree

from keras_dgm import backend
from keras_dgm.algorithms import checks
from keras_dgm.algorithms.adversarial.base import AdversarialAlgorithm, seed_of
from keras_dgm.algorithms.adversarial.critics import build_critic, mixes_rows
from keras_dgm.algorithms.adversarial.penalties import gradient_norm
from keras_dgm.models import LatentVariableModel

CRITIC_LOSSES = ("wasserstein", "importance")
_CHUNK = 500


class HelmholtzAlgorithm(AdversarialAlgorithm):
    """An encoder and a decoder that move along one loss, and a critic for each side.

    Wake: x ~ data, z = z_phi(x, e) ~ Q(z|x). Sleep: z' ~ P(z), x' = x_theta(z', e') ~ P(x|z).
    c_x stands for log Q''(x), the unnormalised log-density of the data, c_z for log P''(z). The
    critics' roles swap: real is the data for c_x, and the prior for c_z:
        c_x minimises - c_x(x) + c_x(x'),    c_z minimises - c_z(z') + c_z(z).

    The encoder and the decoder move together, by one pass, at the turn of whichever comes first
    in `order`; each has an optimiser of its own.

    Args:
        generative: a `LatentVariableModel` of one latent layer, P(z) and P(x|z).
        inference: Q(z|x), a reparameterised distribution layer.
        visible_critic: Keras layer from x to c_x(x), (batch, 1), without last activation.
        latent_critic: Keras layer from z to c_z(z), or False for c_z = log P(z).
        visible: what c_x and Q(z'|x') are shown of the decoder: `"sample"`, a draw of P(x|z'), or
            `"mean"`, its mean (then no noise e', and the decoder is deterministic in sleep).
        critic_loss: `"wasserstein"`, or `"importance"`: log Z'' by importance sampling in place
            of the second term of each critic's loss; see `log_partition`.
        others: see `AdversarialAlgorithm`. Penalties and clipping hold for both critics; their
            scale sets the critics' weight in the loss, so the norms of their gradients are logged.

    Raises:
        ValueError: several latent layers, draws without a gradient, a critic of another shape.
    """

    averaged_player = "decoder"

    def __init__(
        self,
        generative,
        inference,
        visible_critic,
        latent_critic,
        visible="sample",
        critic_loss="wasserstein",
        **kwargs,
    ):
        name = type(self).__name__
        _check_parts(name, generative, inference, visible)
        if latent_critic is None or latent_critic is True:
            raise ValueError(
                f"`latent_critic` of {name} is a Keras layer from z to a number, or False for "
                f"log P(z) itself; received {latent_critic!r}."
            )
        self.has_latent_critic = latent_critic is not False
        self.critics = ("visible_critic", "latent_critic")[: 1 + self.has_latent_critic]
        self.players = (*self.critics, "encoder", "decoder")
        super().__init__(**kwargs)
        self.generative, self.inference = generative, inference
        self.visible_critic, self.latent_critic = visible_critic, latent_critic
        self.visible = checks.one_of("visible", visible, ("sample", "mean"))
        self.critic_loss = checks.one_of("critic_loss", critic_loss, CRITIC_LOSSES)
        if critic_loss == "importance" and visible == "mean":
            raise ValueError(
                "critic_loss='importance' divides by P(x'|z') at draws x'; with visible='mean' "
                "there are none. Use visible='sample', or critic_loss='wasserstein'."
            )
        inference.build((None, *generative.event_shape))
        if inference.event_shape != generative.latent_shape:
            raise ValueError(
                f"The prior draws z of shape {generative.latent_shape} and the inference side "
                f"{inference.event_shape}; they must be the same."
            )
        shapes = {"visible_critic": generative.event_shape, "latent_critic": inference.event_shape}
        for critic in self.critics:
            build_critic(getattr(self, critic), shapes[critic])
        self._check_penalties()
        self.terms = self._train_term_names()
        self.evaluation_terms = (*self._joint_term_names(), "wake_mse", "sleep_mse")
        self.finish()

    def _check_penalties(self):
        needy = [penalty for penalty in self.penalties if penalty.needs_input_gradient]
        if needy and any(mixes_rows(getattr(self, critic)) for critic in self.critics):
            raise ValueError(
                f"{type(needy[0]).__name__} takes the gradient of each row by itself, and a "
                "critic's rows depend on one another (batch normalisation or MinibatchStddev). "
                "Use layer, spectral or weight normalisation in the critics."
            )

    def _joint_term_names(self):
        gaps = tuple(f"{critic}_gap" for critic in self.critics)
        return ("loss", *self.joint_terms, *gaps, "latent_variance")

    def _train_term_names(self):
        own = [
            f"{critic}_{term}"
            for critic in self.critics
            for term in ("loss", "gradient_norm", *self.penalty_terms)
        ]
        return (*self._joint_term_names(), *own)

    def player_variables(self, player):
        """phi for the encoder, theta for the decoder, a critic's own for a critic."""
        parts = {"encoder": self.inference, "decoder": self.generative}
        part = parts[player] if player in parts else getattr(self, player)
        return part.trainable_variables

    def wake(self, x, seed, training=None):
        """`(z, log Q(z|x))` at a draw z for each x, the path through z kept."""
        return self.inference.sample_and_log_prob(x, seed=seed, training=training)

    def sleep(self, num_samples, seed, training=None):
        """`(z', x', log P(x'|z'))` at draws of the model, the path through x' kept."""
        first, second = backend.split_seed(seed, 2)
        generative = self.generative
        z = generative.prior.sample(sample_shape=(num_samples,), seed=first, training=training)
        parameters = generative.likelihood(z, training=training)
        if self.visible == "mean":
            x = generative.likelihood.from_parameters(parameters).mean()
        else:
            x = generative.likelihood.sample_from(parameters, (), second)
        x = ops.cast(x, "float32")
        return z, x, generative.likelihood.log_prob_from(parameters, x)

    def look(self, critic, inputs, training=None):
        """A critic's numbers, (batch,), float32; log P(z) where there is no latent critic."""
        if critic not in self.critics:
            return self.generative.log_prior(inputs, training=training)
        outputs = getattr(self, critic)(inputs, training=training)
        return ops.reshape(ops.cast(outputs, "float32"), (-1,))

    def move(self, player, data, seed):
        """See `AdversarialAlgorithm`."""
        if player in self.critics:
            return self.move_critic(player, data, seed)
        movers = tuple(name for name in self.order if name not in self.critics)
        return self.move_jointly(movers, data, seed) if player == movers[0] else {}

    def real_and_fake(self, critic, x, seed, training=None):
        """What a critic tells apart, and the log-density that the second was drawn from."""
        wake_seed, sleep_seed = backend.split_seed(seed, 2)
        if critic == "visible_critic":
            _, fake, log_density = self.sleep(ops.shape(x)[0], sleep_seed, training=training)
            return x, fake, log_density
        fake, log_density = self.wake(x, wake_seed, training=training)
        prior_seed, _ = backend.split_seed(sleep_seed, 2)
        rows = (ops.shape(x)[0],)
        real = self.generative.prior.sample(sample_shape=rows, seed=prior_seed, training=training)
        return real, fake, log_density

    def move_critic(self, critic, data, seed):
        """A critic's move: - c(real) + c(fake), or log Z'' in place of the second."""
        draw, real_noise, fake_noise, penalty_seed = backend.split_seed(seed, 4)
        with backend.forgetting():
            x = ops.cast(data["x"], "float32")
            real, fake, log_density = self.real_and_fake(critic, x, draw, training=True)
            real, fake = self.shown(real, real_noise), self.shown(fake, fake_noise)
        real, fake, log_density = tree.map_structure(ops.stop_gradient, (real, fake, log_density))

        def value(inputs):
            return self.look(critic, inputs, training=True)

        def loss_fn():
            rows = ops.shape(real)[0]
            both = value(ops.concatenate([real, fake], axis=0))
            on_real, on_fake = both[:rows], both[rows:]
            second = ops.mean(on_fake)
            if self.critic_loss == "importance":
                second = log_mean_exp(on_fake - log_density)
            loss = second - ops.mean(on_real)
            penalty, penalties = self.penalty(value, real, fake, penalty_seed, critic)
            terms = {f"{critic}_{name}": term for name, term in penalties.items()}
            gap = ops.mean(on_real) - ops.mean(on_fake)
            terms = {**terms, f"{critic}_loss": loss, f"{critic}_gap": gap}
            return loss + penalty, terms

        norm = ops.mean(gradient_norm(value, fake))
        return {**self.minimize(loss_fn, critic)[1], f"{critic}_gradient_norm": norm}

    def move_jointly(self, movers, data, seed):
        """The encoder's and the decoder's move, the critics fixed."""
        draw, _, fake_noise, _ = backend.split_seed(seed, 4)

        def loss_fn():
            terms, _ = self.joint(ops.cast(data["x"], "float32"), draw, fake_noise, training=True)
            return terms["loss"], terms

        return self.minimize(loss_fn, movers)[1]

    def joint(self, x, seed, noise_seed, training):
        """The joint loss by its terms, and the draws `(z, z', x')`."""
        wake_seed, sleep_seed = backend.split_seed(seed, 2)
        z, log_inference = self.wake(x, wake_seed, training=training)
        prior_z, fake, log_likelihood = self.sleep(ops.shape(x)[0], sleep_seed, training=training)
        shown_fake, shown_z = self.shown((fake, z), noise_seed) if training else (fake, z)
        with backend.forgetting():
            on_fake = self.look("visible_critic", shown_fake, training=training)
            if self.has_latent_critic:
                on_z = self.look("latent_critic", shown_z, training=training)
        if not self.has_latent_critic:
            on_z = self.look("latent_critic", z, training=training)
        terms = {
            "wake_reconstruction": -ops.mean(self.generative.log_likelihood(x, z, training)),
            "wake_prior": -ops.mean(on_z),
            "sleep_reconstruction": -ops.mean(
                self.inference.log_prob(prior_z, fake, training=training)
            ),
            "sleep_prior": -ops.mean(on_fake),
            **self.opposed(log_inference, log_likelihood),
        }
        loss = sum(terms.values())
        variance = ops.mean(ops.var(z, axis=0))
        return {"loss": loss, **terms, "latent_variance": variance}, (z, prior_z, fake)

    def opposed(self, log_inference, log_likelihood):
        """Further terms of the joint loss, from log Q(z|x) in wake and log P(x'|z') in sleep."""
        return {}

    def evaluation_step(self, data):
        """The joint loss, the critics' gaps, and squared errors by the means of both sides.

        `wake_mse` is that of x from E[x|z], z ~ Q(z|x), a coordinate; `sleep_mse` that of z' from
        E[z|x'], x' ~ P(x|z').
        """
        x = ops.cast(data["x"], "float32")
        seed = self.next_seed()
        terms, (z, prior_z, fake) = self.joint(x, seed, seed, training=False)
        sides = {"visible_critic": (x, fake), "latent_critic": (prior_z, z)}
        for critic in self.critics:
            real, model = (ops.mean(self.look(critic, part, False)) for part in sides[critic])
            terms[f"{critic}_gap"] = real - model
        decoded = self.generative.mean(z, training=False)
        encoded = self.inference.mean(fake, training=False)
        terms["wake_mse"] = ops.mean(ops.square(decoded - x))
        terms["sleep_mse"] = ops.mean(ops.square(encoded - prior_z))
        return terms

    def check_data(self, x):
        """Shape, finiteness and the likelihood's support."""
        checks.event("x", x, self.generative.event_shape)
        checks.finite("x", x)
        self.generative.likelihood.check_value(x)

    def call(self, x, training=None):
        """The raw parameters of Q(z|x), as `predict` gives them."""
        return self.inference(x, training=training)

    def sample(self, num_samples, seed=None, mean=False, averaged=None):
        """Draws of P(x), in pieces of at most 500.

        Args:
            num_samples: how many.
            seed: integer, or None for a fresh one.
            mean: whether to give E[x|z'] in place of a draw of x.
            averaged: whether to use the moving average of the decoder; by default where there is
                one.

        Returns:
            NumPy array (num_samples, *event).
        """
        averaged = self.average is not None if averaged is None else bool(averaged)
        if averaged and self.average is None:
            raise ValueError(
                f"There is no average to sample from; give {type(self).__name__} ema_decay=0.999."
            )
        rows = min(int(num_samples), _CHUNK)

        def model_draw(seed):
            x, z = self.generative.sample(rows, seed, training=False)
            return self.generative.mean(z, training=False) if mean else x

        def draw(seed):
            if averaged:
                with self.average.in_place():
                    return model_draw(seed)
            return model_draw(seed)

        program = self.compiled_function(("sample", rows, mean, averaged), draw)
        return in_pieces(program, int(num_samples), rows, seed)

    def infer(self, x, seed=0):
        """A draw of z ~ Q(z|x) for each x, NumPy array (batch, *latent)."""

        def draw(x, seed):
            return self.wake(x, seed, training=False)[0]

        program = self.compiled_function("infer", draw)
        return ops.convert_to_numpy(program(self.checked(x), backend.as_seed(seed)))

    def reconstruct(self, x, seed=0):
        """E[x|z] at a draw z ~ Q(z|x), NumPy array (batch, *event)."""

        def decode(x, seed):
            return self.generative.mean(self.wake(x, seed, training=False)[0], training=False)

        program = self.compiled_function("reconstruct", decode)
        return ops.convert_to_numpy(program(self.checked(x), backend.as_seed(seed)))

    def checked(self, x):
        """x as a float32 tensor, after `check_data`."""
        x = np.asarray(x) if not hasattr(x, "dtype") else ops.convert_to_numpy(x)
        self.check_data(x)
        return ops.convert_to_tensor(x.astype("float32"))

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "generative": serialize(self.generative),
            "inference": serialize(self.inference),
            "visible_critic": serialize(self.visible_critic),
            "latent_critic": serialize(self.latent_critic) if self.has_latent_critic else False,
            "visible": self.visible,
            "critic_loss": self.critic_loss,
        }


def log_mean_exp(values):
    """Log of the mean of exp, over all entries."""
    return ops.logsumexp(values) - ops.log(ops.cast(ops.size(values), "float32"))


def in_pieces(program, num_samples, rows, seed):
    """`program(seed)`, which draws `rows` at a time, run until there are `num_samples`."""
    key = seed_of(seed)
    starts = range(0, num_samples, rows)
    parts = [program(backend.fold_in(key, number)) for number in range(len(starts))]
    return np.concatenate([ops.convert_to_numpy(part) for part in parts])[:num_samples]


def _check_parts(name, generative, inference, visible):
    if not isinstance(generative, LatentVariableModel):
        raise ValueError(
            f"{name} needs P(z) and a density P(x|z): LatentVariableModel(prior, likelihood). "
            f"Received {type(generative).__name__}, whose decoder is deterministic or unknown."
        )
    if generative.is_deep or not hasattr(inference, "from_parameters"):
        raise ValueError(
            f"{name} learns one latent layer: a prior and a Q(z|x) that are single distribution "
            f"layers. Received a prior over {generative.latent_shape} and "
            f"{type(inference).__name__}."
        )
    if not inference.is_reparameterized:
        raise ValueError(
            f"{name} needs the gradient through draws of Q(z|x), and {type(inference).__name__} "
            "draws have none. Use a reparameterised distribution layer (Normal, say)."
        )
    if visible == "sample" and not generative.likelihood.is_reparameterized:
        raise ValueError(
            f"{name} needs the gradient through draws of P(x|z), and "
            f"{type(generative.likelihood).__name__} draws have none. Use visible='mean' (the "
            "critic then sees means), or a reparameterised likelihood (Normal, say)."
        )
