"""Belief networks and function-defined models small enough to enumerate."""

import numpy as np

from keras_dgm.testing.enumeration import FiniteLatentModel
from keras_dgm.testing.numeric import binary_states, numeric_jacobian
from keras_dgm.testing.stochastic_layers import BernoulliNetwork

MAX_STATES = 4096


class EnumerableModel(FiniteLatentModel):
    """A belief network of any depth with its bottom-up inference network, all states enumerated.

    p(x, h_1..h_L) = p(h_L) p(h_{L-1} | h_L) ... p(x | h_1) and
    q(h_1..h_L | x) = q(h_1 | x) q(h_2 | h_1) ..., e.g. sigmoid belief networks.

    Args:
        prior_logits: logits of p(h_L), of the family of the last inference layer.
        layers: `FiniteNetwork`s from the top down; the last gives x.
        inference_layers: `FiniteNetwork`s from x up.
        learned_prior: whether `prior_logits` is a parameter (the first one) or fixed.

    Attributes:
        states: tuple (h_1, ..., h_L) of arrays (N, width), in the order that q draws them.
        generative_parameters: [prior_logits if learned, weights of layers[0], layers[1], ...].
        inference_parameters: [weights of inference_layers[0], ...].
    """

    def __init__(self, prior_logits, layers, inference_layers, learned_prior=False):
        self.prior_logits = np.array(prior_logits, dtype="float64")
        self.layers = list(layers)
        self.inference_layers = list(inference_layers)
        self.learned_prior = learned_prior
        self._check_widths()
        each = [layer.states() for layer in self.inference_layers]
        num_states = int(np.prod([len(s) for s in each]))
        if num_states > MAX_STATES:
            raise ValueError(
                f"The latent layers have {num_states} joint states; at most {MAX_STATES} are "
                "enumerated. Use fewer latent variables."
            )
        grids = np.meshgrid(*[np.arange(len(s)) for s in each], indexing="ij")
        self.states = tuple(s[g.ravel()] for s, g in zip(each, grids, strict=True))
        self._state_shape = tuple(len(s) for s in each)
        self._layer_states = each

    @classmethod
    def random(cls, pixels, latents, seed=0, scale=1.0, learned_prior=False):
        """A linear sigmoid belief network with normal weights, e.g. `random(4, [3, 2])`.

        Args:
            pixels: length of x.
            latents: widths (h_1, ..., h_L), from the layer nearest to x up.
            seed: of `numpy.random.default_rng`.
            scale: standard deviation of every weight; of the prior's logits too if learned
                (they are zero if fixed). At 1 importance weights vary by several times their
                mean; 0.5 makes quieter estimators.
            learned_prior: see the class.
        """
        rng = np.random.default_rng(seed)
        widths = [pixels, *latents]

        def network(inputs, outputs):
            return BernoulliNetwork(
                [scale * rng.normal(size=(inputs, outputs)), scale * rng.normal(size=outputs)]
            )

        up = list(zip(widths[:-1], widths[1:], strict=True))
        layers = [network(top, bottom) for bottom, top in reversed(up)]
        inference = [network(bottom, top) for bottom, top in up]
        prior = scale * rng.normal(size=widths[-1]) if learned_prior else np.zeros(widths[-1])
        return cls(prior, layers, inference, learned_prior)

    @property
    def generative_parameters(self):
        prior = [self.prior_logits] if self.learned_prior else []
        return prior + [p for layer in self.layers for p in layer.parameters]

    @property
    def inference_parameters(self):
        return [p for layer in self.inference_layers for p in layer.parameters]

    def with_parameters(self, generative=None, inference=None):
        """The same model with other parameters, in the order of the parameter lists."""
        prior, layers, inference_layers = self.prior_logits, self.layers, self.inference_layers
        if generative is not None:
            generative = list(generative)
            if self.learned_prior:
                prior = generative.pop(0)
            layers = _replace(self.layers, generative)
        if inference is not None:
            inference_layers = _replace(self.inference_layers, list(inference))
        return type(self)(prior, layers, inference_layers, self.learned_prior)

    def log_joint_table(self, x):
        top = self.inference_layers[-1]
        total = top.log_prob_of_logits(self.states[-1], self.prior_logits)
        for layer, value, context in self._top_down(x):
            total = total + layer.log_prob(value, context)
        return total

    def log_inference_table(self, x):
        return sum(layer.log_prob(value, c) for layer, value, c in self._bottom_up(x))

    def generative_scores(self, x):
        top = self.inference_layers[-1]
        pieces = [self.states[-1] - top.mean_of_logits(self.prior_logits)]
        pieces = pieces if self.learned_prior else []
        pieces += [layer.score(value, context) for layer, value, context in self._top_down(x)]
        return np.concatenate(pieces, axis=1)

    def inference_scores(self, x):
        return np.concatenate([la.score(v, c) for la, v, c in self._bottom_up(x)], axis=1)

    def visible_states(self):
        return self.layers[-1].states()

    def state_index(self, *latents):
        """Number of each latent state in the tables, shape (n,).

        Args:
            *latents: (h_1, ..., h_L), arrays or backend tensors of shape (n, width) or
                (n, *event) with the flattened width.
        """
        if len(latents) == 1 and isinstance(latents[0], (tuple, list)):
            latents = tuple(latents[0])
        if len(latents) != len(self._layer_states):
            raise ValueError(
                f"Expected {len(self._layer_states)} latent layers; received {len(latents)}."
            )
        indices = []
        for value, states in zip(latents, self._layer_states, strict=True):
            value = np.asarray(value, dtype="float64")
            value = value.reshape(len(value), states.shape[1])
            distance = np.sum((value[:, None, :] - states[None]) ** 2, axis=-1)
            if value.size and np.max(np.min(distance, axis=1)) > 1e-6:
                raise ValueError("A latent value is none of the enumerable states.")
            indices.append(np.argmin(distance, axis=1))
        return np.ravel_multi_index(tuple(indices), self._state_shape)

    def sample_states(self, probabilities, num_samples, rng):
        """Draws (h_1, ..., h_L), each (num_samples, width), from probabilities of shape (N,)."""
        index = rng.choice(len(probabilities), size=num_samples, p=probabilities)
        return tuple(s[index] for s in self.states)

    def _top_down(self, x):
        contexts = list(reversed(self.states))
        values = contexts[1:] + [np.asarray(x, dtype="float64")[None]]
        return zip(self.layers, values, contexts, strict=True)

    def _bottom_up(self, x):
        contexts = [np.asarray(x, dtype="float64")[None], *self.states[:-1]]
        return zip(self.inference_layers, self.states, contexts, strict=True)

    def _check_widths(self):
        up = [layer.dimension for layer in self.inference_layers]
        pixels = self.layers[-1].dimension
        down = [layer.dimension for layer in reversed(self.layers)]
        expected_inputs = [pixels, *up[:-1]]
        consistent = (
            down == expected_inputs
            and [layer.input_dimension for layer in self.inference_layers] == expected_inputs
            and [layer.input_dimension for layer in reversed(self.layers)] == up
            and self.prior_logits.shape == (up[-1],)
        )
        if not consistent:
            raise ValueError(
                "The layers do not fit: top-down "
                f"{[(la.input_dimension, la.dimension) for la in self.layers]}, bottom-up "
                f"{[(la.input_dimension, la.dimension) for la in self.inference_layers]} "
                f"(inputs, outputs), prior {self.prior_logits.shape}."
            )


class FunctionalModel(FiniteLatentModel):
    """A finite latent model given by two functions; scores by central differences.

    For families or architectures that `EnumerableModel` does not write out.

    Args:
        log_joint: callable (parameters, x, states) -> log p(x, h) of shape (N,).
        log_inference: callable (parameters, x, states) -> log q(h | x) of shape (N,).
        states: whatever the two functions take for the latent states.
        generative_parameters, inference_parameters: lists of arrays.
        visible_states: (M, pixels), every x; needed only by the sleep phase. Binary states may
            be asked for by the number of pixels.
    """

    def __init__(
        self,
        log_joint,
        log_inference,
        states,
        generative_parameters,
        inference_parameters,
        visible_states=None,
    ):
        self.log_joint = log_joint
        self.log_inference = log_inference
        self.states = states
        self.generative_parameters = [np.array(p, dtype="float64") for p in generative_parameters]
        self.inference_parameters = [np.array(p, dtype="float64") for p in inference_parameters]
        if isinstance(visible_states, int):
            visible_states = binary_states(visible_states)
        self._visible_states = visible_states

    def log_joint_table(self, x):
        return np.asarray(self.log_joint(self.generative_parameters, x, self.states))

    def log_inference_table(self, x):
        return np.asarray(self.log_inference(self.inference_parameters, x, self.states))

    def generative_scores(self, x):
        jacobians = numeric_jacobian(
            lambda p: self.log_joint(p, x, self.states), self.generative_parameters
        )
        return np.concatenate([j.reshape(len(j), -1) for j in jacobians], axis=1)

    def inference_scores(self, x):
        jacobians = numeric_jacobian(
            lambda p: self.log_inference(p, x, self.states), self.inference_parameters
        )
        return np.concatenate([j.reshape(len(j), -1) for j in jacobians], axis=1)

    def visible_states(self):
        if self._visible_states is None:
            raise ValueError("The sleep phase sums over every x: pass visible_states.")
        return np.asarray(self._visible_states, dtype="float64")


def _replace(layers, parameters):
    replaced = []
    for layer in layers:
        count = len(layer.parameters)
        replaced.append(layer.with_parameters(parameters[:count]))
        parameters = parameters[count:]
    if parameters:
        raise ValueError(f"{len(parameters)} parameters more than the layers hold.")
    return replaced
