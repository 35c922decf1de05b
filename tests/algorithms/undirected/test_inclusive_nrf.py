"""Inclusive random fields: revision, both gradients, labels, errors."""

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
from keras_dgm import distributions, networks, testing
from keras_dgm.models import ImplicitModel, LatentVariableModel, RandomField
from keras_dgm.sampling import MALA, SGHMC, Langevin


def plane_generator(seed=0, **kwargs):
    keras.utils.set_random_seed(seed)
    network = networks.mlp([8], "tanh", normalization="batch")
    return LatentVariableModel(
        distributions.Normal(2), distributions.Normal(2, network, scale=0.3), **kwargs
    )


def two_classes(rows, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % 2
    x = rng.normal(0.0, 0.3, (rows, 2)) + np.where(y, 1.0, -1.0)[:, None]
    return x.astype("float32"), y.astype("int32")


@pytest.mark.parametrize(
    "sampler, variance",
    [
        (Langevin(0.5, num_steps=30), testing.langevin_stationary_variance(0.5)),
        (SGHMC(0.3, momentum=0.5, num_steps=30), testing.sghmc_stationary_variance(0.5, 0.3)),
    ],
)
def test_x_keeps_the_law_of_the_sampler_under_the_joint_revision(sampler, variance):
    model = dgm.InclusiveNRF(normal_field(), linear_generator(), sampler, seed=0)
    assert variance > 1.1
    rows = 10_000
    error = 4.0 * np.sqrt(2.0 / rows)
    x = model.sample(rows, seed=1)
    assert x.shape == (rows, 1)
    assert abs(x.mean()) < error
    assert x.var() == pytest.approx(variance, rel=error)
    # The generator alone has variance 1, and a chain without its full noise another again.
    assert model.sample(rows, seed=1, revise=False).var() == pytest.approx(1.0, rel=error)
    config = {**sampler.get_config(), "noise_scale": 0.5 * sampler.get_config()["step_size"] ** 0.5}
    wrong = dgm.InclusiveNRF(normal_field(), linear_generator(), type(sampler)(**config), seed=0)
    assert abs(wrong.sample(rows, seed=1).var() / variance - 1.0) > 2.0 * error


class _TaughtByItself(dgm.InclusiveNRF):
    """Wrong: the generator and the field learn from the draws that were not revised."""

    def revise(self, x, h, y, seed, num_steps=None, training=None):
        _, _, statistics = super().revise(x, h, y, seed, num_steps, training)
        return x, h, statistics


@pytest.mark.parametrize("kind", [dgm.InclusiveNRF, _TaughtByItself])
def test_gradients_have_the_means_of_one_exact_step(kind):
    step, slope, scale, precision = 0.4, 1.1, 0.7, 0.8
    field, generator = normal_field(variance=1.0 / precision), linear_generator(slope, scale)
    model = kind(field, generator, Langevin(step, num_steps=1), seed=0)
    covariance = linear_moves(step, slope, scale, precision)
    x = np.array([[0.5], [-0.2], [1.5], [1.0]], "float32")
    along_precision = -0.5 * precision * (covariance[0, 0] - np.mean(x**2))
    exact = {
        "field": [np.array(-x.mean()), np.array(along_precision)],
        "generator": teaching_gradient(covariance, slope, scale),
    }
    report = testing.check_gradient_estimator(model, exact, 60, data=x, batch_copies=1_000)
    assert report.passed() == (kind is dgm.InclusiveNRF), report


def test_learns_a_normal_density():
    x = np.random.default_rng(0).normal(1.0, 0.5, (2_000, 1)).astype("float32")
    field = normal_field()
    generator = linear_generator(slope=1.0, scale=0.3)
    model = dgm.InclusiveNRF(field, generator, Langevin(0.05, num_steps=15), seed=0)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, 400)))
    model.fit(np.tile(x, (10, 1)), batch_size=200, epochs=4, verbose=0)
    linear, log_precision = values(field.network.trainable_variables)
    assert linear * np.exp(-log_precision) == pytest.approx(1.0, abs=0.1)
    assert np.exp(-0.5 * log_precision) == pytest.approx(0.5, abs=0.1)
    drawn = model.sample(4_000, seed=0)
    assert drawn.mean() == pytest.approx(1.0, abs=0.1)
    assert drawn.std() == pytest.approx(0.5, abs=0.1)


def test_unlabelled_rows_add_nothing_and_labels_move_the_field():
    x, y = two_classes(6)
    sampler = Langevin(0.05, num_steps=2)

    def gradients(labels, weight):
        field = plane_field(num_classes=2)
        model = dgm.InclusiveNRF(
            field, plane_generator(), sampler, classification_weight=weight, seed=0
        )
        found = model.estimate_gradients({"x": x, "y": labels}, 0)["field"]
        return np.concatenate([g.ravel() for g in found])

    plain = gradients(y, 0.0)
    np.testing.assert_allclose(gradients(np.full(6, -1, "int32"), 1.0), plain, atol=1e-6)
    half = np.where(np.arange(6) < 3, y, -1).astype("int32")
    assert np.abs(gradients(half, 1.0) - plain).max() > 1e-3
    # The mean runs over the labelled rows alone.
    alone = gradients(half, 1.0) - plain
    np.testing.assert_allclose(gradients(half, 2.0) - plain, 2.0 * alone, atol=1e-5)


@pytest.mark.parametrize("drawn_labels", [None, 4])
def test_confidence_descends_the_entropy_of_the_classes(drawn_labels):
    x, y = two_classes(20)

    def model_with(weight):
        model = dgm.InclusiveNRF(
            plane_field(num_classes=2),
            plane_generator(),
            Langevin(0.05, num_steps=2),
            confidence_weight=weight,
            labelled_batch_size=drawn_labels,
            seed=0,
        )
        model.compile(keras.optimizers.SGD(0.0))
        model.fit(x, y, batch_size=20, verbose=0)
        return model

    plain, model = model_with(0.0), model_with(1.0)
    base, with_term = (
        one.estimate_gradients({"x": x, "y": y}, 0)["field"] for one in (plain, model)
    )
    along = [one - other for one, other in zip(with_term, base)]

    def entropy_after(rate):
        for variable, part in zip(model.field.trainable_variables, along):
            variable.assign(variable - rate * part)
        p = model.classify(x)
        for variable, part in zip(model.field.trainable_variables, along):
            variable.assign(variable + rate * part)
        return -np.mean(np.sum(p * np.log(p), axis=1))

    change = sum(np.sum(np.square(part)) for part in along)
    assert change > 0.0
    assert entropy_after(0.0) - entropy_after(0.01) == pytest.approx(0.01 * change, rel=0.1)
    assert entropy_after(-0.01) > entropy_after(0.0)


def test_four_labels_in_two_hundred_classify():
    x, y = two_classes(200)
    given = np.where(np.arange(200) < 4, y, -1)
    model = dgm.InclusiveNRF(
        plane_field(num_classes=2),
        plane_generator(),
        Langevin(0.02, num_steps=3, clip_gradient=(5.0, 20.0)),
        labelled_batch_size=4,
        seed=0,
    )
    model.compile(keras.optimizers.Adam(0.02))
    history = model.fit(x, given, batch_size=50, epochs=25, verbose=0).history
    assert history["classification_loss"][-1] < 0.5 * history["classification_loss"][0]
    test_x, test_y = two_classes(100, seed=1)
    found = model.evaluate(test_x, test_y, verbose=0, return_dict=True)
    assert found["accuracy"] > 0.95
    probabilities = model.classify(test_x)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)
    assert np.mean(probabilities.argmax(axis=1) == test_y) == pytest.approx(found["accuracy"])
    with pytest.raises(ValueError, match="no row of y has a label"):
        model.fit(x, np.full(200, -1), verbose=0)
    with pytest.raises(ValueError, match="-1 for no label"):
        model.fit(x, y + 1, verbose=0)
    with pytest.raises(ValueError, match="fit\\(x, y\\)"):
        model.evaluate(x, verbose=0)


def test_conditional_field_and_generator():
    x, y = two_classes(200)
    keras.utils.set_random_seed(0)
    generator = ImplicitModel(
        2, networks.joint_mlp([8], output_units=2, num_classes=2), num_classes=2
    )
    model = dgm.InclusiveNRF(
        plane_field(num_classes=2),
        generator,
        Langevin(0.05, num_steps=5, clip_gradient=(5.0, 20.0)),
        noise_scale=0.3,
        seed=0,
    )
    model.compile(keras.optimizers.Adam(0.02))
    model.fit(x, y, batch_size=50, epochs=30, verbose=0)
    drawn = model.sample(400, seed=0, y=np.arange(400) % 2)
    assert drawn[1::2].mean() - drawn[::2].mean() > 1.0
    with pytest.raises(ValueError, match="need labels"):
        model.sample(4)
    with pytest.raises(ValueError, match="Labels are whole numbers"):
        model.fit(x, np.where(y == 0, -1, 1), verbose=0)


def test_file_round_trip(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 2)).astype("float32")
    sampler = Langevin((0.05, 0.02), num_steps=2, clip_gradient=(5.0, 20.0))
    model = dgm.InclusiveNRF(plane_field(), plane_generator(), sampler, seed=3)
    model.compile({"field": "adam", "generator": "sgd"})
    model.fit(x, batch_size=20, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.sampler.get_config() == sampler.get_config()
    np.testing.assert_allclose(model.sample(5, seed=1), again.sample(5, seed=1), atol=1e-5)
    first = model.fit(x, batch_size=20, verbose=0).history
    second = again.fit(x, batch_size=20, verbose=0).history
    for term, value in first.items():
        assert second[term] == pytest.approx(value, rel=1e-4, abs=1e-5)


def test_a_chain_that_is_not_finite_stops_the_run_by_name():
    model = dgm.InclusiveNRF(
        normal_field(), linear_generator(), Langevin(100.0, num_steps=40), seed=0
    )
    model.compile("sgd")
    with pytest.raises(ValueError, match="chain of InclusiveNRF was not finite"):
        model.fit(np.zeros((4, 1), "float32"), verbose=0)


def test_errors_say_what_to_do():
    field, generator = normal_field(), linear_generator()
    with pytest.raises(ValueError, match="temperature zero"):
        dgm.InclusiveNRF(field, generator, Langevin(0.1, noise_scale=0.0))
    with pytest.raises(ValueError, match="Langevin and SGHMC"):
        dgm.InclusiveNRF(field, generator, MALA(0.1))
    with pytest.raises(ValueError, match="must be the same"):
        dgm.InclusiveNRF(normal_field(size=2), generator)
    with pytest.raises(ValueError, match="no potential"):
        dgm.InclusiveNRF(generator, generator)
    with pytest.raises(ValueError, match="one number for each x"):
        RandomField(networks.mlp([4], output_units=3), event_shape=(2,))
    implicit = ImplicitModel(1, networks.mlp([4], output_units=1))
    with pytest.raises(ValueError, match="give `noise_scale`"):
        dgm.InclusiveNRF(field, implicit)
    with pytest.raises(ValueError, match="Leave it out"):
        dgm.InclusiveNRF(field, generator, noise_scale=0.1)
    binary = LatentVariableModel(distributions.Normal(1), distributions.Bernoulli(1))
    with pytest.raises(ValueError, match="draws discrete x"):
        dgm.InclusiveNRF(field, binary)
    conditional = ImplicitModel(
        2, networks.joint_mlp([4], output_units=2, num_classes=3), num_classes=3
    )
    with pytest.raises(ValueError, match="must have as many"):
        dgm.InclusiveNRF(plane_field(num_classes=2), conditional, noise_scale=0.1)
    with pytest.raises(ValueError, match="labelled_batch_size"):
        dgm.InclusiveNRF(field, generator, labelled_batch_size=4)
    with pytest.raises(ValueError, match="has shape"):
        dgm.InclusiveNRF(field, generator).fit(np.zeros((3, 2), "float32"), verbose=0)
    with pytest.raises(ValueError, match="no others take them"):
        dgm.InclusiveNRF(field, generator).sample(3, y=[0, 1, 0])
