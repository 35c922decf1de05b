"""Bidirectional GANs."""

import keras
import numpy as np
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms import checks
from keras_dgm.algorithms.adversarial.critics import build_critic
from keras_dgm.algorithms.adversarial.generator_critic import GeneratorCriticAlgorithm
from keras_dgm.algorithms.symmetric.encoders import build_encoder, encode


@keras.saving.register_keras_serializable(package="keras_dgm")
class BiGAN(GeneratorCriticAlgorithm):
    """Bidirectional GAN, also ALI: a critic tells (x, E(x)) from (G(z), z).

    Objective (Donahue et al. 2017, Eq. 3; Dumoulin et al. 2017, Eq. 1): with Q(x, z) = Q(x)
    Q(z|x) of the data and the encoder, P(x, z) = P(z) P(x|z) of the prior and the generator,
        min over encoder and generator, max over V of
        E_Q log sigmoid V(x, z) + E_P log(1 - sigmoid V(x, z)),
    at V* = log Q(x, z) / P(x, z) equal to 2 JS(Q, P) - log 4, so that the optimum has G and E
    invert each other. The critic minimises softplus(-V(x, E(x))) + softplus(V(G(z), z)).
    Encoder and generator minimise
    - `"non_saturating"`: softplus(V(x, E(x))) + softplus(-V(G(z), z)), the labels swapped;
    - `"minimax"`: minus the critic's loss.
    BiGAN's encoder is a Keras layer (deterministic), ALI's a distribution layer.

    The encoder and the generator move together, by one pass, at the turn of whichever comes first
    in `order`; each has an optimiser of its own.

    Estimator: means over a batch, gradients through G(z) and E(x). Unbiased for the losses as they
    stand; biased for the divergence's gradient whenever V is not V*.

    Cost per step, in batches: G and E 1 + critic_steps forwards and one backward each; V
    2 critic_steps forwards and backwards, and two of each for the joint move.

    Logged: `critic_loss`, `generator_loss` (of encoder and generator), and the means of V on both
    pairs, `real_value` and `fake_value`.

    Args:
        generator: an `ImplicitModel` without condition, its noise the prior of z.
        encoder: distribution layer given x, or a Keras layer from x to z.
        critic: Keras layer from `[x, z]` to V, (batch, 1) (`networks.joint_mlp`,
            `networks.joint_critic`).
        objective: of encoder and generator, see above.
        others: see `AdversarialAlgorithm`.

    Raises:
        ValueError: a conditional generator, an encoder of another z, a critic of x alone.
    """

    players = ("critic", "encoder", "generator")

    def __init__(self, generator, encoder, critic, objective="non_saturating", **kwargs):
        if generator.is_conditional:
            raise ValueError("BiGAN's generator takes z alone; this ImplicitModel has a condition.")
        build_encoder("BiGAN", encoder, generator.event_shape, generator.noise_shape)
        self.encoder = encoder
        super().__init__(generator, critic, **kwargs)
        choices = ("non_saturating", "minimax")
        self.objective = checks.one_of("objective", objective, choices)
        self.finish()

    def build_critic(self):
        """Builds the critic for pairs (x, z)."""
        build_critic(self.critic, [self.generator.event_shape, self.generator.noise_shape])

    def player_variables(self, player):
        """psi, phi or theta."""
        parts = {"critic": self.critic, "encoder": self.encoder, "generator": self.generator}
        return parts[player].trainable_variables

    def real(self, data, seed, training):
        """(x, E(x))."""
        x = ops.cast(data["x"], "float32")
        return [x, encode(self.encoder, x, seed, training)]

    def fake(self, data, seed, training):
        """(G(z), z)."""
        z = self.generator.draw_noise(ops.shape(data["x"])[0], seed)
        return [self.generator.generate(z, training=training), z]

    def critic_loss(self, real, fake, condition):
        """softplus(-V(x, E(x))) + softplus(V(G(z), z))."""
        return ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(fake)), {}

    def joint_loss(self, real, fake):
        """The loss of encoder and generator, from V on both pairs."""
        if self.objective == "minimax":
            return -ops.mean(ops.softplus(-real)) - ops.mean(ops.softplus(fake))
        return ops.mean(ops.softplus(real)) + ops.mean(ops.softplus(-fake))

    def move(self, player, data, seed):
        """See `AdversarialAlgorithm`."""
        if player in self.critics:
            return self.move_critic(data, seed)
        movers = tuple(name for name in self.order if name not in self.critics)
        return self.move_jointly(movers, data, seed) if player == movers[0] else {}

    def move_jointly(self, movers, data, seed):
        """The encoder's and the generator's move, the critic fixed."""
        draw, noise, fake_noise, _ = backend.split_seed(seed, 4)

        def loss_fn():
            real = self.shown(self.real(data, noise, training=True), noise)
            fake = self.shown(self.fake(data, draw, training=True), fake_noise)
            with backend.forgetting():
                outputs = self.look_at_both(real, fake, None, training=True)
            loss = self.joint_loss(*outputs)
            return loss, {"generator_loss": loss}

        return self.minimize(loss_fn, movers)[1]

    def evaluation_step(self, data):
        """Both losses, without penalties and instance noise, and the means of V."""
        draw, other = backend.split_seed(self.next_seed(), 2)
        real, fake = self.real(data, other, False), self.fake(data, draw, False)
        outputs = self.look_at_both(real, fake, None, training=False)
        critic_loss, _ = self.critic_loss(*outputs, None)
        losses = {"critic_loss": critic_loss, "generator_loss": self.joint_loss(*outputs)}
        return {**self.value_terms(*outputs), **losses}

    def call(self, x, training=None):
        """z = E(x), for a distribution layer its raw parameters, as `predict` gives them."""
        return self.encoder(ops.convert_to_tensor(x), training=training)

    def infer(self, x, seed=0):
        """z = E(x), or a draw of it, NumPy array (batch, *latent)."""

        def draw(x, seed):
            return encode(self.encoder, x, seed, training=False)

        program = self.compiled_function("infer", draw)
        return ops.convert_to_numpy(program(self._checked(x), backend.as_seed(seed)))

    def reconstruct(self, x, seed=0):
        """G(E(x)), NumPy array (batch, *event)."""

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
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "objective": self.objective,
        }


ALI = BiGAN
