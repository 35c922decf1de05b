"""Penalties against their formulas in NumPy, values and gradients."""

import keras
import numpy as np
import pytest
from games import plane_critic, plane_model
from keras import ops

import keras_dgm as dgm
from keras_dgm import backend, networks, testing
from keras_dgm.algorithms.adversarial import penalties

RNG = np.random.default_rng(0)
KERNEL, OUT = RNG.normal(size=(3, 5)), RNG.normal(size=(5,))
REAL = RNG.normal(size=(6, 3))
FAKE = RNG.normal(size=(6, 3)) + 1.0
SEED = 11


@keras.saving.register_keras_serializable(package="tests")
class Critic(keras.layers.Layer):
    """V(x) = out . tanh(kernel^T x)."""

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=KERNEL.shape, name="kernel")
        self.out = self.add_weight(shape=OUT.shape, name="out")
        self.kernel.assign(KERNEL)
        self.out.assign(OUT)

    def call(self, x):
        hidden = ops.tanh(ops.matmul(x, self.kernel))
        return ops.sum(hidden * self.out, axis=-1)


def slopes(parameters, x):
    """grad V at rows x in NumPy, (rows, 3)."""
    kernel, out = parameters[:15].reshape(KERNEL.shape), parameters[15:]
    return (out * (1.0 - np.tanh(x @ kernel) ** 2)) @ kernel.T


def tensor(x):
    return ops.convert_to_tensor(x.astype("float32"))


def value_and_gradient(penalty):
    """The library's penalty on `Critic`, and its gradient in (kernel, out)."""
    critic = Critic()
    critic.build((None, 3))
    variables = critic.trainable_variables

    def loss():
        args = tensor(REAL), tensor(FAKE), backend.as_seed(SEED), variables
        return penalty(critic, *args), None

    (found, _), gradients = backend.value_and_grad(loss, variables)
    flat = [ops.convert_to_numpy(part).ravel() for part in gradients]
    return float(ops.convert_to_numpy(found)), np.concatenate(flat)


def check(penalty, formula):
    """The library's value and gradient are those of a NumPy formula of (kernel, out)."""
    parameters = np.concatenate([KERNEL.ravel(), OUT])
    found, gradient = value_and_gradient(penalty)
    assert found == pytest.approx(formula(parameters), rel=1e-4)
    exact = testing.numeric_gradient(formula, parameters)
    np.testing.assert_allclose(gradient, exact, rtol=1e-3, atol=1e-3 * np.abs(exact).max())


def points(penalty):
    return ops.convert_to_numpy(penalty.points(tensor(REAL), tensor(FAKE), backend.as_seed(SEED)))


def norms(parameters, x):
    return np.linalg.norm(slopes(parameters, x), axis=1)


def test_gradient_penalty():
    penalty = penalties.GradientPenalty(10.0, target=1.0)
    at = points(penalty)
    check(penalty, lambda p: 10.0 * np.mean((norms(p, at) - 1.0) ** 2))
    with pytest.raises(AssertionError):  # one number too many: the mean over all entries
        check(penalty, lambda p: 10.0 * np.mean((slopes(p, at) ** 2 - 1.0) ** 2))


def test_interpolates_lie_on_the_lines_uniformly():
    penalty = penalties.GradientPenalty()
    rows = 4000
    zeros, ones = np.zeros((rows, 2, 2)), np.ones((rows, 2, 2))
    shares = penalty.points(tensor(zeros), tensor(ones), backend.as_seed(0))
    shares = ops.convert_to_numpy(shares)
    np.testing.assert_array_equal(shares, np.broadcast_to(shares[:, :1, :1], shares.shape))
    from scipy import stats

    assert stats.kstest(shares[:, 0, 0], "uniform").pvalue > 1e-3
    assert stats.kstest(shares[:, 0, 0], "norm").pvalue < 1e-6  # the copied bug


def test_r1_penalty():
    check(penalties.R1Penalty(3.0), lambda p: 1.5 * np.mean(norms(p, REAL) ** 2))


def test_dragan_penalty():
    penalty = penalties.DRAGANPenalty(2.0, target=0.7, scale=0.3)
    at = points(penalty)
    check(penalty, lambda p: 2.0 * np.mean((norms(p, at) - 0.7) ** 2))
    many = np.tile(REAL, (500, 1))
    moved = ops.convert_to_numpy(penalty.points(tensor(many), None, backend.as_seed(0))) - many
    assert moved.std() == pytest.approx(0.3 * many.std(), rel=0.03)
    assert abs(moved.mean()) < 0.02


def test_orthonormal_penalty_is_on_kernels_alone():
    def formula(parameters):
        kernel = parameters[:15].reshape(KERNEL.shape)
        return 0.5 * np.sum((kernel.T @ kernel - np.eye(5)) ** 2)

    check(penalties.OrthonormalPenalty(0.5), formula)


def test_the_norm_of_a_pair_runs_over_both_parts_with_one_share():
    x, z = RNG.normal(size=(4, 2)), RNG.normal(size=(4, 3))

    def value(pair):
        return ops.sum(3.0 * pair[0], axis=-1) + ops.sum(4.0 * pair[1], axis=-1)

    pair = (tensor(x), tensor(z))
    norm = ops.convert_to_numpy(penalties.gradient_norm(value, pair))
    np.testing.assert_allclose(norm, np.sqrt(2 * 9.0 + 3 * 16.0), rtol=1e-6)
    zeros, ones = [tuple(fill(part) for part in pair) for fill in (ops.zeros_like, ops.ones_like)]
    first, second = penalties.GradientPenalty().points(zeros, ones, backend.as_seed(3))
    np.testing.assert_array_equal(
        ops.convert_to_numpy(first)[:, 0], ops.convert_to_numpy(second)[:, 0]
    )


def test_a_flat_critic_has_a_finite_penalty_and_gradient():
    critic = networks.mlp([4], output_units=1, kernel_initializer="zeros")
    critic.build((None, 3))

    def loss():
        args = tensor(REAL), tensor(FAKE), backend.as_seed(0), critic.trainable_variables
        return penalties.GradientPenalty()(lambda x: critic(x)[:, 0], *args), None

    (found, _), gradients = backend.value_and_grad(loss, critic.trainable_variables)
    assert float(found) == pytest.approx(10.0)
    assert all(np.isfinite(ops.convert_to_numpy(part)).all() for part in gradients)


def test_names_objects_and_errors():
    given = penalties.resolve(["r1", penalties.DRAGANPenalty(1.0)])
    assert [penalty.term for penalty in given] == ["r1_penalty", "dragan_penalty"]
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(given[1]))
    assert copy.get_config() == given[1].get_config()
    with pytest.raises(ValueError, match="Did you mean 'dragan'"):
        penalties.resolve("draggan")
    with pytest.raises(ValueError, match="may come once"):
        penalties.resolve(["r1", penalties.R1Penalty(1.0)])
    with pytest.raises(ValueError, match="positive number"):
        penalties.R1Penalty(-1.0)
    with pytest.raises(ValueError, match="names .* or penalty objects"):
        penalties.resolve([3.0])


def test_critics_whose_rows_see_each_other_take_no_gradient_penalty():
    for normalization in ("batch",):
        with pytest.raises(ValueError, match="depend on one another"):
            dgm.WGANGP(plane_model(), plane_critic(normalization))
    dgm.WGANGP(plane_model(), plane_critic("layer"))
    dgm.GAN(plane_model(), plane_critic("batch"), penalties="orthonormal")
