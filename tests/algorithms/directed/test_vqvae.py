"""VQ-VAE: gradients by hand, moving averages by hand, figures of the codebook's use."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_dgm as dgm
from keras_dgm.distributions import Bernoulli

BETA, CODES = 0.25, 4


def encoder():
    """Two positions with vectors of two numbers, linear in x."""
    return keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(4), keras.layers.Reshape((2, 2))]
    )


def small_model(**options):
    likelihood = Bernoulli((4,), network=keras.layers.Flatten())
    options = {"num_codes": CODES, "commitment": BETA, "seed": 0, **options}
    model = dgm.VQVAE(encoder(), likelihood, **options)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(size=variable.shape).astype("float32"))
    model.quantizer.assign_codebook(rng.normal(size=(CODES, 2)).astype("float32"))
    return model


def rows(count=6, seed=1):
    return (np.random.default_rng(seed).random((count, 4)) < 0.5).astype("float32")


def array(value):
    return np.array(ops.convert_to_numpy(value), "float64")


def by_hand(model, x, through=1.0):
    """The gradients of Eq. 3 as derived on paper, and the assignments.

    `through` scales what the straight-through estimator hands to the encoder: 1.
    """
    kernel, bias = map(array, model.encoder.trainable_variables)
    out_kernel, out_bias = map(array, model.likelihood.trainable_variables)
    codebook = array(model.quantizer.codebook)
    z = (x @ kernel + bias).reshape(-1, 2, 2)
    codes = np.argmin(((z[:, :, None] - codebook) ** 2).sum(-1), axis=-1)
    e = codebook[codes]
    flat = e.reshape(len(x), -1)
    residual = x - 1.0 / (1.0 + np.exp(-(flat @ out_kernel + out_bias)))
    size = len(x)
    to_z = -through * (residual @ out_kernel.T) + 2 * BETA * (z - e).reshape(size, -1)
    to_codes = np.zeros_like(codebook)
    np.add.at(to_codes, codes, 2 * (e - z) / size)
    gradients = {
        "encoder": [x.T @ to_z / size, to_z.mean(axis=0)],
        "likelihood": [-flat.T @ residual / size, -residual.mean(axis=0)],
        "codes": [to_codes],
    }
    return gradients, z, codes


def found(model, x):
    """The model's gradients, by part."""
    (player,) = model.players
    values = model.estimate_gradients({"x": x}, 0)[player]
    by_id = {id(v): g for v, g in zip(model.player_variables(player), values)}
    parts = {"encoder": model.encoder, "likelihood": model.likelihood, "codes": model.quantizer}
    return {name: [by_id[id(v)] for v in part.trainable_variables] for name, part in parts.items()}


def agree(found, exact):
    return all(
        np.allclose(a, b, atol=2e-5)
        for name in exact
        for a, b in zip(found[name], exact[name], strict=True)
    )


def test_gradients_are_those_derived_by_hand():
    model, x = small_model(), rows()
    exact, _, codes = by_hand(model, x.astype("float64"))
    assert len(np.unique(codes)) > 1
    got = found(model, x)
    assert agree(got, exact)
    blocked, _, _ = by_hand(model, x.astype("float64"), through=0.0)
    assert not agree(got, blocked)


def test_moving_averages_move_the_codebook_without_gradients():
    decay = 0.9
    model, x = small_model(ema_decay=decay), rows()
    assert not model.quantizer.trainable_variables
    _, z, codes = by_hand(model, x.astype("float64"))
    sums, counts = array(model.quantizer.sums), array(model.quantizer.counts)
    model.compile(keras.optimizers.SGD(0.0))
    model.fit(x, batch_size=6, epochs=1, shuffle=False, verbose=0)
    assigned = np.eye(CODES)[codes.reshape(-1)]
    counts = decay * counts + (1 - decay) * assigned.sum(axis=0)
    sums = decay * sums + (1 - decay) * assigned.T @ z.reshape(-1, 2)
    np.testing.assert_allclose(array(model.quantizer.counts), counts, atol=1e-5)
    np.testing.assert_allclose(array(model.quantizer.codebook), sums / counts[:, None], atol=1e-4)


@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_the_elbo_perplexity_and_dead_codes(ema_decay, tmp_path):
    model, x = small_model(ema_decay=ema_decay), rows(10)
    _, z, codes = by_hand(model, x.astype("float64"))
    model.compile(keras.optimizers.SGD(0.0))
    got = model.evaluate(x, batch_size=4, verbose=0, return_dict=True)
    share = np.bincount(codes.reshape(-1), minlength=CODES) / codes.size
    used = share[share > 0]
    assert got["perplexity"] == pytest.approx(np.exp(-np.sum(used * np.log(used))), rel=1e-5)
    assert got["dead_codes"] == np.sum(share == 0)
    assert got["kl"] == pytest.approx(2 * np.log(CODES))
    np.testing.assert_array_equal(model.encode(x), codes)
    logits = array(model.quantizer.codebook)[codes].reshape(len(x), -1)
    kernel, bias = map(array, model.likelihood.trainable_variables)
    logits = logits @ kernel + bias
    bound = np.sum(x * logits - np.logaddexp(0, logits), axis=1) - 2 * np.log(CODES)
    np.testing.assert_allclose(model.log_likelihood(x), bound, atol=1e-4)
    assert got["elbo"] == pytest.approx(bound.mean(), abs=1e-4)
    error = np.sum((z - array(model.quantizer.codebook)[codes]) ** 2, axis=(1, 2)).mean()
    assert got["quantization_error"] == pytest.approx(error, rel=1e-4)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again.encode(x), codes)
    np.testing.assert_allclose(again.reconstruct(x), model.reconstruct(x), rtol=1e-6)
    np.testing.assert_allclose(model.decode(codes), model.reconstruct(x), rtol=1e-6)


def test_learning_uses_the_codes():
    """Four kinds of rows: with codes begun at data, each is told by its codes."""
    kinds = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [0, 1, 0, 1]], "float32")
    x = np.repeat(kinds, 50, axis=0)
    model = small_model(ema_decay=0.9)
    model.init_codebook(x[::10] + 0.0)
    model.compile(keras.optimizers.Adam(0.02))
    before = model.evaluate(x, verbose=0, return_dict=True)["reconstruction"]
    model.fit(x, batch_size=20, epochs=30, verbose=0)
    after = model.evaluate(x, verbose=0, return_dict=True)["reconstruction"]
    assert after < 0.5 < before
    assert len(np.unique(model.encode(kinds).reshape(4, -1), axis=0)) == 4


def test_refusals():
    with pytest.raises(ValueError, match="num_codes"):
        small_model(num_codes=1)
    with pytest.raises(ValueError, match="commitment"):
        small_model(commitment=-1.0)
    with pytest.raises(ValueError, match="ema_decay"):
        small_model(ema_decay=1.0)
    model = small_model()
    with pytest.raises(ValueError, match="Codes are integers"):
        model.decode(np.zeros((1, 2)))
    with pytest.raises(ValueError, match="as many vectors"):
        model.init_codebook(rows(1))
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        model.encode(2.0 * np.ones((1, 4), "float32"))
