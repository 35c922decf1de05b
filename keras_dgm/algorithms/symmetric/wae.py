"""Wasserstein auto-encoders."""

import keras
import numpy as np
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms import checks
from keras_dgm.algorithms.adversarial.base import AdversarialAlgorithm
from keras_dgm.algorithms.adversarial.critics import build_critic
from keras_dgm.algorithms.symmetric.base import in_pieces
from keras_dgm.algorithms.symmetric.encoders import build_encoder, encode

KERNEL_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_CHUNK = 500


@keras.saving.register_keras_serializable(package="keras_dgm")
class WAE(AdversarialAlgorithm):
    """Wasserstein auto-encoder: reconstruct, and match the encoded data to the prior.

    Objective (Tolstikhin et al. 2018, Eq. 4), the encoder and the generator minimising
        E_Q(x) E_Q(z|x) |x - G(z)|^2 + penalty_weight D(Q(z), P(z)),
    the cost summed over coordinates, and D by `penalty`
    - `"mmd"`: the squared maximum mean discrepancy with a sum of inverse multiquadratic kernels
      k(u, v) = C / (C + |u - v|^2), C = 2 d s^2 times each of 0.1, 0.2, 0.5, 1, 2, 5, 10, s the
      prior's standard deviation and d the size of z (the paper's Algorithm 2);
    - `"gan"`: a critic V(z) minimises softplus(-V(z')) + softplus(V(z)), z' ~ P(z), real, and
      z ~ Q(z|x); the encoder minimises softplus(-V(z)), the non-saturating half of 2 JS (the
      paper's Algorithm 1).

    The encoder and the generator move together, by one pass; each has an optimiser of its own.

    Estimator: means over a batch. With "mmd" the U-statistic, unbiased for the squared MMD (it may
    be negative), so the step is unbiased for the objective; with "gan" biased for the divergence
    whenever V is not optimal. The objective itself bounds a Wasserstein distance from above only
    where Q(z) = P(z), which a finite weight does not enforce.

    Cost per step, in batches: E and G one forward and backward ("gan": E 1 + critic_steps
    forwards); "mmd" three matrices of rows by rows; "gan" 2 critic_steps forwards and backwards
    of V, and one of each for the joint move.

    Args:
        generator: an `ImplicitModel` without condition, its noise the prior of z.
        encoder: distribution layer given x, or a Keras layer from x to z.
        critic: Keras layer from z to V(z), for "gan" alone.
        penalty: see above.
        penalty_weight: lambda.
        others: see `AdversarialAlgorithm`.

    Raises:
        ValueError: a critic without use, or none where one is needed.
    """

    def __init__(
        self, generator, encoder, critic=None, penalty="mmd", penalty_weight=10.0, **kwargs
    ):
        self.penalty_name = checks.one_of("penalty", penalty, ("mmd", "gan"))
        if (critic is None) == (penalty == "gan"):
            raise ValueError(
                "WAE(penalty='gan') needs `critic`, a Keras layer from z to (batch, 1), and "
                f"penalty='mmd' takes none; received penalty={penalty!r}, critic={critic!r}."
            )
        if generator.is_conditional:
            raise ValueError("WAE's generator takes z alone; this ImplicitModel has a condition.")
        if not float(penalty_weight) > 0.0:
            raise ValueError(f"`penalty_weight` is a positive number; got {penalty_weight!r}.")
        self.critics = ("critic",) if critic is not None else ()
        self.players = (*self.critics, "encoder", "generator")
        super().__init__(**kwargs)
        if critic is None and (self.penalties or self.critic_steps > 1 or self.weight_clip):
            raise ValueError(
                "`penalties`, `critic_steps` and `weight_clip` are for a critic, which "
                "WAE(penalty='mmd') has not."
            )
        self.generator, self.encoder, self.critic = generator, encoder, critic
        self.penalty_weight = float(penalty_weight)
        build_encoder("WAE", encoder, generator.event_shape, generator.noise_shape)
        own = ("loss", "reconstruction", "divergence", "latent_variance")
        if critic is not None:
            build_critic(critic, generator.noise_shape)
            self.terms = (*own, "critic_loss", "real_value", "fake_value", *self.penalty_terms)
        else:
            self.terms = own
        self.evaluation_terms = own
        self.finish()

    def player_variables(self, player):
        """psi, phi or theta."""
        parts = {"critic": self.critic, "encoder": self.encoder, "generator": self.generator}
        return parts[player].trainable_variables

    def look(self, z, training=None):
        """V(z), (batch,), float32."""
        return ops.reshape(ops.cast(self.critic(z, training=training), "float32"), (-1,))

    def move(self, player, data, seed):
        """See `AdversarialAlgorithm`."""
        if player in self.critics:
            return self.move_critic(data, seed)
        movers = tuple(name for name in self.order if name not in self.critics)
        return self.move_jointly(movers, data, seed) if player == movers[0] else {}

    def move_critic(self, data, seed):
        """The critic's move: the prior is real."""
        draw, prior_seed, noise, penalty_seed = backend.split_seed(seed, 4)
        with backend.forgetting():
            z = encode(self.encoder, ops.cast(data["x"], "float32"), draw, training=True)
            prior_z = self.generator.draw_noise(ops.shape(z)[0], prior_seed)
            real, fake = self.shown((prior_z, z), noise)
        real, fake = ops.stop_gradient(real), ops.stop_gradient(fake)

        def value(inputs):
            return self.look(inputs, training=True)

        def loss_fn():
            on_real, on_fake = value(real), value(fake)
            loss = ops.mean(ops.softplus(-on_real)) + ops.mean(ops.softplus(on_fake))
            penalty, terms = self.penalty(value, real, fake, penalty_seed)
            values = {"real_value": ops.mean(on_real), "fake_value": ops.mean(on_fake)}
            return loss + penalty, {**terms, **values, "critic_loss": loss}

        return self.minimize(loss_fn, "critic")[1]

    def move_jointly(self, movers, data, seed):
        """The encoder's and the generator's move, the critic fixed."""

        def loss_fn():
            terms = self.joint(ops.cast(data["x"], "float32"), seed, training=True)
            return terms["loss"], terms

        return self.minimize(loss_fn, movers)[1]

    def joint(self, x, seed, training):
        """The joint loss by its terms."""
        draw, prior_seed, noise, _ = backend.split_seed(seed, 4)
        z = encode(self.encoder, x, draw, training)
        decoded = self.generator.generate(z, training=training)
        rows = ops.shape(x)[0]
        cost = ops.mean(ops.sum(ops.reshape(ops.square(x - decoded), (rows, -1)), axis=-1))
        if self.critic is None:
            prior_z = self.generator.draw_noise(rows, prior_seed)
            divergence = squared_mmd(z, prior_z, self._kernel_constants())
        else:
            shown = self.shown(z, noise) if training else z
            with backend.forgetting():
                divergence = ops.mean(ops.softplus(-self.look(shown, training=training)))
        return {
            "loss": cost + self.penalty_weight * divergence,
            "reconstruction": cost,
            "divergence": divergence,
            "latent_variance": ops.mean(ops.var(z, axis=0)),
        }

    def _kernel_constants(self):
        noise, size = self.generator.noise, int(np.prod(self.generator.noise_shape))
        variance = 1.0
        if hasattr(noise, "location_and_scale"):
            scale = noise.location_and_scale(noise())[1]
            variance = ops.mean(ops.square(ops.stop_gradient(scale)))
        return [2.0 * size * variance * factor for factor in KERNEL_SCALES]

    def evaluation_step(self, data):
        """The joint loss by its terms."""
        return self.joint(ops.cast(data["x"], "float32"), self.next_seed(), training=False)

    def check_data(self, x):
        """Shape and finiteness."""
        checks.event("x", x, self.generator.event_shape)
        checks.finite("x", x)

    def call(self, x, training=None):
        """z, for a distribution layer its raw parameters, as `predict` gives them."""
        return self.encoder(ops.convert_to_tensor(x), training=training)

    def sample(self, num_samples, seed=None, truncation=None, averaged=None):
        """Draws G(z), z ~ P(z), NumPy (num_samples, *event); see `BiGAN.sample`."""
        averaged = self.average is not None if averaged is None else bool(averaged)
        if averaged and self.average is None:
            raise ValueError("There is no average to sample from; give WAE ema_decay=0.999.")
        rows = min(int(num_samples), _CHUNK)

        def draw(seed):
            if averaged:
                with self.average.in_place():
                    return self.generator.sample(rows, seed, None, truncation, training=False)
            return self.generator.sample(rows, seed, None, truncation, training=False)

        program = self.compiled_function(("sample", rows, truncation, averaged), draw)
        return in_pieces(program, int(num_samples), rows, seed)

    def infer(self, x, seed=0):
        """z for each x, NumPy array (batch, *latent)."""

        def draw(x, seed):
            return encode(self.encoder, x, seed, training=False)

        program = self.compiled_function("infer", draw)
        return ops.convert_to_numpy(program(self._checked(x), backend.as_seed(seed)))

    def reconstruct(self, x, seed=0):
        """G(z) at the z of each x, NumPy array (batch, *event)."""

        def decode(x, seed):
            z = encode(self.encoder, x, seed, training=False)
            return self.generator.generate(z, training=False)

        program = self.compiled_function("reconstruct", decode)
        return ops.convert_to_numpy(program(self._checked(x), backend.as_seed(seed)))

    def _checked(self, x):
        x = np.asarray(x)
        self.check_data(x)
        return ops.convert_to_tensor(x.astype("float32"))

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "generator": serialize(self.generator),
            "encoder": serialize(self.encoder),
            "critic": serialize(self.critic),
            "penalty": self.penalty_name,
            "penalty_weight": self.penalty_weight,
        }


def squared_mmd(first, second, constants):
    """U-statistic of the squared MMD under a sum of inverse multiquadratic kernels, unbiased.

    Args:
        first, second: (rows, ...), as many rows each, two at least.
        constants: C of each kernel C / (C + |u - v|^2).
    """
    rows = ops.shape(first)[0]
    first, second = (ops.reshape(part, (rows, -1)) for part in (first, second))

    def kernel(u, v):
        distance = ops.sum(ops.square(u[:, None] - v[None, :]), axis=-1)
        return sum(c / (c + distance) for c in constants)

    n = ops.cast(rows, "float32")
    off_diagonal = 1.0 - ops.eye(rows)
    within = ops.sum(off_diagonal * (kernel(first, first) + kernel(second, second)))
    return within / ops.maximum(n * (n - 1.0), 1.0) - 2.0 * ops.mean(kernel(first, second))
