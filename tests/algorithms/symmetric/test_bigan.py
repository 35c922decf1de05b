"""BiGAN: its objective at a known critic, its moves, its files."""

import keras
import numpy as np
import pytest
from keras import ops
from symmetric_machines import plane_rows, values

from keras_dgm import BiGAN, networks
from keras_dgm.distributions import Bernoulli, Normal
from keras_dgm.models import ImplicitModel

X = plane_rows(200)


@keras.saving.register_keras_serializable(package="tests")
class Product(keras.layers.Layer):
    """V(x, z) = psi sum(x z)."""

    takes_condition = True

    def build(self, input_shape):
        self.psi = self.add_weight(shape=(), initializer="ones", name="psi")

    def call(self, inputs):
        return ops.sum(inputs[0] * inputs[1], axis=-1, keepdims=True) * self.psi

    def compute_output_shape(self, input_shape):
        return (input_shape[0][0], 1)


def scaling(factor):
    """x -> factor x on the plane, without a bias."""
    layer = keras.layers.Dense(2, use_bias=False)
    layer.build((None, 2))
    layer.kernel.assign(factor * np.eye(2))
    return layer


def softplus(v):
    return np.log1p(np.exp(v))


def sigmoid(v):
    return 1.0 / (1.0 + np.exp(-v))


@pytest.mark.parametrize("objective", ["non_saturating", "minimax"])
def test_losses_and_gradients_by_hand(objective):
    """E(x) = 0.5 x and G(z) = 2 z: V on (x, E(x)) is |x|^2 / 2, and on (G(z), z) 2 |z|^2."""
    game = BiGAN(ImplicitModel(2, scaling(2.0)), scaling(0.5), Product(), objective, seed=0)
    rows = np.repeat(X, 250, axis=0)
    found = game.estimate_gradients(rows, seed=1)
    real = 0.5 * np.sum(np.float64(X) ** 2, axis=1)
    z = np.random.default_rng(0).normal(size=(200_000, 2))
    fake = 2.0 * np.sum(z**2, axis=1)
    psi = np.mean(-sigmoid(-real) * real) + np.mean(sigmoid(fake) * fake)
    assert np.array(found["critic"][0]) == pytest.approx(psi, rel=0.01)
    # dV / d kernel_ij is x_i x_j for the encoder and z_i z_j for the generator.
    xx, zz = (np.einsum("ni,nj->nij", v, v) for v in (np.float64(X), z))
    if objective == "non_saturating":
        slopes = sigmoid(real), -sigmoid(-fake)
    else:
        slopes = sigmoid(-real), -sigmoid(fake)
    for player, slope, outer in zip(("encoder", "generator"), slopes, (xx, zz)):
        exact = np.mean(slope[:, None, None] * outer, axis=0)
        assert np.allclose(found[player][0], exact, atol=0.02), player
        assert not np.allclose(found[player][0], -exact, atol=0.02)
    game.compile()
    terms = game.evaluate(rows, batch_size=len(rows), return_dict=True, verbose=0)
    assert terms["critic_loss"] == pytest.approx(
        softplus(-real).mean() + softplus(fake).mean(), rel=0.02
    )


def plane_game(stochastic=True, **kwargs):
    keras.utils.set_random_seed(0)
    generator = ImplicitModel(2, networks.mlp([16], output_units=2))
    body = networks.mlp([16])
    encoder = Normal(2, body) if stochastic else networks.mlp([16], output_units=2)
    critic = networks.joint_mlp([16], output_units=1)
    return BiGAN(generator, encoder, critic, seed=0, **kwargs)


def test_training_inference_and_files(tmp_path):
    game = plane_game(critic_steps=2, penalties="r1", ema_decay=0.9)
    game.compile(keras.optimizers.Adam(5e-3, beta_1=0.5))
    before = {player: values(game.player_variables(player)) for player in game.players}
    history = game.fit(X, batch_size=50, epochs=40, verbose=0).history
    assert all(np.isfinite(v).all() for v in history.values())
    for player, old in before.items():
        assert np.any(old[0] != values(game.player_variables(player))[0]), player
    # The data lie at distance sqrt(2) from where an untrained generator puts its samples.
    assert np.linalg.norm(game.sample(500, seed=1).mean(axis=0) - 1.0) < 0.7
    game.save(tmp_path / "bigan.keras")
    again = keras.saving.load_model(tmp_path / "bigan.keras")
    assert np.array_equal(again.reconstruct(X[:4], 3), game.reconstruct(X[:4], 3))
    assert not np.array_equal(game.infer(X[:4], 3), game.infer(X[:4], 4))


def test_a_deterministic_encoder_infers_one_z():
    game = plane_game(stochastic=False)
    assert np.array_equal(game.infer(X[:4], 3), game.infer(X[:4], 4))
    assert BiGAN.from_config(game.get_config()).order == game.order


def test_bad_parts():
    generator = ImplicitModel(2, networks.mlp([4], output_units=2))
    critic = networks.joint_mlp([4], output_units=1)
    with pytest.raises(ValueError, match="must be the same"):
        BiGAN(generator, Normal(3), critic)
    with pytest.raises(ValueError, match="gradient through draws"):
        BiGAN(generator, Bernoulli((2,)), critic)
    with pytest.raises(ValueError, match="two inputs"):
        BiGAN(generator, Normal(2), networks.mlp([4], output_units=1))
    conditional = ImplicitModel(2, networks.joint_mlp([4], output_units=2, num_classes=3), 3)
    with pytest.raises(ValueError, match="z alone"):
        BiGAN(conditional, Normal(2), critic)
