"""How far a bound is from log p(x), and whose fault it is."""

import dataclasses

import numpy as np
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms.directed.layers import inference_parts, prior_log_probs

FIRST_DECAY, SECOND_DECAY, EPSILON = 0.9, 0.99, 1e-8


@dataclasses.dataclass(frozen=True)
class InferenceGap:
    """The gap log p(x) - L(theta, phi) and its two parts, nats a data point.

    Attributes:
        log_likelihood: (n,), log p(x).
        elbo: (n,), L(theta, phi), of the amortised q.
        best_elbo: (n,), L(theta, phi*_x), of the q optimised for each x.
        history: (steps,), mean estimate of the latter along the optimisation: it should be flat at
            its end.
    """

    log_likelihood: np.ndarray
    elbo: np.ndarray
    best_elbo: np.ndarray
    history: np.ndarray = dataclasses.field(repr=False)

    @property
    def approximation(self):
        """(n,), log p(x) - L(theta, phi*_x): what the family of q cannot reach."""
        return self.log_likelihood - self.best_elbo

    @property
    def amortization(self):
        """(n,), L(theta, phi*_x) - L(theta, phi): what one network for all x loses."""
        return self.best_elbo - self.elbo

    @property
    def total(self):
        """(n,), log p(x) - L(theta, phi)."""
        return self.log_likelihood - self.elbo

    def __str__(self):
        def line(name, values):
            error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
            return f"{name:<20}{values.mean():>10.3f} +- {error:.3f}"

        return "\n".join(
            [
                line("log p(x)", self.log_likelihood),
                line("ELBO", self.elbo),
                line("inference gap", self.total),
                line("  approximation", self.approximation),
                line("  amortization", self.amortization),
            ]
        )


def inference_gap(
    model,
    x,
    log_likelihood=None,
    num_steps=1000,
    learning_rate=0.05,
    optimization_samples=32,
    num_samples=5000,
    seed=0,
    rows=100,
    chunk=50,
):
    """Approximation and amortisation gap of an inference network (Ou 2019, 3.2.1 item 5).

    Cremer et al. 2018: with phi*_x the variational parameters that are best for one x,
        log p(x) - L(theta, phi)  =  log p(x) - L(theta, phi*_x)             (approximation gap)
                                     + L(theta, phi*_x) - L(theta, phi)      (amortisation gap).
    phi*_x starts at the network's output for x and ascends the ELBO by Adam, its rate falling to
    zero, with reparameterised gradients, or score functions with a leave-one-out baseline where
    draws carry none; the last quarter of the iterates is averaged. It is an offset to the raw
    parameters that the network gives, in every layer. With one layer that reaches every member of
    the family. In a `Chain` the layers above the first keep their networks, so that the best q is
    one of a smaller family: the approximation gap is then an upper figure, the amortisation gap a
    lower one.

    Args:
        model: a `LatentVariableAlgorithm`.
        x: array (n, *event).
        log_likelihood: array (n,) of log p(x) in nats, from annealed importance sampling say; None
            for `model.log_likelihood(x, num_samples)`, a lower bound that must be tight: the
            approximation gap is too small by what it misses.
        num_steps: of Adam for each x.
        learning_rate: of Adam, at the start.
        optimization_samples: draws a step, 2 at least.
        num_samples: draws with which log p(x) and both ELBOs are estimated.
        seed: integer; the same seed gives the same figures.
        rows, chunk: rows of x, and draws for each row, that are decoded at once.

    Returns:
        An `InferenceGap`; print it.

    Raises:
        ValueError: `log_likelihood` of another shape; fewer than two draws a step.
    """
    if optimization_samples < 2:
        raise ValueError(
            f"`optimization_samples` is 2 at least, received {optimization_samples}: draws are "
            "each other's baseline."
        )
    x = np.asarray(x, "float32")
    model.check_data(x)
    rows, chunk = min(rows, len(x)), min(chunk, num_samples)
    if log_likelihood is None:
        log_likelihood = model.log_likelihood(x, num_samples, seed=seed, rows=rows, chunk=chunk)
    log_likelihood = np.asarray(log_likelihood, "float64")
    if log_likelihood.shape != (len(x),):
        raise ValueError(
            f"`log_likelihood` has one value for each of the {len(x)} rows of x; received shape "
            f"{log_likelihood.shape}."
        )

    def optimize(batch, seed):
        return _optimize(model, batch, seed, num_steps, learning_rate, optimization_samples)

    def total(batch, offsets, seed, count):
        log_weights, _ = _log_weights(model, batch, offsets, chunk, seed, stop_gradient=True)
        keep = ops.arange(chunk)[:, None] < count
        return ops.sum(ops.where(keep, log_weights, 0.0), axis=0)

    static = (num_steps, learning_rate, optimization_samples, rows, chunk)
    optimize = model.compiled_function(("inference_gap", *static), optimize)
    total = model.compiled_function(("inference_gap_elbo", rows, chunk), total)

    def mean_elbo(batch, offsets, seed):
        sums = 0.0
        for done in range(0, num_samples, chunk):
            count = np.int32(min(chunk, num_samples - done))
            part = total(batch, offsets, backend.fold_in(seed, done), count)
            sums = sums + np.float64(ops.convert_to_numpy(part))
        return sums / num_samples

    key, elbos, best, histories, weights = backend.as_seed(seed), [], [], [], []
    for number, start in enumerate(range(0, len(x), rows)):
        batch = x[start : start + rows]
        kept = len(batch)
        batch = np.concatenate([batch, np.repeat(batch[:1], rows - kept, axis=0)])
        first, second = backend.split_seed(backend.fold_in(key, number), 2)
        offsets, history = optimize(batch, first)
        # Common random numbers: much of the noise leaves the difference of the two.
        elbos.append(mean_elbo(batch, _zero_offsets(model, rows), second)[:kept])
        best.append(mean_elbo(batch, offsets, second)[:kept])
        histories.append(ops.convert_to_numpy(history)[:, :kept].mean(axis=1))
        weights.append(kept)
    return InferenceGap(
        log_likelihood,
        np.concatenate(elbos),
        np.concatenate(best),
        np.average(histories, axis=0, weights=weights),
    )


def _zero_offsets(model, rows):
    """No change to any raw parameter of any layer: a list of dictionaries."""
    return [
        {name: ops.zeros((rows, *shape)) for name, shape in part.parameter_shapes().items()}
        for part in inference_parts(model.inference)
    ]


def _log_weights(model, x, offsets, num_samples, seed, stop_gradient):
    """log p(x, h) - log q(h) and log q(h), (num_samples, batch), with the moved parameters."""
    parts = inference_parts(model.inference)
    context, sample_shape, values, log_q = x, (num_samples,), [], 0.0
    for part, moved, part_seed in zip(parts, offsets, backend.split_seed(seed, len(parts))):
        parameters = part(context, training=False)
        parameters = {name: value + moved[name] for name, value in parameters.items()}
        value, log_prob = part.sample_and_log_prob_from(
            parameters, sample_shape, part_seed, stop_gradient=stop_gradient
        )
        values.append(value)
        log_q = log_q + log_prob
        context, sample_shape = value, ()
    log_p = model.generative.log_likelihood(x, values[0], training=False)
    log_p = log_p + sum(prior_log_probs(model.generative, values, training=False))
    return log_p - log_q, log_q


def _optimize(model, x, seed, num_steps, learning_rate, num_samples):
    """`(offsets, history)`: ascends each row's ELBO; history (num_steps, batch).

    The offsets are the mean of the last quarter of the iterates.
    """
    reparameterized = model.inference.is_reparameterized

    def elbo(offsets, seed):
        """A value that is the ELBO's estimate and whose gradient is an estimate of its own."""
        log_weights, log_q = _log_weights(
            model, x, offsets, num_samples, seed, stop_gradient=not reparameterized
        )
        if reparameterized:
            return ops.mean(log_weights, axis=0)
        log_weights = ops.stop_gradient(log_weights)
        others = (ops.sum(log_weights, axis=0) - log_weights) / (num_samples - 1)
        score = ops.mean((log_weights - others) * log_q, axis=0)
        return ops.mean(log_weights, axis=0) + score - ops.stop_gradient(score)

    def step(i, state):
        offsets, first, second, average = state
        values, gradients = backend.value_and_input_grad(
            lambda o: elbo(o, backend.fold_in(seed, i)), offsets
        )
        number = ops.cast(i, "float32")
        rate = learning_rate * (1.0 - number / num_steps)
        rate = rate * ops.sqrt(1.0 - SECOND_DECAY ** (number + 1.0))
        rate = rate / (1.0 - FIRST_DECAY ** (number + 1.0))
        first = _each(lambda m, g: FIRST_DECAY * m + (1.0 - FIRST_DECAY) * g, first, gradients)
        second = _each(
            lambda v, g: SECOND_DECAY * v + (1.0 - SECOND_DECAY) * g * g, second, gradients
        )
        moves = _each(lambda m, v: rate * m / (ops.sqrt(v) + EPSILON), first, second)
        offsets = _each(lambda o, move: o + move, offsets, moves)
        share = ops.cast(number >= num_steps - averaged, "float32") / averaged
        average = _each(lambda a, o: a + share * o, average, offsets)
        return (offsets, first, second, average), values

    averaged = max(1, num_steps // 4)
    zeros = _zero_offsets(model, ops.shape(x)[0])
    state, history = backend.scan(step, (zeros,) * 4, num_steps)
    return state[3], history


def _each(function, *trees):
    """`function` of corresponding entries of lists of dictionaries."""
    return [
        {name: function(*(tree[name] for tree in layer)) for name in layer[0]}
        for layer in zip(*trees)
    ]
