"""The restricted Boltzmann machine."""

import math

import keras
from keras import ops

from keras_dgm import backend
from keras_dgm.models.boltzmann import BoltzmannMachine


@keras.saving.register_keras_serializable(package="keras_dgm")
class RBM(BoltzmannMachine):
    """Restricted Boltzmann machine: p(v, h) proportional to exp(v W h + b v + c h), h binary.

    Summing out h gives the potential of the visibles, minus the free energy (Bachman & Precup
    2015, Eq. 38 to 41, with biases):

        u(v) = -F(v) = b v + sum_j softplus(c_j + (v W)_j).

    With Gaussian visibles of standard deviation s,
    u(v) = -|v - b|^2 / (2 s^2) + sum_j softplus(c_j + (v W)_j / s^2).

    Weights, in order: `kernel` W (visible, hidden), `visible_bias` b, `hidden_bias` c.

    A chain's state is v, flat: (..., visible units).

    Args:
        event_shape: shape of one v, e.g. `(784,)` or `(28, 28, 1)`.
        num_hidden: number of hidden units.
        visible: `"bernoulli"` or `"gaussian"`.
        scale: s, of Gaussian visibles; 1 suits standardised data.
    """

    def __init__(
        self, event_shape, num_hidden, visible="bernoulli", scale=1.0, name=None, **kwargs
    ):
        super().__init__(event_shape, [num_hidden], visible, scale, name=name, **kwargs)
        self.num_hidden = int(num_hidden)
        # What `evaluate` reports beside the potential.
        self.evaluation_terms = ("reconstruction",)
        if self.is_discrete:
            self.evaluation_terms += ("pseudo_log_likelihood",)

    @property
    def kernel(self):
        """W, (visible, hidden)."""
        return self.kernels[0]

    @property
    def visible_bias(self):
        """b, (visible,)."""
        return self.biases[0]

    @property
    def hidden_bias(self):
        """c, (hidden,)."""
        return self.biases[1]

    def potential(self, x, training=None):
        """u(v) = -F(v), shape (...,), for v (..., *event)."""
        return self.chain_potential(self.flat(x))

    def free_energy(self, x):
        """F(v) = -u(v), shape (...,)."""
        return -self.potential(x)

    def chain_start(self, x, seed):
        """v, flat."""
        return self.flat(x)

    def joint_potential(self, x, h):
        """v W h + b v + c h (its Gaussian form), shape (...,)."""
        flat = self.flat(x)
        [inputs] = self.odd_inputs([flat])
        # Without odd layers summed out what remains of u is the visibles' own term.
        return self.tempered(1.0).potential_given([flat], []) + ops.sum(inputs * h, axis=-1)

    def hidden_mean(self, x):
        """p(h = 1 | v), (..., hidden)."""
        return ops.sigmoid(self.odd_inputs([self.flat(x)])[0])

    def visible_mean(self, h):
        """E[v | h], (..., *event)."""
        [mean] = self.tempered(1.0).even_means([h])
        return self.unflat(mean if self.is_gaussian else ops.sigmoid(mean))

    def sample_hidden(self, x, seed):
        """h ~ p(h | v), (..., hidden)."""
        return backend.bernoulli(self.hidden_mean(x), backend.as_seed(seed))

    def sample_visible(self, h, seed):
        """v ~ p(v | h), (..., *event)."""
        return self.unflat(self.tempered(1.0).sample_even([h], backend.as_seed(seed))[0])

    def reconstruction(self, x):
        """-log p(v | E[h | v]) in nats, (...,)."""
        flat = self.flat(x)
        [logits] = self.odd_inputs([flat])
        [mean] = self.tempered(1.0).even_means([ops.sigmoid(logits)])
        if self.is_gaussian:
            constant = math.log(self.scale * math.sqrt(2.0 * math.pi))
            squares = ops.square((flat - mean) / self.scale)
            return ops.sum(0.5 * squares + constant, axis=-1)
        return ops.sum(ops.softplus(mean) - flat * mean, axis=-1)

    def pseudo_log_likelihood(self, x, seed):
        """An unbiased estimate of sum_i log p(v_i | v_-i) in nats, (batch,), by one i a row.

        D log sigmoid(u(v) - u(v with bit i flipped)), i uniform. Not a likelihood: it is used to
        watch training, since it needs no Z.
        """
        flat = self.flat(x)
        [logits] = self.odd_inputs([flat])
        draws = backend.uniform((ops.shape(flat)[0],), backend.as_seed(seed))
        index = ops.minimum(ops.cast(draws * self.sizes[0], "int32"), self.sizes[0] - 1)
        sign = 1.0 - 2.0 * ops.take_along_axis(flat, index[:, None], axis=1)
        flipped = logits + sign * ops.take(self.kernel, index, axis=0)
        gain = sign[:, 0] * ops.take(self.visible_bias, index)
        gain = gain + ops.sum(ops.softplus(flipped) - ops.softplus(logits), axis=-1)
        return -float(self.sizes[0]) * ops.softplus(gain)

    def evaluation(self, x, seed):
        """Means over the batch of what `evaluate` reports."""
        terms = {"reconstruction": ops.mean(self.reconstruction(x))}
        if self.is_discrete:
            terms["pseudo_log_likelihood"] = ops.mean(self.pseudo_log_likelihood(x, seed))
        return terms

    def get_config(self):
        config = super().get_config()
        del config["units"]
        return {**config, "num_hidden": self.num_hidden}
