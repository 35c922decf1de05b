"""Restricted Boltzmann machines small enough to enumerate."""

import numpy as np

from keras_dgm.testing.numeric import binary_states, log_sum_exp, sigmoid, softplus

MAX_UNITS = 14


class EnumerableRBM:
    """p(v, h) proportional to exp(v W h + b v + c h), binary v and h, everything exact in nats.

    The potential of the visibles is u(v) = -F(v) = b v + sum_j softplus(c_j + (v W)_j).

    A law of the data is given as rows (n, visible), each of weight 1/n, or as probabilities
    (2**visible,) over `states`.

    Args:
        kernel: W, (visible, hidden).
        visible_bias: b, (visible,).
        hidden_bias: c, (hidden,).

    Attributes:
        states: (2**visible, visible); the row number is the number that the bits spell.
        hidden_states: (2**hidden, hidden).
    """

    def __init__(self, kernel, visible_bias, hidden_bias):
        self.kernel = np.array(kernel, dtype="float64")
        self.visible_bias = np.array(visible_bias, dtype="float64")
        self.hidden_bias = np.array(hidden_bias, dtype="float64")
        visible, hidden = self.kernel.shape
        if self.visible_bias.shape != (visible,) or self.hidden_bias.shape != (hidden,):
            raise ValueError(
                f"Kernel {self.kernel.shape} needs biases ({visible},) and ({hidden},); received "
                f"{self.visible_bias.shape} and {self.hidden_bias.shape}."
            )
        if max(visible, hidden) > MAX_UNITS:
            raise ValueError(
                f"Enumeration holds at most {MAX_UNITS} units a layer; received {visible} x "
                f"{hidden}."
            )
        self.states = binary_states(visible)
        self.hidden_states = binary_states(hidden)

    @classmethod
    def random(cls, visible, hidden, seed=0, scale=1.0):
        """Normal weights and biases of standard deviation `scale`."""
        rng = np.random.default_rng(seed)
        shapes = [(visible, hidden), visible, hidden]
        return cls(*[scale * rng.normal(size=shape) for shape in shapes])

    @property
    def parameters(self):
        """[kernel, visible_bias, hidden_bias]."""
        return [self.kernel, self.visible_bias, self.hidden_bias]

    def with_parameters(self, parameters):
        """Another machine with these parameters."""
        return type(self)(*parameters)

    def free_energy(self, v):
        """F(v) = -u(v), (n,)."""
        v = np.asarray(v, dtype="float64")
        hidden = softplus(v @ self.kernel + self.hidden_bias)
        return -(v @ self.visible_bias) - np.sum(hidden, axis=-1)

    def log_partition(self):
        """log Z."""
        return float(log_sum_exp(-self.free_energy(self.states)))

    def log_prob(self, v):
        """log p(v), (n,)."""
        return -self.free_energy(v) - self.log_partition()

    def distribution(self):
        """p(v) over `states`, (2**visible,)."""
        return np.exp(self.log_prob(self.states))

    def state_index(self, v):
        """Row numbers in `states` of binary rows (n, ...), (n,)."""
        bits = np.asarray(v).reshape(len(v), -1).astype("int64")
        return bits @ (1 << np.arange(bits.shape[1] - 1, -1, -1))

    def sample(self, num_samples, rng):
        """Exact draws of v, (num_samples, visible)."""
        index = rng.choice(len(self.states), size=num_samples, p=self.distribution())
        return self.states[index]

    def hidden_mean(self, v):
        """p(h = 1 | v), (n, hidden)."""
        return sigmoid(np.asarray(v) @ self.kernel + self.hidden_bias)

    def visible_mean(self, h):
        """p(v = 1 | h), (n, visible)."""
        return sigmoid(np.asarray(h) @ self.kernel.T + self.visible_bias)

    def hidden_table(self):
        """p(h | v) over all states, (2**visible, 2**hidden)."""
        logits = self.states @ self.kernel + self.hidden_bias
        return np.exp(logits @ self.hidden_states.T - softplus(logits).sum(axis=1)[:, None])

    def visible_table(self):
        """p(v | h) over all states, (2**hidden, 2**visible)."""
        logits = self.hidden_states @ self.kernel.T + self.visible_bias
        return np.exp(logits @ self.states.T - softplus(logits).sum(axis=1)[:, None])

    def transition_matrix(self, num_steps=1):
        """Block Gibbs v -> h -> v', `num_steps` times, (2**visible, 2**visible)."""
        return np.linalg.matrix_power(self.hidden_table() @ self.visible_table(), num_steps)

    def chain_law(self, data, num_steps):
        """Law of v after `num_steps` of Gibbs sampling from the data, (2**visible,)."""
        hidden, visible = self.hidden_table(), self.visible_table()
        law = self.law_of(data)
        for _ in range(num_steps):
            law = law @ hidden @ visible
        return law

    def law_of(self, data):
        """Probabilities over `states` of rows (n, visible) or of probabilities given as such."""
        data = np.asarray(data, dtype="float64")
        if data.ndim == 1 and data.shape == (len(self.states),):
            if abs(data.sum() - 1.0) > 1e-9:
                raise ValueError(f"Probabilities must sum to one; received {data.sum():.6g}.")
            return data
        if data.ndim != 2 or data.shape[1] != self.states.shape[1]:
            raise ValueError(
                f"Expected rows (n, {self.states.shape[1]}) or ({len(self.states)},) "
                f"probabilities; received shape {data.shape}."
            )
        counts = np.bincount(self.state_index(data), minlength=len(self.states))
        return counts / counts.sum()

    # Gradients: lists in the order of `parameters`.

    def potential_moments(self, law):
        """E_law[grad u(v)], the sufficient statistics [v p(h=1|v), v, p(h=1|v)]."""
        weighted = law[:, None] * self.states
        hidden = self.hidden_mean(self.states)
        return [weighted.T @ hidden, weighted.sum(axis=0), law @ hidden]

    def log_likelihood(self, data):
        """Mean log p(v) of the data."""
        return float(self.law_of(data) @ self.log_prob(self.states))

    def log_likelihood_gradient(self, data):
        """Gradient of the mean log p(v): data moments minus model moments (ascent)."""
        positive = self.potential_moments(self.law_of(data))
        negative = self.potential_moments(self.distribution())
        return [p - n for p, n in zip(positive, negative, strict=True)]

    def contrastive_divergence_gradient(self, data, num_steps):
        """Expectation of CD-k's update (ascent): data moments minus those of the chain's end.

        (Bachman & Precup 2015, Eq. 44.) The negative phase uses p(h | v_k) of the final v. The
        same whether h is sampled or marginalised there.
        """
        positive = self.potential_moments(self.law_of(data))
        negative = self.potential_moments(self.chain_law(data, num_steps))
        return [p - n for p, n in zip(positive, negative, strict=True)]

    def contrastive_divergence(self, data, num_steps):
        """KL(p0 || p) - KL(pk || p) in nats; log Z cancels."""
        start = self.law_of(data)
        end = self.chain_law(data, num_steps)
        free_energy = self.free_energy(self.states)
        return float(
            _negative_entropy(start)
            + start @ free_energy
            - _negative_entropy(end)
            - end @ free_energy
        )

    def trajectory_term(self, data, num_steps):
        """E_tau[(log pk(v_k) + F(v_k) + 1) sum_t grad log T(v_t | v_{t-1})].

        What contrastive divergence ignores (Bachman & Precup 2015, Eq. 45); T is the block
        Gibbs step through a sampled h.
        """
        hidden_table, visible_table = self.hidden_table(), self.visible_table()
        laws = [self.law_of(data)]
        for _ in range(num_steps):
            laws.append(laws[-1] @ hidden_table @ visible_table)
        with np.errstate(divide="ignore"):
            log_end = np.where(laws[-1] > 0, np.log(laws[-1]), 0.0)
        value = log_end + self.free_energy(self.states) + 1.0
        total = [np.zeros_like(p) for p in self.parameters]
        for law in reversed(laws[:-1]):
            for_hidden = visible_table @ value
            # Joint weights of (v, h) and of (h, v') times the value that follows.
            first = law[:, None] * hidden_table * for_hidden[None, :]
            second = (law @ hidden_table)[:, None] * visible_table * value[None, :]
            for piece, term in zip(total, self._step_scores(first, second), strict=True):
                piece += term
            value = hidden_table @ for_hidden
        return total

    def contrastive_divergence_full_gradient(self, data, num_steps):
        """Gradient of `contrastive_divergence`, the trajectory term included.

        E_0[grad F] - E_k[grad F] - E_tau[(log pk + F - b) sum_t grad log T] (Bachman & Precup
        2015, Eq. 31 and 45 with the sign that finite differences confirm); minimise along it.
        """
        ascent = self.contrastive_divergence_gradient(data, num_steps)
        trajectory = self.trajectory_term(data, num_steps)
        return [-a - t for a, t in zip(ascent, trajectory, strict=True)]

    def _step_scores(self, first, second):
        """Sums of grad log p(h|v) under weights first (v, h) and grad log p(v'|h) under second."""
        hidden_mean, visible_mean = (
            self.hidden_mean(self.states),
            self.visible_mean(self.hidden_states),
        )
        # Residual h - E[h|v] summed over h for each v, and v' - E[v'|h] summed over v' for each h.
        hidden = first @ self.hidden_states - first.sum(axis=1)[:, None] * hidden_mean
        visible = second @ self.states - second.sum(axis=1)[:, None] * visible_mean
        kernel = self.states.T @ hidden + visible.T @ self.hidden_states
        return [kernel, visible.sum(axis=0), hidden.sum(axis=0)]


def _negative_entropy(law):
    positive = law[law > 0]
    return float(positive @ np.log(positive))
