"""Our algorithms on the Dirac-GAN: 500 steps of plain gradient descent, to three digits."""

import keras
import numpy as np
import pytest
from games import Point, Slope, values

import keras_dgm as dgm
from keras_dgm.algorithms.adversarial.penalties import GradientPenalty, R1Penalty
from keras_dgm.models import ImplicitModel
from keras_dgm.testing import DiracGAN

GAMES = {
    "gan": (dgm.GAN, {"objective": "minimax"}, {}),
    "non_saturating": (
        dgm.GAN,
        {"objective": "non_saturating"},
        {"objective": "non_saturating"},
    ),
    "wgan": (dgm.WGAN, {"weight_clip": None, "critic_steps": 1}, {"objective": "wgan"}),
    "clipped": (
        dgm.WGAN,
        {"weight_clip": 0.3, "critic_steps": 1},
        {"objective": "wgan", "clip": 0.3},
    ),
    "gradient_penalty": (
        dgm.WGANGP,
        {"penalty_weight": 0.5, "penalty_target": 0.3, "critic_steps": 1},
        {"objective": "wgan", "gradient_penalty": 0.5},
    ),
    "r1": (dgm.GAN, {"objective": "minimax", "penalties": [R1Penalty(0.3)]}, {"r1": 0.3}),
}
SCHEDULES = {
    "simultaneous": {"updates": "simultaneous"},
    "alternating": {"updates": "alternating", "order": ("generator", "critic")},
    "critic_first": {"updates": "alternating", "order": ("critic", "generator")},
}
# Radius after 500 steps, by schedule: the figures that were worked out by hand.
RADII = {
    "gan": (2.254, 1.415, 1.414),
    "non_saturating": (0.521, 0.390, 0.381),
    "wgan": (17.02, 1.410, 1.419),
    "clipped": (0.333, 0.303, 0.294),
    "gradient_penalty": (0.388, 0.443, 0.422),
    "r1": (9.196e-4, 4.816e-4, 5.02e-4),
}


def radius(algorithm, **options):
    """The distance from (0, 0) at which our algorithm ends."""
    game = algorithm(ImplicitModel(1, Point()), Slope(), seed=0, **options)
    game.compile(keras.optimizers.SGD(0.1), steps_per_execution=100)
    game.fit(np.zeros((500, 1), "float32"), batch_size=1, verbose=0)
    theta, psi = values([game.generator.network.theta, game.critic.psi])
    return float(np.hypot(theta, psi[0, 0]))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", GAMES)
def test_radius_is_the_exact_one(name, schedule):
    algorithm, options, oracle = GAMES[name]
    found = radius(algorithm, **options, **SCHEDULES[schedule])
    exact = DiracGAN(**oracle, **SCHEDULES[schedule]).radius(500)
    assert found == pytest.approx(exact, rel=5e-4)
    assert found == pytest.approx(RADII[name][list(SCHEDULES).index(schedule)], rel=2e-3)


def test_the_fgan_of_the_gan_plays_the_same_game():
    found = radius(dgm.FGAN, divergence="gan", updates="simultaneous")
    assert found == pytest.approx(2.254, rel=1e-3)


def test_a_wrong_weight_of_a_penalty_does_not_pass():
    # The usual lambda of 1 ends elsewhere, and so does the same game in another order.
    wrong = [GradientPenalty(1.0, 0.3)]
    found = radius(
        dgm.WGAN, weight_clip=None, critic_steps=1, penalties=wrong, updates="simultaneous"
    )
    assert found == pytest.approx(0.600, rel=2e-3)
    assert abs(found / RADII["gradient_penalty"][0] - 1) > 0.3
    for figures in RADII.values():
        assert abs(figures[0] / figures[1] - 1) > 2e-3
