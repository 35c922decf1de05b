"""How `fit` and `evaluate` run on TensorFlow: Keras' own trainer, and exact replicas."""

import keras
import tensorflow as tf
from keras.optimizers import LossScaleOptimizer

from keras_dgm.backend.tensorflow import adam


def device_name():
    """What computes: `"CPU"`, or the accelerator's kind."""
    devices = tf.config.list_logical_devices("GPU")
    if not devices:
        return "CPU"
    physical = tf.config.list_physical_devices("GPU")[0]
    kind = tf.config.experimental.get_device_details(physical).get("device_name", "unknown")
    return f"GPU ({kind})"


def fast_jit():
    """The fast default of `jit_compile`: XLA on an accelerator, plain graphs on the CPU."""
    return "auto" if tf.config.list_logical_devices("GPU") else False


def fast_steps_per_execution(layers=()):
    """The fast default of `steps_per_execution`, for a model of these layers."""
    del layers
    return 50 if num_replicas() == 1 else 1


def num_replicas():
    """Replicas that share a global batch."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def binary_dtype():
    """The smallest type of a variable that holds zeros and ones."""
    # Several workers send each other first values, and have no way to send int8.
    extended = tf.distribute.get_strategy().extended
    return "bool" if getattr(extended, "_in_multi_worker_mode", bool)() else "int8"


def compiled(layer, fn):
    """Compiles `fn(*args)`, which reads the weights of `layer` and assigns nothing that lasts.

    The weights are read once at the beginning. Two reads are two tensors to a graph, and what
    was computed from the one is computed again from the other.
    """

    def program(*args):
        with keras.StatelessScope([(v, tf.identity(v.value)) for v in layer.variables]):
            return fn(*args)

    return tf.function(program, reduce_retracing=True)


class Engine:
    """Mixin in front of `keras.Model`: runs `train_step(self, data)`, `test_step(self, data)`."""

    _train_source = None
    _test_source = None

    def _symbolic_build(self, iterator=None, data_batch=None):
        """Nothing to do: an algorithm builds its parts in its constructor."""

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Nothing to do: an algorithm builds its parts in its constructor."""

    def _make_function(self, step_function, *args, **kwargs):
        """See `keras.Model`; with several workers Keras averages logs along their first axis."""
        extended = self.distribute_strategy.extended
        if not getattr(extended, "_in_multi_worker_mode", lambda: False)():
            return super()._make_function(step_function, *args, **kwargs)

        def step(data):
            logs = step_function(data)
            return {name: tf.reshape(tf.cast(v, "float32"), (1,)) for name, v in logs.items()}

        return super()._make_function(step, *args, **kwargs)

    def num_replicas(self):
        """Replicas of the strategy under which this model was made."""
        return self.distribute_strategy.num_replicas_in_sync

    def gather_from_processes(self, values):
        """The arrays `values` of all replicas, stacked: (replicas, *shape)."""
        strategy = self.distribute_strategy

        @tf.function
        def gather(own):
            def program():
                context = tf.distribute.get_replica_context()
                if context.num_replicas_in_sync == 1:
                    return own[None]
                return context.all_gather(own[None], axis=0)

            return strategy.run(program)

        return strategy.experimental_local_results(gather(tf.constant(values)))[0].numpy()

    def reduce_gradients(self, gradients):
        """The gradient of the global batch's mean loss, from each replica's own.

        A replica's mean counts by its share of the rows, so that batches which do not divide
        evenly give what one device gives.
        """
        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return gradients
        rows = tf.cast(self._step.rows, "float32")
        share = rows / tf.maximum(context.all_reduce(tf.distribute.ReduceOp.SUM, rows), 1.0)
        weighted = [tf.where(rows > 0, g * tf.cast(share, g.dtype), 0) for g in gradients]
        return context.all_reduce(tf.distribute.ReduceOp.SUM, weighted)

    def apply_reduced(self, optimizer, gradients, variables):
        """One step of a player's optimiser with gradients that need no further reduction."""
        context = tf.distribute.get_replica_context()
        if context is not None and context.num_replicas_in_sync > 1:
            inner = optimizer
            while isinstance(inner, LossScaleOptimizer):
                inner = inner.inner_optimizer
            # Keras sums over replicas after it clips; here clipping comes after the sum.
            inner._all_reduce_sum_gradients = lambda pairs: list(pairs)
        with adam.fused(optimizer):
            optimizer.apply(gradients, variables)

    def replica_seed(self, seed):
        """The seed of this replica: no two replicas draw the same noise."""
        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return seed
        return tf.random.fold_in(seed, context.replica_id_in_sync_group)
