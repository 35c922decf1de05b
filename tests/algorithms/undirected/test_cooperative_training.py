"""Cooperative training: the generator is taught what revision made of its own draws."""

import keras
import numpy as np
import pytest
from neural_fields import (
    linear_generator,
    linear_moves,
    normal_field,
    plane_field,
    teaching_gradient,
    values,
)

import keras_dgm as dgm
from keras_dgm import backend, distributions, networks, testing
from keras_dgm.models import ImplicitModel, RandomField
from keras_dgm.sampling import MALA, Langevin


@pytest.mark.parametrize("kind", [dgm.CooperativeTraining, dgm.InclusiveNRF])
def test_gradients_have_the_means_of_one_exact_step_with_the_drawn_code(kind):
    """The control is the inclusive rule, whose code moves together with x."""
    step, slope, scale, precision = 0.4, 1.1, 0.7, 0.8
    field, generator = normal_field(variance=1.0 / precision), linear_generator(slope, scale)
    model = kind(field, generator, Langevin(step, num_steps=1), seed=0)
    covariance = linear_moves(step, slope, scale, precision, latent_moves=False)
    x = np.array([[0.5], [-0.2], [1.5], [1.0]], "float32")
    along_precision = -0.5 * precision * (covariance[0, 0] - np.mean(x**2))
    exact = {
        "field": [np.array(-x.mean()), np.array(along_precision)],
        "generator": teaching_gradient(covariance, slope, scale),
    }
    report = testing.check_gradient_estimator(model, exact, 60, data=x, batch_copies=1_000)
    assert report.passed() == (kind is dgm.CooperativeTraining), report


def test_inferred_codes_follow_the_posterior_of_the_revised_x():
    slope, scale = 0.8, 0.6
    model = dgm.CooperativeTraining(
        normal_field(variance=0.25),
        linear_generator(slope, scale),
        Langevin(0.1, num_steps=10),
        latent_sampler=Langevin(0.05, num_steps=60),
        seed=0,
    )

    def revised(seed):
        first, second = backend.split_seed(seed, 2)
        x, h = model.propose(4_000, first)
        new, inferred, _ = model.revise(x, h, None, second)
        return x, h, new, inferred

    program = model.compiled_function("revised", revised)
    x, h, new, inferred = (np.asarray(part)[:, 0] for part in program(backend.as_seed(0)))
    # E[h | x] = slope x / (slope^2 + scale^2), here on x that the field has pulled in.
    expected = slope / (slope**2 + scale**2)
    assert new.var() < 0.7 * x.var()
    assert np.polyfit(new, inferred, 1)[0] == pytest.approx(expected, abs=0.06)
    assert abs(np.polyfit(new, h, 1)[0] - expected) > 0.15  # the drawn code does not


def test_learns_a_tilted_reference(tmp_path):
    """Xie et al.'s field: a tilted Gaussian; and files."""
    x = np.random.default_rng(0).normal(1.0, 0.4, (800, 2)).astype("float32")
    keras.utils.set_random_seed(0)
    reference = distributions.Normal(2, scale=1.0)
    field = RandomField(
        networks.mlp([16], "tanh", output_units=1), event_shape=(2,), reference=reference
    )
    generator = ImplicitModel(2, networks.mlp([8], "tanh", output_units=2))
    model = dgm.CooperativeTraining(
        field, generator, Langevin(0.05, num_steps=10), noise_scale=0.3, seed=0
    )
    model.compile(keras.optimizers.Adam(0.02))
    logs = model.fit(np.tile(x, (6, 1)), batch_size=100, epochs=5, verbose=0).history
    assert set(logs) == set(model.terms)
    drawn = model.sample(1_000, seed=0)
    np.testing.assert_allclose(drawn.mean(axis=0), 1.0, atol=0.15)
    np.testing.assert_allclose(drawn.std(axis=0), 0.4, atol=0.15)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    model.fit(x[:100], batch_size=50, verbose=0)
    again.fit(x[:100], batch_size=50, verbose=0)
    for one, other in zip(values(model.variables), values(again.variables), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_errors_say_what_to_do():
    field, generator = normal_field(), linear_generator()
    with pytest.raises(ValueError, match="latent_sampler"):
        dgm.CooperativeTraining(field, generator, latent_sampler=MALA(0.1))
    with pytest.raises(ValueError, match="takes no labels"):
        dgm.CooperativeTraining(plane_field(num_classes=2), linear_generator(size=2))
    with pytest.raises(ValueError, match="must be the same"):
        dgm.CooperativeTraining(field, linear_generator(size=2))
    diverging = dgm.CooperativeTraining(field, generator, Langevin(100.0, num_steps=40), seed=0)
    diverging.compile("sgd")
    with pytest.raises(ValueError, match="chain of CooperativeTraining was not finite"):
        diverging.fit(np.zeros((4, 1), "float32"), verbose=0)
