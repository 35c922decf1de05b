"""Stochastic layers with finitely many states, for `EnumerableModel`."""

import numpy as np

from keras_dgm.testing.numeric import binary_states, log_softmax, sigmoid, softplus

# Each activation with its derivative as a function of the activation's own value.
_ACTIVATIONS = {
    "linear": (lambda x: x, lambda y: np.ones_like(y)),
    "tanh": (np.tanh, lambda y: 1.0 - y**2),
    "sigmoid": (sigmoid, lambda y: y * (1.0 - y)),
    "relu": (lambda x: np.maximum(x, 0.0), lambda y: (y > 0).astype("float64")),
}


class FiniteNetwork:
    """A multilayer perceptron whose output parametrises a distribution over finitely many vectors.

    Kernels are (inputs, outputs) as in `keras.layers.Dense`, so the weights of a Keras network can
    be handed over as they are, and the gradients come back in the same order and shapes.

    Args:
        weights: flat list [kernel, bias, kernel, bias, ...]; one pair is a linear layer.
        activation: name of the activation between the pairs: "tanh", "sigmoid", "relu", "linear".
    """

    def __init__(self, weights, activation="tanh"):
        if activation not in _ACTIVATIONS:
            raise ValueError(
                f"Unknown activation {activation!r}; expected one of {sorted(_ACTIVATIONS)}."
            )
        weights = [np.array(w, dtype="float64") for w in weights]
        if not weights or len(weights) % 2:
            raise ValueError(
                "weights is the flat list [kernel, bias, kernel, bias, ...]; received "
                f"{len(weights)} arrays."
            )
        width = None
        for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
            fits = kernel.ndim == 2 and bias.shape == kernel.shape[1:]
            if not fits or (width is not None and kernel.shape[0] != width):
                raise ValueError(
                    "Each kernel is (inputs, outputs), each bias (outputs,), and widths chain; "
                    f"received shapes {[w.shape for w in weights]}."
                )
            width = kernel.shape[1]
        self.parameters = weights
        self.activation = activation

    @property
    def input_dimension(self):
        """Length of the context vector."""
        return self.parameters[0].shape[0]

    @property
    def dimension(self):
        """Length of the value, flattened."""
        return self.parameters[-1].shape[0]

    def with_parameters(self, parameters):
        """The same network with other weights."""
        return type(self)(parameters, self.activation)

    def _activations(self, inputs):
        function = _ACTIVATIONS[self.activation][0]
        values = [np.asarray(inputs, dtype="float64")]
        pairs = list(zip(self.parameters[::2], self.parameters[1::2], strict=True))
        for number, (kernel, bias) in enumerate(pairs):
            value = values[-1] @ kernel + bias
            values.append(value if number == len(pairs) - 1 else function(value))
        return values

    def logits(self, inputs):
        """Logits, shape (n, dimension), of contexts of shape (n, input_dimension)."""
        return self._activations(inputs)[-1]

    def mean(self, inputs):
        """Expected value given contexts, shape (n, dimension)."""
        return self.mean_of_logits(self.logits(inputs))

    def log_prob(self, value, inputs):
        """log p(value | inputs) in nats, shape (n,)."""
        return self.log_prob_of_logits(value, self.logits(inputs))

    def score(self, value, inputs):
        """Gradient of `log_prob` for each row, by backpropagation.

        Returns:
            (n, number of parameters), parameters flattened in the order of `parameters`.
        """
        values = self._activations(inputs)
        derivative = _ACTIVATIONS[self.activation][1]
        delta = value - self.mean_of_logits(values[-1])
        num_rows = len(delta)
        pieces = []
        for number in range(len(self.parameters) // 2 - 1, -1, -1):
            below = np.broadcast_to(values[number], (num_rows, values[number].shape[-1]))
            kernel_score = below[:, :, None] * delta[:, None, :]
            pieces = [kernel_score.reshape(num_rows, -1), delta, *pieces]
            if number:
                delta = (delta @ self.parameters[2 * number].T) * derivative(below)
        return np.concatenate(pieces, axis=1)

    def states(self):
        """Every value, shape (num_states, dimension)."""
        raise NotImplementedError

    def mean_of_logits(self, logits):
        """Expected value under `logits`."""
        raise NotImplementedError

    def log_prob_of_logits(self, value, logits):
        """log-probability of `value` under `logits`, summed over the last axis."""
        raise NotImplementedError


class BernoulliNetwork(FiniteNetwork):
    """Independent Bernoulli variables; the network gives their logits.

    With one kernel and one bias it is a layer of a sigmoid belief network,
    p(y = 1 | x) = sigmoid(x kernel + bias).
    """

    def states(self):
        return binary_states(self.dimension)

    def mean_of_logits(self, logits):
        return sigmoid(logits)

    def log_prob_of_logits(self, value, logits):
        return np.sum(value * logits - softplus(logits), axis=-1)


class CategoricalNetwork(FiniteNetwork):
    """One-hot categorical variables, flattened to (num_variables * num_categories,).

    Args:
        num_categories: size of each one-hot block. The other arguments are `FiniteNetwork`'s.
    """

    def __init__(self, weights, num_categories, activation="tanh"):
        super().__init__(weights, activation)
        if self.dimension % num_categories:
            raise ValueError(
                f"{self.dimension} logits do not divide into blocks of {num_categories}."
            )
        self.num_categories = num_categories

    def with_parameters(self, parameters):
        return type(self)(parameters, self.num_categories, self.activation)

    def _blocks(self, x):
        return np.reshape(x, np.shape(x)[:-1] + (-1, self.num_categories))

    def states(self):
        num_variables = self.dimension // self.num_categories
        grids = np.meshgrid(*[np.arange(self.num_categories)] * num_variables, indexing="ij")
        choices = np.stack([g.ravel() for g in grids], axis=-1)
        return np.eye(self.num_categories)[choices].reshape(len(choices), -1)

    def mean_of_logits(self, logits):
        return np.exp(log_softmax(self._blocks(logits))).reshape(np.shape(logits))

    def log_prob_of_logits(self, value, logits):
        log_prob = log_softmax(self._blocks(logits))
        return np.sum(self._blocks(value) * log_prob, axis=(-1, -2))
