"""Boltzmann machines in layers: what RBM and DBM share."""

import keras
import numpy as np
from keras import ops

from keras_dgm import backend
from keras_dgm.models import enumeration
from keras_dgm.models.tempered import MachinePath, TemperedMachine
from keras_dgm.models.unnormalized import UnnormalizedModel
from keras_dgm.sampling.gibbs import BlockGibbs

VISIBLES = ("bernoulli", "gaussian")


class BoltzmannMachine(UnnormalizedModel):
    """Layers of stochastic units, each joined to the next: v, h1, h2, ..., binary but for v.

    p(v, h) proportional to exp(v b_0 + v W_1 h1 + h1 b_1 + h1 W_2 h2 + ...). For Gaussian
    visibles of standard deviation s, -|v - b_0|^2 / (2 s^2) takes the place of v b_0, and v / s^2
    that of v in the coupling, so that v given h is N(b_0 + W_1 h1, s^2).

    The layers of even number given those of odd number are independent, and the reverse: a chain
    walks over the even ones, v among them, with the odd ones summed out of the potential.

    Args:
        event_shape: shape of one v; layers of images see the flat vector.
        units: list of the sizes of the hidden layers.
        visible: `"bernoulli"` or `"gaussian"`.
        scale: s.
    """

    def __init__(self, event_shape, units, visible="bernoulli", scale=1.0, name=None, **kwargs):
        super().__init__(event_shape, name=name, **kwargs)
        if visible not in VISIBLES:
            raise ValueError(f"`visible` is one of {VISIBLES}; received {visible!r}.")
        if not float(scale) > 0.0:
            raise ValueError(f"`scale` is a positive standard deviation; received {scale!r}.")
        sizes = [int(np.prod(self.event_shape)), *map(int, units)]
        if min(sizes) < 1:
            raise ValueError(f"A layer has 1 unit at least; received layers of {sizes}.")
        self.visible_units = visible
        self.scale = float(scale)
        self.sizes = tuple(sizes)
        self.is_discrete = visible == "bernoulli"
        small = keras.initializers.RandomNormal(stddev=0.01)
        self.kernels = [
            self.add_weight(shape=pair, initializer=small, autocast=False, name=f"kernel_{i}")
            for i, pair in enumerate(zip(sizes[:-1], sizes[1:]))
        ]
        self.biases = [
            self.add_weight(shape=(size,), initializer="zeros", autocast=False, name=f"bias_{i}")
            for i, size in enumerate(sizes)
        ]
        self.built = True

    @property
    def is_gaussian(self):
        """Whether the visibles are Gaussian."""
        return self.visible_units == "gaussian"

    @property
    def num_odd(self):
        """Number of layers of odd number."""
        return len(self.sizes) // 2

    def kernel_of(self, layer):
        """The weights between a layer and the one above, a tensor."""
        return ops.convert_to_tensor(self.kernels[layer])

    def bias_of(self, layer):
        """The biases of a layer, a tensor."""
        return ops.convert_to_tensor(self.biases[layer])

    def flat(self, v):
        """v (..., *event) as (..., units), float32."""
        v = ops.cast(v, "float32")
        rank = len(self.event_shape)
        if tuple(v.shape[-rank:]) != self.event_shape:
            raise ValueError(
                f"{type(self).__name__} takes v of shape (..., "
                f"{', '.join(map(str, self.event_shape))}); received {tuple(v.shape)}."
            )
        if rank == 1:
            return v
        return ops.reshape(v, (*ops.shape(v)[:-rank], self.sizes[0]))

    def unflat(self, v):
        """(..., units) as (..., *event)."""
        if len(self.event_shape) == 1:
            return v
        return ops.reshape(v, (*ops.shape(v)[:-1], *self.event_shape))

    def even_layers(self, state):
        """A chain's state as the list of its even layers, flat."""
        return list(state) if isinstance(state, (tuple, list)) else [state]

    def even_state(self, even):
        """The reverse of `even_layers`."""
        return even[0] if len(self.sizes) < 3 else tuple(even)

    def visible(self, state):
        """v (..., *event) of a chain's state."""
        return self.unflat(self.even_layers(state)[0])

    def odd_inputs(self, even):
        """What the odd layers receive from the even ones, biases included: a list."""
        return [self._input(layer, even, True) for layer in range(1, len(self.sizes), 2)]

    def even_inputs(self, odd):
        """What the even layers receive from the odd ones, without their biases: a list."""
        return [self._input(layer, odd, False) for layer in range(0, len(self.sizes), 2)]

    def _input(self, layer, others, with_bias):
        """The sum over the neighbours of a layer; `others` lists the layers of other parity."""
        total = self.bias_of(layer) if with_bias else 0.0
        below, above = (layer - 1) // 2, (layer + 1) // 2
        if layer > 0:
            value = others[below]
            if layer == 1 and self.is_gaussian:
                value = value / self.scale**2
            total = total + ops.matmul(value, self.kernel_of(layer - 1))
        if layer + 1 < len(self.sizes):
            total = total + ops.matmul(others[above], ops.transpose(self.kernel_of(layer)))
        return total

    def tempered(self, beta, base_biases=None):
        """This machine at an inverse temperature; see `TemperedMachine`."""
        return TemperedMachine(self, beta, base_biases)

    def chain_potential(self, state, training=None):
        """u of the even layers, the odd ones summed out, (...,)."""
        return self.tempered(1.0).potential(state)

    def gibbs_step(self, state, seed):
        """One step of block Gibbs sampling, even -> odd -> even."""
        return self.tempered(1.0).gibbs_step(state, seed)

    def initial_state(self, num_samples, seed):
        """The units without their couplings: what the biases alone say."""
        seeds = backend.split_seed(backend.as_seed(seed), len(self.sizes))
        even = []
        for layer in range(0, len(self.sizes), 2):
            shape = (num_samples, self.sizes[layer])
            bias = self.bias_of(layer)
            if layer == 0 and self.is_gaussian:
                even.append(bias + self.scale * backend.normal(shape, seeds[layer]))
            else:
                draws = backend.uniform(shape, seeds[layer])
                even.append(ops.cast(draws < ops.sigmoid(bias), "float32"))
        return self.even_state(even)

    def default_sampler(self):
        """Block Gibbs, 1 000 steps."""
        return BlockGibbs(num_steps=1000)

    def annealing_path(self, data=None):
        """A path to this machine, for `keras_dgm.sampling.annealed_importance_sampling`.

        Args:
            data: array (n, *event) whose mean the base's visibles have (Salakhutdinov & Murray
                2008), or None for the machine's own bias.
        """
        even = range(0, len(self.sizes), 2)
        biases = [ops.convert_to_numpy(self.bias_of(layer)) for layer in even]
        if data is not None:
            biases[0] = self._bias_of(data)
        return MachinePath(self, biases)

    def annealing_kernel(self):
        """What `annealing_path` is walked with: one step of block Gibbs sampling."""
        return BlockGibbs(num_steps=1)

    def exact_log_partition(self):
        """log Z in nats by enumeration of the smaller side, a float.

        Raises:
            ValueError: too many units, with the size that would do.
        """
        return enumeration.log_partition(self)

    def exact_sample(self, num_samples, seed=0):
        """Independent exact draws of v by enumeration of the smaller side.

        Returns:
            NumPy array (num_samples, *event), float32.

        Raises:
            ValueError: too many units, with the size that would do.
        """
        even, _ = enumeration.sample(self, num_samples, seed)
        return even[0].reshape((num_samples, *self.event_shape)).astype("float32")

    def check_value(self, x, name="x"):
        """Binary values, for Bernoulli visibles."""
        if self.is_gaussian or x.dtype == np.bool_:
            return
        wrong = np.logical_and(x != 0, x != 1)
        if np.any(wrong):
            share = float(np.mean(wrong))
            raise ValueError(
                f"{name} holds values other than 0 and 1 ({share:.1%} of them, in "
                f"[{float(np.min(x)):g}, {float(np.max(x)):g}]); the visibles are binary. "
                "Binarise the data (x > 0.5), draw them anew for each batch "
                "(transform='dynamic_binarization', values in [0, 1]), or use "
                "visible='gaussian'."
            )

    def init_bias(self, data):
        """Starts the visible bias at the data's mean (its logit, where binary).

        Args:
            data: array (n, *event).
        """
        self.biases[0].assign(self._bias_of(data))

    def _bias_of(self, data):
        flat = np.asarray(data, "float64").reshape(len(data), -1)
        return flat.mean(axis=0) if self.is_gaussian else enumeration.smoothed_logit(flat)

    def get_config(self):
        return {
            **super().get_config(),
            "event_shape": list(self.event_shape),
            "units": list(self.sizes[1:]),
            "visible": self.visible_units,
            "scale": self.scale,
        }
