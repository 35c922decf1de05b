"""How `fit` and `evaluate` run on JAX.

Keras' JAX trainer wants a pure `train_step(state, data)`. The library's steps are written
imperatively, once for both backends; here they are run in a `keras.StatelessScope` that maps
every variable to its traced value, and read back. With `steps_per_execution` > 1 the steps of an
execution are one compiled `lax.scan`.
"""

import contextlib
import itertools
import threading

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax.experimental import multihost_utils
from keras import tree
from keras.src.layers.convolutional.base_conv import BaseConv
from keras.src.layers.convolutional.base_conv_transpose import BaseConvTranspose


def device_name():
    """What computes: `"CPU"`, or the accelerator's kind."""
    device = jax.devices()[0]
    return (
        "CPU" if device.platform == "cpu" else f"{device.platform.upper()} ({device.device_kind})"
    )


def fast_jit():
    """The fast default of `jit_compile` on this device."""
    return True


def fast_steps_per_execution(layers=()):
    """The fast default of `steps_per_execution` on this device, for a model of these layers."""
    if keras.distribution.distribution() is not None:
        return 1
    # XLA has no fast convolution for a CPU inside a loop: the steps of a DCGAN took 5.8 times as
    # long there.
    convolves = any(isinstance(layer, (BaseConv, BaseConvTranspose)) for layer in layers)
    return 1 if convolves and jax.default_backend() == "cpu" else 50


def num_replicas():
    """Devices that share a global batch."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return 1
    mesh = distribution.device_mesh
    return mesh.shape[mesh.axis_names.index(distribution.batch_dim_name)]


def binary_dtype():
    """The smallest type of a variable that holds zeros and ones."""
    return "int8"


def compiled(layer, fn):
    """Compiles `fn(*args)`, which reads the weights of `layer` and assigns nothing that lasts.

    The weights are arguments of the compiled program, so it follows them as they change.
    """

    @jax.jit
    def program(values, *args):
        with keras.StatelessScope(list(zip(layer.variables, values))):
            return fn(*args)

    def call(*args):
        return program([variable.value for variable in layer.variables], *args)

    return call


class _Running(threading.local):
    """Whether a step is being traced: what it makes may be divided among devices."""

    a_step = False

    @contextlib.contextmanager
    def step(self):
        self.a_step = True
        try:
            yield
        finally:
            self.a_step = False


_running = _Running()


def spread_rows(tensor):
    """The tensor; in a step each device makes its share of the rows, and what follows of them.

    Else every device would draw all rows, as nothing ties draws to the rows of the batch.
    """
    if not _running.a_step or num_replicas() == 1 or tensor.shape[0] % num_replicas():
        return tensor
    distribution = keras.distribution.distribution()
    rows = jax.sharding.PartitionSpec(distribution.batch_dim_name)
    mesh = distribution.device_mesh.backend_mesh
    return jax.lax.with_sharding_constraint(tensor, jax.sharding.NamedSharding(mesh, rows))


class Engine:
    """Mixin in front of `keras.Model`: runs `train_step(self, data)`, `test_step(self, data)`."""

    _train_source = None
    _test_source = None

    def _symbolic_build(self, iterator=None, data_batch=None):
        """Nothing to do: an algorithm builds its parts in its constructor."""

    def make_train_function(self, force=False):
        """See `keras.Model`."""
        key = None if self._train_source is None else self._train_source.with_index
        if self.train_function is None or force or self._train_key != key:
            self._train_key = key
            self.train_function = self._executor(self.train_step, "_train_source", training=True)

    def make_test_function(self, force=False):
        """See `keras.Model`."""
        key = None if self._test_source is None else self._test_source.with_index
        if self.test_function is None or force or self._test_key != key:
            self._test_key = key
            self.test_function = self._executor(self.test_step, "_test_source", training=False)

    def _state_groups(self, training):
        groups = [self.trainable_variables, self.non_trainable_variables]
        if training:
            groups.append(self.optimizer.variables)
        return [*groups, self.metrics_variables]

    def _executor(self, step, source_name, training):
        """A function of (state, iterator of batches) that runs one execution."""

        def pure(state, resident, batch):
            groups = self._state_groups(training)
            mapping = [pair for group, values in zip(groups, state) for pair in zip(group, values)]
            if resident is not None:
                index = batch
                batch = {name: jnp.take(a, index, axis=0) for name, a in resident.items()}
                if getattr(self, source_name).with_index:
                    batch["index"] = index
            with keras.StatelessScope(mapping) as scope, _running.step():
                logs = step(batch)
                state = tuple([scope.get_current_value(v) for v in group] for group in groups)
            return logs, state

        def many(state, resident, batches):
            batches = tree.map_structure(lambda *leaves: jnp.stack(leaves), *batches)

            def body(state, batch):
                logs, state = pure(state, resident, batch)
                return state, logs

            state, logs = jax.lax.scan(body, state, batches)
            return tree.map_structure(lambda leaf: leaf[-1], logs), state

        if not self.run_eagerly:
            sharding = None
            if keras.distribution.distribution() is not None:
                sharding = self._get_state_sharding_spec()
                if not training:
                    sharding = (sharding[0], sharding[1], sharding[3])
                sharding = (None, sharding)
            pure = jax.jit(pure, donate_argnums=0, out_shardings=sharding)
            many = jax.jit(many, donate_argnums=0, out_shardings=sharding)

        def execute(state, iterator):
            resident = self._resident(source_name)
            batches = list(itertools.islice(iterator, self.steps_per_execution))
            if not batches:
                raise StopIteration
            whole = len(batches) == self.steps_per_execution > 1
            if whole and _shapes(batches[0]) == _shapes(batches[-1]) and not self.run_eagerly:
                return many(state, resident, tuple(batches))
            for batch in batches:
                logs, state = pure(state, resident, batch)
            return logs, state

        return execute

    def _resident(self, source_name):
        """The source's arrays on the device, put there once."""
        source = getattr(self, source_name)
        if source is None or not source.resident:
            return None
        if getattr(source, "on_device", None) is None:
            distribution = keras.distribution.distribution()
            if distribution is None:
                source.on_device = jax.device_put(source.arrays)
            else:
                mesh = distribution.device_mesh.backend_mesh
                everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
                source.on_device = jax.device_put(source.arrays, everywhere)
        return source.on_device

    def num_replicas(self):
        """Devices that share a global batch."""
        return num_replicas()

    def gather_from_processes(self, values):
        """The arrays `values` of all processes, stacked: (processes, *shape)."""
        return np.reshape(multihost_utils.process_allgather(values), (-1, *values.shape))

    def reduce_gradients(self, gradients):
        """JAX differentiates the loss of the global batch: there is nothing left to reduce."""
        return gradients

    def apply_reduced(self, optimizer, gradients, variables):
        """One step of a player's optimiser with gradients that need no further reduction."""
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            # `apply` branches with assignments inside, which a scope cannot follow.
            values, state = optimizer.stateless_apply(
                [variable.value for variable in optimizer.variables],
                gradients,
                [variable.value for variable in variables],
            )
            for variable, value in zip([*variables, *optimizer.variables], [*values, *state]):
                variable.assign(value)
        else:
            optimizer.apply(gradients, variables)

    def replica_seed(self, seed):
        """The seed of this replica; one program draws the noise of the global batch on JAX."""
        return seed


def _shapes(batch):
    return [np.shape(leaf) for leaf in tree.flatten(batch)]
