"""Gradients and loops on TensorFlow."""

import tensorflow as tf
from keras import tree

from keras_dgm.backend.scope import forgetting


def value_and_grad(loss_fn, variables, state=(), scale=None):
    """Value and gradient of a loss with respect to variables.

    Args:
        loss_fn: function of nothing that returns `(loss, aux)`.
        variables: the Keras variables to differentiate.
        state: variables that `loss_fn` may assign; needed on JAX alone.
        scale: maps the loss to the quantity that is differentiated (loss scaling), or None.

    Returns:
        `((loss, aux), gradients)`, gradients zero where the loss does not depend.
    """
    targets = [variable.value for variable in variables]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        for target in targets:
            tape.watch(target)
        loss, aux = loss_fn()
        differentiated = loss if scale is None else scale(loss)
    gradients = tape.gradient(
        differentiated, targets, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
    return (loss, aux), gradients


def value_and_input_grad(fn, inputs):
    """Values of `fn(inputs)` and the gradient of their sum with respect to the inputs.

    Where `fn` gives one number a row, that is each row's own gradient. Assignments made by the
    layers inside (batch statistics) are dropped: this is a look, not a step.

    Args:
        fn: function of one tensor or structure of tensors that returns a tensor.
        inputs: where to differentiate.

    Returns:
        `(values, gradients)`, the latter of the inputs' structure.
    """
    inputs = tree.map_structure(tf.convert_to_tensor, inputs)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tree.map_structure(tape.watch, inputs)
        with forgetting():
            values = fn(inputs)
    flat = tree.flatten(inputs)
    gradients = tape.gradient(values, flat, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return values, tree.pack_sequence_as(inputs, gradients)


def fori_loop(num_steps, body, init):
    """`for i in range(num_steps): state = body(i, state)`, compiled, differentiable.

    Args:
        num_steps: Python integer or scalar tensor.
        body: function of (i, state) that returns a state of the same structure and shapes.
        init: a structure of tensors.
    """
    init = tree.map_structure(tf.convert_to_tensor, init)
    flat = tree.flatten(init)

    def step(i, *leaves):
        new = body(i, tree.pack_sequence_as(init, list(leaves)))
        return (i + 1, *(tf.convert_to_tensor(leaf) for leaf in tree.flatten(new)))

    maximum = num_steps if isinstance(num_steps, int) else None
    result = tf.while_loop(
        lambda i, *_: i < num_steps,
        step,
        (tf.constant(0), *flat),
        maximum_iterations=maximum,
        parallel_iterations=1,
        shape_invariants=(tf.TensorShape([]), *(leaf.shape for leaf in flat)),
    )
    return tree.pack_sequence_as(init, list(result[1:]))


def scan(body, init, length):
    """Runs `state, output = body(i, state)` for i = 0 .. length - 1 and stacks the outputs.

    Args:
        body: function of (i, state) that returns (state, output), both structures of tensors.
        init: the first state.
        length: Python integer.

    Returns:
        `(state, outputs)`, each output with a leading axis of `length`.
    """
    # The first step runs outside the loop, which tells the shapes of the outputs.
    state, first = body(tf.constant(0), tree.map_structure(tf.convert_to_tensor, init))
    flat = [tf.convert_to_tensor(leaf) for leaf in tree.flatten(state)]
    outputs = [tf.convert_to_tensor(leaf) for leaf in tree.flatten(first)]
    arrays = [
        tf.TensorArray(leaf.dtype, size=length, element_shape=leaf.shape).write(0, leaf)
        for leaf in outputs
    ]

    def step(i, leaves, arrays):
        state, output = body(i, tree.pack_sequence_as(init, list(leaves)))
        leaves = [tf.convert_to_tensor(leaf) for leaf in tree.flatten(state)]
        written = [array.write(i, leaf) for array, leaf in zip(arrays, tree.flatten(output))]
        return i + 1, leaves, written

    _, flat, arrays = tf.while_loop(
        lambda i, *_: i < length,
        step,
        (tf.constant(1), flat, arrays),
        maximum_iterations=length,
        parallel_iterations=1,
    )
    stacked = tree.pack_sequence_as(first, [array.stack() for array in arrays])
    return tree.pack_sequence_as(init, list(flat)), stacked
