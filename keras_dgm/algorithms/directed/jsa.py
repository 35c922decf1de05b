"""Joint stochastic approximation."""

import keras
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms.directed import weights
from keras_dgm.algorithms.directed.base import LatentVariableAlgorithm
from keras_dgm.algorithms.directed.per_datapoint import PerDatapoint
from keras_dgm.distributions import Bernoulli, Chain, OneHotCategorical
from keras_dgm.sampling.metropolis_independence import (
    independence_walk,
    take_states,
    times_visited,
)


@keras.saving.register_keras_serializable(package="keras_dgm")
class JSA(PerDatapoint, LatentVariableAlgorithm):
    """Joint stochastic approximation: maximum likelihood with a Markov chain for every point.

    Objectives (Ou 2019, Eq. 26): theta minimises KL(data || p(x)), phi the inclusive
    KL(p(h|x) || q(h|x)) over the data. Both gradients are posterior means (Eq. 27),
        E_p(h|x) [grad log p(x, h)]  and  E_p(h|x) [grad log q(h|x)],
    of anything, discrete or continuous: no gradient passes through h.

    Estimator (Alg. 5): K = `num_samples` moves of a Metropolis independence chain for each point
    of the batch. A move proposes h' ~ q(.|x) and accepts with min(1, w(h') / w(h)), w(h) =
    p(x, h) / q(h|x) under the current weights, the first state's too. theta descends
    -mean_t log p(x, h_t), phi -mean_t log q(h_t|x) over the states h_1..h_K visited, repeats
    counted.

    The chain starts from the state that the point's last visit ended with (stage II), which makes
    the gradients unbiased as far as that chain has come; or from a fresh draw of q that is not
    itself trained on (stage I), whose bias falls with K. A point is in stage I for its first
    `cache_from_epoch` visits, counted for each point and so independent of the batch size; with
    arrays all points change together, at the end of an epoch. The last state is written back in
    both stages. A visit without a state to start from is stage I's.

    Cost per step: one pass and gradient of the inference network on the batch (the upper layers
    of a `Chain` on K + 1 times the batch), one of the generative side on K + 1 times the batch,
    all moves together. With a sleep phase one more of each on the batch, and a draw.

    Beside the two losses are logged `iw_bound`, the K-draw bound of the proposals (what the chain
    visits gives none); `acceptance_rate`; `stage`, 1 to 2; and `longest_stay`, how many moves in a
    row the most stuck of all chains has refused.

    With `transform="dynamic_binarization"` x itself changes between visits, and the cached state
    is the start of a chain for another x.

    Args:
        generative: a `LatentVariableModel`.
        inference: q(h|x), a distribution layer or a `Chain`.
        num_data: number of training points; `fit` takes as many rows.
        num_samples: K, moves of the chain in a visit.
        num_tries: proposals a move; above 1 the multiple-try sampler, at so many times the cost.
        cache_from_epoch: visits of a point in stage I. 0 uses the cache from the second visit on.
        sleep_weight: weight of the sleep phase, -log q(h'|x') at draws (x', h') of the model
            (Eq. 22), in phi's loss; 0 leaves it out.
        others: see `LatentVariableAlgorithm`.

    Raises:
        ValueError: `fit` on data of another length than `num_data`, or on a dataset without row
            numbers or with a repeated one in a batch (see `PerDatapoint`).
    """

    players = ("generative", "inference")
    terms = ("generative_loss", "inference_loss", "iw_bound", "acceptance_rate", "stage")

    def __init__(
        self,
        generative,
        inference,
        num_data,
        num_samples=1,
        num_tries=1,
        cache_from_epoch=0,
        sleep_weight=0.0,
        **kwargs,
    ):
        super().__init__(generative, inference, num_samples=num_samples, **kwargs)
        self.keep_tables_for(num_data)
        for name, value, least in (
            ("num_tries", num_tries, 1),
            ("cache_from_epoch", cache_from_epoch, 0),
        ):
            if int(value) < least or int(value) != value:
                raise ValueError(f"`{name}` is an integer, {least} at least; received {value!r}.")
        if float(sleep_weight) < 0.0:
            raise ValueError(f"`sleep_weight` is not negative; received {sleep_weight!r}.")
        self.num_tries = int(num_tries)
        self.cache_from_epoch = int(cache_from_epoch)
        self.sleep_weight = float(sleep_weight)
        if self.sleep_weight:
            self.terms = (*self.terms, "sleep_loss")
        self.cache = [
            self.add_learning_state(
                f"cache_{number}",
                (self.num_data, *part.event_shape),
                backend.binary_dtype()
                if isinstance(part, (Bernoulli, OneHotCategorical))
                else "float32",
                by_rows=True,
            )
            for number, part in enumerate(self._parts())
        ]
        # A point that was never visited has no state: `visits` is the cache's flag too.
        self.visits = self.add_learning_state("visits", (self.num_data,), "int32", by_rows=True)
        self.stay = self.add_learning_state("stay", (self.num_data,), "int32", by_rows=True)
        self.finish()

    def _parts(self):
        """The inference side's layers, in the order in which they draw."""
        return self.inference.parts if isinstance(self.inference, Chain) else [self.inference]

    def train_step(self, data):
        """K moves of the batch's chains, then both players by the states visited."""
        data = self.unpack(data)
        x = data["x"]
        index, is_faulty = self.row_numbers(data)
        seed, sleep_seed = backend.split_seed(self.next_seed(), 2)
        cached = [ops.cast(ops.take(table, index, axis=0), "float32") for table in self.cache]
        visits, stay = ops.take(self.visits, index, axis=0), ops.take(self.stay, index, axis=0)
        from_cache = visits >= max(self.cache_from_epoch, 1)

        def loss_fn():
            path = self.run_chains(x, cached, from_cache, seed, training=True)
            share = path["times_visited"] / float(self.num_samples)
            generative_loss = -ops.mean(ops.sum(share * path["log_joint"], axis=0))
            inference_loss = -ops.mean(ops.sum(share * path["log_inference"], axis=0))
            terms = {
                "generative_loss": generative_loss,
                "inference_loss": inference_loss,
                "iw_bound": ops.mean(weights.log_mean_exp(path["log_weights"][1:])),
                "acceptance_rate": ops.mean(ops.cast(path["accepted"], "float32")),
                "stage": 1.0 + ops.mean(ops.cast(from_cache, "float32")),
            }
            loss = generative_loss + inference_loss
            if self.sleep_weight:
                terms["sleep_loss"] = self._sleep_loss(ops.shape(x)[0], sleep_seed)
                loss = loss + self.sleep_weight * terms["sleep_loss"]
            return loss, (terms, path["last"], path["accepted"])

        _, (terms, last, accepted) = self.minimize(loss_fn, self.players)
        for table, state in zip(self.cache, last):
            backend.scatter_rows(table, index, state)
        backend.scatter_rows(self.visits, index, visits + 1)
        stay = refused_in_a_row(accepted, ops.where(from_cache, stay, 0))
        backend.scatter_rows(self.stay, index, stay)
        terms["generative_loss"] = self.mark_fault(is_faulty, terms["generative_loss"])
        return self.log(terms)

    def run_chains(self, x, cached, from_cache, seed, training=None):
        """K moves of a chain for each x, all proposals made and decoded in one batch.

        Args:
            x: (batch, *event).
            cached: list of first states, (batch, *latent) float32, in the order in which the
                inference side draws.
            from_cache: boolean (batch,): whether the chain starts from `cached`, or from a fresh
                draw of q.
            seed: a seed.

        Returns:
            Dictionary. With n = 1 + K * num_tries states, the first one leading:
            `log_joint` and `log_inference` (n, batch), which carry gradients to theta and phi;
            `log_weights` (n, batch), their difference; `times_visited` (n, batch), how many of
            the K moves ended there; `accepted` (K, batch); `last`, as `cached`.
        """
        draw_seed, walk_seed = backend.split_seed(seed, 2)
        num_proposals = self.num_samples * self.num_tries
        states, log_q = self._states(x, cached, from_cache, num_proposals, draw_seed, training)
        h = self.to_prior(tuple(states)) if self.generative.is_deep else states[0]
        log_p = self.generative.log_prob(x, h, training=training)
        log_weights = ops.stop_gradient(log_p - log_q)
        proposed = log_weights[1:]
        if self.num_tries > 1:
            shape = (self.num_samples, self.num_tries, ops.shape(proposed)[1])
            proposed = ops.reshape(proposed, shape)
        visited, accepted = independence_walk(log_weights[0], proposed, walk_seed)
        return {
            "log_joint": log_p,
            "log_inference": log_q,
            "log_weights": log_weights,
            "times_visited": times_visited(visited, 1 + num_proposals),
            "accepted": accepted,
            "last": [take_states(part, visited[-1:])[0] for part in states],
        }

    def _states(self, x, cached, from_cache, num_proposals, seed, training):
        """First states and proposals, constants, and log q of all; each layer's network once."""
        context, sample_shape, log_q, states = x, (1 + num_proposals,), 0.0, []
        parts = self._parts()
        for part, start, part_seed in zip(parts, cached, backend.split_seed(seed, len(parts))):
            parameters = part(context, training=training)
            drawn = ops.stop_gradient(part.sample_from(parameters, sample_shape, part_seed))
            keep = ops.reshape(from_cache, (-1, *([1] * len(part.event_shape))))
            first = ops.where(keep, start, drawn[0])
            value = ops.concatenate([first[None], drawn[1:]])
            log_q = log_q + part.log_prob_from(parameters, value)
            states.append(value)
            context, sample_shape = value, ()
        return states, log_q

    def _sleep_loss(self, num_dreams, seed):
        x, h = self.generative.sample(num_dreams, seed, training=True)
        return -ops.mean(self.log_inference(self.stop(h), ops.stop_gradient(x), training=True))

    def log(self, terms):
        """See `Algorithm.log`; the longest stay is the tables', not a mean."""
        logs = super().log(terms)
        if self._step.record is not None or self._step.evaluating:
            return logs
        return {**logs, "longest_stay": ops.max(ops.convert_to_tensor(self.stay))}

    def get_metrics_result(self):
        result = super().get_metrics_result()
        if self._in_evaluate:
            return result
        return {**result, "longest_stay": ops.max(ops.convert_to_tensor(self.stay))}

    def get_config(self):
        return {
            **super().get_config(),
            "num_data": self.num_data,
            "num_tries": self.num_tries,
            "cache_from_epoch": self.cache_from_epoch,
            "sleep_weight": self.sleep_weight,
        }


def refused_in_a_row(accepted, before):
    """Moves refused since the last acceptance.

    Args:
        accepted: boolean (num_moves, batch).
        before: int32 (batch,), those refused before the first move.
    """
    num_moves = accepted.shape[0]
    numbers = 1 + ops.arange(num_moves, dtype="int32")[:, None]
    last = ops.max(ops.where(accepted, numbers, 0), axis=0)
    return ops.where(last > 0, num_moves - last, before + num_moves)
