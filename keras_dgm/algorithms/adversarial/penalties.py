"""Penalties on a critic, for every adversarial algorithm; each is a function of one batch.

A penalty is called as `penalty(value, real, fake, seed, variables)`:

- `value`: function from what the critic looks at (a tensor, or a tuple of tensors for a critic
  of pairs) to its numbers, (batch,);
- `real`, `fake`: what it looked at, of as many rows each, constants;
- `seed`: for what is random;
- `variables`: the critic's trainable variables.

It gives a scalar that is added to the critic's loss and logged under `term`.
"""

import keras
from keras import ops, tree

from keras_dgm import backend
from keras_dgm.algorithms import checks
from keras_dgm.networks import orthonormal_penalty


class Penalty:
    """A penalty on a critic.

    Args:
        weight: what it is multiplied by, positive.
    """

    term = "penalty"
    needs_input_gradient = True

    def __init__(self, weight):
        if isinstance(weight, str) or not float(weight) > 0.0:
            raise ValueError(
                f"The weight of {type(self).__name__} is a positive number; received {weight!r}."
            )
        self.weight = float(weight)

    def __call__(self, value, real, fake, seed, variables):
        raise NotImplementedError

    def get_config(self):
        """Arguments of the constructor."""
        return {"weight": self.weight}

    @classmethod
    def from_config(cls, config):
        """A penalty from its arguments."""
        return cls(**config)


class _NormPenalty(Penalty):
    """weight E (|grad V| - target)^2, at points that subclasses choose."""

    def __init__(self, weight=10.0, target=1.0):
        super().__init__(weight)
        self.target = float(target)

    def points(self, real, fake, seed):
        """Where the gradient is taken."""
        raise NotImplementedError

    def __call__(self, value, real, fake, seed, variables):
        norm = gradient_norm(value, self.points(real, fake, seed))
        return self.weight * ops.mean(ops.square(norm - self.target))

    def get_config(self):
        return {**super().get_config(), "target": self.target}


@keras.saving.register_keras_serializable(package="keras_dgm")
class GradientPenalty(_NormPenalty):
    """WGAN-GP's: weight E (|grad V(x^)| - target)^2, x^ = x + a (fake - x), a ~ U(0, 1) a row.

    Gulrajani et al. 2017, Eq. 3. The norm runs over all axes but the batch's, and over all parts
    of a pair, whose parts share a. Cost: a pass and its gradient, differentiated again.

    Args:
        weight: lambda, 10 in the paper.
        target: 1 in the paper; 0 shrinks the gradient everywhere between data and samples.
    """

    term = "gradient_penalty"

    def points(self, real, fake, seed):
        rows = ops.shape(tree.flatten(real)[0])[0]
        share = backend.uniform((rows,), seed)

        def between(real, fake):
            a = ops.reshape(share, (-1,) + (1,) * (len(real.shape) - 1))
            return real + a * (fake - real)

        return tree.map_structure(between, real, fake)


@keras.saving.register_keras_serializable(package="keras_dgm")
class DRAGANPenalty(_NormPenalty):
    """DRAGAN's: weight E (|grad V(x + delta)| - target)^2, around the data.

    Kodali et al. 2017: delta ~ N(0, (scale s)^2 I), s the standard deviation of the batch's
    entries (of each part's, for a pair).

    Args:
        weight: lambda, 10 in the paper.
        target: k, 1 in the paper.
        scale: of the noise against the data's spread, 0.5 in the authors' code.
    """

    term = "dragan_penalty"

    def __init__(self, weight=10.0, target=1.0, scale=0.5):
        super().__init__(weight, target)
        self.scale = float(scale)

    def points(self, real, fake, seed):
        parts = tree.flatten(real)
        seeds = backend.split_seed(seed, len(parts))
        moved = [
            part + self.scale * ops.std(part) * backend.normal(ops.shape(part), key)
            for part, key in zip(parts, seeds)
        ]
        return tree.pack_sequence_as(real, moved)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable(package="keras_dgm")
class R1Penalty(Penalty):
    """R1: (weight / 2) E |grad V(x)|^2 at the data (Mescheder et al. 2018, Eq. 9).

    Args:
        weight: gamma.
    """

    term = "r1_penalty"

    def __init__(self, weight=10.0):
        super().__init__(weight)

    def __call__(self, value, real, fake, seed, variables):
        return 0.5 * self.weight * ops.mean(squared_gradient_norm(value, real))


@keras.saving.register_keras_serializable(package="keras_dgm")
class OrthonormalPenalty(Penalty):
    """weight sum |W^T W - I|^2 over the critic's kernels (Brock et al. 2017).

    Kernels are the trainable variables of two axes or more.

    Args:
        weight: 1e-4 in the paper.
    """

    term = "orthonormal_penalty"
    needs_input_gradient = False

    def __init__(self, weight=1e-4):
        super().__init__(weight)

    def __call__(self, value, real, fake, seed, variables):
        kernels = [variable for variable in variables if len(variable.shape) > 1]
        if not kernels:
            raise ValueError(
                "OrthonormalPenalty found no kernel (a variable of two axes or more) in the critic."
            )
        return self.weight * sum(orthonormal_penalty(kernel) for kernel in kernels)


NAMED = {
    "gradient": GradientPenalty,
    "r1": R1Penalty,
    "dragan": DRAGANPenalty,
    "orthonormal": OrthonormalPenalty,
}


def squared_gradient_norm(value, points):
    """|grad V|^2 at each row, over all axes and parts, (batch,)."""
    _, gradients = backend.value_and_input_grad(value, points)

    def squares(gradient):
        gradient = ops.cast(gradient, "float32")
        return ops.sum(ops.reshape(ops.square(gradient), (ops.shape(gradient)[0], -1)), axis=1)

    return sum(squares(gradient) for gradient in tree.flatten(gradients))


def gradient_norm(value, points):
    """|grad V| at each row, (batch,); its own gradient is zero where the norm is."""
    squared = squared_gradient_norm(value, points)
    positive = squared > 0.0
    return ops.where(positive, ops.sqrt(ops.where(positive, squared, 1.0)), 0.0)


def resolve(penalties):
    """The `penalties` argument as a tuple: one or several, objects, names or configs.

    Raises:
        ValueError: an unknown name, another kind of object, the same penalty twice.
    """
    if penalties is None:
        return ()
    if isinstance(penalties, (str, Penalty, dict)):
        penalties = [penalties]
    out = []
    for penalty in penalties:
        if isinstance(penalty, str):
            penalty = NAMED[checks.one_of("penalties", penalty, list(NAMED))]()
        elif isinstance(penalty, dict):
            penalty = keras.saving.deserialize_keras_object(penalty)
        if not isinstance(penalty, Penalty):
            raise ValueError(
                f"`penalties` takes names ({', '.join(NAMED)}) or penalty objects; received "
                f"{penalty!r}."
            )
        out.append(penalty)
    terms = [penalty.term for penalty in out]
    if len(set(terms)) < len(terms):
        raise ValueError(f"Each kind of penalty may come once; received {terms}.")
    return tuple(out)
