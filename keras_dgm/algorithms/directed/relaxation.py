"""Discrete layers and their Concrete relaxations (Maddison et al. 2016, Jang et al. 2016)."""

import math

from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms.directed.layers import inference_parts
from keras_dgm.distributions import Bernoulli, Chain, OneHotCategorical

_SMALLEST = 1e-7


def check_discrete(algorithm):
    """Raises a ValueError unless latent layers are Bernoulli or one-hot, alike on both sides."""
    prior = algorithm.generative.prior
    downward = (prior.parts if isinstance(prior, Chain) else [prior])[::-1]
    for part, above in zip(inference_parts(algorithm.inference), downward):
        for layer in (part, above):
            if not isinstance(layer, (Bernoulli, OneHotCategorical)):
                hint = ""
                if layer.is_relaxed:
                    hint = (
                        " Give the discrete family itself: GumbelSoftmax relaxes it in training, "
                        "and bounds are computed on hard draws; on relaxed ones they are no bound."
                    )
                elif layer.is_reparameterized:
                    hint = " VAE and IWAE are the rules for reparameterised latents."
                raise ValueError(
                    f"{type(algorithm).__name__} takes latent layers that are Bernoulli or "
                    f"OneHotCategorical; received {type(layer).__name__}.{hint}"
                )
        if type(part) is not type(above):
            raise ValueError(
                f"A latent layer is {type(part).__name__} on the inference side and "
                f"{type(above).__name__} on the generative side; make them the same."
            )


def mean_from(part, parameters):
    """E[h] under raw parameters, (..., *event)."""
    logits = parameters["logits"]
    return ops.sigmoid(logits) if isinstance(part, Bernoulli) else ops.softmax(logits, axis=-1)


def relaxed_point(part, parameters, sample_shape, temperature, seed):
    """A reparameterised draw of the Concrete family, on the logarithmic scale.

    For a Bernoulli the logit y = (a + L) / temperature, L standard logistic; for one-hot values
    y = log softmax((a + g) / temperature), g standard Gumbel. The relaxed value is sigmoid(y) or
    exp(y); densities are of y, where they do not overflow, and the change of variables cancels
    between the two sides.
    """
    logits = parameters["logits"]
    shape = (*sample_shape, *ops.shape(logits))
    if isinstance(part, Bernoulli):
        uniform = ops.maximum(backend.uniform(shape, seed), _SMALLEST)
        return (logits + ops.log(uniform) - ops.log1p(-uniform)) / temperature
    return ops.log_softmax((logits + backend.gumbel(shape, seed)) / temperature, axis=-1)


def relaxed_value(part, point):
    """The relaxed value in (0, 1) at a point."""
    return ops.sigmoid(point) if isinstance(part, Bernoulli) else ops.exp(point)


def hard_value(part, point):
    """The discrete value to which the relaxed one tends as the temperature falls."""
    if isinstance(part, Bernoulli):
        return ops.cast(point > 0.0, "float32")
    return ops.one_hot(ops.argmax(point, axis=-1), part.event_shape[-1], dtype="float32")


def relaxed_log_prob(part, parameters, point, temperature):
    """Log-density of a point under the Concrete family, nats, shape (...,)."""
    rest = parameters["logits"] - temperature * point
    if isinstance(part, Bernoulli):
        terms = ops.log(temperature) + rest - 2.0 * ops.softplus(rest)
    else:
        classes = part.event_shape[-1]
        constant = math.lgamma(classes) + (classes - 1) * ops.log(temperature)
        terms = constant + ops.sum(rest, axis=-1) - classes * ops.logsumexp(rest, axis=-1)
    rank = len(part.event_shape) - (0 if isinstance(part, Bernoulli) else 1)
    return ops.sum(terms, axis=tuple(range(-rank, 0))) if rank else terms
