"""WAE: its MMD against NumPy and its expectation, its moves, its files."""

import keras
import numpy as np
import pytest
from keras import ops
from symmetric_machines import plane_rows, values

from keras_dgm import WAE, networks
from keras_dgm.algorithms.symmetric.wae import squared_mmd
from keras_dgm.distributions import Normal
from keras_dgm.models import ImplicitModel

X = plane_rows(200)


def numpy_mmd(u, v, constants):
    def kernel(a, b):
        return sum(c / (c + np.sum((a - b) ** 2)) for c in constants)

    n = len(u)
    pairs = [(i, j) for i in range(n) for j in range(n)]
    within = sum(kernel(u[i], u[j]) + kernel(v[i], v[j]) for i, j in pairs if i != j)
    return within / (n * (n - 1)) - 2 * sum(kernel(u[i], v[j]) for i, j in pairs) / n**2


def test_mmd_is_the_u_statistic():
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(2, 9, 3))
    found = float(squared_mmd(ops.cast(u, "float32"), ops.cast(v, "float32"), [0.4, 6.0]))
    assert found == pytest.approx(numpy_mmd(u, v, [0.4, 6.0]), abs=1e-5)


def test_mmd_is_unbiased():
    """Mean zero for equal laws; the V-statistic, which keeps the diagonal, is not."""
    rng = np.random.default_rng(1)
    draws = ops.cast(rng.normal(size=(300, 2, 20, 2)), "float32")
    found = np.array([float(squared_mmd(u, v, [4.0])) for u, v in draws])
    error = found.std() / np.sqrt(len(found))
    assert abs(found.mean()) < 4 * error
    diagonal = 2.0 / 20 * (1.0 - 0.6)  # what the diagonal adds is more than this
    assert diagonal > 4 * error


def plane_wae(penalty="mmd", **kwargs):
    keras.utils.set_random_seed(0)
    generator = ImplicitModel(2, networks.mlp([16], output_units=2))
    critic = networks.mlp([16], output_units=1) if penalty == "gan" else None
    encoder = networks.mlp([16], output_units=2)
    return WAE(generator, encoder, critic, penalty=penalty, seed=0, **kwargs)


@pytest.mark.parametrize("penalty", ["mmd", "gan"])
def test_training_and_files(penalty, tmp_path):
    model = plane_wae(penalty, penalty_weight=2.0)
    model.compile(keras.optimizers.Adam(5e-3))
    before = values(model.trainable_variables)
    start = model.evaluate(X, verbose=0, return_dict=True)
    history = model.fit(X, batch_size=50, epochs=40, verbose=0).history
    assert set(history) == set(model.terms)
    end = model.evaluate(X, verbose=0, return_dict=True)
    assert end["reconstruction"] < 0.3 * start["reconstruction"]
    if penalty == "mmd":
        assert end["divergence"] < 0.5 * start["divergence"]
        assert np.linalg.norm(model.infer(X).mean(axis=0)) < 0.7
    assert all(np.any(a != b) for a, b in zip(before, values(model.trainable_variables)))
    model.save(tmp_path / "wae.keras")
    again = keras.saving.load_model(tmp_path / "wae.keras")
    assert np.array_equal(again.reconstruct(X[:4]), model.reconstruct(X[:4]))
    assert again.penalty_name == penalty


def test_the_gan_penalty_by_hand():
    """V(z) = w . z, E(x) = x and G = 0: both gradients are means that NumPy can take."""
    keras.utils.set_random_seed(0)
    w = np.array([0.5, -1.0])
    critic, encoder = (keras.layers.Dense(units, use_bias=False) for units in (1, 2))
    critic.build((None, 2))
    critic.kernel.assign(w[:, None])
    encoder.build((None, 2))
    encoder.kernel.assign(np.eye(2))
    generator = ImplicitModel(2, keras.layers.Dense(2, kernel_initializer="zeros"))
    model = WAE(generator, encoder, critic, penalty="gan", penalty_weight=3.0, seed=0)
    found = model.estimate_gradients(np.repeat(X, 500, axis=0))
    z, prior = np.float64(X), np.random.default_rng(0).normal(size=(400_000, 2))

    def sigmoid(v):
        return 1.0 / (1.0 + np.exp(-v))

    # The prior is real: its values are raised, those of E(x) lowered.
    exact = np.mean(sigmoid(z @ w)[:, None] * z, axis=0)
    exact -= np.mean(sigmoid(-prior @ w)[:, None] * prior, axis=0)
    assert np.allclose(np.array(found["critic"][0])[:, 0], exact, atol=0.01)
    exact = -3.0 * np.mean(sigmoid(-z @ w)[:, None] * z, axis=0)[:, None] * w
    assert np.allclose(found["encoder"][0], exact, atol=1e-3)
    assert not np.allclose(found["encoder"][0], -exact, atol=1e-3)


def test_bad_arguments():
    generator = ImplicitModel(2, networks.mlp([4], output_units=2))
    critic = networks.mlp([4], output_units=1)
    with pytest.raises(ValueError, match="needs `critic`"):
        WAE(generator, Normal(2), penalty="gan")
    with pytest.raises(ValueError, match="takes none"):
        WAE(generator, Normal(2), critic, penalty="mmd")
    with pytest.raises(ValueError, match="must be the same"):
        WAE(generator, Normal(3))
    with pytest.raises(ValueError, match="for a critic"):
        WAE(generator, Normal(2), weight_clip=0.1)
    with pytest.raises(ValueError, match="Did you mean"):
        WAE(generator, Normal(2), penalty="mdm")
