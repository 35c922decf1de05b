"""A TensorFlow loop by hand: one `tf.function`, data in memory, the fused Adam kernel."""

import functools

import numpy as np
import tensorflow as tf

from benchmarks import formulas

VERSIONS = {"tensorflow": tf.__version__}
tanh, exp, log, sqrt, sigmoid = tf.tanh, tf.exp, tf.math.log, tf.sqrt, tf.sigmoid
relu, softplus, matmul, transpose = tf.nn.relu, tf.nn.softplus, tf.matmul, tf.transpose
reshape, stack, where, stop, full = tf.reshape, tf.stack, tf.where, tf.stop_gradient, tf.fill
sum, mean, logsumexp = tf.reduce_sum, tf.reduce_mean, tf.reduce_logsumexp
leaky_relu = functools.partial(tf.nn.leaky_relu, alpha=0.2)
concat = functools.partial(tf.concat, axis=0)
rows = tf.gather


def affine(x, kernel, bias):
    return tf.nn.bias_add(tf.matmul(x, kernel), bias)


def bernoulli(x, logits):
    return x * logits - tf.nn.softplus(logits)


def logaddexp(a, b):
    top = tf.maximum(a, b)
    return top + tf.math.log(tf.exp(a - top) + tf.exp(b - top))


def less(a, b):
    return tf.cast(a < b, tf.float32)


def to_float(i):
    return tf.cast(i, tf.float32)


def zeros_int(shape):
    return tf.zeros(shape, tf.int32)


def full_int(shape, value):
    return tf.fill(shape, value)


def one_hot(index, size):
    return tf.one_hot(index, size, axis=0)


def pick(h, index):
    return tf.gather(tf.transpose(h, (1, 0, 2)), index, batch_dims=1)


def where_first(keep, first, h):
    return tf.concat([(keep * first + (1.0 - keep) * h[0])[None], h[1:]], 0)


def where_row(number, row, table):
    return tf.concat([table[:number], row[None], table[number + 1 :]], 0)


def value(variable):
    return variable.read_value()


def write(state, name, new):
    state[name].assign(new)


def write_rows(state, name, index, new):
    state[name].scatter_update(tf.IndexedSlices(new, index))


def loop(count, body, state):
    def step(i, state):
        return i + 1, body(i, state)

    return tf.while_loop(
        lambda i, _: i < count, step, (0, state), maximum_iterations=count, parallel_iterations=1
    )[1]


def input_gradient(fn, x, differentiable=False):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        y = fn(x)
    return tape.gradient(y, x)


def down(x, kernel, bias):
    return tf.nn.bias_add(tf.nn.conv2d(x, kernel, 2, "SAME"), bias)


def up(x, kernel, bias=None):
    shape = (tf.shape(x)[0], 2 * x.shape[1], 2 * x.shape[2], kernel.shape[2])
    y = tf.nn.conv2d_transpose(x, kernel, shape, 2, "SAME")
    y = tf.ensure_shape(y, (x.shape[0], *shape[1:]))
    return y if bias is None else tf.nn.bias_add(y, bias)


def batch_norm(x, gamma, beta):
    return tf.compat.v1.nn.fused_batch_norm(x, gamma, beta, epsilon=1e-3)[0]


def reshape_image(x, shape):
    return tf.reshape(x, (x.shape[0], *shape))


def flatten_image(x):
    return tf.reshape(x, (x.shape[0], -1))


def sum_image(x):
    return tf.reduce_sum(x, (1, 2, 3))


class Noise:
    """TensorFlow's own stateful generator."""

    normal = staticmethod(tf.random.normal)
    uniform = staticmethod(tf.random.uniform)

    def at(self, i):
        return self


class Adam:
    """`tf.raw_ops.ResourceApplyAdam` for a player's weights."""

    def __init__(self, weights):
        self.m = [tf.Variable(tf.zeros_like(w)) for w in weights]
        self.v = [tf.Variable(tf.zeros_like(w)) for w in weights]
        self.t = tf.Variable(0.0)

    def apply(self, weights, gradients):
        t = self.t.assign_add(1.0)
        b1, b2 = tf.constant(0.9), tf.constant(0.999)
        p1, p2 = tf.pow(b1, t), tf.pow(b2, t)
        for w, g, m, v in zip(weights, gradients, self.m, self.v):
            tf.raw_ops.ResourceApplyAdam(
                var=w.handle,
                m=m.handle,
                v=v.handle,
                beta1_power=p1,
                beta2_power=p2,
                lr=1e-3,
                beta1=b1,
                beta2=b2,
                epsilon=1e-7,
                grad=g,
            )


class Loop:
    """The row as a loop: `run(steps)` takes as many and returns the mean loss."""

    def __init__(self, workload):
        import benchmarks.plain_tensorflow as lib

        self.workload = workload
        x = tf.constant(workload.data())
        self.order = np.arange(len(x), dtype=np.int32)
        w = {name: [tf.Variable(a) for a in part] for name, part in workload.weights().items()}
        noise = Noise()
        size = workload.rows_a_step
        if not workload.is_training:
            estimate = formulas.ESTIMATES[workload.family]
            self._step = tf.function(
                lambda index: estimate(lib, w, workload, x[: workload.batch], noise)
            )
            return
        optimizers = {name: Adam(part) for name, part in w.items()}
        shapes = formulas.first_state(workload, len(x))
        state = {name: tf.Variable(tf.zeros(shape)) for name, shape in shapes.items()}

        def move(players, loss_fn, *tensors):
            own = [v for name in players for v in w[name]]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                for variable in own:
                    tape.watch(variable)
                out = loss_fn(lib, w, workload, *tensors)
                loss, aux = out if isinstance(out, tuple) else (out, out)
            gradients = tape.gradient(loss, own)
            for name in players:
                count = len(w[name])
                optimizers[name].apply(w[name], gradients[:count])
                gradients = gradients[count:]
            return aux

        @tf.function
        def step(index):
            batch = tf.ensure_shape(tf.gather(x, index), (size, *x.shape[1:]))
            step_fn = formulas.STEPS[workload.family]
            return step_fn(lib, w, workload, batch, index, noise, move, state)

        self._step = step

    def run(self, steps):
        size, losses = self.workload.rows_a_step, []
        for i in range(steps):
            losses.append(self._step(tf.constant(self.order[i * size : (i + 1) * size])))
        return float(np.mean([loss.numpy() for loss in losses]))
