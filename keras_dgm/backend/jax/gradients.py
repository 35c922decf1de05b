"""Gradients and loops on JAX.

The value of a Keras variable inside a traced function is what the innermost `StatelessScope`
maps it to. A function that is differentiated runs in a scope of its own, which holds the values
of all variables, so that nothing traced inside it can leak into the scope around.
"""

import jax
import jax.numpy as jnp
import keras
from keras import tree


def _inner_scope(mapping):
    """A scope that continues the one around it, with some values replaced."""
    outer = keras.src.backend.common.stateless_scope.get_stateless_scope()
    scope = keras.StatelessScope(mapping)
    if outer is not None:
        scope.state_mapping = {**outer.state_mapping, **scope.state_mapping}
    return scope


def value_and_grad(loss_fn, variables, state=(), scale=None):
    """Value and gradient of a loss with respect to variables.

    Args:
        loss_fn: function of nothing that returns `(loss, aux)`.
        variables: the Keras variables to differentiate.
        state: variables that `loss_fn` may assign (batch statistics, seeds); their new values
            are assigned after the gradient was taken.
        scale: maps the loss to the quantity that is differentiated (loss scaling), or None.

    Returns:
        `((loss, aux), gradients)`, gradients zero where the loss does not depend.
    """
    variables, state = list(variables), list(state)
    before = [variable.value for variable in state]

    def differentiated(values):
        with _inner_scope([*zip(variables, values), *zip(state, before)]) as scope:
            loss, aux = loss_fn()
            value = loss if scale is None else scale(loss)
            after = [scope.get_current_value(variable) for variable in state]
        return value, (loss, aux, after)

    gradient = jax.grad(differentiated, has_aux=True)
    gradients, (loss, aux, after) = gradient([variable.value for variable in variables])
    for variable, old, new in zip(state, before, after):
        if new is not old:
            variable.assign(new)
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

    def total(inputs):
        with _inner_scope([]):
            values = fn(inputs)
        return jnp.sum(values), values

    inputs = tree.map_structure(jnp.asarray, inputs)
    gradients, values = jax.grad(total, has_aux=True)(inputs)
    return values, gradients


def fori_loop(num_steps, body, init):
    """`for i in range(num_steps): state = body(i, state)`, compiled, differentiable.

    Args:
        num_steps: Python integer or scalar array (an array cannot be differentiated through).
        body: function of (i, state) that returns a state of the same structure and shapes.
        init: a structure of arrays.
    """
    init = tree.map_structure(jnp.asarray, init)

    def scoped(i, state):
        with _inner_scope([]):
            return body(i, state)

    return jax.lax.fori_loop(0, num_steps, scoped, init)


def scan(body, init, length):
    """Runs `state, output = body(i, state)` for i = 0 .. length - 1 and stacks the outputs.

    Args:
        body: function of (i, state) that returns (state, output), both structures of arrays.
        init: the first state.
        length: Python integer.

    Returns:
        `(state, outputs)`, each output with a leading axis of `length`.
    """

    def step(state, i):
        with _inner_scope([]):
            return body(i, state)

    init = tree.map_structure(jnp.asarray, init)
    return jax.lax.scan(step, init, jnp.arange(length))
