"""Functions that JAX has, in a form that costs less."""

import jax
import jax.numpy as jnp

from keras_dgm.backend.jax.engine import num_replicas


@jax.custom_jvp
def softplus(x):
    """log(1 + exp x), its derivative sigmoid(x).

    `jax.nn.softplus` is a logaddexp whose value and gradient together take half as long again.
    """
    x = jnp.asarray(x)
    return jnp.maximum(x, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(x)))


@softplus.defjvp
def _softplus_jvp(primals, tangents):
    [x], [tangent] = primals, tangents
    return softplus(x), jax.nn.sigmoid(x) * tangent


def fold_axes(tensor, count):
    """The first `count` axes, the last of which are the batch's rows, folded into one.

    Where devices divide the batch, the rows lead in the fold: with the samples in front of them
    each device would be sent the rows of all others, and compute on all.
    """
    shape = tensor.shape[count:]
    if num_replicas() > 1 and count > 1:
        tensor = jnp.moveaxis(tensor, count - 1, 0)
    return jnp.reshape(tensor, (-1, *shape))


def unfold_axes(tensor, sizes, shape):
    """What became of what `fold_axes` folded, (*sizes, *shape)."""
    sizes = tuple(sizes)
    if num_replicas() == 1 or len(sizes) < 2:
        return jnp.reshape(tensor, (*sizes, *shape))
    by_rows = jnp.reshape(tensor, (sizes[-1], *sizes[:-1], *shape))
    return jnp.moveaxis(by_rows, 0, len(sizes) - 1)
