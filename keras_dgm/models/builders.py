"""Both sides of the standard deep directed models, ready for any learning rule."""

from keras_dgm.distributions import Bernoulli, Chain, Distribution, MultivariateNormal, Normal
from keras_dgm.models.latent_variable_model import LatentVariableModel
from keras_dgm.networks import mlp

LIKELIHOODS = {"bernoulli": Bernoulli, "normal": Normal}


def sigmoid_belief_network(
    latent_sizes,
    event_shape,
    hidden_units=None,
    activation="tanh",
    learned_prior=True,
    likelihood="bernoulli",
):
    """A sigmoid belief network with its bottom-up inference network (Ou 2019, Eq. 2).

    p(x, h) = p(h_L) p(h_{L-1} | h_L) ... p(x | h_1), each factor of independent Bernoulli values
    whose logits are affine in the layer above, or a perceptron's of it; and
    q(h | x) = q(h_1 | x) q(h_2 | h_1) ... of the same kind.

    ```python
    generative, inference = sigmoid_belief_network([200, 200], (28, 28, 1))
    generative.likelihood.init_bias(x_train)
    model = keras_dgm.VIMCO(generative, inference, num_samples=10)
    ```

    Args:
        latent_sizes: widths (h_1, ..., h_L), from the layer nearest to x up.
        event_shape: shape of one x.
        hidden_units: None for affine layers; a list of widths of the deterministic layers inside
            every conditional; or a list of such lists, one for each stochastic layer from x up,
            given in the order in which the inference side passes them (the generative side takes
            them in reverse).
        activation: of the deterministic layers; "leaky_relu" has slope 0.2.
        learned_prior: whether the logits of p(h_L) are learned, or fixed at even odds.
        likelihood: p(x | h_1): "bernoulli", "normal" (diagonal, both parameters from h_1), or an
            unbuilt distribution layer over x, taken as it is.

    Returns:
        `(generative, inference)`: a `LatentVariableModel`, and a distribution layer, a `Chain`
        where there are several layers. The prior draws (h_L, ..., h_1), the inference side
        (h_1, ..., h_L).

    Raises:
        ValueError: no layers, a width below 1, `hidden_units` for another number of layers, an
            unknown likelihood.
    """
    sizes = _sizes(latent_sizes)
    hidden = _hidden_units(hidden_units, len(sizes))

    def conditional(shape, units):
        return Bernoulli(shape, network=mlp(units, activation) if units else None)

    inference = [conditional((size,), units) for size, units in zip(sizes, hidden)]
    downward = [conditional((size,), units[::-1]) for size, units in zip(sizes[:-1], hidden[1:])]
    prior = [Bernoulli((sizes[-1],), learned=learned_prior), *reversed(downward)]
    bottom = _likelihood(likelihood, event_shape, hidden[0][::-1], activation)
    return LatentVariableModel(_chain(prior), bottom), _chain(inference)


def deep_latent_gaussian_model(
    latent_sizes,
    event_shape,
    hidden_units=(200, 200),
    activation="tanh",
    noise="full",
    likelihood="bernoulli",
):
    """A deep latent Gaussian model with its bottom-up inference network (Ou 2019, Eq. 3).

    The top layer is standard normal, h_l = T_l(h_{l+1}) + G_l xi_l below it, with T_l a
    perceptron and G_l a learned matrix that is the same for every context (held as a lower
    triangle with positive diagonal, which loses no covariance). The inference side has
    independent Gaussians in every layer, mean and deviation from the layer below.

    Args:
        latent_sizes: widths (h_1, ..., h_L), from the layer nearest to x up.
        event_shape: shape of one x.
        hidden_units: widths of the deterministic layers inside every conditional; or a list of
            such lists, one for each stochastic layer from x up, in the order in which the
            inference side passes them (the generative side takes them in reverse). None or an
            empty list for affine layers. The published two-layer model of the IWAE paper is
            `latent_sizes=[100, 50], hidden_units=[[200, 200], [100, 100]], noise="diagonal"`.
        activation: of the deterministic layers.
        noise: of the generative layers below the top: "full" for the matrix G_l of Eq. 3,
            "diagonal" for independent deviations that depend on the layer above (Eq. 4).
        likelihood: as in `sigmoid_belief_network`.

    Returns:
        `(generative, inference)`, as `sigmoid_belief_network`.

    Raises:
        ValueError: as there; an unknown `noise`.
    """
    if noise not in ("full", "diagonal"):
        raise ValueError(f"`noise` is 'full' or 'diagonal'; received {noise!r}.")
    sizes = _sizes(latent_sizes)
    hidden = _hidden_units(hidden_units, len(sizes))

    def network(units):
        return mlp(units, activation) if units else None

    def downward(size, units):
        if noise == "full":
            return MultivariateNormal((size,), network=network(units[::-1]), scale="shared")
        return Normal((size,), network=network(units[::-1]))

    inference = [Normal((size,), network=network(units)) for size, units in zip(sizes, hidden)]
    below = [downward(size, units) for size, units in zip(sizes[:-1], hidden[1:])]
    prior = [Normal((sizes[-1],)), *reversed(below)]
    bottom = _likelihood(likelihood, event_shape, hidden[0][::-1], activation)
    return LatentVariableModel(_chain(prior), bottom), _chain(inference)


def _sizes(latent_sizes):
    sizes = [latent_sizes] if isinstance(latent_sizes, int) else list(latent_sizes)
    if not sizes or any(int(size) != size or size < 1 for size in sizes):
        raise ValueError(
            "`latent_sizes` lists the widths of the stochastic layers from x up, each 1 at least, "
            f"e.g. [200, 200]; received {latent_sizes!r}."
        )
    return [int(size) for size in sizes]


def _hidden_units(hidden_units, num_layers):
    """A list of widths for each stochastic layer, from x up."""
    units = [] if hidden_units is None else list(hidden_units)
    if not any(isinstance(entry, (list, tuple)) for entry in units):
        return [units] * num_layers
    if len(units) != num_layers or not all(isinstance(entry, (list, tuple)) for entry in units):
        raise ValueError(
            f"`hidden_units` is a list of widths, or one such list for each of the {num_layers} "
            f"stochastic layers; received {hidden_units!r}."
        )
    return [list(entry) for entry in units]


def _chain(layers):
    return layers[0] if len(layers) == 1 else Chain(layers)


def _likelihood(likelihood, event_shape, units, activation):
    if isinstance(likelihood, Distribution):
        if likelihood.event_shape != tuple(event_shape):
            raise ValueError(
                f"The likelihood is over x of shape {likelihood.event_shape}; `event_shape` is "
                f"{tuple(event_shape)}."
            )
        return likelihood
    if likelihood not in LIKELIHOODS:
        raise ValueError(
            f"`likelihood` is one of {sorted(LIKELIHOODS)} or a distribution layer; received "
            f"{likelihood!r}."
        )
    return LIKELIHOODS[likelihood](event_shape, network=mlp(units, activation) if units else None)
