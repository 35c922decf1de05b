"""Running means of a step's terms, in one variable."""

import keras
from keras import ops


class TermMeans(keras.metrics.Metric):
    """Means over an epoch of several named scalars, weighted by the rows of each batch.

    All totals live in one vector, since a metric object a term costs more graph operations than
    a small network's backward pass. The step at which each term first was not finite is kept
    too, so that an error can name term and step.

    Args:
        terms: names, in the order in which they are reported.
    """

    def __init__(self, terms, name="terms", **kwargs):
        super().__init__(name=name, **kwargs)
        self.terms = tuple(terms)
        size = len(self.terms)
        self.totals = self.add_variable((size + 1,), "zeros", dtype="float32", name="totals")
        self.bad_steps = self.add_variable(
            (size,), "zeros", dtype="float32", aggregation="mean", name="bad_steps"
        )
        self.steps = self.add_variable(
            (), "zeros", dtype="float32", aggregation="mean", name="steps"
        )

    def update_state(self, values, weight):
        """Adds a batch.

        Args:
            values: dictionary with a scalar for every term.
            weight: rows of the batch.
        """
        if set(values) != set(self.terms):
            raise ValueError(
                f"The step returned the terms {sorted(values)}; this algorithm declares "
                f"{sorted(self.terms)} in its `terms`."
            )
        stacked = ops.stack([ops.cast(values[term], "float32") for term in self.terms])
        weight = ops.cast(weight, "float32")
        ones = ops.ones((1,), "float32")
        steps = self.steps + 1.0
        bad = ops.logical_and(self.bad_steps.value == 0.0, ops.logical_not(ops.isfinite(stacked)))
        self.totals.assign(self.totals + weight * ops.concatenate([stacked, ones]))
        self.bad_steps.assign(ops.where(bad, steps, self.bad_steps.value))
        self.steps.assign(steps)

    def result(self):
        """Dictionary of means so far."""
        totals = ops.convert_to_tensor(self.totals)
        weight = totals[-1]
        means = totals[:-1] / ops.maximum(weight, 1e-30)
        return dict(zip(self.terms, ops.unstack(means, num=len(self.terms))))

    def reset_state(self):
        for variable in self.variables:
            variable.assign(ops.zeros(variable.shape, variable.dtype))

    def first_bad_term(self):
        """`(term, step)` of the first term that was not finite since the reset, or None."""
        bad = ops.convert_to_numpy(ops.convert_to_tensor(self.bad_steps))
        found = [(step, term) for term, step in zip(self.terms, bad) if step > 0]
        if not found:
            return None
        step, term = min(found)
        return term, int(step)
