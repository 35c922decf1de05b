"""Exclusive random fields: the entropy surrogate, its cap, both gradients."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from neural_fields import normal_field, plane_field, values

import keras_dgm as dgm
from keras_dgm import networks
from keras_dgm.models import ImplicitModel, LatentVariableModel

NOISE, FREE = 0.5 * np.log(2.0 * np.pi * np.e), {"field": "sgd", "generator": "sgd"}


def scaled_generator(scale=1.0, shift=0.0):
    """x = shift + scale z, z the noise normalised over the batch: normal with sd |scale|."""
    network = keras.Sequential([layers.BatchNormalization(epsilon=1e-6, momentum=0.9)])
    generator = ImplicitModel(1, network)
    gamma, beta = generator.trainable_variables
    gamma.assign([scale])
    beta.assign([shift])
    return generator


def plane_generator():
    keras.utils.set_random_seed(0)
    return ImplicitModel(2, networks.mixture_generator(hidden_units=(8, 8)))


def test_gradients_are_the_closed_form_ones():
    """q = N(0.4, 1.5^2), p = N(0.5, 2^2): the generator's KL is known, for its entropy is."""
    field = normal_field(variance=4.0, mean=0.5)
    generator = scaled_generator(1.5, 0.4)
    model = dgm.ExclusiveNRF(field, generator, seed=0)
    x = np.array([[0.3], [2.0], [-1.0]], "float32").repeat(20_000, axis=0)
    found = model.estimate_gradients(x, 0)
    gamma, beta = (float(g[0]) for g in found["generator"])
    # d/d gamma, d/d beta of E[(x - 0.5)^2] / 8 - log gamma; batch moments are exact.
    assert gamma == pytest.approx(1.5 / 4.0 - 1.0 / 1.5, abs=2e-3)
    assert beta == pytest.approx((0.4 - 0.5) / 4.0, abs=1e-4)
    linear, log_precision = (float(g) for g in found["field"])
    assert linear == pytest.approx(0.4 - x.mean(), abs=1e-4)
    squares = 1.5**2 + 0.4**2 - np.mean(x**2)
    assert log_precision == pytest.approx(-0.5 * 0.25 * squares, abs=2e-3)
    # Control: without the entropy the scale's gradient has the other sign.
    plain = dgm.ExclusiveNRF(field, generator, entropy_weight=0.0, seed=0)
    gamma = float(plain.estimate_gradients(x, 0)["generator"][0][0])
    assert gamma == pytest.approx(1.5 / 4.0, abs=2e-3)


@pytest.mark.parametrize("entropy_weight, max_scale", [(1.0, 5.0), (1.0, 1.5), (0.0, 5.0)])
def test_the_scale_settles_where_the_entropy_and_the_cap_let_it(entropy_weight, max_scale):
    model = dgm.ExclusiveNRF(
        normal_field(variance=4.0),
        scaled_generator(),
        entropy_weight=entropy_weight,
        max_scale=max_scale,
        seed=0,
    )
    model.compile({"field": keras.optimizers.SGD(0.0), "generator": keras.optimizers.SGD(0.5)})
    x = np.zeros((320, 1), "float32")
    logs = model.fit(x, batch_size=32, epochs=10, verbose=0).history
    expected = min(2.0, max_scale) if entropy_weight else 0.0
    gamma = float(values(model.generator.trainable_variables)[0][0])
    assert gamma == pytest.approx(expected, abs=0.03)
    assert logs["largest_scale"][-1] == pytest.approx(expected, abs=0.05)
    if entropy_weight:
        assert logs["entropy"][-1] == pytest.approx(NOISE + np.log(expected), abs=0.05)
        assert model.sample(4_000, seed=0).std() == pytest.approx(expected, rel=0.1)


def test_learning_keeps_the_fields_statistics_and_saves(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 2)).astype("float32")
    model = dgm.ExclusiveNRF(plane_field(), plane_generator(), updates="simultaneous", seed=1)
    model.compile(FREE)
    logs = model.fit(x, batch_size=20, epochs=2, verbose=0).history
    assert set(logs) == set(model.terms)
    assert len(model._scales) == 2
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(model.sample(5, seed=1), again.sample(5, seed=1), atol=1e-5)
    model.fit(x, batch_size=20, verbose=0)
    again.fit(x, batch_size=20, verbose=0)
    for one, other in zip(values(model.variables), values(again.variables), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert model.evaluate(x, verbose=0, return_dict=True)["potential"] == pytest.approx(
        float(ops.convert_to_numpy(model.potential(x)).mean()), rel=1e-4
    )


def test_errors_say_what_to_do():
    field = plane_field()
    plain = ImplicitModel(2, networks.mlp([4], output_units=2))
    with pytest.raises(ValueError, match='normalization="batch"'):
        dgm.ExclusiveNRF(field, plain)
    with pytest.raises(ValueError, match="must be the same"):
        dgm.ExclusiveNRF(normal_field(), plane_generator())
    with pytest.raises(ValueError, match="InclusiveNRF learns"):
        dgm.ExclusiveNRF(plane_field(num_classes=2), plane_generator())
    for wrong in ({"max_scale": 0.5}, {"entropy_weight": -1.0}):
        with pytest.raises(ValueError, match="max_scale"):
            dgm.ExclusiveNRF(field, plane_generator(), **wrong)
    directed = LatentVariableModel(
        dgm.distributions.Normal(2), dgm.distributions.Normal(2, scale=1.0)
    )
    with pytest.raises(ValueError, match="ImplicitModel"):
        dgm.ExclusiveNRF(field, directed)
