"""What adversarial algorithms share: whose turn it is, penalties, averages, noise."""

import random

import keras
from keras import ops, tree

from keras_dgm import backend
from keras_dgm.algorithms import checks
from keras_dgm.algorithms.adversarial import penalties as penalty_functions
from keras_dgm.algorithms.adversarial import svrg
from keras_dgm.algorithms.adversarial.moving_average import MovingAverage
from keras_dgm.algorithms.base import Algorithm

OWN_TERMS = ("critic_loss", "generator_loss", "real_value", "fake_value")


class AdversarialAlgorithm(Algorithm):
    """Several players, some of them critics, that move in turn or together.

    A subclass names its `players` in the default order of play and those among them that are
    `critics`, and writes `move(player, data, seed)`. A step is

    - `updates="alternating"`: the players move in `order`, each from the weights that the one
      before it left, a critic `critic_steps` times in a row;
    - `updates="simultaneous"`: all gradients are taken at the same weights and from the same
      draws, as Ou's algorithms read (2019, Alg. 6). With several critic steps the first ones
      come before, and the last is the one that is simultaneous.

    Every move of a critic sees data of its own: a batch is divided among the `critic_steps`
    moves. `fit(batch_size=)` counts the rows of one move, so that a step takes
    `critic_steps * batch_size` rows; a batch of a dataset is divided as it comes. The others move
    on the last part. Noise is fresh at each move, except that players who move together share it.

    Args:
        critic_steps: moves of each critic in a step.
        order: the players' names in the order in which they move, or None for the default.
        penalties: penalties on the critics (`adversarial.penalties`), by name or as objects:
            "gradient" (WGAN-GP), "r1", "dragan", "orthonormal".
        weight_clip: c > 0 for critics whose weights are clipped to [-c, c] after each of their
            moves, or None.
        ema_decay: decay of an exponential moving average of the generator's weights, or None.
            `sample` uses it.
        instance_noise: standard deviation of normal noise added to whatever critics are shown, a
            number or a `keras.optimizers.schedules.LearningRateSchedule` of the generator's moves.
        variance_reduction: `"svrg"`, an `adversarial.svrg.SVRG`, or None.
        others: see `Algorithm`.
    """

    players: tuple[str, ...] = ("critic", "generator")
    critics = ("critic",)
    averaged_player = "generator"

    def __init__(
        self,
        critic_steps=1,
        order=None,
        penalties=(),
        weight_clip=None,
        ema_decay=None,
        instance_noise=0.0,
        variance_reduction=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if int(critic_steps) < 1:
            raise ValueError(f"`critic_steps` is 1 at least; received {critic_steps!r}.")
        if weight_clip is not None and not float(weight_clip) > 0.0:
            raise ValueError(f"`weight_clip` is a positive number or None; got {weight_clip!r}.")
        order = self.players if order is None else tuple(order)
        if sorted(order) != sorted(self.players):
            raise ValueError(
                f"`order` names each of the players {list(self.players)} once; received "
                f"{list(order)}."
            )
        self.critic_steps = int(critic_steps)
        self.order = order
        self.penalties = penalty_functions.resolve(penalties)
        self.weight_clip = None if weight_clip is None else float(weight_clip)
        self.ema_decay = ema_decay
        self.instance_noise = _noise_schedule(instance_noise)
        self.variance_reduction = svrg.resolve(variance_reduction)
        self.average = None

    def finish(self):
        """See `Algorithm`; starts the moving average and the variance reduction too."""
        if self.ema_decay is not None:
            variables = self.player_variables(self.averaged_player)
            self.average = MovingAverage(self, variables, self.ema_decay)
        if self.variance_reduction is not None:
            self.variance_reduction.attach(self)
        super().finish()

    def move(self, player, data, seed):
        """One move of a player, by `minimize`; returns the terms that it can tell."""
        raise NotImplementedError

    def train_step(self, data):
        """Every player's moves, in order or together."""
        parts = self.parts(self.unpack(data))
        seeds = backend.split_seed(self.next_seed(), len(parts) + 1)
        together = self.updates == "simultaneous"
        turns = list(zip(parts, seeds))
        if together:
            for turn in turns[:-1]:
                for player in self.order:
                    if player in self.critics:
                        self._turn(player, *turn)
            turns = turns[-1:]
        terms = {}
        with self.moving_together():
            for player in self.order:
                if player in self.critics:
                    for turn in turns:
                        terms.update(self._turn(player, *turn))
                else:
                    seed = seeds[-2] if together else seeds[-1]
                    terms.update(self._turn(player, parts[-1], seed))
        return self.log(terms)

    def _turn(self, player, data, seed):
        if self.variance_reduction is None:
            return self.move(player, data, seed)
        return self.variance_reduction.turn(self, player, data, seed)

    @property
    def parts_of_a_batch(self):
        """Into how many parts a step divides a batch."""
        return self.critic_steps

    def parts(self, data):
        """The batch divided into one for each move of a critic, of equally many rows.

        Where they do not divide evenly, neighbours share rows, so that none is left out.
        """
        moves = self.critic_steps
        if moves == 1:
            return [data]
        rows = ops.shape(data["x"])[0]
        size = (rows + moves - 1) // moves
        starts = [number * (rows - size) // (moves - 1) for number in range(moves)]
        return [
            tree.map_structure(lambda tensor, start=start: tensor[start : start + size], data)
            for start in starts
        ]

    def fit(self, x=None, y=None, batch_size=None, **kwargs):
        """Trains; see `Algorithm.fit`. `batch_size` is the rows of one move of a critic."""
        if checks.is_array(x):
            batch_size = int(batch_size or 32)
            kwargs.setdefault("validation_batch_size", batch_size)
            rows, batch_size = batch_size, batch_size * self.critic_steps
        else:
            rows = None
        if self.variance_reduction is not None:
            share = kwargs.pop("validation_split", 0.0)
            if share and kwargs.get("validation_data") is None:
                (x, y), kwargs["validation_data"] = checks.split(x, y, share)
            snapshots = self.variance_reduction.callback(x, y, rows)
            kwargs["callbacks"] = [snapshots, *_as_list(kwargs.get("callbacks"))]
        return super().fit(x, y, batch_size=batch_size, **kwargs)

    def after_update(self, player):
        """Clips a critic's weights, or follows the generator's with their average."""
        if player in self.critics and self.weight_clip is not None:
            for variable in self.player_variables(player):
                value = ops.convert_to_tensor(variable)
                variable.assign(ops.clip(value, -self.weight_clip, self.weight_clip))
        if player == self.averaged_player and self.average is not None:
            self.average.update()

    def noise_level(self):
        """The instance noise's standard deviation now; 0.0 exactly where there is none."""
        if not callable(self.instance_noise):
            return self.instance_noise
        optimizer = getattr(self, "optimizer", None)
        moves = 0 if optimizer is None else optimizer.by_player[self.averaged_player].iterations
        return self.instance_noise(moves)

    def shown(self, inputs, seed):
        """A structure of tensors as a critic is shown it: with the instance noise added."""
        level = self.noise_level()
        if isinstance(level, float) and level == 0.0:
            return inputs
        parts = tree.flatten(inputs)
        seeds = backend.split_seed(seed, len(parts))
        noisy = [
            part + ops.cast(level, part.dtype) * backend.normal(ops.shape(part), key)
            for part, key in zip(parts, seeds)
        ]
        return tree.pack_sequence_as(inputs, noisy)

    def penalty(self, value, real, fake, seed, player="critic"):
        """Sum of the penalties on one critic, and each by its term.

        Args:
            value: function from what the critic looks at to its numbers (batch,).
            real, fake: what it looked at, constants.
            player: whose kernels an orthonormal penalty is on.
        """
        seeds = backend.split_seed(seed, max(len(self.penalties), 1))
        terms = {
            penalty.term: penalty(value, real, fake, key, self.player_variables(player))
            for penalty, key in zip(self.penalties, seeds)
        }
        return sum(terms.values()), terms

    @property
    def penalty_terms(self):
        """Names under which the penalties are logged."""
        return tuple(penalty.term for penalty in self.penalties)

    def load_preset_weights(self, path):
        """See `PresetFiles`; the moving average starts anew at the weights read."""
        super().load_preset_weights(path)
        if self.average is not None:
            self.average.restart()

    def get_config(self):
        noise = self.instance_noise
        return {
            **super().get_config(),
            "critic_steps": self.critic_steps,
            "order": list(self.order),
            "penalties": [keras.saving.serialize_keras_object(p) for p in self.penalties],
            "weight_clip": self.weight_clip,
            "ema_decay": self.ema_decay,
            "instance_noise": keras.saving.serialize_keras_object(noise)
            if callable(noise)
            else noise,
            "variance_reduction": keras.saving.serialize_keras_object(self.variance_reduction),
        }

    @classmethod
    def from_config(cls, config):
        """An algorithm from its arguments, each deserialised where it is an object."""
        return cls(**{key: _deserialized(value) for key, value in config.items()})


def _as_list(value):
    return [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]


def seed_of(seed):
    """The seed of a user's integer, or a fresh one for None."""
    return backend.as_seed(random.randint(0, 2**31 - 1) if seed is None else seed)


def _noise_schedule(value):
    if isinstance(value, dict):
        value = keras.saving.deserialize_keras_object(value)
    if callable(value):
        return value
    if isinstance(value, str) or not float(value) >= 0.0:
        raise ValueError(
            "`instance_noise` is a standard deviation of at least 0, or a LearningRateSchedule; "
            f"received {value!r}."
        )
    return float(value)


def _deserialized(value):
    if isinstance(value, dict) and "class_name" in value and "config" in value:
        return keras.saving.deserialize_keras_object(value)
    return value
