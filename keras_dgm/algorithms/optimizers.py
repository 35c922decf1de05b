"""One optimiser a player, held as the one optimiser that Keras knows of."""

import copy
import difflib
import types

import keras

from keras_dgm.algorithms import saving_mode


@keras.saving.register_keras_serializable(package="keras_dgm")
class PlayerOptimizers(keras.optimizers.Optimizer):
    """The optimisers of several players as one composite.

    Keras saves, restores, schedules and backs up `model.optimizer`; whatever is not inside it is
    lost at a resume. So the players' optimisers live here: `variables` covers them all,
    `optimizers` lists them for the learning-rate callbacks, and a file stores their state under
    `player.number`.

    Args:
        by_player: dictionary from player to Keras optimiser, in the order of play.
    """

    def __init__(self, by_player, name="player_optimizers", **kwargs):
        super().__init__(learning_rate=0.0, name=name)
        # A plain dictionary would be walked by Keras' saver and stored a second time.
        self.by_player = types.MappingProxyType(dict(by_player))

    def build_players(self, variables_by_player):
        """Creates each optimiser's state for its player's variables."""
        for player, variables in variables_by_player.items():
            optimizer = self.by_player[player]
            if not optimizer.built and variables:
                optimizer.build(variables)
                optimizer.built = True
        self.built = True

    def build(self, variables):
        """Done by `build_players`: one list does not say whose variable is whose."""

    @property
    def optimizers(self):
        """The players' optimisers, in the order of play.

        A view and no list: Keras' saver would walk a list and store the state a second time.
        """
        return self.by_player.values()

    @property
    def variables(self):
        """The state of every player's optimiser."""
        return [v for optimizer in self.by_player.values() for v in optimizer.variables]

    @property
    def iterations(self):
        """Steps taken by the player who moved first."""
        return next(iter(self.optimizers)).iterations

    @property
    def learning_rate(self):
        """The learning rate, where one player has it to itself."""
        if len(self.by_player) == 1:
            return next(iter(self.optimizers)).learning_rate
        raise AttributeError(
            f"Each of the players {list(self.by_player)} has a learning rate of its own: read "
            "model.optimizer.by_player[player].learning_rate."
        )

    @learning_rate.setter
    def learning_rate(self, value):
        # Keras' own constructor assigns one before the players are known.
        for optimizer in getattr(self, "by_player", {}).values():
            optimizer.learning_rate = value

    def apply(self, grads, trainable_variables=None):
        """Not for use: an algorithm applies each player's gradients through `minimize`."""
        raise ValueError(
            "The players' gradients are applied one player at a time, by Algorithm.minimize."
        )

    def finalize_variable_values(self, var_list):
        """Hands the averaged weights over, player by player."""
        for optimizer in self.by_player.values():
            own = [v for v in var_list if optimizer_knows(optimizer, v)]
            if own:
                optimizer.finalize_variable_values(own)

    def save_own_variables(self, store):
        if saving_mode.weights_of_the_model_only():
            return
        for player, optimizer in self.by_player.items():
            for number, variable in enumerate(optimizer.variables):
                store[f"{player}.{number}"] = keras.ops.convert_to_numpy(variable.value)

    def load_own_variables(self, store):
        if saving_mode.weights_of_the_model_only():
            return
        for player, optimizer in self.by_player.items():
            for number, variable in enumerate(optimizer.variables):
                key = f"{player}.{number}"
                if key not in store.keys():
                    raise ValueError(
                        f"The file holds no optimiser state {key!r}; it was saved with another "
                        "set of players or another kind of optimiser. Compile the model as it "
                        "was compiled when the file was written."
                    )
                variable.assign(store[key])

    def get_config(self):
        return {
            "name": self.name,
            "by_player": {
                player: keras.saving.serialize_keras_object(optimizer)
                for player, optimizer in self.by_player.items()
            },
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        by_player = {
            player: keras.saving.deserialize_keras_object(optimizer, custom_objects)
            for player, optimizer in config["by_player"].items()
        }
        return cls(by_player, name=config["name"])


def optimizer_knows(optimizer, variable):
    """Whether the optimiser was built on this variable."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    return any(known is variable for known in getattr(optimizer, "_trainable_variables", ()))


def for_players(optimizer, players, loss_scaling=False):
    """Makes the composite from what the user gave to `compile`.

    Args:
        optimizer: an optimiser, its name, a dictionary by player, or a `PlayerOptimizers`.
        players: names of the players, in order.
        loss_scaling: whether to scale each player's loss (float16).

    Raises:
        ValueError: a player without an optimiser, or an optimiser for nobody.
    """
    if isinstance(optimizer, PlayerOptimizers):
        given = dict(optimizer.by_player)
    elif isinstance(optimizer, dict):
        given = {player: keras.optimizers.get(o) for player, o in optimizer.items()}
    else:
        first = keras.optimizers.get(optimizer)
        # One object for several players would advance its step count once a player.
        given = {player: first if n == 0 else clone(first) for n, player in enumerate(players)}
    unknown = [player for player in given if player not in players]
    missing = [player for player in players if player not in given]
    if unknown or missing:
        hint = "".join(
            f" Did you mean {difflib.get_close_matches(name, players, 1)[0]!r} for {name!r}?"
            for name in unknown
            if difflib.get_close_matches(name, players, 1)
        )
        raise ValueError(
            f"This algorithm's players are {list(players)}; the optimisers given are for "
            f"{list(given)}.{hint} Give compile one optimiser, or a dictionary with one for each "
            "player."
        )
    ordered = {player: given[player] for player in players}
    if loss_scaling:
        ordered = {
            player: o
            if isinstance(o, keras.optimizers.LossScaleOptimizer)
            else keras.optimizers.LossScaleOptimizer(o)
            for player, o in ordered.items()
        }
    return PlayerOptimizers(ordered)


def clone(optimizer):
    """An optimiser of the same configuration, with state of its own."""
    return type(optimizer).from_config(copy.deepcopy(optimizer.get_config()))
