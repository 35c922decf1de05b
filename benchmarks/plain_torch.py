"""A PyTorch loop by hand, eager or with `torch.compile` on the losses; the fused Adam."""

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks import formulas

VERSIONS = {"torch": torch.__version__}
tanh, exp, log, sqrt, sigmoid = torch.tanh, torch.exp, torch.log, torch.sqrt, torch.sigmoid
relu, softplus, matmul, reshape = F.relu, F.softplus, torch.matmul, torch.reshape
stack, where, concat, logaddexp = torch.stack, torch.where, torch.cat, torch.logaddexp


def stop(x):
    return x.detach()


def sum(x, axis=None):
    return torch.sum(x) if axis is None else torch.sum(x, axis)


def mean(x):
    return torch.mean(x)


def logsumexp(x, axis):
    return torch.logsumexp(x, axis)


def transpose(x):
    return x.t()


def full(shape, value):
    return torch.full(shape, value)


def rows(table, index):
    return table[index]


def leaky_relu(x):
    return F.leaky_relu(x, 0.2)


def affine(x, kernel, bias):
    return torch.addmm(bias, x, kernel)


def bernoulli(x, logits):
    x, logits = torch.broadcast_tensors(x, logits)
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none")


def less(a, b):
    return (a < b).float()


def to_float(i):
    return float(i)


def zeros_int(shape):
    return torch.zeros(shape, dtype=torch.int64)


def full_int(shape, value):
    return torch.full(shape, value, dtype=torch.int64)


def one_hot(index, size):
    return F.one_hot(index, size).t().float()


def pick(h, index):
    return h[index, torch.arange(len(index))]


def where_first(keep, first, h):
    return torch.cat([(keep * first + (1.0 - keep) * h[0])[None], h[1:]])


def where_row(number, row, table):
    return torch.cat([table[:number], row[None], table[number + 1 :]])


def value(variable):
    return variable


def write(state, name, new):
    state[name] = new.detach()


def write_rows(state, name, index, new):
    state[name][index] = new.detach()


def loop(count, body, state):
    for i in range(count):
        state = body(i, state)
        state = (
            tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()
        )
    return state


def input_gradient(fn, x, differentiable=False):
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return torch.autograd.grad(fn(x).sum(), x, create_graph=differentiable)[0]


def down(x, kernel, bias):
    return F.conv2d(x, kernel, bias, stride=2, padding=1)


def up(x, kernel, bias=None):
    return F.conv_transpose2d(x, kernel, bias, stride=2, padding=1)


def batch_norm(x, gamma, beta):
    return F.batch_norm(x, None, None, gamma, beta, training=True, eps=1e-3)


def reshape_image(x, shape):
    return x.reshape(-1, shape[2], shape[0], shape[1])


def flatten_image(x):
    return x.reshape(len(x), -1)


def sum_image(x):
    return x.sum((1, 2, 3))


class Noise:
    normal = staticmethod(torch.randn)
    uniform = staticmethod(torch.rand)

    def at(self, i):
        return self


def tensors(workload):
    """The first weights; images channels first, as PyTorch has them."""
    out = {}
    for name, part in workload.weights().items():
        own = []
        for array in part:
            tensor = torch.tensor(array)
            if tensor.dim() == 4:
                # Convolutions: (h, w, in, out) to (out, in, h, w); transposed ones have
                # (h, w, out, in), which becomes (in, out, h, w).
                tensor = tensor.permute(3, 2, 0, 1).contiguous()
            own.append(tensor.requires_grad_())
        out[name] = own
    return out


class Loop:
    """The row as a loop: `run(steps)` takes as many and returns the mean loss."""

    compiled = False

    def __init__(self, workload):
        import benchmarks.plain_torch as lib

        torch.manual_seed(0)
        self.workload = workload
        data = workload.data()
        if data.ndim == 4:
            data = data.transpose(0, 3, 1, 2).copy()
        x = torch.tensor(data)
        w, noise = tensors(workload), Noise()
        cache = {}

        def program(fn):
            if not self.compiled:
                return fn
            if fn not in cache:
                cache[fn] = torch.compile(fn)
            return cache[fn]

        if not workload.is_training:
            estimate = formulas.ESTIMATES[workload.family]

            def run(i, index):
                with torch.no_grad():
                    return estimate(lib, w, workload, x[: workload.batch], noise)

            self._step = run
            return
        optimizers = {
            name: torch.optim.Adam(part, lr=1e-3, eps=1e-7, fused=True) for name, part in w.items()
        }
        shapes = formulas.first_state(workload, len(x))
        state = {name: torch.zeros(shape) for name, shape in shapes.items()}

        def move(players, loss_fn, *args):
            for name, part in w.items():
                for tensor in part:
                    tensor.requires_grad_(name in players)
            out = program(loss_fn)(lib, w, workload, *args)
            loss, aux = out if isinstance(out, tuple) else (out, out)
            for name in players:
                optimizers[name].zero_grad(set_to_none=True)
            loss.backward()
            for name in players:
                optimizers[name].step()
            return aux

        def step(i, index):
            index = torch.from_numpy(index)
            return formulas.STEPS[workload.family](
                lib, w, workload, x[index], index, noise, move, state
            )

        self.order = np.arange(len(x))
        self._step = step

    def run(self, steps):
        size, losses = self.workload.rows_a_step, []
        for i in range(steps):
            index = self.order[i * size : (i + 1) * size] if self.workload.is_training else None
            losses.append(self._step(i, index).detach())
        return float(torch.stack(losses).mean())


class CompiledLoop(Loop):
    """With `torch.compile` on each loss (its backward is compiled with it).

    The rows whose step is a loss and its gradient; samplers run in Python's loop whichever. The
    penalty of `wgan-gp` is differentiated twice, which compiled functions are not.
    """

    compiled = True
    families = ("vae", "iwae", "sbn", "gan")

    def __init__(self, workload):
        if workload.family not in self.families or workload.options.get("penalty"):
            raise NotImplementedError
        super().__init__(workload)
