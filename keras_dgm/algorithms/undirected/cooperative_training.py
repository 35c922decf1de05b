"""Cooperative training of a descriptor and a generator."""

import keras
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms.undirected.revision import RevisionAlgorithm, check_gradient_sampler
from keras_dgm.sampling import GradientField


@keras.saving.register_keras_serializable(package="keras_dgm")
class CooperativeTraining(RevisionAlgorithm):
    """The generator draws, Langevin dynamics revises, both learn (Xie et al. 2016, CoopNets).

    Objectives: the field by maximum likelihood, mean grad u(x~) - mean grad u(x') (Ou 2019,
    Eq. 39); the generator by "MCMC teaching", - mean log q(x' | h), where (x, h) is its own draw
    and x' that x after `sampler`'s steps along u.

    Unlike `InclusiveNRF`, whose h moves together with x, h stays the one that x was drawn with,
    or with `latent_sampler` is inferred after the revision: it moves along grad_h log q(x', h)
    with x' held, starting at the drawn h (Xie et al., the generator's Langevin inference).

    Estimator: biased as `InclusiveNRF` is (short uncorrected chains begun at the generator); the
    generator's target is the law that S steps make of its own, so it accumulates the chain's
    moves from step to step of learning.

    Cost per step, in batches: S passes and input gradients of u; as many of the generator as
    `latent_sampler` has steps; one pass and gradient of u on two batches, of the generator on one.

    Args:
        field: a `RandomField` over continuous x without labels; Xie et al.'s has a Gaussian
            `reference`.
        generator: a `LatentVariableModel`, or an `ImplicitModel` with `noise_scale`.
        sampler: `Langevin` or `SGHMC`, for x.
        latent_sampler: the same for h, or None to keep the drawn h.
        noise_scale: standard deviation of x given h, for an `ImplicitModel`.
        others: see `RandomFieldAlgorithm`.

    Raises:
        ValueError: see `RevisionAlgorithm`; a field or a generator with labels.
    """

    def __init__(
        self, field, generator, sampler=None, latent_sampler=None, noise_scale=None, **kwargs
    ):
        super().__init__(field, generator, sampler, noise_scale, **kwargs)
        if latent_sampler is not None:
            check_gradient_sampler("latent_sampler", latent_sampler)
        if self._joint.is_conditional or field.num_classes is not None:
            raise ValueError(
                "CooperativeTraining takes no labels; InclusiveNRF learns with a conditional "
                "field and generator."
            )
        self.latent_sampler = latent_sampler
        self.finish()

    def revise(self, x, h, y, seed, num_steps=None, training=None):
        """`(x', h', statistics)`: x along u, then h given x'."""
        first, second = backend.split_seed(seed, 2)
        target = GradientField(self.potential_gradient)
        result = self.sampler.sample(target, x, first, num_steps=num_steps)
        x = ops.stop_gradient(result.state)
        if self.latent_sampler is not None:

            def gradients(h):
                zeros = ops.zeros((ops.shape(x)[0],), "float32")
                return zeros, self.latent_gradient(x, h, training=training)

            h = self.latent_sampler.sample(GradientField(gradients), h, second).state
        return x, keras.tree.map_structure(ops.stop_gradient, h), result.statistics

    def train_step(self, data):
        """Draws, revises, and moves both players."""
        x = ops.cast(self.unpack(data)["x"], "float32")
        first, second = backend.split_seed(self.next_seed(), 2)
        drawn, h = self.propose(ops.shape(x)[0], first, training=True)
        drawn, h, statistics = self.revise(drawn, h, None, second, training=True)

        def field_loss():
            return self.field_loss(x, drawn, statistics=statistics)

        def generator_loss():
            return -ops.mean(self._joint.log_likelihood(drawn, h, training=True))

        with self.moving_together():
            _, terms = self.minimize(field_loss, "field")
            generator_loss, _ = self.minimize(generator_loss, "generator")
        moves = {name: statistics[name] for name in ("step_norm", "gradient_norm")}
        return self.log({**terms, **moves, "generator_loss": generator_loss})

    def get_config(self):
        return {
            **super().get_config(),
            "latent_sampler": keras.saving.serialize_keras_object(self.latent_sampler),
        }
