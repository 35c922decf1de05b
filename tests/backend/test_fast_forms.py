"""What is written for speed equals what it stands for."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_dgm as dgm
from keras_dgm import backend

LOGITS = np.array([-1e4, -200.0, -90.0, -17.0, -1.0, -1e-6, 0.0, 1e-6, 1.0, 17.0, 90.0, 1e4])


def value_and_slope(fn, logits):
    values, slopes = backend.value_and_input_grad(fn, ops.convert_to_tensor(logits, "float32"))
    return ops.convert_to_numpy(values), ops.convert_to_numpy(slopes)


def test_softplus_in_value_slope_and_curvature():
    values, slopes = value_and_slope(backend.softplus, LOGITS)
    np.testing.assert_allclose(values, np.logaddexp(0.0, LOGITS), rtol=1e-6, atol=1e-37)
    sigmoid = 1.0 / (1.0 + np.exp(-np.clip(LOGITS, -700.0, 700.0)))
    np.testing.assert_allclose(slopes, sigmoid, rtol=1e-6, atol=1e-37)

    def slope(x):
        return backend.value_and_input_grad(backend.softplus, x)[1]

    _, curvature = value_and_slope(slope, LOGITS)
    np.testing.assert_allclose(curvature, sigmoid * (1.0 - sigmoid), rtol=1e-4, atol=1e-7)


def test_the_bernoulli_density_is_that_of_tfp():
    layer = dgm.distributions.Bernoulli((2,))
    logits = np.stack([LOGITS, LOGITS[::-1]], axis=-1)
    value = np.tile([[1.0, 0.0], [0.0, 1.0], [0.3, 1.0]], (4, 1)).astype("float32")

    def ours(logits):
        return layer.log_prob_from({"logits": logits}, value)

    def theirs(logits):
        return layer.from_parameters({"logits": logits}).log_prob(value)

    for mine, other in zip(value_and_slope(ours, logits), value_and_slope(theirs, logits)):
        assert np.all(np.isfinite(mine))
        np.testing.assert_allclose(mine, other, rtol=1e-6, atol=1e-7)


class Bowl(dgm.Algorithm):
    """Least squares of two weights, one a matrix."""

    terms = ("loss",)

    def __init__(self):
        super().__init__(seed=0)
        self.kernel = self.add_weight(shape=(3, 2), initializer="ones", name="kernel")
        self.bias = self.add_weight(shape=(2,), initializer="zeros", name="bias")
        self.finish()

    def train_step(self, data):
        x = self.unpack(data)["x"]

        def loss_fn():
            out = ops.matmul(x, ops.convert_to_tensor(self.kernel)) + self.bias
            loss = ops.mean(ops.square(out - 0.3))
            return loss, {"loss": loss}

        return self.log(self.minimize(loss_fn)[1])


def trained(optimizer, **options):
    model = Bowl()
    model.compile(optimizer, **options)
    x = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
    model.fit(x, batch_size=5, epochs=2, verbose=0)
    state = [*model.trainable_variables, *model.optimizer.variables]
    return np.concatenate([ops.convert_to_numpy(v).astype("float32").ravel() for v in state])


def rates():
    return keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.7)


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.optimizers.Adam(rates(), beta_1=0.5, epsilon=1e-4),
        lambda: keras.optimizers.Adam(0.1, clipnorm=0.1, use_ema=True, ema_overwrite_frequency=4),
        lambda: keras.optimizers.Adam(0.1, gradient_accumulation_steps=2),
        lambda: keras.optimizers.AdamW(0.1, weight_decay=0.1),
    ],
    ids=["schedule", "clipping", "accumulation", "decay"],
)
def test_the_fused_adam_takes_the_steps_of_keras(make):
    # Eager steps are Keras' own. The kernel rounds 1 - beta_2 another way, 1e-5 of it.
    expected = trained(make(), run_eagerly=True)
    for steps in (1, 4):
        found = trained(make(), steps_per_execution=steps)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5)
    # The comparison can fail.
    other = trained(keras.optimizers.Adam(0.1, beta_2=0.99))
    assert other.shape != expected.shape or np.abs(other - expected).max() > 1e-3


def test_an_optimizer_with_an_update_of_its_own_keeps_it():
    class Halting(keras.optimizers.Adam):
        def update_step(self, gradient, variable, learning_rate):
            pass

    start = trained(keras.optimizers.SGD(0.0))[:8]
    np.testing.assert_array_equal(trained(Halting(0.1))[:8], start)
    assert np.abs(trained(keras.optimizers.Adam(0.1))[:8] - start).max() > 0.1


def test_a_step_is_traced_in_the_first_epoch_and_never_again():
    traced = []

    class Counting(Bowl):
        def train_step(self, data):
            traced.append(1)
            return super().train_step(data)

    model = Counting()
    model.compile("sgd", steps_per_execution=3)
    x = np.zeros((50, 3), "float32")
    # Ten steps an epoch: whole executions and a rest.
    model.fit(x, batch_size=5, verbose=0)
    first = len(traced)
    assert 0 < first <= 4
    model.fit(x, batch_size=5, epochs=3, verbose=0)
    model.fit(x + 1.0, batch_size=5, verbose=0)
    assert len(traced) == first
    # The count can rise: `compile` makes a new program.
    model.compile("sgd", steps_per_execution=3)
    model.fit(x, batch_size=5, verbose=0)
    assert len(traced) > first
