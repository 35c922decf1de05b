"""Variational learning without an inference network."""

import keras
import numpy as np
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms.directed import local_steps
from keras_dgm.algorithms.directed.base import LatentVariableAlgorithm
from keras_dgm.algorithms.directed.layers import inference_parts
from keras_dgm.algorithms.directed.per_datapoint import PerDatapoint


@keras.saving.register_keras_serializable(package="keras_dgm")
class MeanFieldVI(PerDatapoint, LatentVariableAlgorithm):
    """Mean-field variational learning: parameters of q for every training point in a table.

    Objective (Assignment 2018, section 1b; Ou 2019, Eq. 7, before it is amortised): the sum over
    the training points of
        L(x_n, lambda_n) = E_q(h; lambda_n) [log p(x_n, h) - log q(h; lambda_n)],
    q factorised over the units, and over the layers of a deep model, maximised in every lambda_n
    and in theta by turns.

    Estimator: `local_steps` steps of Adam on the lambdas of the batch's rows (each row with moments
    and a count of its own), then one of theta's optimiser, K = `num_samples` draws each.
    Reparameterised, or for discrete families by scores with the row's other draws as baseline.
    Each gradient is unbiased. On its training set no inference network reaches a higher bound; the
    price is memory and time that grow with the data.

    For other data (`evaluate`, `infer`, `log_likelihood`) there is no network to ask: lambda is
    optimised for each row from the standard parameters on, `evaluation_steps` steps.

    Cost per step: `local_steps` + 1 passes and gradients of the generative side on K times the
    batch. No inference network.

    Args:
        generative: a `LatentVariableModel`.
        inference: the families of q, from x up: a distribution layer without network, or a `Chain`
            of such for a deep model.
        num_data: number of training points; `fit` takes as many rows.
        num_samples: K; 2 at least for discrete families.
        local_steps: steps of a row's lambda in a visit.
        local_learning_rate: of these steps.
        evaluation_steps: steps for data without an entry in the table.
        others: see `LatentVariableAlgorithm`.

    Raises:
        ValueError: families with networks or weights; what `PerDatapoint` raises.
    """

    players = ("generative",)
    terms = ("loss", "elbo", "reconstruction", "kl")

    def __init__(
        self,
        generative,
        inference,
        num_data,
        local_steps=1,
        local_learning_rate=0.05,
        evaluation_steps=100,
        **kwargs,
    ):
        for part in inference_parts(inference):
            if getattr(part, "network", None) is not None:
                raise ValueError(
                    f"MeanFieldVI keeps q's parameters in a table, and {type(part).__name__} "
                    f"{part.name!r} owns a network; leave `network` out, or use VAE."
                )
            part.build()
        inference.built = True
        super().__init__(generative, inference, **kwargs)
        if inference.trainable_variables:
            raise ValueError(
                "MeanFieldVI's families have no weights: leave out `learned=True` and "
                "scale='shared'; every training point has parameters of its own."
            )
        for name, value in (("local_steps", local_steps), ("evaluation_steps", evaluation_steps)):
            if int(value) < 1 or int(value) != value:
                raise ValueError(f"`{name}` is an integer, 1 at least; received {value!r}.")
        if not float(local_learning_rate) > 0.0:
            raise ValueError(
                f"`local_learning_rate` is positive; received {local_learning_rate!r}."
            )
        if not inference.is_reparameterized and self.num_samples < 2:
            raise ValueError(
                "Draws of a discrete q carry no gradient, and its scores need a baseline: give "
                f"num_samples=2 at least; received {self.num_samples}."
            )
        self.keep_tables_for(num_data)
        self.local_steps = int(local_steps)
        self.local_learning_rate = float(local_learning_rate)
        self.evaluation_steps = int(evaluation_steps)
        self.tables = [self._table("local"), self._table("first"), self._table("second")]
        self.counts = self.add_learning_state(
            "local_counts", (self.num_data,), "int32", by_rows=True
        )
        self.finish()

    def finish(self):
        """See `Algorithm`. There is no amortised mean whose active units could be counted."""
        super(LatentVariableAlgorithm, self).finish()

    def _table(self, kind):
        """A row of parameters, or of a moment, for each training point."""
        return [
            {
                name: self.add_learning_state(
                    f"{kind}_{number}_{name}",
                    (self.num_data, *part.parameter_shapes()[name]),
                    initializer=keras.initializers.Constant(start if kind == "local" else 0.0),
                    by_rows=True,
                )
                for name, start in part.standard_parameters().items()
            }
            for number, part in enumerate(self.families)
        ]

    def _rows(self, kind, index):
        """Rows of one kind of table: a list with a dictionary for each layer."""
        return [
            {name: ops.take(table, index, axis=0) for name, table in tables.items()}
            for tables in kind
        ]

    @property
    def families(self):
        """The distribution layers of q, from x up."""
        return inference_parts(self.inference)

    def train_step(self, data):
        """The batch's lambdas, then theta."""
        data = self.unpack(data)
        x = data["x"]
        index, is_faulty = self.row_numbers(data)
        local_seed, seed = backend.split_seed(self.next_seed(), 2)
        parameters, first, second = (self._rows(kind, index) for kind in self.tables)
        counts = ops.take(self.counts, index, axis=0)

        def step(i, carry):
            parameters, moments = carry
            _, gradients = local_steps.elbo_gradient(
                self.generative,
                self.families,
                parameters,
                x,
                self.num_samples,
                backend.fold_in(local_seed, i),
                training=True,
            )
            return local_steps.adam_step(
                parameters, moments, gradients, counts + i, self.local_learning_rate
            )

        carry = (parameters, (first, second))
        parameters, moments = backend.fori_loop(self.local_steps, step, carry)
        for kind, rows in zip(self.tables, (parameters, *moments)):
            for tables, layer in zip(kind, rows):
                for name, table in tables.items():
                    backend.scatter_rows(table, index, layer[name])
        backend.scatter_rows(self.counts, index, counts + self.local_steps)

        def loss_fn():
            h, log_q = local_steps.draw_from(
                self.generative, self.families, parameters, self.num_samples, seed, True
            )
            log_likelihood = self.generative.log_likelihood(x, h, training=True)
            kl = ops.mean(log_q - self.generative.log_prior(h, training=True))
            reconstruction = -ops.mean(log_likelihood)
            loss = reconstruction + kl
            return loss, {
                "loss": loss,
                "elbo": -loss,
                "reconstruction": reconstruction,
                "kl": kl,
            }

        _, terms = self.minimize(loss_fn, "generative")
        terms["loss"] = self.mark_fault(is_faulty, terms["loss"])
        return self.log(terms)

    def draw(self, x, num_samples, seed, training=None, stop_gradient=False):
        """`(h, log q)` from parameters optimised for each row, not from the table."""
        first, second = backend.split_seed(seed, 2)
        parameters = local_steps.optimized(
            self.generative,
            self.families,
            x,
            self.evaluation_steps,
            self.local_learning_rate,
            max(self.num_samples, 1 if self.inference.is_reparameterized else 2),
            first,
        )
        return local_steps.draw_from(
            self.generative, self.families, parameters, num_samples, second, stop_gradient
        )

    def log_inference(self, h, x, training=None):
        """Raises: q has no parameters for an x that is not in the table."""
        raise ValueError("MeanFieldVI has no q(h|x) for any x; `draw` optimises one and draws.")

    def call(self, x, training=None):
        """Raises: there is no network to evaluate."""
        raise ValueError("MeanFieldVI has no inference network; use `local_parameters` or `infer`.")

    def local_parameters(self, index=None):
        """The table: a list with a dictionary of NumPy arrays for each layer, from x up.

        Args:
            index: row numbers of training points, or None for all.
        """
        rows = slice(None) if index is None else np.asarray(index)
        return [
            {name: np.array(ops.convert_to_numpy(t.value))[rows] for name, t in tables.items()}
            for tables in self.tables[0]
        ]

    def get_config(self):
        return {
            **super().get_config(),
            "num_data": self.num_data,
            "local_steps": self.local_steps,
            "local_learning_rate": self.local_learning_rate,
            "evaluation_steps": self.evaluation_steps,
        }
