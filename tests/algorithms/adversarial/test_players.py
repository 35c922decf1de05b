"""Who moves when, with which rows, and what nobody else may touch."""

import keras
import numpy as np
import pytest
from games import plane_critic, plane_model, plane_rows, values
from keras import ops
from scipy import stats

import keras_dgm as dgm
from keras_dgm import backend, networks
from keras_dgm.models import ImplicitModel


def normalized_model():
    """A generator with batch statistics."""
    keras.utils.set_random_seed(0)
    network = networks.mlp([8], output_units=2, normalization="batch")
    return ImplicitModel(2, network)


def changed(before, after):
    """Which of the arrays differ."""
    return [not np.array_equal(a, b) for a, b in zip(before, after)]


class Alone(dgm.SNGAN):
    """Only one player moves."""

    who = "critic"

    def move(self, player, data, seed):
        if player == self.who:
            return super().move(player, data, seed)
        own = {"generator_loss"}
        names = own if player == "generator" else set(self.terms) - own
        return dict.fromkeys(names, 0.0)


def test_each_player_touches_its_own_weights_and_statistics_alone():
    def moved(who):
        """Paths of the variables that change when one player moves."""
        model = Alone(normalized_model(), plane_critic("spectral"), seed=0)
        model.who = who
        model.compile(keras.optimizers.SGD(0.1), steps_per_execution=2)
        parts = {"generator": model.generator.variables, "critic": model.critic.variables}
        before = {name: values(part) for name, part in parts.items()}
        model.fit(plane_rows(32), batch_size=16, verbose=0)
        return {
            name: [v.path for v, a, b in zip(part, before[name], values(part)) if (a != b).any()]
            for name, part in parts.items()
        }

    by_critic, by_generator = moved("critic"), moved("generator")
    assert not by_critic["generator"] and not by_generator["critic"]
    # Statistics and power iterations do change, each by its own player.
    assert any(path.endswith("/u") for path in by_critic["critic"])
    assert any("moving" in path for path in by_generator["generator"])
    assert any("kernel" in path for path in by_generator["generator"])


def test_no_gradient_flows_to_the_other_player():
    model = dgm.WGANGP(plane_model(), plane_critic(), critic_steps=1, seed=0)
    model.compile(
        {"critic": keras.optimizers.SGD(0.1), "generator": keras.optimizers.SGD(0.0)},
        steps_per_execution=2,
    )
    before = values(model.generator.variables), values(model.critic.variables)
    model.fit(plane_rows(32), batch_size=16, verbose=0)
    after = values(model.generator.variables), values(model.critic.variables)
    assert not any(changed(before[0], after[0]))
    assert any(changed(before[1], after[1]))


def test_each_critic_move_has_rows_of_its_own():
    model = dgm.GAN(plane_model(), plane_critic(), critic_steps=3, seed=0)
    x = ops.convert_to_tensor(np.arange(24.0, dtype="float32").reshape(12, 2))
    parts = [ops.convert_to_numpy(part["x"]) for part in model.parts({"x": x})]
    np.testing.assert_array_equal(np.concatenate(parts), ops.convert_to_numpy(x))
    for rows, size in ((11, 4), (10, 4), (2, 1), (1, 1)):
        parts = model.parts({"x": x[:rows]})
        parts = [ops.convert_to_numpy(part["x"]) for part in parts]
        assert [len(part) for part in parts] == [size] * 3
        assert {row for part in parts for row in part[:, 0]} == {2.0 * i for i in range(rows)}


def test_critic_steps_and_batch_size():
    model = dgm.GAN(plane_model(), plane_critic(), critic_steps=3, seed=0)
    model.compile(keras.optimizers.SGD(0.01), steps_per_execution=1)
    model.fit(plane_rows(50), batch_size=8, verbose=0)  # two steps of 24 rows and one of 2
    moves = {name: int(o.iterations) for name, o in model.optimizer.by_player.items()}
    assert moves == {"critic": 9, "generator": 3}


class Counted(keras.layers.Layer):
    """Notes the rows of every call."""

    rows = None

    def __init__(self, network, calls):
        super().__init__()
        self.network, self.note = network, calls.append

    def build(self, shape):
        self.network.build(shape)

    def call(self, x):
        self.note(x.shape[0])
        return self.network(x)


def test_passes_per_step_are_as_the_docstring_says():
    generated, judged = [], []
    model = dgm.GAN(
        ImplicitModel(2, Counted(networks.mlp([4], output_units=2), generated)),
        Counted(plane_critic(), judged),
        critic_steps=2,
        seed=0,
    )
    generated.clear(), judged.clear()
    model.estimate_gradients(plane_rows(10))
    assert generated == [5, 5, 5]  # G: 1 + critic_steps forwards
    assert judged == [10, 10, 5]  # V: data and samples as one batch, then the generator's


def test_critics_whose_rows_see_each_other_get_two_batches():
    judged = []
    critic = keras.Sequential([Counted(plane_critic("batch"), judged)])
    model = dgm.GAN(plane_model(), critic, seed=0)
    judged.clear()
    model.estimate_gradients(plane_rows(6))
    assert judged == [6, 6, 6]


def test_players_who_move_together_share_their_draws():
    seen = {}

    class Noting(dgm.GAN):
        def fake(self, data, seed, training):
            x = super().fake(data, seed, training)
            seen.setdefault(self.updates, []).append(ops.convert_to_numpy(x))
            return x

        def minimize(self, loss_fn, player="joint"):  # look at the draws, without a gradient
            return loss_fn()

    for updates in ("simultaneous", "alternating"):
        model = Noting(plane_model(), plane_critic(), updates=updates, critic_steps=2, seed=0)
        model.train_step(ops.convert_to_tensor(plane_rows(8)))
    first, last, generator = seen["simultaneous"]
    np.testing.assert_array_equal(last, generator)
    assert not np.array_equal(first, last)
    first, last, generator = seen["alternating"]
    assert not np.array_equal(last, generator)


def test_weight_clipping_follows_each_critic_move():
    model = dgm.GAN(plane_model(), plane_critic(), weight_clip=0.05, seed=0)
    model.compile(keras.optimizers.SGD(1.0), steps_per_execution=2)
    model.fit(plane_rows(16), batch_size=8, verbose=0)
    critic, generator = (values(p.trainable_variables) for p in (model.critic, model.generator))
    assert max(np.abs(part).max() for part in critic) == pytest.approx(0.05)
    assert max(np.abs(part).max() for part in generator) > 0.05


def test_the_average_is_the_recursion_and_sampling_uses_it():
    model = dgm.GAN(plane_model(), plane_critic(), ema_decay=0.5, seed=0)
    model.compile(keras.optimizers.SGD(0.5), steps_per_execution=1)
    expected = values(model.generator.trainable_variables)
    for move in range(12):
        model.fit(plane_rows(8, seed=move), batch_size=8, verbose=0)
        decay = min(0.5, (1 + move) / (10 + move))
        weights = values(model.generator.trainable_variables)
        expected = [decay * a + (1 - decay) * w for a, w in zip(expected, weights)]
    for found, exact in zip(values(model.average.averages), expected):
        np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-6)
    drawn, raw = model.sample(20, seed=1), model.sample(20, seed=1, averaged=False)
    assert not np.allclose(drawn, raw)
    model.average.write_to_weights()
    np.testing.assert_allclose(model.sample(20, seed=1, averaged=False), drawn, rtol=1e-5)
    with pytest.raises(ValueError, match="no average to sample from"):
        dgm.GAN(plane_model(), plane_critic()).sample(2, averaged=True)


def test_instance_noise_and_its_schedule():
    decay = keras.optimizers.schedules.PolynomialDecay(2.0, 10, 0.0)
    model = dgm.GAN(plane_model(), plane_critic(), instance_noise=decay, seed=0)
    x = ops.zeros((5000, 2))
    shown = ops.convert_to_numpy(model.shown(x, backend.as_seed(0)))
    assert shown.std() == pytest.approx(2.0, rel=0.05)
    model.compile(keras.optimizers.SGD(0.01), steps_per_execution=1)
    model.fit(plane_rows(20), batch_size=4, verbose=0)  # five moves: half-way
    shown = ops.convert_to_numpy(model.shown(x, backend.as_seed(0)))
    assert shown.std() == pytest.approx(1.0, rel=0.05)
    still = dgm.GAN(plane_model(), plane_critic())
    np.testing.assert_array_equal(still.shown(x, backend.as_seed(0)), x)
    with pytest.raises(ValueError, match="instance_noise"):
        dgm.GAN(plane_model(), plane_critic(), instance_noise=-1.0)


def test_truncated_noise_has_the_truncated_law():
    model = ImplicitModel(1, networks.mlp([2], output_units=1))
    noise = ops.convert_to_numpy(model.draw_noise(4000, 0, truncation=1.5))[:, 0]
    assert np.abs(noise).max() <= 1.5
    assert stats.kstest(noise, stats.truncnorm(-1.5, 1.5).cdf).pvalue > 1e-3
    assert stats.kstest(noise, "uniform", args=(-1.5, 3.0)).pvalue < 1e-3
    gan = dgm.GAN(plane_model(), plane_critic())
    assert gan.sample(7, seed=0, truncation=0.5).std() < gan.sample(7, seed=0).std()
    with pytest.raises(ValueError, match="Truncation takes normal noise"):
        model.draw_noise(3, 0, truncation=-1.0)


def test_samples_depend_on_the_seed_and_come_in_pieces():
    model = dgm.GAN(plane_model(), plane_critic(), seed=0)
    drawn = model.sample(1100, seed=3)
    assert drawn.shape == (1100, 2) and len(np.unique(drawn, axis=0)) == 1100
    np.testing.assert_array_equal(drawn, model.sample(1100, seed=3))
    assert not np.array_equal(drawn, model.sample(1100, seed=4))


def test_bad_arguments():
    with pytest.raises(ValueError, match="names each of the players"):
        dgm.GAN(plane_model(), plane_critic(), order=("critic", "decoder"))
    with pytest.raises(ValueError, match="critic_steps"):
        dgm.GAN(plane_model(), plane_critic(), critic_steps=0)
    with pytest.raises(ValueError, match="weight_clip"):
        dgm.GAN(plane_model(), plane_critic(), weight_clip=0.0)
    with pytest.raises(ValueError, match="ema_decay"):
        dgm.GAN(plane_model(), plane_critic(), ema_decay=1.0)
    with pytest.raises(ValueError, match="Did you mean 'minimax'"):
        dgm.GAN(plane_model(), plane_critic(), objective="minmax")
    with pytest.raises(ValueError, match="one number|1 number"):
        dgm.GAN(plane_model(), networks.mlp([4], output_units=3))
    with pytest.raises(ValueError, match="last activation"):
        dgm.GAN(plane_model(), networks.mlp([4], output_units=1, output_activation="sigmoid"))
    with pytest.raises(ValueError, match="no spectrally normalised layer"):
        dgm.SNGAN(plane_model(), plane_critic())
    with pytest.raises(ValueError, match="takes no labels"):
        model = dgm.GAN(plane_model(), plane_critic())
        model.compile("sgd")
        model.fit(plane_rows(4), np.zeros(4, "int32"), verbose=0)
