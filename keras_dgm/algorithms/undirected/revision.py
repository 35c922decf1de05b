"""What rules share that revise a generator's draws by the field's gradient."""

import random

import keras
import numpy as np
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms.undirected.base import RandomFieldAlgorithm
from keras_dgm.algorithms.undirected.generators import DensityGenerator, check_same_events
from keras_dgm.sampling import SGHMC, Langevin

_ROWS = 1000


class RevisionAlgorithm(RandomFieldAlgorithm):
    """A field, and a generator whose draws a Langevin sampler revises towards the field.

    A subclass writes `revise(x, h, y, seed, num_steps, training)`.

    Args:
        field: a `RandomField` over continuous x.
        generator: a `LatentVariableModel`, or an `ImplicitModel` with `noise_scale`.
        sampler: `keras_dgm.sampling.Langevin` or `SGHMC`; Langevin with a step size of 0.01 and
            20 steps by default.
        noise_scale: standard deviation of x given h, for an `ImplicitModel`.
        others: see `RandomFieldAlgorithm`.

    Raises:
        ValueError: field and generator over different x, a generator without a density or with a
            discrete one, a sampler of another kind.
    """

    players = ("field", "generator")
    terms = (*RandomFieldAlgorithm.terms, "step_norm", "gradient_norm", "generator_loss")

    def __init__(self, field, generator, sampler=None, noise_scale=None, **kwargs):
        super().__init__(field, **kwargs)
        check_same_events(field, generator)
        sampler = Langevin(step_size=0.01, num_steps=20) if sampler is None else sampler
        check_gradient_sampler("sampler", sampler)
        self.generator = generator
        self.noise_scale = noise_scale
        self.sampler = sampler
        self._joint = DensityGenerator(generator, noise_scale, type(self).__name__)

    def player_variables(self, player):
        """theta of the field, phi of the generator."""
        if player == "generator":
            return self.generator.trainable_variables
        return super().player_variables(player)

    def propose(self, num_samples, seed, y=None, training=None):
        """`(x, h)` as the generator draws them; its batch statistics are not touched."""
        with backend.forgetting():
            return self._joint.draw(num_samples, seed, y, training)

    def revise(self, x, h, y, seed, num_steps=None, training=None):
        """`(x, h, statistics)` after the sampler's steps, constants."""
        raise NotImplementedError

    def potential_gradient(self, x, y=None):
        """`(u, d u / d x)` at x, for the moves of a chain."""

        def potential(x):
            return self.field.potential(x, training=False, **({} if y is None else {"y": y}))

        return backend.value_and_input_grad(potential, x)

    def latent_gradient(self, x, h, y=None, training=None):
        """d log q(x, h) / d h."""

        def log_prob(h):
            return self._joint.log_prob(x, h, y, training=training)

        return backend.value_and_input_grad(log_prob, h)[1]

    def sample(self, num_samples, seed=None, revise=True, num_steps=None, y=None):
        """Draws by the generator, revised or as they are.

        Args:
            num_samples: how many.
            seed: integer, or None for a fresh one.
            revise: True for samples of the field (revised by as many steps as in training), False
                for the generator's own.
            num_steps: steps of the revision, the sampler's own number by default.
            y: labels (num_samples,) of a conditional generator.

        Returns:
            NumPy array (num_samples, *event).
        """
        conditional = self._joint.is_conditional
        if conditional != (y is not None):
            raise ValueError(
                "Samples of a conditional generator need labels y, and no others take them; y "
                + ("is missing." if conditional else "came.")
            )
        rows = min(int(num_samples), _ROWS)

        def draw(seed, y=None):
            first, second = backend.split_seed(seed, 2)
            x, h = self.propose(rows, first, y, training=False)
            if revise:
                x, _, _ = self.revise(x, h, y, second, num_steps, training=False)
            return x

        program = self.compiled_function(("sample", rows, bool(revise), num_steps), draw)
        key = backend.as_seed(random.randint(0, 2**31 - 1) if seed is None else seed)
        parts = []
        for number, start in enumerate(range(0, int(num_samples), rows)):
            arguments = [backend.fold_in(key, number)]
            if conditional:
                labels = np.resize(np.asarray(y, "int32")[start : start + rows], rows)
                arguments.append(ops.convert_to_tensor(labels))
            parts.append(ops.convert_to_numpy(program(*arguments)))
        return np.concatenate(parts)[: int(num_samples)]

    def get_config(self):
        return {
            **super().get_config(),
            "generator": keras.saving.serialize_keras_object(self.generator),
            "sampler": keras.saving.serialize_keras_object(self.sampler),
            "noise_scale": self.noise_scale,
        }


def check_gradient_sampler(name, sampler):
    """Raises a ValueError unless the sampler follows given gradients without a correction."""
    if not isinstance(sampler, Langevin | SGHMC):
        raise ValueError(
            f"`{name}` follows gradients that need be no potential's, which Langevin and SGHMC "
            f"do; received {type(sampler).__name__}."
        )
