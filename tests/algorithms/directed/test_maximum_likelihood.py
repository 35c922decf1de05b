"""Maximum likelihood against closed forms."""

import keras
import numpy as np
import pytest

import keras_dgm as dgm
from keras_dgm.distributions import Bernoulli, Normal

DATA = np.random.default_rng(0).normal([1.0, -2.0], [0.5, 2.0], size=(400, 2)).astype("float32")


def test_the_gradient_is_the_score_and_the_optimum_the_moments():
    model = dgm.MaximumLikelihood(Normal((2,), learned=True), seed=0)
    loc_gradient = model.estimate_gradients(DATA)["model"][0]
    np.testing.assert_allclose(loc_gradient, -DATA.mean(axis=0), rtol=1e-4)
    model.compile(keras.optimizers.Adam(0.1))
    model.fit(np.tile(DATA, (30, 1)), batch_size=400, epochs=10, shuffle=False, verbose=0)
    loc, scale = model.model.location_and_scale(model.model())
    np.testing.assert_allclose(loc, DATA.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(scale, DATA.std(axis=0), atol=0.02)
    draws = model.sample(4000, seed=1)
    np.testing.assert_allclose(draws.mean(axis=0), DATA.mean(axis=0), atol=0.15)


def test_log_likelihood_is_exact_in_chunks_and_survives_files(tmp_path):
    from scipy import stats

    model = dgm.MaximumLikelihood(Normal((2,), learned=True), seed=0)
    model.compile("sgd")
    expected = stats.norm.logpdf(DATA).sum(axis=1)
    np.testing.assert_allclose(model.log_likelihood(DATA, rows=150), expected, rtol=1e-4)
    logs = model.evaluate(DATA, verbose=0, return_dict=True)
    assert logs["log_likelihood"] == pytest.approx(expected.mean(), rel=1e-4)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(again.log_likelihood(DATA), expected, rtol=1e-4)


def test_errors():
    with pytest.raises(ValueError, match="nothing to train"):
        dgm.MaximumLikelihood(Bernoulli((3,)))
    with pytest.raises(ValueError, match="needs a density"):
        dgm.MaximumLikelihood(keras.layers.Dense(2))
