"""Learning by maximum likelihood with chains that go on."""

import keras

from keras_dgm.algorithms.undirected.base import RandomFieldAlgorithm
from keras_dgm.algorithms.undirected.contrastive_divergence import learning_sampler
from keras_dgm.sampling.base import check_count
from keras_dgm.sampling.persistent import PersistentChains


@keras.saving.register_keras_serializable(package="keras_dgm")
class StochasticMaximumLikelihood(RandomFieldAlgorithm):
    """SML, or persistent contrastive divergence (PCD): chains that are never reset to the data.

    Objective: the likelihood, mean log p(x) (Ou 2019, Eq. 39).

    Estimator (Ou 2019, Alg. 7; Younes 1989; Tieleman 2008): ascent along

        grad mean u(x) - grad mean u(x-),

    x- the states of persistent chains, moved by k steps of a sampler that leaves the present p
    unchanged. Biased at any one step, since the chains follow p with a lag; stochastic
    approximation converges to the likelihood's maximum as the learning rate falls (Ou 2019,
    Theorem 1), for samplers that are exact. With a learning rate too high for the chains' mixing
    it diverges: watch `potential_difference`.

    For a DBM the first term is the mean-field bound's (Salakhutdinov & Hinton 2009).

    Cost per step: k steps of the sampler on `num_chains` chains, and one pass and gradient on
    the batch and the chains.

    The chains are weights of the algorithm: saved in `.keras` files and backups, so that a
    restored run goes on as if it had not been interrupted; presets leave them out.

    Args:
        field: an `RBM`, a `DBM` or a `RandomField`.
        num_steps: k; by default that of `sampler`, or 1.
        sampler: block Gibbs for Boltzmann machines, otherwise the field's own sampler, otherwise
            `Langevin()`. `ParallelTempering` keeps a ladder of temperatures for each chain.
        num_chains: chains that run in a step.
        buffer_size: states kept; above `num_chains` a replay buffer (see `PersistentChains`).
        reset_fraction: probability for each chain and step to begin anew.
        others: see `RandomFieldAlgorithm`.

    Raises:
        ValueError: a field with labels (its chains would have to keep theirs), or settings that
            `PersistentChains` refuses.
    """

    def __init__(
        self,
        field,
        num_steps=None,
        sampler=None,
        num_chains=100,
        buffer_size=None,
        reset_fraction=0.0,
        **kwargs,
    ):
        super().__init__(field, **kwargs)
        self.sampler = sampler or learning_sampler(field)
        self.num_steps = check_count("num_steps", num_steps or self.sampler.num_steps)
        self.chains = PersistentChains(num_chains, buffer_size, reset_fraction)
        self.chains.create(self.add_learning_state, field, self.sampler, self.seed)
        self.finish()

    def check_labels(self, y):
        """A field with labels is learned as a joint density over x; labels have no use."""
        if y is not None:
            raise ValueError(
                "StochasticMaximumLikelihood learns p(x) and takes no labels; for a field given "
                "labels use ContrastiveDivergence."
            )

    def train_step(self, data):
        """One step of the chains and of the field."""
        x = self.unpack(data)["x"]
        result = self.chains.advance(self.field, self.next_seed(), self.num_steps)

        def loss_fn():
            return self.field_loss(x, result.state, statistics=result.statistics)

        _, terms = self.minimize(loss_fn, "field")
        return self.log(terms)

    def get_config(self):
        return {
            **super().get_config(),
            "num_steps": self.num_steps,
            "sampler": keras.saving.serialize_keras_object(self.sampler),
            "num_chains": self.chains.num_chains,
            "buffer_size": self.chains.buffer_size,
            "reset_fraction": self.chains.reset_fraction,
        }
