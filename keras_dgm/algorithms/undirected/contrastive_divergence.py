"""Learning by contrastive divergence."""

import keras
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms import checks
from keras_dgm.algorithms.undirected import trajectory
from keras_dgm.algorithms.undirected.base import RandomFieldAlgorithm
from keras_dgm.models.rbm import RBM
from keras_dgm.sampling import BlockGibbs, Langevin
from keras_dgm.sampling.base import check_count

STARTS = ("data", "noise")


@keras.saving.register_keras_serializable(package="keras_dgm")
class ContrastiveDivergence(RandomFieldAlgorithm):
    """Contrastive divergence, CD-k: the negative samples are k steps of a chain from the data.

    Objective (Hinton 2002; Bachman & Precup 2015, Eq. 35): KL(p_0 || p) - KL(p_k || p), p_0 the
    data's law and p_k the chain's after k steps.

    Estimator (Bachman & Precup 2015, Eq. 43, 44): descent along

        grad mean F(x) - grad mean F(x_k),    F = -u,

    with the hidden units of an RBM summed out in both terms: the negative phase uses p(h | v_k)
    of the final v. It is biased for the likelihood (k steps do not reach p) and for its own
    objective: it leaves out that p_k moves with the weights.

    `full_gradient=True` adds what is left out, for an RBM (Bachman & Precup 2015, Eq. 31, 45,
    with the sign that finite differences confirm),

        - mean (log p_k(x_k) + F(x_k) - b) grad sum_t log T(x_t | x_{t-1}),

    T the block Gibbs step through the sampled h, b the mean of the factor over the other chains.
    log p_k comes from `chain_density`; with `"enumeration"` the estimator is unbiased for the
    gradient of the objective, p_0 being the law of the batch.

    Cost per step: k + 1 products with the kernel and k with its transpose for an RBM, and the
    gradient; for a random field k passes and input gradients, and one pass and gradient on twice
    the batch.

    Args:
        field: an `RBM`, a `DBM` or a `RandomField`.
        num_steps: k; by default that of `sampler`, or 1.
        sampler: block Gibbs for Boltzmann machines, otherwise the field's own sampler, otherwise
            `Langevin()`.
        start: `"data"`, or `"noise"` for chains that begin at the model's fresh states each step
            (short-run chains, no contrastive divergence in Hinton's sense).
        full_gradient: see above; RBMs only, from the data.
        chain_density: of the full gradient: `"enumeration"` (12 units a side at most),
            `"conditional"` (a mixture over the batch's chains, biased by O(1 / batch)), or a
            distribution layer over v whose log_prob stands for log p_k.
        others: see `RandomFieldAlgorithm`.

    Raises:
        ValueError: k below 1; `full_gradient` of anything but an RBM's Gibbs chain from the
            data, or without a density that can be had.
    """

    def __init__(
        self,
        field,
        num_steps=None,
        sampler=None,
        start="data",
        full_gradient=False,
        chain_density="enumeration",
        **kwargs,
    ):
        super().__init__(field, **kwargs)
        self.sampler = sampler or learning_sampler(field)
        self.num_steps = check_count("num_steps", num_steps or self.sampler.num_steps)
        self.start = checks.one_of("start", start, STARTS)
        self.full_gradient = bool(full_gradient)
        self.chain_density = chain_density
        if self.full_gradient:
            self._check_full_gradient()
            self.terms = (*self.terms, "chain_log_density", "trajectory_signal")
        self.finish()

    def _check_full_gradient(self):
        gibbs = isinstance(self.sampler, BlockGibbs)
        if not isinstance(self.field, RBM) or not gibbs or self.start != "data":
            raise ValueError(
                "The full gradient is that of an RBM's block Gibbs chain from the data; received "
                f"{type(self.field).__name__} with {type(self.sampler).__name__} from "
                f"{self.start}."
            )
        trajectory.check_chain_density(self.field, self.chain_density)
        if hasattr(self.chain_density, "build"):
            self.chain_density.build()
            self.chain_density.trainable = False

    def train_step(self, data):
        """One step of the field."""
        batch = self.unpack(data)
        x, y = batch["x"], batch.get("y")
        first, second = backend.split_seed(self.next_seed(), 2)
        if self.full_gradient:
            return self._full_step(x, first)
        if self.start == "data":
            state = self.field.chain_start(x, first)
        else:
            state = self.field.initial_state(ops.shape(x)[0], first)
        target = self.field if y is None else given_labels(self.field, y)
        result = self.sampler.sample(target, state, second, num_steps=self.num_steps)

        def loss_fn():
            return self.field_loss(x, result.state, y, y, result.statistics)

        _, terms = self.minimize(loss_fn, "field")
        return self.log(terms)

    def _full_step(self, x, seed):
        hidden, visible = trajectory.gibbs_trajectory(self.field, x, self.num_steps, seed)
        density = trajectory.chain_log_density(self.field, self.chain_density, x, hidden, visible)
        signal = ops.stop_gradient(density - self.field.chain_potential(visible[-1]))
        others = ops.cast(ops.shape(signal)[0] - 1, "float32")
        # One chain has no others, and no baseline.
        centred = signal - (ops.sum(signal) - signal) / ops.maximum(others, 1.0)

        def loss_fn():
            loss, terms = self.field_loss(x, visible[-1])
            log_transition = trajectory.transition_log_prob(self.field, x, hidden, visible)
            surrogate = loss - ops.mean(centred * log_transition)
            terms["chain_log_density"] = ops.mean(density)
            terms["trajectory_signal"] = ops.mean(signal)
            return surrogate, terms

        _, terms = self.minimize(loss_fn, "field")
        return self.log(terms)

    def get_config(self):
        density = self.chain_density
        if not isinstance(density, str):
            density = keras.saving.serialize_keras_object(density)
        return {
            **super().get_config(),
            "num_steps": self.num_steps,
            "sampler": keras.saving.serialize_keras_object(self.sampler),
            "start": self.start,
            "full_gradient": self.full_gradient,
            "chain_density": density,
        }


def learning_sampler(field):
    """The sampler that a learning rule takes where none is named."""
    if hasattr(field, "gibbs_step"):
        return BlockGibbs(num_steps=1)
    return field.default_sampler() or Langevin()


def given_labels(field, y):
    """The potential of a field with labels, at these labels: a target for samplers."""
    return lambda x: field.potential(x, y)
