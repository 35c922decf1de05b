"""The deep Boltzmann machine."""

import keras
from keras import ops

from keras_dgm import backend
from keras_dgm.models.boltzmann import BoltzmannMachine
from keras_dgm.sampling.base import check_count


@keras.saving.register_keras_serializable(package="keras_dgm")
class DBM(BoltzmannMachine):
    """Deep Boltzmann machine (Salakhutdinov & Hinton 2009; Ou 2019, section 4.1).

    p(v, h1, h2, ..) proportional to exp(v b_0 + v W_1 h1 + h1 b_1 + h1 W_2 h2 + h2 b_2 + ...).

    u(v) = log sum_h exp(...) is intractable, and `potential` gives its mean-field lower bound:
    for a factorial q(h2) q(h4) .. with means m, and the layers of odd number summed out exactly,

        u(v) >= sum_even m b + sum_odd softplus(b + W m) + H(q),

    which is the bound of a q factorial in all layers with the odd ones at their optimum. m is
    found by coordinate ascent from 1/2, `mean_field_steps` times over all layers, and is a
    constant to gradients: at the optimum its own gradient vanishes.

    `StochasticMaximumLikelihood` learns it: the bound on the data, Gibbs chains over (v, h2, ..)
    with (h1, h3, ..) summed out for the model. Start it with `pretrain`.

    Weights, in order: W_1, W_2, ..., b_0, b_1, ....

    Args:
        event_shape: shape of one v.
        units: sizes of the hidden layers, two at least, from the bottom up.
        visible: `"bernoulli"` or `"gaussian"`.
        scale: standard deviation of Gaussian visibles.
        mean_field_steps: sweeps of coordinate ascent.
    """

    def __init__(
        self,
        event_shape,
        units,
        visible="bernoulli",
        scale=1.0,
        mean_field_steps=20,
        name=None,
        **kwargs,
    ):
        if len(units) < 2:
            raise ValueError(
                f"A DBM has two hidden layers at least; received units={list(units)}. With one "
                "it is an RBM, whose u(v) is exact."
            )
        super().__init__(event_shape, units, visible, scale, name=name, **kwargs)
        self.mean_field_steps = check_count("mean_field_steps", mean_field_steps)
        self.evaluation_terms = ("reconstruction",)

    def mean_field(self, x, num_steps=None):
        """Means of a factorial q(h | v), a list (..., units) from the bottom up, constants.

        Coordinate ascent on the bound, from 1/2, the layers of even number first (each step
        raises the bound).
        """
        v = ops.stop_gradient(self.flat(x))
        machine = self.tempered(1.0)
        shapes = [(*ops.shape(v)[:-1], size) for size in self.sizes[2::2]]

        def odd(even):
            return [ops.sigmoid(logits) for logits in machine.odd_logits([v, *even])]

        def sweep(_, even):
            return [ops.sigmoid(mean) for mean in machine.even_means(odd(even))[1:]]

        even = [ops.full(shape, 0.5, dtype="float32") for shape in shapes]
        even = backend.fori_loop(num_steps or self.mean_field_steps, sweep, even)
        odd_means = odd(even)
        ordered = [
            odd_means[i // 2] if i % 2 == 0 else even[i // 2] for i in range(len(self.sizes) - 1)
        ]
        return [ops.stop_gradient(mean) for mean in ordered]

    def potential(self, x, training=None):
        """The mean-field lower bound on u(v), shape (...,), for v (..., *event)."""
        means = self.mean_field(x)[1::2]
        value = self.tempered(1.0).potential((self.flat(x), *means))
        for mean in means:
            value = value + _entropy(mean)
        return value

    def chain_start(self, x, seed):
        """(v, h2, ..), the hidden layers drawn from the mean-field q."""
        means = self.mean_field(x)[1::2]
        seeds = backend.split_seed(backend.as_seed(seed), len(means))
        return (self.flat(x), *[backend.bernoulli(m, s) for m, s in zip(means, seeds)])

    def reconstruction(self, x):
        """-log p(v | h1, h3, .. at their means) in nats up to constants, (...,)."""
        flat = self.flat(x)
        mean = self.tempered(1.0).even_means(self.mean_field(x)[0::2])[0]
        if self.is_gaussian:
            return ops.sum(0.5 * ops.square((flat - mean) / self.scale), axis=-1)
        return ops.sum(ops.softplus(mean) - flat * mean, axis=-1)

    def evaluation(self, x, seed):
        """Means over the batch of what `evaluate` reports."""
        return {"reconstruction": ops.mean(self.reconstruction(x))}

    def get_config(self):
        return {**super().get_config(), "mean_field_steps": self.mean_field_steps}


def _entropy(mean):
    """Entropy of independent coins in nats, (...,)."""
    # log(m) m with its limit 0 at m = 0; means are constants, so nothing is differentiated.
    tiny = 1e-30
    heads = mean * ops.log(ops.maximum(mean, tiny))
    tails = (1.0 - mean) * ops.log(ops.maximum(1.0 - mean, tiny))
    return -ops.sum(heads + tails, axis=-1)
