"""Variational parameters of single data points, and their ascent of the ELBO."""

from keras import ops, tree

from keras_dgm import backend

FIRST_DECAY, SECOND_DECAY, EPSILON = 0.9, 0.999, 1e-8


def draw_from(generative, families, parameters, num_samples, seed, stop_gradient=False):
    """Draws of h from factorised layers with given parameters.

    Args:
        generative: a `LatentVariableModel`.
        families: distribution layers, from x up.
        parameters: list with a dictionary of raw parameters (batch, ...) for each.
        num_samples: draws a row.
        seed: a seed.
        stop_gradient: whether draws are constants.

    Returns:
        `(h, log_q)`: h (num_samples, batch, *latent) in the prior's order, log_q their
        log-density (num_samples, batch).
    """
    values, log_q = [], 0.0
    seeds = backend.split_seed(seed, len(families))
    for family, own, family_seed in zip(families, parameters, seeds):
        value, log_prob = family.sample_and_log_prob_from(
            own, (num_samples,), family_seed, stop_gradient
        )
        values.append(value)
        log_q = log_q + log_prob
    return tuple(reversed(values)) if generative.is_deep else values[0], log_q


def elbo_gradient(generative, families, parameters, x, num_samples, seed, training=None):
    """Each row's ELBO (batch,) and its gradient in the row's parameters, both estimates.

    Reparameterised where all families are; else by scores, the other draws of the row as
    baseline (2 draws at least). Unbiased both.
    """
    through = all(family.is_reparameterized for family in families)

    def elbo(parameters):
        h, log_q = draw_from(generative, families, parameters, num_samples, seed, not through)
        log_weights = generative.log_prob(x, h, training=training) - log_q
        if through:
            return ops.mean(log_weights, axis=0)
        log_weights = ops.stop_gradient(log_weights)
        others = (ops.sum(log_weights, axis=0) - log_weights) / (num_samples - 1.0)
        score = ops.mean((log_weights - others) * log_q, axis=0)
        return ops.mean(log_weights, axis=0) + score - ops.stop_gradient(score)

    return backend.value_and_input_grad(elbo, parameters)


def adam_step(parameters, moments, gradients, counts, rate):
    """One step up the gradients, each row with a count of its own.

    Args:
        parameters, gradients: structures of (batch, ...).
        moments: `(first, second)`, structures like `parameters`.
        counts: (batch,), steps that each row took before.
        rate: learning rate.

    Returns:
        `(parameters, moments)`.
    """
    first = tree.map_structure(
        lambda m, g: FIRST_DECAY * m + (1.0 - FIRST_DECAY) * g, moments[0], gradients
    )
    second = tree.map_structure(
        lambda v, g: SECOND_DECAY * v + (1.0 - SECOND_DECAY) * g * g, moments[1], gradients
    )
    number = ops.cast(counts, "float32") + 1.0
    scale = rate * ops.sqrt(1.0 - SECOND_DECAY**number) / (1.0 - FIRST_DECAY**number)

    def moved(value, m, v):
        per_row = ops.reshape(scale, (-1, *([1] * (len(value.shape) - 1))))
        return value + per_row * m / (ops.sqrt(v) + EPSILON)

    return tree.map_structure(moved, parameters, first, second), (first, second)


def standard_parameters(families, rows):
    """The families' standard members, one for each row: a list of dictionaries."""
    return [
        {
            name: ops.full((rows, *family.parameter_shapes()[name]), start, dtype="float32")
            for name, start in family.standard_parameters().items()
        }
        for family in families
    ]


def optimized(generative, families, x, num_steps, rate, num_samples, seed):
    """Parameters that ascend each row's ELBO by Adam from the standard ones, the rate to zero."""
    parameters = standard_parameters(families, ops.shape(x)[0])
    zeros = tree.map_structure(ops.zeros_like, parameters)

    def step(i, carry):
        parameters, moments = carry
        _, gradients = elbo_gradient(
            generative, families, parameters, x, num_samples, backend.fold_in(seed, i), False
        )
        counts = ops.broadcast_to(i, (ops.shape(x)[0],))
        left = 1.0 - ops.cast(i, "float32") / num_steps
        return adam_step(parameters, moments, gradients, counts, rate * left)

    parameters, _ = backend.fori_loop(num_steps, step, (parameters, (zeros, zeros)))
    return parameters
