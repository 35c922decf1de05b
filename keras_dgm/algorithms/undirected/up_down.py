"""Joint fine-tuning of a deep belief network."""

import keras
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms.directed.base import LatentVariableAlgorithm
from keras_dgm.algorithms.directed.phases import move_each
from keras_dgm.algorithms.undirected.likelihood import annealed_log_partition
from keras_dgm.models.dbn import DBN
from keras_dgm.sampling import BlockGibbs
from keras_dgm.sampling.base import check_count


@keras.saving.register_keras_serializable(package="keras_dgm")
class UpDown(LatentVariableAlgorithm):
    """The up-down algorithm: contrastive wake-sleep for a deep belief network.

    Objective (Hinton, Osindero & Teh 2006, section 5): the generative side follows the bound
    E_q[log p(v, h) - log q(h | v)], the recognition side KL(p(h | v) || q(h | v)) on dreams.

    Estimator. Up: h ~ q(h | v); the directed layers ascend grad log p(v | h1) + grad log
    p(h1 | h2) + ..., the top RBM takes a step of contrastive divergence from h_{L-1}:
    grad u(h_{L-1}) - grad u(its state after k Gibbs steps). Down: from that state the directed
    layers draw a dream (v', h'), and q ascends grad log q(h' | v').

    Bias: the RBM's step is CD's, not the likelihood's; q learns from dreams k steps away from
    what it inferred, not from p's own. The two sides follow no common objective.

    Cost per step: one pass and gradient of each side on the batch, 2 k products with the top
    kernel.

    Args:
        generative: a `DBN`.
        inference: q(h | v), `generative.recognition()` by default.
        num_steps: k, Gibbs steps of the top RBM.
        others: see `LatentVariableAlgorithm`.

    Raises:
        ValueError: anything but a DBN.
    """

    players = ("generative", "inference")
    terms = ("loss", "sleep_loss", "reconstruction", "potential_difference")

    def __init__(self, generative, inference=None, num_steps=1, updates="simultaneous", **kwargs):
        if not isinstance(generative, DBN):
            raise ValueError(
                f"UpDown learns a DBN; received {type(generative).__name__}. For a directed "
                "model use WakeSleep, for a DBM StochasticMaximumLikelihood."
            )
        inference = inference or generative.recognition()
        super().__init__(generative, inference, updates=updates, **kwargs)
        self.num_steps = check_count("num_steps", num_steps)
        self.finish()

    def train_step(self, data):
        """One pass up, one pass down."""
        x = self.unpack(data)["x"]
        up, gibbs, down = backend.split_seed(self.next_seed(), 3)
        model = self.generative
        h, _ = self.draw(x, 1, up, training=True, stop_gradient=True)
        h = keras.tree.map_structure(lambda part: part[0], h)
        layers = list(h) if model.is_deep else [h]
        end = BlockGibbs(self.num_steps).sample(model.top, layers[0], gibbs).state
        dream, dreamt = model.descend(end, down)

        def loss_fn():
            difference = ops.mean(model.top.potential(layers[0]) - model.top.potential(end))
            log_probs = [
                ops.mean(layer.log_prob(value, above, training=True))
                for layer, value, above in zip(model.directed, [*layers[1:], x], layers)
            ]
            sleep = -ops.mean(self.log_inference(dreamt, dream, training=True))
            wake = -sum(log_probs) - difference
            terms = {
                "loss": wake,
                "sleep_loss": sleep,
                "reconstruction": -log_probs[-1],
                "potential_difference": difference,
            }
            return wake + sleep, terms

        return self.log(move_each(self, loss_fn))

    def estimate_log_partition(self, **kwargs):
        """log Z of the top RBM by annealed importance sampling; the forward one is assigned.

        From then on `evaluate` and `log_likelihood` give figures in nats of a normalised model.

        Args:
            **kwargs: see `annealed_log_partition`; `data` are states of the RBM's visibles.

        Returns:
            A `LogPartition`.
        """
        result = annealed_log_partition(self.generative.top, **kwargs)
        self.generative.top.log_partition.assign(result.forward.log_partition)
        return result

    def get_config(self):
        return {**super().get_config(), "num_steps": self.num_steps}
