"""The stochastic layers of both sides one by one."""

import dataclasses
from typing import Any

from keras_dgm import backend
from keras_dgm.distributions import Chain


@dataclasses.dataclass(frozen=True)
class Layer:
    """What one layer of q(h_1 | x) q(h_2 | h_1) ... drew.

    Attributes:
        part: the distribution layer.
        context: what it was given: x, or the value of the layer below.
        parameters: its raw parameters, with gradient.
        value: (num_samples, batch, *event), a constant.
        log_prob: log q of the value, (num_samples, batch), its gradient the score.
    """

    part: Any
    context: Any
    parameters: dict
    value: Any
    log_prob: Any


def inference_parts(inference):
    """The inference side's distribution layers, from x up."""
    return inference.parts if isinstance(inference, Chain) else [inference]


def draw_layers(inference, x, num_samples, seed, training=None):
    """The inference side's layers with constant draws, from x up; every network runs once."""
    parts = inference_parts(inference)
    layers, context, sample_shape = [], x, (num_samples,)
    for part, part_seed in zip(parts, backend.split_seed(backend.as_seed(seed), len(parts))):
        parameters = part(context, training=training)
        value, log_prob = part.sample_and_log_prob_from(
            parameters, sample_shape, part_seed, stop_gradient=True
        )
        layers.append(Layer(part, context, parameters, value, log_prob))
        context, sample_shape = value, ()
    return layers


def prior_log_probs(generative, values, training=None):
    """[log p(h_1 | h_2), ..., log p(h_L)] for the values (h_1, ..., h_L), from x up."""
    if not generative.is_deep:
        return [generative.prior.log_prob(values[0], training=training)]
    return generative.prior.log_probs(tuple(reversed(values)), training=training)[::-1]
