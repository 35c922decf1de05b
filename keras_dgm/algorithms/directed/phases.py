"""The phases of wake-sleep rules."""

from keras import ops


def dream(algorithm, num_dreams, seed):
    """`(x', h')` drawn from the generative side, constants to every gradient.

    Args:
        algorithm: a `LatentVariableAlgorithm`.
        num_dreams: how many, an integer or scalar tensor.
        seed: a seed.
    """
    x, h = algorithm.generative.sample(num_dreams, seed, training=True)
    return ops.stop_gradient(x), algorithm.stop(h)


def sleep_loss(algorithm, num_dreams, seed):
    """The mean of - log q(h' | x') over dreams x', h' ~ p(x, h), nats (Ou 2019, Eq. 21, 22).

    Its gradient in phi is that of E_p(x) KL(p(h|x) || q(h|x)), unbiased; nothing reaches theta.
    """
    x, h = dream(algorithm, num_dreams, seed)
    return -ops.mean(algorithm.log_inference(h, x, training=True))


def move_each(algorithm, loss_fn):
    """Moves theta and phi, and returns the terms of `loss_fn`.

    Each part of the loss reaches one player only, so that one evaluation serves both. With
    `updates="alternating"` it is evaluated anew for phi, at the moved theta.
    """
    if algorithm.updates == "simultaneous":
        return algorithm.minimize(loss_fn, algorithm.players)[1]
    return [algorithm.minimize(loss_fn, player)[1] for player in algorithm.players][0]
