"""The term that contrastive divergence leaves out, for restricted Boltzmann machines."""

import numpy as np
from keras import ops

from keras_dgm import backend

MAX_UNITS = 12
DENSITIES = ("enumeration", "conditional")


def gibbs_trajectory(rbm, x, num_steps, seed):
    """`(h_1 .. h_k, v_1 .. v_k)` of block Gibbs sampling from x, each (k, batch, units)."""
    machine = rbm.tempered(1.0)

    def body(i, v):
        first, second = backend.split_seed(backend.fold_in(seed, i), 2)
        [h] = machine.sample_odd([v], first)
        [v] = machine.sample_even([h], second)
        return v, (h, v)

    _, (hidden, visible) = backend.scan(body, rbm.flat(x), num_steps)
    return ops.stop_gradient(hidden), ops.stop_gradient(visible)


def transition_log_prob(rbm, x, hidden, visible):
    """sum_t log T(h_t, v_t | v_{t-1}) = sum_t log p(h_t | v_{t-1}) + log p(v_t | h_t), (batch,)."""
    machine = rbm.tempered(1.0)
    before = ops.concatenate([rbm.flat(x)[None], visible[:-1]], axis=0)
    [logits] = machine.odd_logits([before])
    [means] = machine.even_means([hidden])
    first = ops.sum(hidden * logits - ops.softplus(logits), axis=-1)
    return ops.sum(first + visible_log_prob(rbm, visible, means), axis=0)


def visible_log_prob(rbm, v, means):
    """log p(v | h) given the logits (Gaussian: means), constants left out, (...,)."""
    if rbm.is_gaussian:
        return -ops.sum(ops.square(v - means), axis=-1) / (2.0 * rbm.scale**2)
    return ops.sum(v * means - ops.softplus(means), axis=-1)


def check_chain_density(rbm, density):
    """Raises a ValueError where log p_k cannot be had this way."""
    if density == "enumeration":
        if rbm.is_gaussian or max(rbm.sizes) > MAX_UNITS:
            what = "Gaussian visibles" if rbm.is_gaussian else f"{rbm.sizes} units"
            raise ValueError(
                f"The law of the chain's end, which the full gradient needs, is enumerated for "
                f"binary machines of at most {MAX_UNITS} visible and {MAX_UNITS} hidden units; "
                f"this one has {what}. Name a density estimate: chain_density='conditional' (a "
                "mixture of p(v|h) over the batch's chains) or a distribution layer over v."
            )
    elif density != "conditional" and not hasattr(density, "log_prob"):
        raise ValueError(
            f"`chain_density` is one of {DENSITIES} or a distribution layer with log_prob; "
            f"received {density!r}."
        )


def chain_log_density(rbm, density, x, hidden, visible):
    """log p_k at the chains' ends, (batch,), a constant to gradients.

    - `"enumeration"`: exact, p_0 the law of the batch's rows;
    - `"conditional"`: log of the mean of p(v | h') over the last hidden states h' of the batch's
      other chains, whose mean p_k(v) is (its log is biased by O(1 / batch));
    - a distribution layer: its log_prob.
    """
    end = visible[-1]
    if density == "enumeration":
        values = _enumerated(rbm, rbm.flat(x), hidden.shape[0], end)
    elif density == "conditional":
        values = _conditional(rbm, hidden[-1], end)
    else:
        values = density.log_prob(rbm.unflat(end))
    return ops.stop_gradient(values)


def _conditional(rbm, hidden, end):
    [means] = rbm.tempered(1.0).even_means([hidden])
    batch = ops.shape(end)[0]
    if rbm.is_gaussian:
        # Log-densities of every end under every chain's conditional, up to a constant.
        cross = ops.matmul(end, ops.transpose(means))
        squares = ops.sum(ops.square(end), -1)[:, None] + ops.sum(ops.square(means), -1)[None]
        table = (cross - 0.5 * squares) / rbm.scale**2
    else:
        table = ops.matmul(end, ops.transpose(means)) - ops.sum(ops.softplus(means), -1)[None]
    table = ops.where(ops.eye(batch, dtype="bool"), -np.inf, table)
    return ops.logsumexp(table, axis=1) - ops.log(ops.cast(batch - 1, "float32"))


def _enumerated(rbm, x, num_steps, end):
    """Exact log p_k: the batch's law, moved k times by the transition table."""
    visible_states, hidden_states = _states(rbm.sizes[0]), _states(rbm.sizes[1])
    machine = rbm.tempered(1.0)
    [logits] = machine.odd_logits([visible_states])
    up = ops.matmul(logits, hidden_states.T) - ops.sum(ops.softplus(logits), -1)[:, None]
    [means] = machine.even_means([hidden_states])
    down = ops.matmul(means, visible_states.T) - ops.sum(ops.softplus(means), -1)[:, None]
    up, down = ops.exp(up), ops.exp(down)
    law = ops.mean(ops.one_hot(_index(x), len(visible_states), dtype="float32"), axis=0)[None]
    for _ in range(num_steps):
        law = ops.matmul(ops.matmul(law, up), down)
    return ops.take(ops.log(law[0]), _index(end))


def _states(bits):
    numbers = np.arange(2**bits)[:, None]
    return ((numbers >> np.arange(bits - 1, -1, -1)) & 1).astype("float32")


def _index(v):
    powers = (2.0 ** np.arange(v.shape[-1] - 1, -1, -1)).astype("float32")
    return ops.cast(ops.round(ops.sum(v * powers, axis=-1)), "int32")
