"""Stochastic variance-reduced gradients, for any adversarial algorithm."""

import keras
import numpy as np
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms import checks


@keras.saving.register_keras_serializable(package="keras_dgm")
class SVRG:
    """Stochastic variance-reduced gradient (Johnson & Zhang 2013), as a wrapper.

    At a snapshot w~ of all players' weights, the mean gradient mu of each wrapped player is taken
    over the full data and a fixed pool of noise, as large as the data. A step then moves along
        g(w) - g(w~) + mu,
    both g on the same rows and noise. The Symmetric VAE post (2017, Problem 1) asks for this
    against the variance of critics' gradients.

    Whose samples g(w~) is shown is the `control`:
    - `"snapshot"`: all players are at the snapshot, the generator's old weights too. The mean of
      g(w~) over data and noise is that over which mu was taken, so the step is unbiased but for
      the pool being finite, however far the generator moves;
    - `"current"`: the wrapped player alone is, and looks at the present generator's samples. No
      second pass of the generator's old weights is needed for a critic, and the step is biased by
      mu(w~; old generator) - E g(w~; present generator), zero until the generator moves.

    Logged at the end of each epoch for each wrapped player, over `measure_batches` batches at
    fixed weights, before the next snapshot:
    - `svrg_variance_ratio_PLAYER`, total variance of the step over that of g(w): below 1 where the
      wrapper is of use, which it is not far from the snapshot (as after the first clipping of
      weights that started outside the bounds);
    - `svrg_bias_PLAYER`, the norm of the step's bias, with the batches' noise taken out, over the
      root mean square of |g(w)|.

    Cost: of each wrapped player's moves a second one without its update; a pass over the data for
    each snapshot; two copies of weights, saved as learning state.

    Pass it to an algorithm as `variance_reduction="svrg"` or as an object.

    Args:
        players: names of the wrapped players, the critics by default.
        control: see above.
        every: epochs from a snapshot to the next.
        measure_batches: batches for the figures logged, two at least, or 0 for none.
        pool_seed: of the pool of noise.
    """

    def __init__(self, players=None, control="snapshot", every=1, measure_batches=8, pool_seed=0):
        if int(every) < 1 or int(measure_batches) == 1 or int(measure_batches) < 0:
            raise ValueError(
                "`every` is 1 at least and `measure_batches` 0, or 2 at least; received "
                f"{every!r} and {measure_batches!r}."
            )
        self.players = None if players is None else tuple(players)
        self.control = checks.one_of("control", control, ("snapshot", "current"))
        self.every, self.measure_batches = int(every), int(measure_batches)
        self.pool_seed = int(pool_seed)

    def attach(self, algorithm):
        """Creates the snapshot's variables, as learning state of the algorithm."""
        players = algorithm.critics if self.players is None else self.players
        for player in players:
            checks.one_of("players", player, list(algorithm.players))
        if not players:
            raise ValueError(f"This {type(algorithm).__name__} has no critic: say players=.")
        # Tuples in a plain object: what is tracked is tracked by the algorithm.
        self.wrapped = tuple(players)
        self.weights = tuple(
            variable for p in algorithm.players for variable in algorithm.player_variables(p)
        )
        state = algorithm.add_learning_state
        self.snapshot = tuple(
            state(f"svrg_snapshot_{number}", variable.shape, variable.dtype)
            for number, variable in enumerate(self.weights)
        )
        self.mean = {
            player: tuple(
                state(f"svrg_mean_{player}_{number}", variable.shape, variable.dtype)
                for number, variable in enumerate(algorithm.player_variables(player))
            )
            for player in players
        }
        self.taken = state("svrg_taken", ())

    def turn(self, algorithm, player, data, seed):
        """A player's move with its gradients corrected."""
        if player not in self.wrapped:
            return algorithm.move(player, data, seed)
        taken = ops.convert_to_tensor(self.taken)
        corrections = {
            name: [ops.cast(taken, c.dtype) * (m - c) for m, c in zip(self.mean[name], control)]
            for name, control in self.controls(algorithm, player, data, seed).items()
            if name in self.mean
        }
        with algorithm.correcting(corrections):
            return algorithm.move(player, data, seed)

    def controls(self, algorithm, player, data, seed):
        """Gradients of a move at the snapshot, by player; nothing is applied."""
        weights, values = self.weights, self.snapshot
        if self.control == "current":
            own = {id(variable) for variable in algorithm.player_variables(player)}
            pairs = [(w, s) for w, s in zip(weights, values) if id(w) in own]
            weights, values = zip(*pairs)
        with backend.replaced(weights, values), algorithm.recording() as moves:
            algorithm.move(player, data, seed)
        return {name: gradients[0] for name, gradients in moves.items()}

    def _program(self, algorithm, key, at_snapshot):
        """Compiled function of (batch, seed state) that gives the wrapped players' gradients."""

        def draw(batch, state):
            with algorithm._with_seed_state(state):
                data, found = algorithm.unpack(batch), {}
                seed = algorithm.next_seed()
                for player in self.wrapped:
                    if at_snapshot:
                        found.update(self.controls(algorithm, player, data, seed))
                        continue
                    with algorithm.recording() as moves:
                        algorithm.move(player, data, seed)
                    found.update({name: moves[name][0] for name in moves})
                return {player: found[player] for player in self.wrapped}

        return algorithm.compiled_function(("svrg", at_snapshot, key), draw)

    def _gradients(self, algorithm, batch, numbers, at_snapshot=False):
        program = self._program(algorithm, tuple(sorted(batch)), at_snapshot)
        batch = {key: ops.convert_to_tensor(value) for key, value in batch.items()}
        state = ops.convert_to_tensor(np.array(numbers, np.int32))
        found = program(batch, state)
        return {p: [np.float64(ops.convert_to_numpy(g)) for g in found[p]] for p in self.wrapped}

    def take_snapshot(self, algorithm, batches):
        """Copies the weights, and takes the mean gradients over the batches.

        Args:
            batches: iterable of dictionaries with "x" (and "y"), the full data once.
        """
        if algorithm.num_replicas() > 1:
            raise ValueError("SVRG runs on one device; leave the distribution strategy out.")
        rows, totals = 0, None
        for number, batch in enumerate(batches):
            found = self._gradients(algorithm, batch, [self.pool_seed, number])
            count = len(batch["x"])
            parts = {p: [count * g for g in found[p]] for p in found}
            if totals is not None:
                parts = {p: [a + b for a, b in zip(totals[p], parts[p])] for p in parts}
            rows, totals = rows + count, parts
        if not rows:
            raise ValueError("SVRG takes its snapshot over the data, and found no rows.")
        for player, variables in self.mean.items():
            for variable, total in zip(variables, totals[player]):
                variable.assign(total / rows)
        for copy, variable in zip(self.snapshot, self.weights):
            # Two variables with one buffer could not both be donated to a JAX step.
            copy.assign(ops.copy(variable.value))
        self.taken.assign(1.0)

    def measure(self, algorithm, batches, seed):
        """The figures logged, at the present weights.

        Args:
            batches: list of dictionaries, two at least.
            seed: integer, of the noise.
        """
        plain, control = [], []
        for number, batch in enumerate(batches):
            numbers = [(seed + 0x5A6) & 0x7FFFFFFF, number]
            for where, at_snapshot in ((plain, False), (control, True)):
                found = self._gradients(algorithm, batch, numbers, at_snapshot)
                where.append({p: _flat(gradients) for p, gradients in found.items()})
        out = {}
        for player in self.wrapped:
            g, c = (np.stack([one[player] for one in found]) for found in (plain, control))
            mean = _flat([ops.convert_to_numpy(variable.value) for variable in self.mean[player]])
            ratio = _total_variance(g - c) / max(_total_variance(g), 1e-300)
            gap = np.sum((mean - c.mean(axis=0)) ** 2) - _total_variance(c) / len(c)
            scale = np.mean(np.sum(g**2, axis=1))
            out[f"svrg_variance_ratio_{player}"] = float(ratio)
            out[f"svrg_bias_{player}"] = float(np.sqrt(max(gap, 0.0) / max(scale, 1e-300)))
        return out

    def callback(self, x, y, batch_size):
        """The callback of `fit` that takes the snapshots and logs the figures."""
        return _Snapshots(self, x, y, batch_size)

    def get_config(self):
        """Arguments of the constructor."""
        return {
            "players": None if self.players is None else list(self.players),
            "control": self.control,
            "every": self.every,
            "measure_batches": self.measure_batches,
            "pool_seed": self.pool_seed,
        }

    @classmethod
    def from_config(cls, config):
        """A wrapper from its arguments."""
        return cls(**config)


class _Snapshots(keras.callbacks.Callback):
    """Takes a snapshot before an epoch, and logs how it served after it."""

    def __init__(self, svrg, x, y, batch_size):
        super().__init__()
        self.svrg, self.x, self.y, self.batch_size = svrg, x, y, batch_size
        if not checks.is_array(x) and iter(x) is x:
            raise ValueError(
                "SVRG goes through the data more than once, and a generator gives them once. Give "
                "arrays, or a tf.data.Dataset."
            )

    def batches(self):
        """The data once, in order."""
        if checks.is_array(self.x):
            x, y = np.asarray(self.x), self.y
            for start in range(0, len(x), self.batch_size):
                rows = slice(start, start + self.batch_size)
                yield {"x": x[rows]} if y is None else {"x": x[rows], "y": np.asarray(y)[rows]}
            return
        for batch in self.x:
            if isinstance(batch, (tuple, list)):
                batch = dict(zip(("x", "y"), batch))
            batch = batch if isinstance(batch, dict) else {"x": batch}
            yield {key: ops.convert_to_numpy(value) for key, value in batch.items()}

    def on_epoch_begin(self, epoch, logs=None):
        taken = float(ops.convert_to_numpy(self.svrg.taken.value))
        if epoch % self.svrg.every == 0 or not taken:
            self.svrg.take_snapshot(self.model, self.batches())

    def on_epoch_end(self, epoch, logs=None):
        if logs is None or not self.svrg.measure_batches:
            return
        batches = self._some(np.random.default_rng([self.svrg.pool_seed, epoch]))
        if len(batches) > 1:
            logs.update(self.svrg.measure(self.model, batches, epoch))

    def _some(self, rng):
        """Batches for the figures: random rows of arrays, the first whole batches of a dataset."""
        count = self.svrg.measure_batches
        if checks.is_array(self.x):
            x, y = np.asarray(self.x), self.y
            size = min(self.batch_size, len(x))
            rows = [rng.choice(len(x), size, replace=False) for _ in range(count)]
            if y is None:
                return [{"x": x[r]} for r in rows]
            return [{"x": x[r], "y": np.asarray(y)[r]} for r in rows]
        return [batch for batch, _ in zip(self.batches(), range(count))]


def resolve(variance_reduction):
    """The `variance_reduction` argument as an `SVRG`, or None."""
    if variance_reduction is None or isinstance(variance_reduction, SVRG):
        return variance_reduction
    if isinstance(variance_reduction, dict):
        return keras.saving.deserialize_keras_object(variance_reduction)
    if variance_reduction == "svrg":
        return SVRG()
    raise ValueError(
        f"`variance_reduction` is 'svrg', an SVRG object or None; got {variance_reduction!r}."
    )


def _flat(gradients):
    return np.concatenate([np.float64(gradient).ravel() for gradient in gradients])


def _total_variance(rows):
    return float(np.sum(np.var(rows, axis=0, ddof=1)))
