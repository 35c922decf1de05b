"""Deep Boltzmann machines and deep belief networks small enough to enumerate."""

import numpy as np

from keras_dgm.testing.numeric import (
    binary_states,
    log_softmax,
    log_sum_exp,
    numeric_gradient,
    sigmoid,
    softplus,
)

MAX_TABLE = 2**22


class EnumerableDBM:
    """p(v, h1, .., hL) proportional to exp(v b_0 + v W_1 h1 + h1 b_1 + h1 W_2 h2 + ...).

    Args:
        kernels: [W_1 (visible, h1), W_2 (h1, h2), ...].
        biases: [b_0 (visible,), b_1 (h1,), ...], one more than kernels.

    Attributes:
        states: all visibles, (2**visible, visible).
        hidden_states: tuple of arrays (N, width), all joint states of the hidden layers.
    """

    def __init__(self, kernels, biases):
        self.kernels = [np.array(k, dtype="float64") for k in kernels]
        self.biases = [np.array(b, dtype="float64") for b in biases]
        widths = [len(b) for b in self.biases]
        if [k.shape for k in self.kernels] != list(zip(widths[:-1], widths[1:], strict=True)):
            raise ValueError(
                f"Kernels {[k.shape for k in self.kernels]} do not fit biases of widths {widths}."
            )
        if 2 ** sum(widths) > MAX_TABLE:
            raise ValueError(
                f"{sum(widths)} units have 2**{sum(widths)} states; at most 22 units in all are "
                "enumerated."
            )
        self.states = binary_states(widths[0])
        joint = binary_states(sum(widths[1:]))
        self.hidden_states = tuple(np.split(joint, np.cumsum(widths[1:-1]), axis=1))

    @classmethod
    def random(cls, widths, seed=0, scale=1.0):
        """Normal weights and biases; widths (visible, h1, h2, ...)."""
        rng = np.random.default_rng(seed)
        pairs = zip(widths[:-1], widths[1:], strict=True)
        kernels = [scale * rng.normal(size=pair) for pair in pairs]
        return cls(kernels, [scale * rng.normal(size=width) for width in widths])

    @property
    def parameters(self):
        """[W_1, W_2, ..., b_0, b_1, ...]."""
        return self.kernels + self.biases

    def with_parameters(self, parameters):
        """Another machine with these parameters."""
        return type(self)(parameters[: len(self.kernels)], parameters[len(self.kernels) :])

    def joint_potential(self, v):
        """log of the unnormalised p(v, h), (n, N)."""
        v = np.atleast_2d(np.asarray(v, dtype="float64"))
        layers = self.hidden_states
        total = (v @ self.biases[0])[:, None] + v @ self.kernels[0] @ layers[0].T
        for layer, bias in zip(layers, self.biases[1:], strict=True):
            total = total + layer @ bias
        for below, kernel, above in zip(layers[:-1], self.kernels[1:], layers[1:], strict=True):
            total = total + np.sum((below @ kernel) * above, axis=1)
        return total

    def potential(self, v):
        """u(v), hidden layers summed out, (n,)."""
        return log_sum_exp(self.joint_potential(v), axis=1)

    def log_partition(self):
        """log Z."""
        return float(log_sum_exp(self.potential(self.states)))

    def log_prob(self, v):
        """log p(v), (n,)."""
        return self.potential(v) - self.log_partition()

    def distribution(self):
        """p(v) over `states`."""
        return np.exp(self.log_prob(self.states))

    def posterior(self, v):
        """p(h | v) over the joint hidden states, (n, N)."""
        return np.exp(log_softmax(self.joint_potential(v)))

    def log_likelihood_gradient(self, data):
        """Gradient of mean log p(v) over rows (n, visible), in the order of `parameters`."""
        return numeric_gradient(
            lambda p: np.mean(self.with_parameters(p).log_prob(data)), self.parameters
        )

    def mean_field_bound(self, v, means):
        """ELBO of a factorial q(h) with the given means [(n, h1), (n, h2), ...], (n,)."""
        v = np.atleast_2d(np.asarray(v, dtype="float64"))
        values = [v, *[np.asarray(m, dtype="float64") for m in means]]
        total = sum(value @ bias for value, bias in zip(values, self.biases, strict=True))
        for below, kernel, above in zip(values[:-1], self.kernels, values[1:], strict=True):
            total = total + np.sum((below @ kernel) * above, axis=1)
        for mean in values[1:]:
            inside = (mean > 0) & (mean < 1)
            safe = np.where(inside, mean, 0.5)
            entropy = -(safe * np.log(safe) + (1 - safe) * np.log(1 - safe))
            total = total + np.sum(np.where(inside, entropy, 0.0), axis=1)
        return total - self.log_partition()

    def mean_field(self, v, num_iterations=200):
        """Means [(n, h1), ...] after coordinate ascent from 0.5, lowest layer first."""
        v = np.atleast_2d(np.asarray(v, dtype="float64"))
        means = [np.full((len(v), len(b)), 0.5) for b in self.biases[1:]]
        for _ in range(num_iterations):
            for layer in range(len(means)):
                below = v if layer == 0 else means[layer - 1]
                logits = below @ self.kernels[layer] + self.biases[layer + 1]
                if layer + 1 < len(means):
                    logits = logits + means[layer + 1] @ self.kernels[layer + 1].T
                means[layer] = sigmoid(logits)
        return means


class EnumerableDBN:
    """Directed layers below a restricted Boltzmann machine (a deep belief network).

    p(v, h1, h2) = p(v | h1) p(h1, h2), the top pair a machine with visibles h1.

    Args:
        kernel: (h1, visible) of p(v = 1 | h1) = sigmoid(h1 kernel + bias).
        bias: (visible,).
        top: `EnumerableRBM` whose visibles are h1.
    """

    def __init__(self, kernel, bias, top):
        self.kernel = np.array(kernel, dtype="float64")
        self.bias = np.array(bias, dtype="float64")
        self.top = top
        if self.kernel.shape != (top.kernel.shape[0], len(self.bias)):
            raise ValueError(
                f"A kernel of shape {self.kernel.shape} does not lead from the top machine's "
                f"{top.kernel.shape[0]} visibles to {len(self.bias)} pixels."
            )
        self.states = binary_states(len(self.bias))

    def log_joint_table(self, v):
        """log p(v, h1), h2 summed out, (n, 2**h1), the columns in the order of `top.states`."""
        v = np.atleast_2d(np.asarray(v, dtype="float64"))
        logits = self.top.states @ self.kernel + self.bias
        log_likelihood = v @ logits.T - softplus(logits).sum(axis=1)
        return log_likelihood + self.top.log_prob(self.top.states)

    def log_prob(self, v):
        """log p(v), (n,)."""
        return log_sum_exp(self.log_joint_table(v), axis=1)

    def bound(self, v, inference_kernel, inference_bias):
        """ELBO of q(h1 | v) with logits v K + k: E_q[log p(v, h1) - log q], (n,).

        Greedy pretraining's q is the first machine's posterior, K its kernel, k its hidden bias.
        """
        v = np.atleast_2d(np.asarray(v, dtype="float64"))
        logits = v @ np.asarray(inference_kernel) + np.asarray(inference_bias)
        log_inference = logits @ self.top.states.T - softplus(logits).sum(axis=1)[:, None]
        table = self.log_joint_table(v) - log_inference
        return np.sum(np.exp(log_inference) * table, axis=1)
