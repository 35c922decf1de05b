"""Every family: the density is TFP's, draws follow it, gradients pass where they are said to."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from keras_dgm import backend, distributions
from keras_dgm.distributions import (
    Bernoulli,
    DiscretizedLogistic,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    RelaxedBernoulli,
    RelaxedOneHotCategorical,
)

CONTEXT = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")

FAMILIES = {
    "bernoulli": lambda: Bernoulli((2, 3)),
    "normal": lambda: Normal((5,)),
    "normal shared": lambda: Normal((5,), scale="shared"),
    "normal fixed": lambda: Normal((5,), scale=0.3),
    "full": lambda: MultivariateNormal((3,)),
    "full shared": lambda: MultivariateNormal((3,), scale="shared"),
    "one hot": lambda: OneHotCategorical((2, 4)),
    "relaxed bernoulli": lambda: RelaxedBernoulli((5,), temperature=0.7),
    "relaxed one hot": lambda: RelaxedOneHotCategorical((2, 4), temperature=0.7),
    "logistic": lambda: DiscretizedLogistic((2, 2, 1)),
}


def built(name):
    layer = FAMILIES[name]()
    layer.build((None, 3))
    generator = np.random.default_rng(1)
    for variable in layer.trainable_variables:
        variable.assign(generator.normal(size=variable.shape) * 0.5)
    return layer


def numpy(x):
    return ops.convert_to_numpy(x)


@pytest.mark.parametrize("name", FAMILIES)
def test_density_is_tfps_and_shapes_lead_with_samples(name):
    layer = built(name)
    value, log_prob = layer.sample_and_log_prob(CONTEXT, (6,), seed=3)
    assert tuple(value.shape) == (6, 4, *layer.event_shape)
    assert tuple(log_prob.shape) == (6, 4)
    support = layer.value_to_level(value) if name == "logistic" else value
    expected = layer.distribution(CONTEXT).log_prob(support)
    np.testing.assert_allclose(numpy(log_prob), numpy(expected), rtol=2e-3, atol=2e-3)
    again = layer.log_prob(value, CONTEXT)
    np.testing.assert_allclose(numpy(again), numpy(log_prob), rtol=1e-5, atol=1e-5)
    layer.check_value(numpy(value).reshape(-1, *layer.event_shape))


@pytest.mark.parametrize("name", FAMILIES)
def test_draws_have_the_mean_of_the_distribution(name):
    layer = built(name)
    value = numpy(layer.sample(CONTEXT, (4000,), seed=5))
    if "relaxed" in name:
        # The relaxed mean has no closed form: TFP's own draws are the reference.
        expected = numpy(layer.distribution(CONTEXT).sample(4000, seed=backend.as_seed(7)))
        expected = expected.mean(axis=0)
    elif name == "logistic":
        return  # its law is checked below
    else:
        expected = numpy(layer.mean(CONTEXT))
    error = value.std(axis=0) / np.sqrt(4000) + 1e-4
    assert np.abs(value.mean(axis=0) - expected).max() < (8.0 * error).max()
    assert np.abs(value.mean(axis=0) + 0.5 - expected).max() > (8.0 * error).max()


@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_pass_through_reparameterised_draws_alone(name):
    layer = built(name)

    def loss_fn():
        return ops.sum(layer.sample(CONTEXT, (3,), seed=1) ** 2), None

    _, gradients = backend.value_and_grad(loss_fn, layer.trainable_variables)
    moved = max(np.abs(numpy(g)).max() for g in gradients)
    assert (moved > 0) == layer.is_reparameterized
    value, log_prob = layer.sample_and_log_prob(CONTEXT, seed=1, stop_gradient=True)

    def score():
        return ops.sum(layer.log_prob(ops.stop_gradient(value), CONTEXT)), None

    def stopped():
        return ops.sum(layer.sample_and_log_prob(CONTEXT, seed=1, stop_gradient=True)[1]), None

    _, one = backend.value_and_grad(score, layer.trainable_variables)
    _, two = backend.value_and_grad(stopped, layer.trainable_variables)
    for a, b in zip(one, two):
        np.testing.assert_allclose(numpy(a), numpy(b), rtol=1e-4, atol=1e-4)


def test_priors_are_standard_and_fixed_or_learned():
    fixed, learned = Normal((5,)), Normal((5,), learned=True)
    fixed.build()
    learned.build()
    assert len(fixed.trainable_variables) == 0 and len(learned.trainable_variables) == 2
    x = np.zeros((2, 5), "float32")
    expected = 5 * stats.norm.logpdf(0.0)
    np.testing.assert_allclose(numpy(fixed.log_prob(x)), expected, rtol=1e-5)
    np.testing.assert_allclose(numpy(learned.log_prob(x)), expected, rtol=1e-5)
    even = Bernoulli((4,))
    even.build()
    np.testing.assert_allclose(numpy(even.log_prob(np.ones((1, 4)))), -4 * np.log(2), rtol=1e-5)


def test_discretized_logistic_is_a_mass_on_levels():
    layer = DiscretizedLogistic((1,), num_levels=8)
    layer.build((None, 3))
    levels = (np.arange(8) / 7.0).astype("float32")[:, None, None]
    mass = np.exp(numpy(layer.log_prob(np.tile(levels, (1, 4, 1)), CONTEXT)))
    np.testing.assert_allclose(mass.sum(axis=0), 1.0, rtol=1e-4)
    draws = numpy(layer.sample(CONTEXT, (20000,), seed=2))[:, 0, 0]
    counts = np.bincount(np.round(draws * 7).astype(int), minlength=8)
    expected = mass[:, 0].ravel().astype("float64")
    assert stats.chisquare(counts, expected / expected.sum() * 20000).pvalue > 1e-3


def test_full_covariance_draws_have_it():
    layer = built("full")
    matrix = numpy(layer.scale_matrix(layer(CONTEXT)))[0]
    draws = numpy(layer.sample(CONTEXT, (20000,), seed=2))[:, 0]
    np.testing.assert_allclose(np.cov(draws.T), matrix @ matrix.T, atol=0.1)
    assert np.all(np.diag(matrix) > 0) and np.allclose(np.triu(matrix, 1), 0)


def test_networks_and_feature_maps_carry_the_event():
    maps = keras.Sequential([keras.layers.Dense(16), keras.layers.Reshape((4, 4, 1))])
    layer = Bernoulli((4, 4, 1), network=maps)
    layer.build((None, 3))
    assert isinstance(layer.head["logits"], keras.layers.Conv2D)
    flat = Bernoulli((4, 4, 1), network=keras.Sequential([keras.layers.Dense(16)]))
    flat.build((None, 3))
    assert isinstance(flat.head["logits"], keras.layers.Dense)
    deep = np.tile(CONTEXT, (7, 2, 1, 1))
    assert tuple(flat.sample(deep, seed=0).shape) == (7, 2, 4, 4, 4, 1)


def test_the_output_bias_starts_at_the_data():
    data = (np.random.default_rng(0).random((500, 4)) < [0.1, 0.5, 0.9, 0.0]).astype("float32")
    layer = Bernoulli((4,))
    layer.build((None, 3))
    layer.head["logits"].kernel.assign(np.zeros((3, 4)))
    layer.init_bias(data)
    expected = np.clip(data.mean(axis=0), 1e-3, 1 - 1e-3)
    np.testing.assert_allclose(numpy(layer.mean(CONTEXT))[0], expected, rtol=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_configuration_makes_the_same_layer(name):
    layer = built(name)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert not copy.built
    copy.build((None, 3))
    assert [v.shape for v in copy.weights] == [v.shape for v in layer.weights]
    assert copy.get_config() == layer.get_config()


def test_half_precision_networks_make_float32_densities():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = Normal((2,), network=keras.Sequential([keras.layers.Dense(8)]))
        layer.build((None, 3))
        parameters = layer(CONTEXT)
    finally:
        keras.config.set_dtype_policy("float32")
    assert {keras.backend.standardize_dtype(p.dtype) for p in parameters.values()} == {"float32"}


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: RelaxedBernoulli((3,), temperature=0.0), "temperature is positive"),
        (lambda: Normal((3,), scale=-1.0), "positive number"),
        (lambda: Normal((3,), scale="free"), "'shared'"),
        (lambda: OneHotCategorical((1,)), "two at least"),
        (lambda: MultivariateNormal((3, 2)), "over vectors"),
        (lambda: DiscretizedLogistic((3,), num_levels=1), "two at least"),
        (lambda: built("normal").log_prob(np.zeros((4, 5))), "needs a context"),
        (lambda: built("normal").sample(CONTEXT), "needs a seed"),
        (lambda: built("normal")(np.zeros((4, 7), "float32")), "expected \\(..., 3\\)"),
        (lambda: Normal((3,), learned=True).build((None, 2)), "is for a prior"),
        (lambda: Normal((3,), network=keras.layers.Dense(2)).build(), "owns a network"),
        (lambda: Bernoulli((3,)).check_value(np.array([[0.0, 255.0, 3.0]])), "by 255"),
        (lambda: OneHotCategorical((3,)).check_value(np.ones((2, 3))), "one-hot"),
    ],
)
def test_errors_say_what_to_do(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_every_public_family_is_tested():
    named = {type(make()).__name__ for make in FAMILIES.values()}
    others = {"Distribution", "Chain"}  # tested in files of their own, with flows and corruption
    flows = {name for name in distributions.__all__ if not _is_family(name)}
    assert set(distributions.__all__) - others - flows <= named


def _is_family(name):
    value = getattr(distributions, name)
    return isinstance(value, type) and value.__module__.split(".")[-1] not in ("flow", "corruption")
