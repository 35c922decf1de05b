"""`fit` and `evaluate` over arrays, with an order of rows that can be resumed."""

import time

import keras
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms import checks
from keras_dgm.backend.data import ArraySource


class _Epochs(keras.callbacks.Callback):
    """Tells the source which epoch begins, and stops a run whose terms are not finite."""

    def __init__(self, source):
        super().__init__()
        self.source = source
        self._epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._last_look = time.monotonic()
        if self.source is not None:
            state = ops.convert_to_numpy(self.model.seed_state.value)
            self.source.begin_epoch(int(state[0]), epoch)

    def on_train_batch_end(self, batch, logs=None):
        # A look waits for the device, so it is taken once in a while.
        if time.monotonic() - self._last_look > 5.0:
            if logs and any(not _finite(value) for value in logs.values()):
                if hasattr(self.model, "jax_state_sync"):
                    self.model.jax_state_sync()
                self._raise_if_bad()
            self._last_look = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        self._raise_if_bad()

    def _raise_if_bad(self):
        found = self.model._train_terms.first_bad_term()
        if found is not None:
            term, step = found
            self.model.non_finite_error(term, self._epoch + 1, step)


def _finite(value):
    return bool(ops.convert_to_numpy(ops.all(ops.isfinite(value))))


class Loop:
    """Mixin: `fit` and `evaluate` of an algorithm."""

    _in_evaluate = False
    parts_of_a_batch = 1

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        validation_batch_size=None,
        **kwargs,
    ):
        """Trains. As `keras.Model.fit`, for data without targets, or with labels in `y`.

        Arrays are shuffled by (seed, epoch), so that a run that was interrupted and restored by
        `keras.callbacks.BackupAndRestore` goes on as if it had not been. A `tf.data.Dataset` or
        a generator of batches `x` or `(x, y)` is taken as it comes.

        Args:
            x: array (n, *event), or a dataset.
            y: array (n,) of labels, for algorithms that take them.
            batch_size: rows a step, 32 by default.
            validation_data: array, or `(x, y)`, or a dataset.
            validation_split: share of the last rows held out for validation.
            **kwargs: further arguments of `keras.Model.fit` (`initial_epoch`,
                `steps_per_epoch`, `validation_freq`, ...).

        Raises:
            ValueError: the data are not what the model expects, with what to do; or a term of
                the loss became infinite or NaN, with its name and the step.
        """
        for name in ("sample_weight", "class_weight"):
            if kwargs.pop(name, None) is not None:
                raise ValueError(
                    f"`{name}` has no meaning for a density: repeat or subsample the rows instead."
                )
        if x is None:
            raise ValueError("fit needs data; x is None.")
        batch_size = int(batch_size or 32)
        if validation_split and validation_data is None:
            (x, y), validation_data = checks.split(x, y, validation_split)
        source = self._source(x, y, batch_size, shuffle, training=True)
        validation = None
        if validation_data is not None:
            pair = validation_data if isinstance(validation_data, tuple) else (validation_data,)
            validation = self._source(*pair, batch_size=validation_batch_size or batch_size)
        self._set_sources(source, validation)
        self._fit_steps_per_execution(source)
        own = _Epochs(source if isinstance(source, ArraySource) else None)
        if isinstance(callbacks, keras.callbacks.CallbackList):
            raise ValueError("Give `callbacks` as a list of callbacks, not as a CallbackList.")
        try:
            return super().fit(
                source,
                batch_size=None,
                epochs=epochs,
                verbose=verbose,
                shuffle=False,  # The source shuffles.
                callbacks=[own, *_as_list(callbacks)],
                validation_data=validation,
                **kwargs,
            )
        finally:
            self._set_sources(None, None)

    def evaluate(self, x=None, y=None, batch_size=None, **kwargs):
        """Means of the evaluation terms over the data, by a seed that is the same every time.

        As `keras.Model.evaluate`; `return_dict=True` gives them by name.
        """
        cached = kwargs.get("_use_cached_eval_dataset", False)
        if not cached:
            source = self._source(x, y, int(batch_size or 32))
            self._set_sources(self._train_source, source)
            self._fit_steps_per_execution(source)
            x, y = source, None
        # From the weight, not from `self.seed`: a restored run keeps the seed that it restores.
        base = int(ops.convert_to_numpy(self.seed_state.value)[0])
        self.evaluation_seed_state.assign([(base + 0x5EED) & 0x7FFFFFFF, 0])
        self._in_evaluate = True
        try:
            return super().evaluate(x=x, y=y, batch_size=batch_size if cached else None, **kwargs)
        finally:
            self._in_evaluate = False
            if not cached:
                self._set_sources(self._train_source, None)

    def test_step(self, data):
        """One batch of `evaluate`: the terms of `evaluation_step`, without training anything."""
        self._step.evaluating = True
        try:
            return self.log(self.evaluation_step(self.unpack(data)))
        finally:
            self._step.evaluating = False

    def evaluation_step(self, data):
        """The evaluation terms of an unpacked batch, a dictionary of scalars."""
        raise NotImplementedError(f"{type(self).__name__} has no figure of its own for `evaluate`.")

    def non_finite_error(self, term, epoch, step):
        """Raises the error for a term that is not finite."""
        raise ValueError(
            f"Training stopped: the term {term!r} of {type(self).__name__} was not finite in "
            f"epoch {epoch}, step {step} of that epoch. The weights are past repair from there "
            "on; load the last checkpoint, and lower the learning rate, clip the gradients "
            "(`global_clipnorm=` of the optimizer) or look at the batch of that step."
        )

    def _source(self, x, y=None, batch_size=32, shuffle=False, training=False):
        """Arrays become an `ArraySource` after their checks; datasets pass."""
        with_index = self.needs_index and training
        if not checks.is_array(x):
            return checks.dataset(self, x, y, with_index)
        arrays = checks.arrays(self, x, y)
        replicas = self.num_replicas()
        # `evaluate` does not divide its batches.
        parts = self.parts_of_a_batch if training else 1
        source = ArraySource(arrays, batch_size, shuffle, with_index, replicas, parts)
        if backend.name() == "tensorflow":
            return source
        for rows in (source.batch_size, source.partial_batch_size or 0):
            if rows % replicas:
                raise ValueError(
                    f"A batch of {rows} rows cannot be divided among {replicas} devices. The data "
                    f"have {source.num_rows} rows and the batch size is {source.batch_size}: "
                    "choose a batch size that the number of devices divides, and drop or add "
                    "rows so that the last batch divides too."
                )
        return source

    def _set_sources(self, train, test):
        self._train_source = train if isinstance(train, ArraySource) else None
        self._test_source = test if isinstance(test, ArraySource) else None

    def _fit_steps_per_execution(self, source):
        """No more steps in an execution than an epoch has whole batches."""
        steps = self._chosen_steps_per_execution
        if isinstance(source, ArraySource):
            steps = max(1, min(steps, source.num_rows // source.batch_size))
        if steps != self.steps_per_execution:
            self.steps_per_execution = steps
            self.train_function = self.test_function = None


def _as_list(callbacks):
    if callbacks is None:
        return []
    return list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]
