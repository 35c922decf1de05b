"""State that belongs to learning: in files and backups, not in presets."""

import contextlib

import numpy as np
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms import checks, saving_mode


class LearningState:
    """Mixin of an algorithm: makes the state of learning, writes it and reads it."""

    def add_learning_state(
        self,
        name,
        shape,
        dtype="float32",
        initializer="zeros",
        aggregation="only_first_replica",
        by_rows=False,
    ):
        """A non-trainable weight that belongs to learning: in files and backups, not in presets.

        With `by_rows` it is a table that the devices of JAX's `DataParallel` divide among them by
        rows. It may have more rows than asked for then, fewer more than there are devices; nothing
        reads those, and files leave them out, so that a file fits any number of devices.
        """
        if by_rows:
            self._num_rows[name] = shape[0]
            shape = (backend.rows_over_devices(shape[0]), *shape[1:])
        with backend.divided_by_rows() if by_rows else contextlib.nullcontext():
            variable = self.add_weight(
                shape=shape,
                dtype=dtype,
                initializer=initializer,
                trainable=False,
                autocast=False,
                aggregation=aggregation,
                name=name,
            )
        self._learning_state[name] = variable
        return variable

    def _sublayer_generators(self):
        """States of the layers' own generators (dropout), which Keras does not save."""
        layers = self._flatten_layers(include_self=False)
        return [g.state for layer in layers for g in getattr(layer, "_seed_generators", ())]

    def save_own_variables(self, store):
        """See `keras.layers.Layer`. With several processes all of them call it."""
        if saving_mode.weights_of_the_model_only():
            return
        for name, variable in self._learning_state.items():
            value = backend.whole(variable)
            store[name] = value[: self._num_rows[name]] if name in self._num_rows else value
        for number, state in enumerate(self._sublayer_generators()):
            store[f"generator_{number}"] = ops.convert_to_numpy(state.value)

    def load_own_variables(self, store):
        """See `keras.layers.Layer`."""
        if saving_mode.weights_of_the_model_only():
            return
        for name, variable in self._learning_state.items():
            shape = tuple(variable.shape)
            if name in self._num_rows:
                shape = (self._num_rows[name], *shape[1:])
            checks.stored_state(self, store, name, shape)
            value = store[name]
            if shape != tuple(variable.shape):
                rest = [(0, 0)] * (len(shape) - 1)
                value = np.pad(value, [(0, variable.shape[0] - shape[0]), *rest])
            variable.assign(value)
        for number, state in enumerate(self._sublayer_generators()):
            if f"generator_{number}" in store.keys():
                state.assign(store[f"generator_{number}"])
