"""A JAX loop by hand: one jitted step, donated state, data on the device, Adam in five lines."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks import formulas

VERSIONS = {"jax": jax.__version__}
tanh, exp, log, sqrt, sigmoid = jnp.tanh, jnp.exp, jnp.log, jnp.sqrt, jax.nn.sigmoid
relu, softplus, matmul, transpose = jax.nn.relu, jax.nn.softplus, jnp.matmul, jnp.transpose
reshape, stack, where, stop, logaddexp = (
    jnp.reshape,
    jnp.stack,
    jnp.where,
    lax.stop_gradient,
    jnp.logaddexp,
)
sum, mean, full, rows = jnp.sum, jnp.mean, jnp.full, lambda table, index: table[index]
logsumexp = jax.nn.logsumexp
leaky_relu = functools.partial(jax.nn.leaky_relu, negative_slope=0.2)
concat = jnp.concatenate


def affine(x, kernel, bias):
    return x @ kernel + bias


def bernoulli(x, logits):
    return x * logits - jax.nn.softplus(logits)


def less(a, b):
    return (a < b).astype(jnp.float32)


def to_float(i):
    return jnp.asarray(i, jnp.float32)


def zeros_int(shape):
    return jnp.zeros(shape, jnp.int32)


def full_int(shape, value):
    return jnp.full(shape, value, jnp.int32)


def one_hot(index, size):
    return jax.nn.one_hot(index, size, axis=0)


def pick(h, index):
    return jnp.take_along_axis(h, index[None, :, None], 0)[0]


def where_first(keep, first, h):
    return h.at[0].set(keep * first + (1.0 - keep) * h[0])


def where_row(number, row, table):
    return table.at[number].set(row)


def value(variable):
    return variable


def write(state, name, new):
    state[name] = new


def write_rows(state, name, index, new):
    state[name] = state[name].at[index].set(new)


def loop(count, body, state):
    return lax.fori_loop(0, count, body, state)


def input_gradient(fn, x, differentiable=False):
    return jax.grad(lambda x: fn(x).sum())(x)


_LAYOUT = ("NHWC", "HWIO", "NHWC")


def down(x, kernel, bias):
    return lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=_LAYOUT) + bias


def up(x, kernel, bias=0.0):
    return (
        lax.conv_transpose(
            x, kernel, (2, 2), "SAME", dimension_numbers=_LAYOUT, transpose_kernel=True
        )
        + bias
    )


def batch_norm(x, gamma, beta):
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return (x - mean) * (gamma * lax.rsqrt(var + 1e-3)) + beta


def reshape_image(x, shape):
    return jnp.reshape(x, (-1, *shape))


def flatten_image(x):
    return jnp.reshape(x, (x.shape[0], -1))


def sum_image(x):
    return x.sum((1, 2, 3))


class Noise:
    def __init__(self, key):
        self.key = key

    def _next(self):
        self.key, key = jax.random.split(self.key)
        return key

    def at(self, i):
        return Noise(jax.random.fold_in(self.key, i))

    def normal(self, shape):
        return jax.random.normal(self._next(), shape)

    def uniform(self, shape):
        return jax.random.uniform(self._next(), shape)


def adam(weights, gradients, moments, rate):
    t = moments["t"] + 1.0
    m = [0.9 * m + 0.1 * g for m, g in zip(moments["m"], gradients)]
    v = [0.999 * v + 0.001 * g * g for v, g in zip(moments["v"], gradients)]
    rate = rate * jnp.sqrt(1.0 - 0.999**t) / (1.0 - 0.9**t)
    weights = [w - rate * a / (jnp.sqrt(b) + 1e-7) for w, a, b in zip(weights, m, v)]
    return weights, {"m": m, "v": v, "t": t}


class Loop:
    """The row as a loop: `run(steps)` takes as many and returns the mean loss."""

    def __init__(self, workload):
        import benchmarks.plain_jax as lib

        self.workload = workload
        x = jnp.asarray(workload.data())
        self.order = np.arange(len(x), dtype=np.int32)
        self.key = jax.random.key(0)
        w = {name: [jnp.asarray(a) for a in part] for name, part in workload.weights().items()}
        if not workload.is_training:
            estimate = formulas.ESTIMATES[workload.family]
            program = jax.jit(lambda w, x, key: estimate(lib, w, workload, x, Noise(key)))
            self._step = lambda i, index: program(w, x[: workload.batch], self._next_key(i))
            return
        moments = {
            name: {"m": [0.0 * a for a in part], "v": [0.0 * a for a in part], "t": 0.0}
            for name, part in w.items()
        }
        state = {n: jnp.zeros(s) for n, s in formulas.first_state(workload, len(x)).items()}
        self.carry = jax.tree.map(jnp.asarray, (w, moments, state))

        @functools.partial(jax.jit, donate_argnums=0)
        def step(carry, x, index, key):
            w, moments, state = ({**part} for part in carry)

            def move(players, loss_fn, *tensors):
                def total(own):
                    out = loss_fn(lib, {**w, **own}, workload, *tensors)
                    return (out[0], out[1]) if isinstance(out, tuple) else (out, out)

                own = {name: w[name] for name in players}
                (_, aux), gradients = jax.value_and_grad(total, has_aux=True)(own)
                for name in players:
                    w[name], moments[name] = adam(w[name], gradients[name], moments[name], 1e-3)
                return aux

            loss = formulas.STEPS[workload.family](
                lib, w, workload, x[index], index, Noise(key), move, state
            )
            return (w, moments, state), loss

        def run(i, index):
            self.carry, loss = step(self.carry, x, index, self._next_key(i))
            return loss

        self._step = run

    def _next_key(self, i):
        self.key, key = jax.random.split(self.key)
        return key

    def run(self, steps):
        size, losses = self.workload.rows_a_step, []
        for i in range(steps):
            losses.append(self._step(i, self.order[i * size : (i + 1) * size]))
        return float(jnp.mean(jnp.stack(losses)))
