"""Compiled calls, gradients and saving, the same on both backends and free of keras_dgm.backend."""

import keras
import numpy as np


def as_array(x):
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(x)), dtype="float64")


def _jit(fn):
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(fn)
    import tensorflow as tf

    return tf.function(fn, jit_compile=True, autograph=False)


def _tensors(inputs):
    return keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)


def _state(layer):
    trainable = [variable.value for variable in layer.trainable_variables]
    non_trainable = [variable.value for variable in layer.non_trainable_variables]
    return trainable, non_trainable


def _stateless(layer, trainable, non_trainable, inputs, training):
    """Outputs and new state of `layer(inputs)` at the values given for its variables."""
    variables = [*layer.trainable_variables, *layer.non_trainable_variables]
    mapping = list(zip(variables, [*trainable, *non_trainable], strict=True))
    with keras.StatelessScope(state_mapping=mapping) as scope:
        outputs = layer(inputs, training=training)
    state = []
    for variable, value in zip(layer.non_trainable_variables, non_trainable, strict=True):
        new = scope.get_current_value(variable)
        state.append(value if new is None else new)
    return outputs, state


def compiled_call(layer, inputs, training=False, store=True):
    """`layer(inputs, training=training)` under jit; `store` keeps its updates of state."""

    if not layer.built:
        layer.build(keras.tree.map_structure(lambda array: array.shape, inputs))

    def call(trainable, non_trainable, inputs):
        return _stateless(layer, trainable, non_trainable, inputs, training)

    outputs, state = _jit(call)(*_state(layer), _tensors(inputs))
    if store:
        for variable, value in zip(layer.non_trainable_variables, state, strict=True):
            variable.assign(value)
    return as_array(outputs)


def _gradient(fn, values):
    """Gradient of a scalar function of a list of tensors, under jit."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(jax.grad(fn))(values)
    import tensorflow as tf

    @tf.function(jit_compile=True, autograph=False)
    def run(values):
        with tf.GradientTape() as tape:
            tape.watch(values)
            loss = fn(values)
        return tape.gradient(loss, values, unconnected_gradients="zero")

    return run(values)


def weight_gradients(layer, inputs, loss_fn, training=False):
    """Gradients of `loss_fn(layer(inputs))`, a dict by the variable's path."""
    trainable, non_trainable = _state(layer)
    inputs = _tensors(inputs)

    def loss(values):
        outputs, _ = _stateless(layer, values, non_trainable, inputs, training)
        return loss_fn(outputs)

    gradients = _gradient(loss, trainable)
    paths = [variable.path for variable in layer.trainable_variables]
    return {path: as_array(gradient) for path, gradient in zip(paths, gradients, strict=True)}


def function_gradient(fn, *values):
    """Gradients of a pure scalar function of tensors."""
    tensors = [keras.ops.convert_to_tensor(value) for value in values]
    return [as_array(gradient) for gradient in _gradient(lambda v: fn(*v), tensors)]


def jacobian(layer, inputs, index):
    """d layer(inputs) / d inputs[index] for one sample, shape (outputs, inputs)."""
    trainable, non_trainable = _state(layer)
    inputs = [keras.ops.convert_to_tensor(value) for value in inputs]

    def outputs(value):
        fed = [*inputs]
        fed[index] = value
        fed = fed if len(fed) > 1 else fed[0]
        result, _ = _stateless(layer, trainable, non_trainable, fed, training=False)
        return keras.ops.reshape(result, (-1,))

    if keras.backend.backend() == "jax":
        import jax

        found = jax.jit(jax.jacrev(outputs))(inputs[index])
    else:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(inputs[index])
            result = outputs(inputs[index])
        found = tape.jacobian(result, inputs[index])
    return as_array(found).reshape(found.shape[0], -1)


def scramble(layer, seed=0):
    """Gives every weight, running moments included, a random positive value."""
    rng = np.random.default_rng(seed)
    for variable in layer.weights:
        if "float" in variable.dtype:
            variable.assign(rng.uniform(0.05, 0.2, variable.shape))


def wrapping_model(network, inputs):
    """A functional model of the network, with inputs of the shapes and dtypes given."""
    many = isinstance(inputs, list)
    arrays = inputs if many else [inputs]
    symbols = [keras.Input(array.shape[1:], dtype=str(array.dtype)) for array in arrays]
    return keras.Model(symbols if many else symbols[0], network(symbols if many else symbols[0]))


def check_round_trip(network, inputs, folder):
    """Saves and loads a wrapping model, and asserts equal outputs and an equal configuration."""
    model = wrapping_model(network, inputs)
    scramble(model)
    expected = compiled_call(model, inputs)
    model.save(folder / "model.keras")
    loaded = keras.saving.load_model(folder / "model.keras")
    np.testing.assert_allclose(compiled_call(loaded, inputs), expected, rtol=1e-6, atol=1e-6)
    copy = type(network).from_config(network.get_config())
    assert copy.get_config() == network.get_config()


def gradient_penalty(layer, inputs):
    """The function of the weights' values that a gradient penalty is, and those values."""
    trainable, non_trainable = _state(layer)
    inputs = keras.ops.convert_to_tensor(inputs)

    def total(x, values):
        return keras.ops.sum(_stateless(layer, values, non_trainable, x, training=False)[0])

    def penalty(values):
        if keras.backend.backend() == "jax":
            import jax

            gradient = jax.grad(total)(inputs, values)
        else:
            import tensorflow as tf

            with tf.GradientTape() as tape:
                tape.watch(inputs)
                value = total(inputs, values)
            gradient = tape.gradient(value, inputs)
        axes = tuple(range(1, len(inputs.shape)))
        norm = keras.ops.sqrt(keras.ops.sum(keras.ops.square(gradient), axis=axes))
        return keras.ops.mean(keras.ops.square(norm - 1))

    return penalty, trainable
