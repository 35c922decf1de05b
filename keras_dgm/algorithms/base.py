"""What every algorithm shares: players, seeds, state, metrics, `fit`, files."""

import contextlib
import random
import threading

import keras
import numpy as np
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms import checks, optimizers
from keras_dgm.algorithms.files import PresetFiles
from keras_dgm.algorithms.learning_state import LearningState
from keras_dgm.algorithms.loop import Loop
from keras_dgm.algorithms.metrics import TermMeans


class _Step(threading.local):
    """What a step notes while it runs. Each replica of `tf.distribute` runs in a thread."""

    evaluating = False
    queue = None
    record = None
    corrections = None
    rows = None


class Algorithm(Loop, LearningState, PresetFiles, backend.Engine, keras.Model):
    """A learning algorithm: stochastic approximation over a set of players (Ou 2019, Alg. 1, 2).

    A subclass builds its parts in its constructor, names its `players` and `terms`, calls
    `finish()` last, and writes one `train_step(self, data)`: draw samples, then move each player
    along its own estimated gradient with `minimize`.

    ```python
    class MaximumLikelihood(Algorithm):
        players = ("model",)
        terms = ("nll",)

        def __init__(self, model, **kwargs):
            super().__init__(**kwargs)
            self.model = model
            self.finish()

        def player_variables(self, player):
            return self.model.trainable_variables

        def train_step(self, data):
            x = self.unpack(data)["x"]

            def loss_fn():
                nll = -keras.ops.mean(self.model.log_prob(x))
                return nll, {"nll": nll}

            _, terms = self.minimize(loss_fn, "model")
            return self.log(terms)
    ```

    Args:
        seed: integer from which all randomness of the algorithm follows (sampling, shuffling), or
            None for one drawn from Python's `random`, which `keras.utils.set_random_seed` sets.
        updates: `"alternating"` (a player sees the moves made before it in the same step) or
            `"simultaneous"` (all gradients are taken at the same weights).
        transform: what is done to each batch on the device before the rule sees it: None,
            `"dynamic_binarization"` (fresh Bernoulli draws from grey levels in [0, 1]), or a
            serializable function of (x, seed).
    """

    players: tuple[str, ...] = ("joint",)
    terms: tuple[str, ...] = ()
    evaluation_terms: tuple[str, ...] | None = None
    needs_index = False

    def __init__(self, seed=None, updates="alternating", transform=None, name=None, **kwargs):
        super().__init__(name=name, **kwargs)
        if updates not in ("alternating", "simultaneous"):
            raise ValueError(f"`updates` is 'alternating' or 'simultaneous'; received {updates!r}.")
        self.updates = updates
        self.transform = checks.transform(transform)
        self.seed = random.randint(0, 2**31 - 1) if seed is None else int(seed)
        self._learning_state, self._num_rows = {}, {}
        self._step = _Step()
        self._programs = {}
        start = np.array([self.seed & 0x7FFFFFFF, 0], np.int32)
        self.seed_state = self.add_learning_state(
            "seed_state", (2,), "int32", lambda shape, dtype: ops.cast(start, dtype)
        )
        self.evaluation_seed_state = self.add_learning_state("evaluation_seed_state", (2,), "int32")

    def finish(self):
        """Ends construction: every variable exists from here on."""
        for layer in self._flatten_layers(include_self=False):
            if not layer.built:
                raise ValueError(
                    f"{type(self).__name__} was given the unbuilt layer {layer.name!r}; the owner "
                    "of a layer builds it in its constructor."
                )
        self._train_terms = TermMeans(self.terms, name="train_terms")
        self._test_terms = TermMeans(self.evaluation_terms or self.terms, name="test_terms")
        self.built = True

    def player_variables(self, player):
        """The trainable variables that a player moves."""
        if len(self.players) == 1:
            return self.trainable_variables
        raise NotImplementedError(f"{type(self).__name__} must say what {player!r} moves.")

    def compile(
        self, optimizer="adam", jit_compile=None, steps_per_execution=None, run_eagerly=False
    ):
        """Sets the optimisers and how steps are executed.

        Args:
            optimizer: a Keras optimiser (cloned for further players), or a dictionary with one
                for each player.
            jit_compile: None for what is fast on the device found; True, False or `"auto"`.
            steps_per_execution: steps in one call of the compiled program, None for what is fast
                on the device found.
            run_eagerly: for debugging.

        Raises:
            ValueError: the optimisers do not match the players.
        """
        checks.announce_device()
        policy = keras.config.dtype_policy()
        composite = optimizers.for_players(
            optimizer, self.players, loss_scaling=policy.compute_dtype == "float16"
        )
        composite.build_players({player: self.player_variables(player) for player in self.players})
        steps = steps_per_execution or backend.fast_steps_per_execution(self._flatten_layers())
        super().compile(
            optimizer=composite,
            jit_compile=backend.fast_jit() if jit_compile is None else jit_compile,
            steps_per_execution=1 if run_eagerly else steps,
            run_eagerly=run_eagerly,
            auto_scale_loss=False,
        )
        self._chosen_steps_per_execution = self.steps_per_execution

    def get_compile_config(self):
        if not self.compiled:
            return None
        return {
            "optimizer": keras.saving.serialize_keras_object(self.optimizer),
            "steps_per_execution": self._chosen_steps_per_execution,
        }

    def compile_from_config(self, config):
        self.compile(
            optimizer=keras.saving.deserialize_keras_object(config["optimizer"]),
            steps_per_execution=config.get("steps_per_execution"),
        )

    def minimize(self, loss_fn, player="joint"):
        """One gradient step of one player, or of several by one pass.

        Args:
            loss_fn: function of nothing that returns the scalar loss, a mean over the batch, or
                `(loss, aux)`. What it computes leaves through `aux` alone.
            player: who moves. With a tuple of names the loss is the sum of these players' losses,
                each of which must depend on its own player's variables alone.

        Returns:
            `(loss, aux)`, aux None where `loss_fn` returns none.
        """
        players = (player,) if isinstance(player, str) else tuple(player)
        variables = [list(self.player_variables(name)) for name in players]
        scales = [None if self._step.record is not None else self._scale(p) for p in players]

        def pair():
            out = loss_fn()
            loss, aux = out if isinstance(out, tuple) else (out, None)
            return ops.cast(loss, "float32"), aux

        (loss, aux), flat = backend.value_and_grad(
            pair, sum(variables, []), self.non_trainable_variables, scales[0]
        )
        for name, own, scale in zip(players, variables, scales):
            gradients, flat = flat[: len(own)], flat[len(own) :]
            if scale is not None and name != players[0]:
                ratio = scale(1.0) / scales[0](1.0)
                gradients = [gradient * ratio for gradient in gradients]
            correction = (self._step.corrections or {}).get(name)
            if correction is not None:
                factor = 1.0 if scale is None else scale(1.0)
                gradients = [g + factor * c for g, c in zip(gradients, correction)]
            if self._step.record is not None:
                self._step.record.setdefault(name, []).append(gradients)
            elif self._step.queue is not None:
                self._step.queue.append((name, gradients))
            else:
                self._apply(name, gradients)
        return loss, aux

    def _scale(self, player):
        """What the player's optimiser multiplies its loss with (float16), or None."""
        optimizer = None if self.optimizer is None else self.optimizer.by_player[player]
        scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        return optimizer.scale_loss if scaled else None

    @contextlib.contextmanager
    def moving_together(self):
        """Players that move inside move from the same weights when `updates="simultaneous"`."""
        if self.updates == "alternating":
            yield
            return
        self._step.queue = []
        try:
            yield
            queue = self._step.queue
        finally:
            self._step.queue = None
        for player, gradients in queue:
            self._apply(player, gradients)

    @contextlib.contextmanager
    def recording(self):
        """Moves made inside change nothing; yields a dictionary from player to their gradients."""
        outer = self._step.record, self._step.corrections
        self._step.record, self._step.corrections = {}, None
        try:
            yield self._step.record
        finally:
            self._step.record, self._step.corrections = outer

    @contextlib.contextmanager
    def correcting(self, corrections):
        """What is added to the gradients of moves made inside, arrays by player."""
        self._step.corrections = corrections
        try:
            yield
        finally:
            self._step.corrections = None

    def _apply(self, player, gradients):
        gradients = self.reduce_gradients(gradients)
        optimizer = self.optimizer.by_player[player]
        self.apply_reduced(optimizer, gradients, self.player_variables(player))
        self.after_update(player)

    def after_update(self, player):
        """What follows a player's move (weight clipping, say)."""

    def estimate_gradients(self, data, seed=0):
        """One draw of each player's gradient of its loss, nothing applied.

        Args:
            data: a batch: an array x, or a dictionary with "x" and what else the rule takes.
            seed: integer.

        Returns:
            Dictionary from player to a list of arrays, in the order of `player_variables`. A
            player that moves several times in a step is given by its first move.
        """

        def draw(batch, state):
            with self._with_seed_state(state):
                self._step.record = {}
                try:
                    self.train_step(batch)
                    return {player: moves[0] for player, moves in self._step.record.items()}
                finally:
                    self._step.record = None

        batch = data if isinstance(data, dict) else {"x": data}
        batch = {key: ops.convert_to_tensor(value) for key, value in batch.items()}
        program = self.compiled_function(("gradients", tuple(sorted(batch))), draw)
        state = ops.convert_to_tensor(np.array([seed & 0x7FFFFFFF, 0], np.int32))
        out = program(batch, state)
        return {p: [ops.convert_to_numpy(g) for g in gradients] for p, gradients in out.items()}

    @contextlib.contextmanager
    def _with_seed_state(self, state):
        """Draws follow `state`; whatever is assigned inside is forgotten."""
        mapping = [(v, v.value) for v in self.variables if v is not self.seed_state]
        with keras.StatelessScope([*mapping, (self.seed_state, state)]):
            yield

    def compiled_function(self, key, fn):
        """`fn` compiled once under this key; see `backend.compiled`."""
        if key not in self._programs:
            self._programs[key] = backend.compiled(self, fn)
        return self._programs[key]

    def next_seed(self):
        """A fresh seed. `evaluate` has a sequence of its own, which starts anew each time."""
        state = self.evaluation_seed_state if self._step.evaluating else self.seed_state
        value = ops.convert_to_tensor(state)
        state.assign(value + ops.convert_to_tensor(np.array([0, 1], np.int32)))
        return self.replica_seed(backend.as_seed(value))

    def check_data(self, x):
        """Raises a ValueError for an array that the model cannot have generated."""
        checks.finite("x", x)

    def check_labels(self, y):
        """Raises a ValueError where labels are missing or have no use."""
        if y is not None:
            raise ValueError(
                f"{type(self).__name__} takes no labels, and y has shape {y.shape}: call fit(x)."
            )

    def unpack(self, data):
        """A batch as a dictionary: "x", and "y", "index" where given.

        The transform is applied, and the number of rows noted for means over replicas.
        """
        if isinstance(data, (tuple, list)):
            data = dict(zip(("x", "y"), [part for part in data if part is not None]))
        elif not isinstance(data, dict):
            data = {"x": data}
        if isinstance(data["x"], dict):
            data = {**data, **data["x"]}
        x = ops.convert_to_tensor(data["x"])
        self._step.rows = ops.shape(x)[0]
        if self.transform is not None:
            x = self.transform(x, self.next_seed())
        return {**data, "x": x}

    def log(self, terms):
        """Adds a step's terms to the epoch's means, and returns the means."""
        if self._step.record is not None:
            return terms
        metric = self._test_terms if self._step.evaluating else self._train_terms
        metric.update_state(terms, self._step.rows)
        return {**metric.result(), **(self.evaluation_extras() if self._step.evaluating else {})}

    def evaluation_extras(self):
        """Figures of `evaluate` that are no mean over rows, a dictionary of scalars."""
        return {}

    @property
    def metrics(self):
        """One metric for training, one for evaluation, each a table of terms."""
        return [self._train_terms, self._test_terms] if self.built else []

    def get_metrics_result(self):
        """The means of what runs: training or evaluation."""
        if self._in_evaluate:
            return {**self._test_terms.result(), **self.evaluation_extras()}
        return self._train_terms.result()

    def get_config(self):
        config = {"name": self.name, "seed": self.seed, "updates": self.updates}
        config["transform"] = checks.transform_config(self.transform)
        return config
