"""Variational learning with an inference model that is only sampled."""

import keras
import numpy as np
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms import checks
from keras_dgm.algorithms.adversarial.base import AdversarialAlgorithm, seed_of
from keras_dgm.algorithms.adversarial.critics import build_critic
from keras_dgm.models import ImplicitModel


@keras.saving.register_keras_serializable(package="keras_dgm")
class AdversarialVariationalBayes(AdversarialAlgorithm):
    """Adversarial variational Bayes: the ELBO with an implicit q(h|x) and a discriminator.

    Objective (Ou 2019, Eq. 14): the ELBO, E_q(h|x) [log p(x|h) + log p(h) - log q(h|x)], whose
    q is a black box h = h_phi(x, e), sampled and never evaluated. A discriminator stands for what
    cannot be computed (Eq. 15): V(x, h) tells (x, h ~ q) from (x, h ~ p(h)), and at its optimum
    V* = log q(h|x) - log p(h).

    Losses (Eq. 16), with h = h_phi(x, e) and h' ~ p(h):
    - the discriminator: softplus(-V(x, h)) + softplus(V(x, h')), h a constant;
    - theta and phi: V(x, h) - log p(x|h), V held fixed, the gradient through h.
    That phi may ignore how V* depends on it is the plugging trick (App. A): E_q grad_phi V* = 0,
    so at V* the gradient is the ELBO's (`keras_dgm.testing.check_plugging` checks such things).

    Estimator: means over the batch, one draw a row. Biased as far as V is not V*; give the
    discriminator several steps.

    Cost per step, in batches: the inference network 1 + critic_steps forwards and one backward,
    the discriminator 2 critic_steps forwards and backwards and one of each for the joint move, the
    decoder one of each.

    Logged: `discriminator_loss`, the means of V at both kinds of draws (`posterior_value`,
    `prior_value`), `reconstruction` = -log p(x|h), and `elbo_by_discriminator` = log p(x|h) -
    V(x, h), which is no bound before V is optimal: an idle V makes it log p(x|h).

    Args:
        generative: a `LatentVariableModel` of one latent layer whose prior is fixed.
        inference: an `ImplicitModel` of h with `condition_shape` the shape of x, its network of
            `[noise, x]` (`networks.joint_mlp`); or a reparameterised distribution layer, of which
            the density is not used.
        discriminator: Keras layer from `[x, h]` to V, (batch, 1), without last activation
            (`networks.joint_mlp`, `networks.joint_critic`).
        critic_steps: moves of the discriminator in a step.
        others: see `AdversarialAlgorithm`.

    Raises:
        ValueError: a learned prior, several latent layers, an inference model of another h or x,
            a discriminator of x alone.
    """

    players = ("discriminator", "generative", "inference")
    critics = ("discriminator",)
    averaged_player = "generative"
    terms = (
        "discriminator_loss",
        "posterior_value",
        "prior_value",
        "reconstruction",
        "elbo_by_discriminator",
    )

    def __init__(self, generative, inference, discriminator, **kwargs):
        super().__init__(**kwargs)
        self.generative = generative
        self.inference = inference
        self.discriminator = discriminator
        self._check_generative()
        self._build_inference()
        build_critic(discriminator, [generative.event_shape, generative.latent_shape])
        self.terms = (*type(self).terms, *self.penalty_terms)
        self.evaluation_terms = type(self).terms
        self.finish()

    def _check_generative(self):
        if self.generative.is_deep:
            raise ValueError(
                "AdversarialVariationalBayes takes one latent layer; the prior is a Chain, which "
                f"draws {self.generative.latent_shape}."
            )
        if self.generative.prior.trainable_variables:
            raise ValueError(
                "AdversarialVariationalBayes needs a fixed prior: V stands for log q(h|x) - log "
                "p(h), held constant while theta moves, so a learned p(h) would get no gradient. "
                "Leave `learned=True` and flows out of the prior."
            )
        if self.generative.prior.is_discrete:
            raise ValueError(
                "AdversarialVariationalBayes needs the gradient through h, and the prior's values "
                "are discrete. Use a continuous latent layer."
            )

    def _build_inference(self):
        x_shape, h_shape = self.generative.event_shape, self.generative.latent_shape
        self._is_implicit = isinstance(self.inference, ImplicitModel)
        if self._is_implicit:
            if self.inference.condition_shape != tuple(x_shape):
                raise ValueError(
                    "The inference model draws h given x: its condition_shape must be the shape "
                    f"of x, {tuple(x_shape)}; it is {self.inference.condition_shape}."
                )
        elif not getattr(self.inference, "is_reparameterized", False):
            raise ValueError(
                "The inference model is an ImplicitModel conditional on x or a reparameterised "
                f"distribution layer; received {type(self.inference).__name__}."
            )
        else:
            self.inference.build((None, *x_shape))
        if tuple(self.inference.event_shape) != tuple(h_shape):
            raise ValueError(
                f"The prior draws h of shape {tuple(h_shape)}, the inference model "
                f"{tuple(self.inference.event_shape)}; they must be the same."
            )

    def player_variables(self, player):
        """psi, theta or phi."""
        return getattr(self, player).trainable_variables

    def posterior_draw(self, x, seed, training=None):
        """h = h_phi(x, e), one for each x, with its gradient."""
        if self._is_implicit:
            return self.inference.sample(ops.shape(x)[0], seed, condition=x, training=training)
        return self.inference.sample(x, seed=seed, training=training)

    def prior_draw(self, x, seed):
        """h' ~ p(h), one for each x."""
        return self.generative.prior.sample(sample_shape=(ops.shape(x)[0],), seed=seed)

    def value(self, pair, training=None):
        """V(x, h), (batch,), for `[x, h]`."""
        outputs = self.discriminator(pair, training=training)
        return ops.reshape(ops.cast(outputs, "float32"), (-1,))

    def move(self, player, data, seed):
        """See `AdversarialAlgorithm`; theta and phi move by one pass at the first's turn."""
        x = ops.cast(data["x"], "float32")
        if player in self.critics:
            return self._move_discriminator(x, seed)
        movers = tuple(name for name in self.order if name not in self.critics)
        return self._move_jointly(movers, x, seed) if player == movers[0] else {}

    def _move_discriminator(self, x, seed):
        posterior_seed, prior_seed, penalty_seed, first, second = backend.split_seed(seed, 5)
        with backend.forgetting():
            h = ops.stop_gradient(self.posterior_draw(x, posterior_seed, training=True))
        posterior = self.shown([x, h], first)
        prior = self.shown([x, self.prior_draw(x, prior_seed)], second)

        def loss_fn():
            loss, terms = self.discriminator_loss(posterior, prior, training=True)
            penalty, penalty_terms = self.penalty(
                lambda pair: self.value(pair, training=True),
                posterior,
                prior,
                penalty_seed,
                "discriminator",
            )
            return loss + penalty, {**terms, **penalty_terms}

        return self.minimize(loss_fn, "discriminator")[1]

    def discriminator_loss(self, posterior, prior, training=None):
        """`(loss, terms)`: softplus(-V(x, h)) + softplus(V(x, h'))."""
        on_posterior = self.value(posterior, training=training)
        on_prior = self.value(prior, training=training)
        loss = ops.mean(ops.softplus(-on_posterior)) + ops.mean(ops.softplus(on_prior))
        return loss, {
            "discriminator_loss": loss,
            "posterior_value": ops.mean(on_posterior),
            "prior_value": ops.mean(on_prior),
        }

    def _move_jointly(self, movers, x, seed):
        posterior_seed, noise_seed = backend.split_seed(seed, 2)

        def loss_fn():
            h = self.posterior_draw(x, posterior_seed, training=True)
            with backend.forgetting():
                value = self.value(self.shown([x, h], noise_seed), training=True)
            reconstruction = -self.generative.log_likelihood(x, h, training=True)
            loss = ops.mean(value + reconstruction)
            return loss, {
                "reconstruction": ops.mean(reconstruction),
                "elbo_by_discriminator": -loss,
            }

        return self.minimize(loss_fn, movers)[1]

    def evaluation_step(self, data):
        """The terms of training at one draw a row, without penalties and instance noise."""
        x = ops.cast(data["x"], "float32")
        posterior_seed, prior_seed = backend.split_seed(self.next_seed(), 2)
        h = self.posterior_draw(x, posterior_seed, training=False)
        prior = [x, self.prior_draw(x, prior_seed)]
        _, terms = self.discriminator_loss([x, h], prior, training=False)
        reconstruction = -ops.mean(self.generative.log_likelihood(x, h, training=False))
        elbo = -reconstruction - terms["posterior_value"]
        return {**terms, "reconstruction": reconstruction, "elbo_by_discriminator": elbo}

    def check_data(self, x):
        """Shape, finiteness and the likelihood's support."""
        checks.event("x", x, self.generative.event_shape)
        checks.finite("x", x)
        self.generative.likelihood.check_value(x)

    def sample(self, num_samples, seed=None, mean=False):
        """Draws from the model, or E[x|h] at drawn h; NumPy array (num_samples, *event)."""

        def draw(seed):
            x, h = self.generative.sample(num_samples, seed, training=False)
            return self.generative.mean(h, training=False) if mean else x

        program = self.compiled_function(("sample", num_samples, mean), draw)
        return ops.convert_to_numpy(program(seed_of(seed)))

    def infer(self, x, seed=0):
        """One draw of h for each x from the inference model; NumPy array (batch, *latent)."""
        return self._of_posterior("infer", x, seed, lambda h: h)

    def reconstruct(self, x, seed=0):
        """E[x' | h] at a draw of h for each x; NumPy array (batch, *event)."""
        decode = lambda h: self.generative.mean(h, training=False)  # noqa: E731
        return self._of_posterior("reconstruct", x, seed, decode)

    def _of_posterior(self, name, x, seed, function):
        x = ops.convert_to_numpy(x) if hasattr(x, "dtype") else np.asarray(x)
        self.check_data(x)

        def draw(x, seed):
            return function(self.posterior_draw(x, seed, training=False))

        program = self.compiled_function(name, draw)
        x = ops.convert_to_tensor(x.astype("float32"))
        return ops.convert_to_numpy(program(x, backend.as_seed(seed)))

    def get_config(self):
        parts = ("generative", "inference", "discriminator")
        serialized = {p: keras.saving.serialize_keras_object(getattr(self, p)) for p in parts}
        return {**super().get_config(), **serialized}
