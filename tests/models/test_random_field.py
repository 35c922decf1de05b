"""RandomField: what its potential is made of, labels, files, and its part as a prior."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_dgm as dgm
from keras_dgm import distributions, models, networks, sampling


def rows(num, size=2, seed=0):
    return np.random.default_rng(seed).normal(size=(num, size)).astype("float32")


def test_the_potential_is_the_network_plus_what_is_declared():
    network = networks.random_field_mlp((8,))
    plain = models.RandomField(network, (2,))
    full = models.RandomField(
        network, (2,), reference=distributions.Normal((2,)), linear_and_squared=True
    )
    full.linear.assign([0.5, -1.0])
    x = rows(5)
    base = ops.convert_to_numpy(network(x))[:, 0]
    np.testing.assert_allclose(plain.potential(x), base, rtol=1e-6)
    # The reference is normalised; sigma starts at 1.
    expected = base - 0.5 * (x**2).sum(1) - np.log(2 * np.pi)
    expected += x @ [0.5, -1.0] - 0.5 * (x**2).sum(1)
    np.testing.assert_allclose(full.potential(x), expected, rtol=1e-5)
    # Sample axes lead.
    folded = full.potential(np.stack([x, x + 1.0]))
    assert folded.shape == (2, 5)
    np.testing.assert_allclose(folded[0], expected, rtol=1e-5)


def test_the_gradient_is_each_rows_own():
    field = models.RandomField(networks.mlp([8], "tanh", output_units=1), (3,))
    x = rows(4, 3)
    values, gradients = field.potential_and_gradient(x)
    step = 1e-2
    for axis in range(3):
        move = step * np.eye(3, dtype="float32")[axis]
        up, down = field.potential(x + move), field.potential(x - move)
        slope = (ops.convert_to_numpy(up) - ops.convert_to_numpy(down)) / (2 * step)
        np.testing.assert_allclose(gradients[:, axis], slope, atol=1e-3)
    assert values.shape == (4,)


def test_fields_over_images_and_a_frozen_normalisation():
    layers = keras.layers
    network = keras.Sequential(
        [layers.Conv2D(4, 3), layers.BatchNormalization(), layers.Flatten(), layers.Dense(1)]
    )
    field = models.RandomField(network, (8, 8, 1), sampler=sampling.Langevin(0.01, 2))
    before = [ops.convert_to_numpy(v) for v in field.non_trainable_variables]
    draws = field.sample(sample_shape=(3,), seed=0)
    assert draws.shape == (3, 8, 8, 1)
    for old, new in zip(before, field.non_trainable_variables):
        np.testing.assert_array_equal(old, ops.convert_to_numpy(new))


def test_labels_are_summed_out_or_given():
    network = networks.mlp([8], output_units=3)
    field = models.RandomField(network, (2,), num_classes=3)
    x = rows(4)
    table = ops.convert_to_numpy(network(x)).astype("float64")
    np.testing.assert_allclose(field.potential(x), np.logaddexp.reduce(table, axis=1), rtol=1e-5)
    y = np.array([2, -1, 0, 1])
    given = table[np.arange(4), y]
    given[1] = np.logaddexp.reduce(table[1])
    np.testing.assert_allclose(field.potential(x, y), given, rtol=1e-5)
    np.testing.assert_allclose(field.potential(np.stack([x, x]), y)[1], given, rtol=1e-5)
    np.testing.assert_allclose(field.class_logits(x), table, rtol=1e-5)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: models.RandomField(networks.mlp([4]), (2,)), "one number for each x"),
        (
            lambda: models.RandomField(networks.mlp([4], output_units=2), (2,), num_classes=3),
            r"\(batch, 3\); it gives \(batch, 2\)",
        ),
        (
            lambda: models.RandomField(
                networks.random_field_mlp((4,)), (2,), reference=distributions.Normal((3,))
            ),
            "must be the same",
        ),
        (
            lambda: models.RandomField(networks.random_field_mlp((4,)), (2,)).sample(seed=0),
            "none was declared",
        ),
        (
            lambda: models.RandomField(networks.random_field_mlp((4,)), (2,)).potential(rows(3, 5)),
            r"takes x of shape \(..., 2\)",
        ),
        (
            lambda: models.RandomField(networks.random_field_mlp((4,)), (2,)).potential(
                rows(3), np.zeros(3)
            ),
            "without any",
        ),
        (
            lambda: models.RandomField(networks.random_field_mlp((4,)), (2,)).distribution(),
            "normalising constant",
        ),
    ],
)
def test_what_is_no_field_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_field_comes_back_from_its_config_and_file(tmp_path):
    field = models.RandomField(
        networks.random_field_mlp((4,)),
        (2,),
        reference=distributions.Normal((2,)),
        linear_and_squared=True,
        sampler=sampling.SGHMC(0.1),
    )
    algorithm = dgm.ContrastiveDivergence(field, num_steps=2)
    algorithm.save(tmp_path / "field.keras")
    again = keras.saving.load_model(tmp_path / "field.keras")
    x = rows(5)
    np.testing.assert_allclose(again.potential(x), algorithm.potential(x), rtol=1e-6)
    assert again.field.sampler.get_config() == field.sampler.get_config()
    assert isinstance(again.sampler, sampling.SGHMC)


def test_a_field_is_a_prior_of_a_latent_variable_model():
    prior = models.RandomField(
        networks.random_field_mlp((8,)),
        (2,),
        reference=distributions.Normal((2,)),
        sampler=sampling.MALA(0.5, num_steps=20),
    )
    generative = models.LatentVariableModel(prior, distributions.Bernoulli((6,)))
    vae = dgm.VAE(generative, distributions.Normal((2,)), seed=0)
    vae.compile("adam")
    data = (np.random.default_rng(0).random((40, 6)) < 0.5).astype("float32")
    before = vae.evaluate(data, verbose=0, return_dict=True)["elbo"]
    # Bounds hold up to log Z, which shifts them by exactly as much once it is known.
    prior.log_partition.assign(0.75)
    after = vae.evaluate(data, verbose=0, return_dict=True)["elbo"]
    assert after == pytest.approx(before - 0.75, abs=1e-4)
    assert vae.sample(5, seed=1).shape == (5, 6)
    assert vae.log_likelihood(data[:3], num_samples=20).shape == (3,)
    with pytest.raises(ValueError, match="normalising constant"):
        dgm.VAE(generative, distributions.Normal((2,)), estimator="analytic_kl")
