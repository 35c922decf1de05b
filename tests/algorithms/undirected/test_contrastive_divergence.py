"""Contrastive divergence against enumeration: its expectation, and the term it leaves out."""

import boltzmann_machines as machines
import keras
import numpy as np
import pytest
from keras import ops

import keras_dgm as dgm
from keras_dgm import distributions, models, networks, sampling, testing

NUM_STEPS = 2


def check(algorithm, exact, x, num_draws=40, copies=500):
    return testing.check_gradient_estimator(
        algorithm, {"field": exact}, num_draws, data=x, batch_copies=copies
    )


def test_cd_and_the_full_gradient_have_their_expectations():
    rbm, oracle = machines.small_rbm(4, 3, seed=1, scale=2.0)
    x = machines.data_rows(oracle)
    # Losses descend: minus the oracle's ascent directions.
    cd = [-g for g in oracle.contrastive_divergence_gradient(x, NUM_STEPS)]
    full = oracle.contrastive_divergence_full_gradient(x, NUM_STEPS)
    finite = testing.numeric.numeric_gradient(
        lambda p: oracle.with_parameters(p).contrastive_divergence(x, NUM_STEPS),
        oracle.parameters,
    )
    for ours, difference in zip(full, finite):
        np.testing.assert_allclose(ours, difference, atol=1e-8)
    flipped = [2.0 * c - f for c, f in zip(cd, full)]
    plain = dgm.ContrastiveDivergence(rbm, NUM_STEPS)
    whole = dgm.ContrastiveDivergence(rbm, NUM_STEPS, full_gradient=True)
    report = check(plain, cd, x)
    assert report.passed(), report
    report = check(whole, full, x)
    assert report.passed(), report
    # Each tells itself from the other, and the full gradient from the wrong sign of its term.
    assert not check(plain, full, x).passed()
    assert not check(whole, cd, x).passed()
    assert not check(whole, flipped, x).passed()


class LaggingHidden(dgm.ContrastiveDivergence):
    """The negative phase one step short: hidden units of v_{k-1} where v_k's belong."""

    def train_step(self, data):
        self.num_steps -= 1
        try:
            return super().train_step(data)
        finally:
            self.num_steps += 1


def test_a_chain_one_step_short_is_told_from_cd():
    rbm, oracle = machines.small_rbm(4, 3, seed=1, scale=2.0)
    x = machines.data_rows(oracle)
    exact = [-g for g in oracle.contrastive_divergence_gradient(x, NUM_STEPS)]
    assert not check(LaggingHidden(rbm, NUM_STEPS), exact, x, 20).passed()


def test_density_estimates_of_the_full_gradient_come_near_it():
    rbm, oracle = machines.small_rbm(4, 3, seed=1, scale=2.0)
    x = machines.data_rows(oracle)
    full = np.concatenate(
        [g.ravel() for g in oracle.contrastive_divergence_full_gradient(x, NUM_STEPS)]
    )
    cd = np.concatenate([-g.ravel() for g in oracle.contrastive_divergence_gradient(x, NUM_STEPS)])
    algorithm = dgm.ContrastiveDivergence(
        rbm, NUM_STEPS, full_gradient=True, chain_density="conditional"
    )
    many = np.repeat(x, 250, axis=0)
    draws = [algorithm.estimate_gradients({"x": many}, seed)["field"] for seed in range(20)]
    mean = np.mean([np.concatenate([g.ravel() for g in draw]) for draw in draws], axis=0)
    assert np.linalg.norm(mean - full) < 0.35 * np.linalg.norm(cd - full)
    layer = dgm.ContrastiveDivergence(
        rbm, full_gradient=True, chain_density=distributions.Bernoulli((4,))
    )
    assert np.all(np.isfinite(layer.estimate_gradients({"x": x})["field"][0]))


def test_langevin_negative_samples_of_a_field():
    # u(x) = a x - x^2 / 2: data at 2 pull a up until the mean is there.
    field = models.RandomField(networks.mlp([], output_units=1), (1,), linear_and_squared=True)
    algorithm = dgm.ContrastiveDivergence(
        field, sampler=sampling.Langevin(0.2, num_steps=10), seed=0
    )
    algorithm.compile(keras.optimizers.SGD(0.1))
    x = np.random.default_rng(0).normal(2.0, 1.0, size=(1000, 1)).astype("float32")
    history = algorithm.fit(x, batch_size=100, epochs=10, verbose=0).history
    assert set(history) == {"loss", "potential_difference", "chain_norm", "acceptance"}
    kernel, bias = field.network.get_weights()
    mean = float(kernel[0, 0] + ops.convert_to_numpy(field.linear)[0]) * float(
        ops.softplus(field.raw_scale) ** 2
    )
    assert abs(mean - 2.0) < 0.3
    assert algorithm.sample(5, seed=1, num_steps=3).shape == (5, 1)
    start = dgm.ContrastiveDivergence(field, start="noise", num_steps=3)
    assert np.isfinite(start.estimate_gradients({"x": x[:10]})["field"][0]).all()


def test_a_field_given_labels():
    field = models.RandomField(
        networks.mlp([8], output_units=2),
        (2,),
        num_classes=2,
        reference=distributions.Normal((2,)),
        sampler=sampling.Langevin(0.1, 10),
    )
    algorithm = dgm.ContrastiveDivergence(field, seed=0)
    algorithm.compile(keras.optimizers.Adam(0.02))
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    x = (rng.normal(size=(400, 2)) * 0.3 + np.where(y, 1.5, -1.5)[:, None]).astype("float32")
    algorithm.fit(x, y, batch_size=50, epochs=8, verbose=0)
    own = ops.convert_to_numpy(field.potential(x, y))
    other = ops.convert_to_numpy(field.potential(x, 1 - y))
    assert np.mean(own > other) > 0.9
    for labels, message in ((None, "call fit"), (y - 5, r"0 .. 1"), (y + 0.5, "whole numbers")):
        with pytest.raises(ValueError, match=message):
            algorithm.fit(x, labels, verbose=0)


def test_learning_raises_the_exact_likelihood_and_files_keep_it(tmp_path):
    x = machines.bars(1000)
    rbm = models.RBM((8,), 8)
    rbm.init_bias(x)
    algorithm = dgm.ContrastiveDivergence(rbm, num_steps=5, seed=0)
    algorithm.compile(keras.optimizers.SGD(0.3, momentum=0.9))

    def exact():
        return float(
            np.mean(algorithm.log_likelihood(x[:200], log_partition=rbm.exact_log_partition()))
        )

    before = exact()
    algorithm.fit(x, batch_size=50, epochs=15, verbose=0)
    after = exact()
    assert after > before + 1.0
    assert after < -machines.ENTROPY_OF_BARS + 0.2
    estimate = algorithm.log_likelihood(x[:200], num_samples=200, num_temperatures=200)
    assert abs(np.mean(estimate) - after) < 0.1
    bracket = algorithm.estimate_log_partition(
        num_temperatures=200, num_chains=200, data=x, states=rbm.exact_sample(200)
    )
    for result in bracket:
        assert abs(result.log_partition - rbm.exact_log_partition()) < 0.15
    figures = algorithm.evaluate(x, verbose=0, return_dict=True)
    assert figures["pseudo_log_likelihood"] < 0.0 < figures["reconstruction"]
    algorithm.save(tmp_path / "rbm.keras")
    again = keras.saving.load_model(tmp_path / "rbm.keras")
    np.testing.assert_allclose(again.potential(x), algorithm.potential(x), rtol=1e-6)
    assert again.num_steps == 5


def test_grey_levels_are_drawn_anew_or_refused():
    rbm = models.RBM((8,), 4)
    grey = np.full((20, 8), 0.3, "float32")
    algorithm = dgm.ContrastiveDivergence(rbm)
    algorithm.compile("sgd")
    with pytest.raises(ValueError, match="other than 0 and 1"):
        algorithm.fit(grey, verbose=0)
    with pytest.raises(ValueError, match="other than 0 and 1"):
        algorithm.potential(grey)
    drawn = dgm.ContrastiveDivergence(models.RBM((8,), 4), transform="dynamic_binarization")
    drawn.compile("sgd")
    drawn.fit(grey, verbose=0)
    with pytest.raises(ValueError, match="Divide pixels"):
        drawn.fit(grey * 255, verbose=0)


def test_a_chain_that_is_not_finite_stops_training_by_name():
    field = models.RandomField(
        networks.mlp([4], "elu", output_units=1), (2,), sampler=sampling.Langevin(0.1, 30)
    )
    kernel = field.network.get_weights()
    field.network.set_weights([w * 1e4 for w in kernel])

    class Steep(models.RandomField):
        def potential(self, x, y=None, training=None):
            return super().potential(x, training=training) ** 3

    steep = Steep(field.network, (2,), sampler=sampling.Langevin(0.5, 30))
    algorithm = dgm.ContrastiveDivergence(steep, seed=0)
    algorithm.compile("sgd")
    x = np.ones((20, 2), "float32")
    with pytest.raises(ValueError, match="sampler's chain .* was not finite.*'chain_norm'"):
        algorithm.fit(x, verbose=0)


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: dgm.ContrastiveDivergence(models.RBM((20,), 5), full_gradient=True),
            "at most 12 visible",
        ),
        (
            lambda: dgm.ContrastiveDivergence(
                models.RBM((4,), 3, visible="gaussian"), full_gradient=True
            ),
            "Gaussian visibles",
        ),
        (
            lambda: dgm.ContrastiveDivergence(
                models.RBM((4,), 3), full_gradient=True, chain_density="kernel"
            ),
            "chain_density",
        ),
        (
            lambda: dgm.ContrastiveDivergence(
                models.RandomField(networks.random_field_mlp((4,)), (2,)), full_gradient=True
            ),
            "RBM's block Gibbs",
        ),
        (lambda: dgm.ContrastiveDivergence(networks.mlp([4])), "has no potential"),
        (lambda: dgm.ContrastiveDivergence(models.RBM((4,), 3), num_steps=-1), "num_steps"),
        (lambda: dgm.ContrastiveDivergence(models.RBM((4,), 3), start="nose"), "noise"),
        (
            lambda: dgm.ContrastiveDivergence(models.RBM((4,), 3), potential_penalty=-1.0),
            "potential_penalty",
        ),
    ],
)
def test_what_cannot_be_learned_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
