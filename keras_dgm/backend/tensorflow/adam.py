"""Adam's step in one kernel a weight."""

import contextlib

import keras
import tensorflow as tf


@contextlib.contextmanager
def fused(optimizer):
    """Within this context a plain Keras Adam takes its steps by `ResourceApplyAdam`.

    The formula is Keras' own, whose dozen operations a weight cost more than the backward pass of
    a small network; the kernel rounds 1 - beta_2 another way, by 1e-5 of it. Clipping, weight
    decay, schedules, averages and accumulation stay Keras'. Any other optimiser is left as it is:
    one with an update of its own, AMSGrad, eager execution, a strategy with several replicas; and
    so are weights that are not float32.
    """
    own = type(optimizer).update_step is keras.optimizers.Adam.update_step
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if not own or optimizer.amsgrad or replicas > 1 or not tf.inside_function():
        yield
        return
    # Once for all weights.
    step = keras.ops.cast(optimizer.iterations + 1, "float32")
    beta_1, beta_2 = tf.constant(optimizer.beta_1), tf.constant(optimizer.beta_2)
    powers = tf.pow(beta_1, step), tf.pow(beta_2, step)

    def update_step(gradient, variable, learning_rate):
        if variable.dtype != tf.float32:
            type(optimizer).update_step(optimizer, gradient, variable, learning_rate)
            return
        index = optimizer._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=optimizer._momentums[index].value.handle,
            v=optimizer._velocities[index].value.handle,
            beta1_power=powers[0],
            beta2_power=powers[1],
            lr=tf.cast(learning_rate, "float32"),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=optimizer.epsilon,
            grad=tf.cast(gradient, "float32"),
        )

    optimizer.update_step = update_step
    try:
        yield
    finally:
        del optimizer.update_step
