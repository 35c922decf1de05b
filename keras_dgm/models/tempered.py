"""A Boltzmann machine at an inverse temperature: what annealing and tempering walk along."""

import numpy as np
from keras import ops

from keras_dgm import backend


class TemperedMachine:
    """u_beta of a bipartite machine, between a factorial base (beta = 0) and itself (beta = 1).

    With the layers of even number x (the visibles among them, biases b) and those of odd number h
    (biases c), and base biases a for x (Salakhutdinov & Murray 2008):

        p_beta(x, h) proportional to exp[((1 - beta) a + beta b) x + beta (x W h + c h)],
        u_beta(x) = ((1 - beta) a + beta b) x + sum_j softplus(beta (x W + c)_j).

    For Gaussian visibles the first term is -|v - b_beta|^2 / (2 s^2), b_beta in the place of b.

    It is a target for samplers: `potential(state)` and `gibbs_step(state, seed)`. A state holds
    the even layers, flat, (..., units) each.

    Args:
        machine: a `BoltzmannMachine`.
        beta: number, or tensor that broadcasts with a layer's values (..., units).
        base_biases: list of a, one for each even layer, or None for those of the machine.
    """

    def __init__(self, machine, beta=1.0, base_biases=None):
        self.machine = machine
        self.beta = beta
        self.base_biases = base_biases

    def even_bias(self, number):
        """The bias of even layer `number` on the way from the base to the machine."""
        bias = self.machine.bias_of(2 * number)
        if self.base_biases is None:
            return bias
        return (1.0 - self.beta) * self.base_biases[number] + self.beta * bias

    def _scaled(self, value):
        return value if isinstance(self.beta, float) and self.beta == 1.0 else self.beta * value

    def odd_logits(self, even):
        """Logits of the odd layers given the even ones."""
        return [self._scaled(value) for value in self.machine.odd_inputs(even)]

    def even_means(self, odd):
        """Logits (of the visibles if Gaussian: means) of the even layers given the odd ones."""
        inputs = self.machine.even_inputs(odd)
        return [self.even_bias(i) + self._scaled(value) for i, value in enumerate(inputs)]

    def potential(self, state):
        """u_beta of the even layers, the odd ones summed out, shape (...,)."""
        even = self.machine.even_layers(state)
        return self.potential_given(even, self.odd_logits(even))

    def potential_given(self, even, odd_logits):
        """u_beta, the odd layers' logits given."""
        total = 0.0
        for logits in odd_logits:
            total = total + ops.sum(backend.softplus(logits), axis=-1)
        for number, value in enumerate(even):
            bias = self.even_bias(number)
            if number == 0 and self.machine.is_gaussian:
                variance = self.machine.scale**2
                total = total - ops.sum(ops.square(value - bias), axis=-1) / (2.0 * variance)
            else:
                total = total + ops.sum(value * bias, axis=-1)
        return total

    def sample_odd(self, even, seed):
        """Draws the odd layers given the even ones, a list."""
        seeds = backend.split_seed(seed, self.machine.num_odd)
        return [backend.bernoulli(ops.sigmoid(a), s) for a, s in zip(self.odd_logits(even), seeds)]

    def sample_even(self, odd, seed):
        """Draws the even layers given the odd ones, a list."""
        means = self.even_means(odd)
        seeds = backend.split_seed(seed, len(means))
        draws = []
        for number, (mean, part) in enumerate(zip(means, seeds)):
            if number == 0 and self.machine.is_gaussian:
                noise = backend.normal(ops.shape(mean), part)
                draws.append(mean + self.machine.scale * noise)
            else:
                draws.append(backend.bernoulli(ops.sigmoid(mean), part))
        return draws

    def gibbs_step(self, state, seed):
        """x -> h -> x', each block drawn at once; leaves p_beta unchanged."""
        first, second = backend.split_seed(seed, 2)
        odd = self.sample_odd(self.machine.even_layers(state), first)
        return self.machine.even_state(self.sample_even(odd, second))


class MachinePath:
    """From a factorial base to a Boltzmann machine, for annealed importance sampling.

    Args:
        machine: a `BoltzmannMachine`.
        base_biases: list of arrays, one for each even layer.
    """

    def __init__(self, machine, base_biases):
        self.machine = machine
        self.layers = [machine]
        self.base_biases = [np.asarray(bias, "float32") for bias in base_biases]

    @property
    def base_log_partition(self):
        """log Z of the base in nats: the odd layers are coins there."""
        total = sum(self.machine.sizes[1::2]) * np.log(2.0)
        for number, bias in enumerate(self.base_biases):
            if number == 0 and self.machine.is_gaussian:
                total += 0.5 * len(bias) * np.log(2.0 * np.pi * self.machine.scale**2)
            else:
                total += np.sum(np.logaddexp(0.0, bias.astype("float64")))
        return float(total)

    def initial_state(self, num_samples, seed):
        """Draws of the base."""
        seeds = backend.split_seed(backend.as_seed(seed), len(self.base_biases))
        even = []
        for number, (bias, part) in enumerate(zip(self.base_biases, seeds)):
            shape = (num_samples, len(bias))
            if number == 0 and self.machine.is_gaussian:
                even.append(bias + self.machine.scale * backend.normal(shape, part))
            else:
                draws = backend.uniform(shape, part)
                even.append(ops.cast(draws < ops.sigmoid(bias), "float32"))
        return self.machine.even_state(even)

    def at(self, beta):
        """The machine at an inverse temperature, a target for samplers."""
        return TemperedMachine(self.machine, beta, self.base_biases)
