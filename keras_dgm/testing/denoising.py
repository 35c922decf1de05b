"""Denoising auto-encoders and walkback on a finite space, as tables."""

import numpy as np

from keras_dgm.testing.numeric import binary_states


def flip_corruption(num_bits, flip):
    """C(x~ | x): every bit flipped independently, (2**num_bits, 2**num_bits), rows are x."""
    states = binary_states(num_bits)
    distance = np.sum(np.abs(states[:, None] - states[None]), axis=-1)
    return flip**distance * (1.0 - flip) ** (num_bits - distance)


def bayes_reconstruction(data, corruption):
    """p(x | x~) for x ~ data, x~ ~ corruption(. | x): (N, N), rows are x~."""
    joint = (np.asarray(data)[:, None] * corruption).T
    return joint / joint.sum(axis=1, keepdims=True)


def denoising_loss(data, corruption, reconstruction):
    """E[- log p(x | x~)] in nats."""
    joint = np.asarray(data)[:, None] * corruption
    return -float(np.sum(joint * np.log(reconstruction).T))


def walkback_weights(data, corruption, reconstruction, num_steps, target="data"):
    """Expected weight of - log p(x | x~) in the walkback loss, (N, N), rows are x~.

    x*_0 = x ~ data; at t = 1..num_steps, x~_t ~ C(. | x*_{t-1}), the loss gains
    - log p(x | x~_t) with the clean x as the target, and x*_t ~ p(. | x~_t) without gradient
    (Bengio et al. 2013). The loss is - sum(weights * log(reconstruction)).

    Args:
        target: "data", the clean x; or "previous", x*_{t-1}, a mistake that is a control.
    """
    if target not in ("data", "previous"):
        raise ValueError(f'target must be "data" or "previous"; received {target!r}.')
    current = np.diag(np.asarray(data, dtype="float64"))
    total = np.zeros_like(current)
    for _ in range(num_steps):
        source = current if target == "data" else np.diag(current.sum(axis=0))
        total += (source @ corruption).T
        # Joint law of (x, x*_t).
        current = current @ corruption @ reconstruction
    return total


def walkback_gradient(data, corruption, logits, num_steps, target="data"):
    """Expected gradient of the walkback loss in the logits of p(. | x~), (N, N), rows are x~."""
    shifted = np.exp(logits - np.max(logits, axis=1, keepdims=True))
    reconstruction = shifted / shifted.sum(axis=1, keepdims=True)
    weights = walkback_weights(data, corruption, reconstruction, num_steps, target)
    return weights.sum(axis=1, keepdims=True) * reconstruction - weights


def walkback_fixed_point(data, corruption, num_steps, target="data", num_iterations=2000):
    """The reconstruction table that the walkback loss reproduces, by iteration."""
    reconstruction = bayes_reconstruction(data, corruption)
    for _ in range(num_iterations):
        weights = walkback_weights(data, corruption, reconstruction, num_steps, target)
        reconstruction = weights / weights.sum(axis=1, keepdims=True)
    return reconstruction
