"""Greedy, layer by layer: how deep belief networks and deep Boltzmann machines begin."""

import keras
import numpy as np
from keras import ops

from keras_dgm.algorithms.undirected.contrastive_divergence import ContrastiveDivergence
from keras_dgm.models.dbm import DBM
from keras_dgm.models.dbn import DBN
from keras_dgm.models.rbm import RBM

_ROWS = 5000


@keras.saving.register_keras_serializable(package="keras_dgm")
class TiedRBM(RBM):
    """An RBM with copies of its visible or hidden layer, their weights shared.

    What stands for one pair of layers while a DBM is pretrained (Salakhutdinov & Hinton 2009,
    section 3.1): the first RBM sees two copies of v, the last two copies of its hidden layer, so
    that h has the input it will have from both sides.

    Args:
        units: `(visible, hidden)` of one copy.
        copies: `(visible, hidden)` copies.
        visible, scale: see `RBM`.
    """

    def __init__(self, units, copies=(1, 1), visible="bernoulli", scale=1.0, **kwargs):
        self.single, self.copies = tuple(units), tuple(copies)
        full = [size * count for size, count in zip(units, copies)]
        super().__init__((full[0],), full[1], visible, scale, **kwargs)

    def add_weight(self, shape=None, name=None, **kwargs):
        """A weight of one copy."""
        single = {"kernel_0": self.single, "bias_0": self.single[:1], "bias_1": self.single[1:]}
        return super().add_weight(shape=single.get(name, shape), name=name, **kwargs)

    def kernel_of(self, layer):
        return ops.tile(ops.convert_to_tensor(self.kernels[layer]), self.copies)

    def bias_of(self, layer):
        return ops.tile(ops.convert_to_tensor(self.biases[layer]), (self.copies[layer],))


def pretrain(
    model,
    x,
    inference=None,
    epochs=10,
    batch_size=100,
    optimizer=None,
    num_steps=1,
    algorithm=ContrastiveDivergence,
    seed=0,
    verbose=0,
):
    """Trains a DBN's or a DBM's layers one after another, from the bottom up.

    Each pair of layers is an RBM, learned on what the pair below makes of the data: fresh binary
    draws, each batch, of the means of its hidden layer.

    DBN (Hinton, Osindero & Teh 2006): the RBM's two conditionals become the directed layer and
    the recognition layer; the last RBM is the top. DBM (Salakhutdinov & Hinton 2009): the first
    RBM sees v twice and the last has its hidden layer twice, with shared weights, and what lies
    between is halved, so that each layer gets its input from both sides.

    Args:
        model: a `DBN` or a `DBM`; its weights are set.
        x: array (n, *event).
        inference: the recognition side of a DBN (`UpDown.inference`), set too.
        epochs, batch_size: of each pair.
        optimizer: a Keras optimiser, cloned for each pair; SGD(0.05, momentum 0.5) by default.
        num_steps: Gibbs steps.
        algorithm: `ContrastiveDivergence`, or another of RBMs.
        seed: integer.
        verbose: as in `fit`.

    Returns:
        A list with the `History` of each pair.

    Raises:
        ValueError: another kind of model.
    """
    if not isinstance(model, DBN | DBM):
        raise ValueError(f"pretrain begins a DBN or a DBM; received {type(model).__name__}.")
    is_deep_boltzmann = isinstance(model, DBM)
    sizes = [
        int(np.prod(model.event_shape)),
        *(model.sizes[1:] if is_deep_boltzmann else model.units),
    ]
    data = np.asarray(x, "float32").reshape(len(x), -1)
    optimizer = optimizer or keras.optimizers.SGD(0.05, momentum=0.5)
    histories = []
    for level, pair in enumerate(zip(sizes[:-1], sizes[1:])):
        first, last = level == 0, level == len(sizes) - 2
        copies = (1 + first, 1 + last) if is_deep_boltzmann else (1, 1)
        options = {"visible": model.visible_units, "scale": model.scale} if first else {}
        rbm = TiedRBM(pair, copies, **options)
        seen = np.tile(data, (1, copies[0]))
        if first:
            rbm.biases[0].assign(rbm._bias_of(data))
        learner = algorithm(
            rbm,
            num_steps=num_steps,
            seed=seed + level,
            transform=None if first else "dynamic_binarization",
        )
        learner.compile(optimizer=optimizer.from_config(optimizer.get_config()))
        histories.append(learner.fit(seen, batch_size=batch_size, epochs=epochs, verbose=verbose))
        if is_deep_boltzmann:
            _give_to_dbm(model, rbm, level, halved=not (first or last))
        else:
            _give_to_dbn(model, inference, rbm, level, last)
        rows = range(0, len(data), _ROWS)
        means = [ops.convert_to_numpy(rbm.hidden_mean(seen[i : i + _ROWS])) for i in rows]
        data = np.concatenate(means)[:, : pair[1]]
    return histories


def _give_to_dbm(model, rbm, level, halved):
    kernel = ops.convert_to_numpy(rbm.kernels[0])
    model.kernels[level].assign(0.5 * kernel if halved else kernel)
    if level == 0:
        model.biases[0].assign(rbm.biases[0])
    model.biases[level + 1].assign(rbm.biases[1])


def _give_to_dbn(model, inference, rbm, level, last):
    kernel = ops.convert_to_numpy(rbm.kernels[0])
    if last:
        for own, value in zip((*model.top.kernels, *model.top.biases), rbm.trainable_variables):
            own.assign(value)
        return
    [down] = model.directed[len(model.directed) - 1 - level].head.values()
    down.kernel.assign(kernel.T)
    down.bias.assign(rbm.biases[0])
    if inference is None:
        return
    up = getattr(inference, "parts", [inference])[level].head["logits"]
    variance = rbm.scale**2 if rbm.is_gaussian else 1.0
    up.kernel.assign(kernel / variance)
    up.bias.assign(rbm.biases[1])
