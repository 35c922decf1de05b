"""Wake-sleep and reweighted wake-sleep, on discrete and on Gaussian latents."""

import keras
import numpy as np
import pytest
from discrete import BINARY, categorical_network, check, with_fixed_draws
from keras import ops
from oracles import belief_network, linear_gaussian, raw_gradient

import keras_dgm as dgm
from keras_dgm.algorithms.directed import phases, weights
from keras_dgm.testing.numeric import log_sum_exp


def gaussian(latent, rows=3):
    """(oracle, generative, inference, x) of a linear-Gaussian model."""
    oracle, generative, inference = linear_gaussian(2, latent)
    x = oracle.sample(rows, np.random.default_rng(1))[0].astype("float32")
    return oracle, generative, inference, x


def gaussian_rws(oracle, x, phi_update, num_samples=2):
    """Minus the expected update, in the layers' raw parameters."""
    exact = oracle.loss_gradient("rws", x, num_samples)
    sleep = oracle.loss_gradient("sleep", x)["inference"]
    if phi_update == "sleep":
        exact["inference"] = sleep
    elif phi_update == "both":
        exact["inference"] = [a + b for a, b in zip(exact["inference"], sleep)]
    return raw_gradient(oracle, exact)


@pytest.mark.parametrize("latents", [[3], [3, 2]])
@pytest.mark.parametrize("phi_update", ["wake", "sleep", "both"])
def test_rws_on_discrete_latents(phi_update, latents):
    oracle, generative, inference = belief_network(latents)
    model = dgm.ReweightedWakeSleep(
        generative, inference, num_samples=2, phi_update=phi_update, seed=0
    )
    exact = oracle.loss_gradient("rws", BINARY, num_samples=2, phi_update=phi_update)
    found = check(model, exact)
    assert found.passed(), found


@pytest.mark.parametrize("latents,num_samples", [([3], 1), ([3, 2], 3)])
def test_wake_sleep_on_discrete_latents(latents, num_samples):
    oracle, generative, inference = belief_network(latents)
    model = dgm.WakeSleep(generative, inference, num_samples=num_samples, seed=0)
    found = check(model, oracle.loss_gradient("wake_sleep", BINARY))
    assert found.passed(), found


def test_rws_on_categorical_latents():
    oracle, generative, inference = categorical_network()
    model = dgm.ReweightedWakeSleep(generative, inference, num_samples=2, phi_update="both", seed=0)
    exact = oracle.loss_gradient("rws", BINARY, num_samples=2, phi_update="both")
    exact["generative"][0] = exact["generative"][0].reshape(generative.latent_shape)
    found = check(model, exact)
    assert found.passed(), found


def test_wake_sleep_on_gaussian_latents():
    oracle, generative, inference, x = gaussian(2)
    model = dgm.WakeSleep(generative, inference, seed=0)
    found = check(model, raw_gradient(oracle, oracle.loss_gradient("wake_sleep", x)), x)
    assert found.passed(), found


@pytest.mark.parametrize("phi_update", ["wake", "both"])
def test_rws_on_gaussian_latents(phi_update):
    oracle, generative, inference, x = gaussian(1)
    model = dgm.ReweightedWakeSleep(
        generative, inference, num_samples=2, phi_update=phi_update, seed=0
    )
    found = check(model, gaussian_rws(oracle, x, phi_update), x, copies=1000)
    assert found.passed(), found


class _DrawsWithGradient(dgm.ReweightedWakeSleep):
    """Wrong: the wake phase differentiates through its draws."""

    def draw(self, x, num_samples, seed, training=None, stop_gradient=False):
        return super().draw(x, num_samples, seed, training, stop_gradient=False)


def _dreams_with_gradient(algorithm, num_dreams, seed):
    """Wrong: theta learns to be explained."""
    return algorithm.generative.sample(num_dreams, seed, training=True)


def _over_the_batch(log_weights):
    """Wrong: weights normalised over the batch too."""
    log_weights = ops.stop_gradient(log_weights)
    return ops.exp(log_weights - ops.logsumexp(log_weights)) * log_weights.shape[1]


def _equal(log_weights):
    """Wrong: every draw counts the same."""
    return ops.full_like(log_weights, 1.0 / log_weights.shape[0])


def _with_gradient(log_weights):
    """Wrong: the weights carry gradient."""
    return ops.exp(log_weights - ops.logsumexp(log_weights, axis=0, keepdims=True))


@pytest.mark.parametrize("wrong", ["draws", "dreams", "over_the_batch", "equal", "with_gradient"])
def test_the_check_rejects_wrong_phases(wrong, monkeypatch):
    oracle, generative, inference, x = gaussian(1)
    cls = _DrawsWithGradient if wrong == "draws" else dgm.ReweightedWakeSleep
    if wrong == "dreams":
        monkeypatch.setattr(phases, "dream", _dreams_with_gradient)
    elif wrong != "draws":
        functions = {"over_the_batch": _over_the_batch, "equal": _equal}
        function = functions.get(wrong, _with_gradient)
        monkeypatch.setattr(weights, "normalized", function)
    phi_update = "both" if wrong == "dreams" else "wake"
    model = cls(generative, inference, num_samples=2, phi_update=phi_update, seed=0)
    assert not check(model, gaussian_rws(oracle, x, phi_update), x, copies=1000).passed()


def test_wake_and_sleep_move_phi_differently():
    oracle, generative, inference = belief_network([3])
    model = dgm.WakeSleep(generative, inference, seed=0)
    wake = oracle.loss_gradient("rws", BINARY, num_samples=2)["inference"]
    assert not check(model, {"inference": wake}).passed()


def _gradients(model, x):
    return {
        p: np.concatenate([g.ravel() for g in gs])
        for p, gs in model.estimate_gradients(x, seed=3).items()
    }


def test_nothing_leaks_between_theta_and_phi():
    """On Gaussian latents, whose draws would carry gradient if they were let."""
    _, generative, inference, x = gaussian(2)
    _, _, _, other = gaussian(2, rows=3)
    other = other + 1.0
    found = {}
    for phi_update in ("wake", "sleep", "both"):
        model = dgm.ReweightedWakeSleep(
            generative, inference, num_samples=3, phi_update=phi_update, seed=0
        )
        found[phi_update] = _gradients(model, x)
        if phi_update == "sleep":
            elsewhere = _gradients(model, other)
    # Theta does not know whether phi dreams, nor what phi is taught.
    for phi_update in ("sleep", "both"):
        np.testing.assert_allclose(
            found["wake"]["generative"], found[phi_update]["generative"], rtol=1e-6
        )
    # A sleeping phi does not know the data.
    np.testing.assert_allclose(found["sleep"]["inference"], elsewhere["inference"], rtol=1e-6)
    assert np.abs(found["sleep"]["generative"] - elsewhere["generative"]).max() > 1e-2
    # The phases add up.
    np.testing.assert_allclose(
        found["wake"]["inference"] + found["sleep"]["inference"],
        found["both"]["inference"],
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("rule", ["rws", "wake_sleep"])
def test_gradients_equal_float64_arithmetic_on_the_same_draws(rule):
    """Both backends are held to the same figures, so they agree with each other."""
    oracle, generative, _ = belief_network([3, 2])
    inference, states = with_fixed_draws(oracle, 3)
    tables = [oracle.log_weights(x)[states[:, b]] for b, x in enumerate(BINARY)]
    log_weights = np.stack(tables, axis=1)
    if rule == "rws":
        model = dgm.ReweightedWakeSleep(generative, inference, num_samples=3, seed=0)
        coefficients = np.exp(log_weights - log_sum_exp(log_weights, axis=0))
    else:
        model = dgm.WakeSleep(generative, inference, num_samples=3, seed=0)
        coefficients = np.full(log_weights.shape, 1.0 / 3.0)
    exact = {"generative": 0.0, "inference": 0.0}
    for b, x in enumerate(BINARY.astype("float64")):
        weighted = coefficients[:, b] / len(BINARY)
        exact["generative"] -= weighted @ oracle.generative_scores(x)[states[:, b]]
        exact["inference"] -= weighted @ oracle.inference_scores(x)[states[:, b]]
    found = _gradients(model, BINARY)
    for player in ("generative",) if rule == "wake_sleep" else exact:
        scale = np.abs(exact[player]).max()
        np.testing.assert_allclose(found[player], exact[player], rtol=1e-5, atol=1e-5 * scale)


def test_wake_sleep_is_rws_with_one_draw_and_a_sleeping_phi():
    _, generative, inference = belief_network([3, 2])
    one = dgm.WakeSleep(generative, inference, seed=0)
    other = dgm.ReweightedWakeSleep(
        generative, inference, num_samples=1, phi_update="sleep", seed=0
    )
    mine, theirs = _gradients(one, BINARY), _gradients(other, BINARY)
    for player in ("generative", "inference"):
        np.testing.assert_allclose(mine[player], theirs[player], rtol=1e-5, atol=1e-6)


def test_updates_alternating_dreams_of_the_moved_theta():
    """From one state, both orders move theta alike and phi differently."""
    x = np.repeat(BINARY, 50, axis=0)
    moved = {}
    for updates in ("simultaneous", "alternating"):
        _, generative, inference = belief_network([3])
        model = dgm.WakeSleep(generative, inference, updates=updates, seed=0)
        model.compile(keras.optimizers.SGD(1.0))
        model.fit(x, batch_size=100, shuffle=False, verbose=0)
        moved[updates] = [
            [ops.convert_to_numpy(v) for v in side.trainable_variables]
            for side in (generative, inference)
        ]
    for mine, other in zip(*(moved[u][0] for u in moved)):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)
    differences = [np.abs(a - b).max() for a, b in zip(*(moved[u][1] for u in moved))]
    assert max(differences) > 1e-3


def test_errors_say_what_to_do():
    _, generative, inference = belief_network([3])
    with pytest.raises(ValueError, match="Did you mean 'sleep'"):
        dgm.ReweightedWakeSleep(generative, inference, phi_update="sleeps")
    with pytest.raises(ValueError, match="num_samples >= 2, or phi_update='sleep'"):
        dgm.ReweightedWakeSleep(generative, inference, num_samples=1)
    with pytest.raises(ValueError, match="1 at least; received 0"):
        dgm.WakeSleep(generative, inference, num_samples=0)
