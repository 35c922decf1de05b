"""Elementwise functions that JAX has, in a form that costs less."""

import jax
import jax.numpy as jnp


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
