"""What the samplers share: the loop, the statistics, gradients of a target."""

import collections

from keras import ops, tree

from keras_dgm import backend

SamplingResult = collections.namedtuple("SamplingResult", ["state", "statistics", "trace"])
SamplingResult.__doc__ = """What a sampler returns.

Fields:
    state: the chains' last states, of the structure and shapes of the first.
    statistics: dictionary of scalars, means over chains and steps; see the sampler.
    trace: the states after every step, a leading axis of `num_steps`, or None.
"""


class Sampler:
    """A Markov kernel over rows of states, and the loop that applies it.

    A subclass gives `initialize(target, state)`, which returns what is carried from step to step
    (a dictionary with `"state"`), and `step(target, carry, seed)`, which returns the next one and
    a dictionary of scalars under the names of `statistics`.

    A state is a tensor (batch, ...) or a tuple of such; each row is a chain of its own. Chains
    are constants to gradients: call samplers outside of a loss function.

    Args:
        num_steps: steps of a call of `sample`.
    """

    is_exact = False
    statistics: tuple[str, ...] = ("acceptance", "step_norm")

    def __init__(self, num_steps=1):
        self.num_steps = check_count("num_steps", num_steps)

    def initialize(self, target, state):
        """What is carried from step to step, made of the chains' first states."""
        return {"state": state}

    def expand(self, state):
        """What persistent chains keep, made of first states: the states themselves."""
        return state

    def resume(self, target, memory):
        """What is carried from step to step, made of what persistent chains kept."""
        return self.initialize(target, memory)

    def memory(self, carry):
        """What persistent chains keep of what is carried: rows of arrays, a chain each."""
        return carry["state"]

    def step(self, target, carry, seed):
        """One step: `(carry, statistics)`."""
        raise NotImplementedError

    def sample(self, target, state, seed, num_steps=None, trace=False):
        """Runs the chains for `num_steps` in one loop; for use inside a compiled program.

        Args:
            target: a model with `potential`, a callable from states to potentials (batch,), or a
                `GradientField`.
            state: the first states, (batch, ...), or a tuple of such.
            seed: integer or seed tensor.
            num_steps: the sampler's own number by default.
            trace: whether to keep every state.

        Returns:
            A `SamplingResult`. Beside its own statistics it holds `chain_norm`, the mean norm of
            the last states: not finite when a chain is not.
        """
        result, _ = self.run(target, self.initialize(target, state), seed, num_steps, trace)
        return result

    def run(self, target, carry, seed, num_steps=None, trace=False):
        """As `sample`, from what `initialize` or an earlier `run` gave: `(result, carry)`."""
        num_steps = check_count("num_steps", num_steps or self.num_steps)
        seed = backend.as_seed(seed)
        states = None
        if num_steps == 1 and not trace:
            carry, means = self.step(target, carry, seed)
            means = dict(means)
        elif trace:

            def body(i, carry):
                carry, statistics = self.step(target, carry, backend.fold_in(seed, i))
                return carry, (carry["state"], statistics)

            carry, (states, each) = backend.scan(body, carry, num_steps)
            means = {name: ops.mean(values) for name, values in each.items()}
        else:

            def body(i, both):
                carry, totals = both
                carry, statistics = self.step(target, carry, backend.fold_in(seed, i))
                return carry, {name: totals[name] + statistics[name] for name in totals}

            zeros = {name: ops.zeros((), "float32") for name in self.statistics}
            carry, totals = backend.fori_loop(num_steps, body, (carry, zeros))
            means = {name: total / float(num_steps) for name, total in totals.items()}
        means["chain_norm"] = ops.mean(row_norm(carry["state"]))
        return SamplingResult(carry["state"], means, states), carry

    def get_config(self):
        """Arguments of the constructor."""
        return {"num_steps": self.num_steps}

    @classmethod
    def from_config(cls, config):
        """The sampler of a config."""
        return cls(**config)


class GradientField:
    """A target given by a function that returns potentials and the gradients to follow.

    For moves along gradients that are no single potential's: the joint revision of (x, h) by an
    inclusive random field, where x follows u(x) and h the generator's log q(x, h).

    Args:
        function: callable from states to `(potentials (batch,), gradients)`, the gradients of the
            states' structure.
    """

    def __init__(self, function):
        self.function = function

    def __call__(self, state):
        return self.function(state)[0]


def potential_of(target):
    """The callable from states to potentials of a target."""
    return getattr(target, "chain_potential", None) or getattr(target, "potential", None) or target


def value_and_gradient(target, state):
    """Potentials (batch,) of a target and their gradients, float32, nothing flowing back."""
    if isinstance(target, GradientField):
        values, gradients = target.function(state)
    else:
        potential = potential_of(target)
        values, gradients = backend.value_and_input_grad(potential, state)
    if len(values.shape) != 1:
        raise ValueError(
            "A target gives one potential for each chain, shape (batch,); it gave shape "
            f"{tuple(values.shape)}."
        )
    return ops.stop_gradient(values), tree.map_structure(ops.stop_gradient, gradients)


def row_sum(state):
    """Sums over all but the first axis and over the parts, (batch,)."""
    parts = [
        ops.sum(ops.cast(part, "float32"), axis=tuple(range(1, len(part.shape))))
        for part in tree.flatten(state)
    ]
    return sum(parts[1:], parts[0])


def row_norm(state):
    """Euclidean norm of each row over all parts, (batch,)."""
    return ops.sqrt(row_sum(tree.map_structure(lambda part: ops.square(part), state)))


def row_scale(factor, state):
    """Multiplies each row by its own factor (batch,)."""

    def scale(part):
        return part * ops.reshape(factor, (-1, *[1] * (len(part.shape) - 1)))

    return tree.map_structure(scale, state)


def normal_like(state, seed):
    """Standard normal noise of a state's structure."""
    parts = tree.flatten(state)
    seeds = backend.split_seed(seed, len(parts)) if len(parts) > 1 else [seed]
    noise = [backend.normal(ops.shape(part), s) for part, s in zip(parts, seeds)]
    return tree.pack_sequence_as(state, noise)


def choose_rows(accept, new, old):
    """Rows of `new` where `accept` (batch,) is true, of `old` elsewhere."""

    def choose(new, old):
        return ops.where(ops.reshape(accept, (-1, *[1] * (len(new.shape) - 1))), new, old)

    return tree.map_structure(choose, new, old)


def check_count(name, value):
    """A whole number of 1 at least."""
    if int(value) < 1 or int(value) != value:
        raise ValueError(f"`{name}` is a whole number, 1 at least; received {value!r}.")
    return int(value)


def check_positive(name, value, hint=""):
    """A positive number, or a tuple of such."""
    values = value if isinstance(value, tuple | list) else [value]
    if not all(float(one) > 0.0 for one in values):
        raise ValueError(f"`{name}` is positive; received {value!r}.{hint}")
    if isinstance(value, tuple | list):
        return tuple(float(one) for one in value)
    return float(value)


def per_part(value, state):
    """A number, or a number for each part, as a structure like the state's."""
    parts = tree.flatten(state)
    values = list(value) if isinstance(value, tuple) else [value] * len(parts)
    if len(values) != len(parts):
        raise ValueError(f"{len(values)} numbers {value} came for a state of {len(parts)} parts.")
    return tree.pack_sequence_as(state, values)
