"""What every algorithm inherits: players, seeds, terms, shuffling, precision."""

import keras
import numpy as np
import pytest
from keras import ops
from scripts import binary_rows, small_model

import keras_dgm as dgm
from keras_dgm.backend.data import ArraySource


class Tug(dgm.Algorithm):
    """Two players a, b of one weight each: a minimises (a - b)^2, then b minimises (b + a)^2."""

    players = ("a", "b")
    terms = ("gap",)

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.a = self.add_weight(shape=(), initializer="ones", name="a")
        self.b = self.add_weight(shape=(), initializer="zeros", name="b")
        self.finish()

    def player_variables(self, player):
        return [getattr(self, player)]

    def train_step(self, data):
        self.unpack(data)
        with self.moving_together():
            gap, _ = self.minimize(lambda: (ops.convert_to_tensor(self.a) - self.b) ** 2, "a")
            self.minimize(lambda: (ops.convert_to_tensor(self.b) + self.a) ** 2, "b")
        return self.log({"gap": gap})


class Explodes(Tug):
    """Its term is not finite in the third step."""

    def train_step(self, data):
        self.unpack(data)
        step = self._train_terms.steps
        return self.log({"gap": ops.where(step == 2.0, np.nan, 1.0)})


ROWS = np.zeros((10, 2), "float32")


def moved(**options):
    model = Tug(seed=0, **options)
    model.compile({"a": keras.optimizers.SGD(0.1), "b": keras.optimizers.SGD(0.25)})
    model.fit(ROWS, batch_size=10, verbose=0)
    return float(model.a.value), float(model.b.value)


def test_players_move_in_turn_or_together():
    # a: 1 - 0.1 * 2 * (1 - 0) = 0.8; b sees 0.8 in turn, 1 together: 0 - 0.25 * 2 * (0 + a).
    assert moved(updates="alternating") == pytest.approx((0.8, -0.4))
    assert moved(updates="simultaneous") == pytest.approx((0.8, -0.5))


def test_one_optimizer_is_cloned_and_each_counts_its_own_steps():
    model = Tug(seed=0)
    first = keras.optimizers.Adam(0.01, beta_1=0.5, global_clipnorm=1.0)
    model.compile(first)
    model.fit(ROWS, batch_size=2, epochs=2, verbose=0)
    one, two = model.optimizer.by_player.values()
    assert one is first and two is not first and two.beta_1 == 0.5
    assert int(one.iterations.value) == int(two.iterations.value) == 10
    assert len(model.optimizer.variables) == len({id(v) for v in model.optimizer.variables})


def test_learning_rate_callbacks_reach_every_player():
    model = Tug(seed=0)
    model.compile({"a": "sgd", "b": "adam"})
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.5 * rate)
    before = [float(o.learning_rate) for o in model.optimizer.optimizers]
    model.fit(ROWS, batch_size=5, verbose=0, callbacks=[schedule])
    after = [float(o.learning_rate) for o in model.optimizer.optimizers]
    assert after == pytest.approx([0.5 * rate for rate in before])


def test_a_term_that_is_not_finite_stops_the_run_by_name():
    model = Explodes(seed=0)
    model.compile("sgd")
    with pytest.raises(ValueError, match="term 'gap' of Explodes.*epoch 1, step 3"):
        model.fit(ROWS, batch_size=2, epochs=3, verbose=0)


def test_robbins_monro_rates():
    rate = dgm.RobbinsMonro(0.1, constant_steps=10)
    steps = [0, 5, 9, 19, 99]
    expected = [0.1, 0.1, 0.1, 0.05, 0.01]
    np.testing.assert_allclose([float(rate(s)) for s in steps], expected, rtol=1e-6)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(rate))
    assert float(again(99)) == pytest.approx(0.01)
    with pytest.raises(ValueError, match="constant_steps"):
        dgm.RobbinsMonro(0.1, 0)
    model = Tug(seed=0)
    model.compile(keras.optimizers.SGD(rate))
    model.fit(ROWS, batch_size=5, verbose=0)


def test_shuffling_follows_seed_and_epoch():
    source = ArraySource({"x": np.arange(20)}, batch_size=6, shuffle=True)
    orders = []
    for seed, epoch in [(1, 0), (1, 1), (2, 0), (1, 0)]:
        source.begin_epoch(seed, epoch)
        orders.append(source.order().tolist())
    assert orders[0] == orders[3] and orders[0] != orders[1] and orders[0] != orders[2]
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert source.num_batches == 4 and source.partial_batch_size == 2


def fitted(seed=0, **options):
    keras.utils.set_random_seed(0)
    model = dgm.VAE(*small_model(), seed=seed)
    model.compile(keras.optimizers.SGD(0.05), **options)
    model.fit(binary_rows(50), batch_size=8, epochs=2, verbose=0)
    return np.concatenate([ops.convert_to_numpy(v).ravel() for v in model.trainable_variables])


def test_runs_repeat_by_seed_and_do_not_depend_on_steps_per_execution():
    one = fitted(steps_per_execution=1)
    np.testing.assert_array_equal(one, fitted(steps_per_execution=1))
    np.testing.assert_allclose(one, fitted(steps_per_execution=4), atol=1e-5)
    assert np.abs(one - fitted(seed=1, steps_per_execution=1)).max() > 1e-4


def test_evaluate_repeats_and_does_not_disturb_training():
    keras.utils.set_random_seed(0)
    model = dgm.IWAE(*small_model(), num_samples=4, seed=0)
    model.compile("sgd")
    first = model.evaluate(binary_rows(20), batch_size=8, verbose=0, return_dict=True)
    state = ops.convert_to_numpy(model.seed_state.value)
    second = model.evaluate(binary_rows(20), batch_size=8, verbose=0, return_dict=True)
    assert first == second
    np.testing.assert_array_equal(state, ops.convert_to_numpy(model.seed_state.value))
    assert {"elbo", "iw_bound", "kl", "active_units"} <= set(first)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = dgm.VAE(*small_model(), seed=0)
        model.compile(keras.optimizers.Adam(0.02))
        history = model.fit(binary_rows(60), batch_size=20, epochs=12, verbose=0).history
    finally:
        keras.config.set_dtype_policy("float32")
    assert history["elbo"][-1] > history["elbo"][0] + 0.1
    scaled = isinstance(list(model.optimizer.optimizers)[0], keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")


def test_dynamic_binarisation_draws_afresh():
    grey = np.full((40, 6), 0.5, "float32")
    model = dgm.VAE(*small_model(), seed=0, transform="dynamic_binarization")
    model.compile("sgd")
    first = ops.convert_to_numpy(model.unpack({"x": grey})["x"])
    second = ops.convert_to_numpy(model.unpack({"x": grey})["x"])
    assert set(np.unique(first)) == {0.0, 1.0} and not np.array_equal(first, second)
    model.fit(grey, batch_size=20, verbose=0)


def test_a_dataset_and_labels_in_tuples_are_taken_as_they_come():
    model = dgm.VAE(*small_model(), seed=0)
    model.compile("sgd", steps_per_execution=1)
    batches = ((binary_rows(8),) for _ in range(10))
    model.fit(batches, steps_per_epoch=3, verbose=0)


def build():
    model = dgm.VAE(*small_model(), seed=0)
    model.compile("sgd")
    return model


@pytest.mark.parametrize(
    "act, words",
    [
        (lambda m: m.fit(np.zeros((0, 6))), "data set is empty"),
        (lambda m: m.fit(binary_rows(8) * 255.0), "Divide pixels"),
        (lambda m: m.fit(binary_rows(8).reshape(8, 2, 3)), "reshape"),
        (lambda m: m.fit(np.zeros((8, 7), "float32")), "expected \\(n, 6\\)"),
        (lambda m: m.fit(np.arange(8.0)), "Are these labels"),
        (lambda m: m.fit(np.full((8, 6), np.nan, "float32")), "8 of its 8 rows"),
        (lambda m: m.fit(binary_rows(8), np.arange(8)), "takes no labels"),
        (lambda m: m.fit(binary_rows(8), sample_weight=np.ones(8)), "sample_weight"),
        (lambda m: m.fit(np.array(["a", "b"])), "array of numbers"),
        (lambda m: m.fit(binary_rows(8), validation_split=1.5), "between 0 and 1"),
        (lambda m: m.log_likelihood(binary_rows(4), num_samples=0), "1 at least"),
        (lambda m: m.compile({"join": "sgd"}), "Did you mean 'joint' for 'join'"),
        (lambda m: dgm.VAE(*small_model(), estimator="analytic-kl"), "Did you mean 'analytic_kl'"),
        (lambda m: dgm.VAE(*small_model(), num_samples=0), "1 at least"),
        (lambda m: dgm.VAE(*small_model(), updates="both"), "'simultaneous'"),
        (lambda m: dgm.VAE(*small_model(), transform="dynamic"), "transform"),
        (lambda m: dgm.IWAE(*small_model(), estimator="dregs"), "Did you mean 'dreg'"),
    ],
)
def test_bad_input_gets_a_clear_error(act, words):
    with pytest.raises(ValueError, match=words):
        act(build())


def test_discrete_latents_need_another_estimator():
    generative = dgm.models.LatentVariableModel(
        dgm.distributions.Bernoulli((3,)), dgm.distributions.Bernoulli((6,))
    )
    for rule in (dgm.VAE, dgm.IWAE):
        with pytest.raises(ValueError, match="have none"):
            rule(generative, dgm.distributions.Bernoulli((3,)))


def test_an_unsupported_backend_is_refused():
    from scripts import run

    done = run("import keras_dgm", environment={"KERAS_BACKEND": "numpy"}, check=False)
    assert done.returncode != 0
    assert "keras_dgm runs on TensorFlow and JAX" in done.stderr
