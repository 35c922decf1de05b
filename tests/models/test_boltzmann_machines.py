"""RBM, DBM and DBN against enumeration and quadrature in float64."""

import chains
import keras
import numpy as np
import pytest
from keras import ops

import keras_dgm as dgm
from keras_dgm import backend, models, testing


def array(tensor):
    return ops.convert_to_numpy(tensor)


def test_an_rbm_against_enumeration():
    rbm, oracle = chains.small_rbm(6, 5, seed=1)
    v, h = oracle.states, oracle.hidden_states
    x = v.astype("float32")
    np.testing.assert_allclose(rbm.free_energy(x), oracle.free_energy(v), atol=1e-5)
    np.testing.assert_allclose(rbm.hidden_mean(x), oracle.hidden_mean(v), atol=1e-6)
    np.testing.assert_allclose(
        rbm.visible_mean(h.astype("float32")), oracle.visible_mean(h), atol=1e-6
    )
    assert rbm.exact_log_partition() == pytest.approx(oracle.log_partition(), abs=1e-6)
    joint = np.stack([array(rbm.joint_potential(x, np.tile(row, (64, 1)))) for row in h])
    np.testing.assert_allclose(np.logaddexp.reduce(joint), -oracle.free_energy(v), atol=1e-5)
    logits = np.log(oracle.visible_mean(oracle.hidden_mean(v)))
    rest = np.log1p(-oracle.visible_mean(oracle.hidden_mean(v)))
    np.testing.assert_allclose(
        rbm.reconstruction(x), -np.sum(v * logits + (1 - v) * rest, axis=1), atol=1e-5
    )


def test_the_pseudo_likelihood_is_unbiased():
    rbm, oracle = chains.small_rbm(4, 3, seed=2)
    x = oracle.states[[3, 9]]
    exact = np.zeros(2)
    for i in range(4):
        flipped = x.copy()
        flipped[:, i] = 1 - flipped[:, i]
        exact -= np.logaddexp(0.0, oracle.log_prob(flipped) - oracle.log_prob(x))
    many = np.repeat(x, 5000, axis=0).astype("float32")
    draws = array(rbm.pseudo_log_likelihood(many, 0)).reshape(2, 5000)
    error = draws.std(axis=1) / np.sqrt(5000)
    assert np.all(np.abs(draws.mean(axis=1) - exact) < 4 * error)


def test_exact_draws_follow_the_law():
    for visible, hidden in ((4, 6), (6, 4)):
        rbm, oracle = chains.small_rbm(visible, hidden, seed=3)
        counts = np.bincount(
            oracle.state_index(rbm.exact_sample(20000, seed=1)), minlength=2**visible
        )
        assert testing.chi_square_test(counts, oracle.distribution())[1] > 1e-3


def gaussian_rbm():
    rbm = models.RBM((2,), 4, visible="gaussian", scale=0.7)
    rng = np.random.default_rng(0)
    for variable in rbm.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    return rbm


def test_a_gaussian_rbm_against_quadrature():
    rbm = gaussian_rbm()
    grid = testing.GridDensity(
        lambda v: array(rbm.potential(v)), [(-8, 8)] * 2, num_points=401, dtype="float32"
    )
    assert rbm.exact_log_partition() == pytest.approx(grid.log_partition, abs=1e-4)
    draws = rbm.exact_sample(20000)
    exact = grid.expectation(lambda v: v)
    error = draws.std(axis=0) / np.sqrt(20000)
    assert np.all(np.abs(draws.mean(axis=0) - exact) < 4 * error)
    # p(v | h) is a Gaussian whose mean says so.
    h = np.tile([[1.0, 0.0, 1.0, 1.0]], (20000, 1)).astype("float32")
    v = array(rbm.sample_visible(h, 3))
    mean = array(rbm.visible_bias) + h[0] @ array(rbm.kernel).T
    np.testing.assert_allclose(v.mean(axis=0), mean, atol=4 * 0.7 / np.sqrt(20000))
    np.testing.assert_allclose(v.std(axis=0), 0.7, atol=0.02)


def test_images_and_sample_axes():
    rbm = models.RBM((4, 3, 1), 5)
    x = np.zeros((2, 7, 4, 3, 1), "float32")
    assert rbm.potential(x).shape == (2, 7)
    assert rbm.hidden_mean(x).shape == (2, 7, 5)
    assert rbm.visible_mean(np.zeros((2, 7, 5), "float32")).shape == (2, 7, 4, 3, 1)
    assert rbm.sample(sample_shape=(3,), seed=0, num_steps=2).shape == (3, 4, 3, 1)
    x = np.random.default_rng(0).random((50, 4, 3, 1)) < 0.3
    rbm.init_bias(x)
    mean = 1 / (1 + np.exp(-array(rbm.visible_bias)))
    np.testing.assert_allclose(mean, (x.reshape(50, -1).sum(0) + 0.5) / 51, rtol=1e-5)


def test_machines_too_large_to_enumerate_say_what_would_do():
    with pytest.raises(ValueError, match=r"2\*\*500 states to sum over; 20 hidden units"):
        models.RBM((784,), 500).exact_log_partition()
    with pytest.raises(ValueError, match=r"2\*\*30.*h1, h3"):
        models.DBM((40,), [30, 20]).exact_sample(1)
    with pytest.raises(ValueError, match="20 hidden units are enumerated"):
        models.RBM((4,), 30, visible="gaussian").exact_log_partition()
    # One small side is enough.
    assert np.isfinite(models.RBM((784,), 8).exact_log_partition())


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: models.RBM((3,), 0), "1 unit at least"),
        (lambda: models.RBM((3,), 2, visible="poisson"), "`visible`"),
        (lambda: models.RBM((3,), 2, visible="gaussian", scale=0.0), "`scale`"),
        (lambda: models.DBM((3,), [2]), "two hidden layers"),
        (lambda: models.DBN((3,), [2]), "two hidden layers"),
        (lambda: models.RBM((3,), 2).check_value(np.full((4, 3), 0.5)), "other than 0 and 1"),
        (lambda: models.RBM((3,), 2).potential(np.zeros((2, 4))), r"v of shape \(..., 3\)"),
    ],
)
def test_machines_that_cannot_be_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def deep_machine(mean_field_steps=100):
    oracle = testing.EnumerableDBM.random((5, 4, 3), seed=2, scale=0.8)
    dbm = models.DBM((5,), [4, 3], mean_field_steps=mean_field_steps)
    for variable, value in zip(dbm.trainable_variables, oracle.parameters):
        variable.assign(value)
    return dbm, oracle


def test_a_dbm_against_enumeration():
    dbm, oracle = deep_machine()
    x = oracle.states.astype("float32")
    assert dbm.exact_log_partition() == pytest.approx(oracle.log_partition(), abs=1e-5)
    means = [array(m) for m in dbm.mean_field(x)]
    for ours, exact in zip(means, oracle.mean_field(oracle.states)):
        np.testing.assert_allclose(ours, exact, atol=1e-5)
    bound = array(dbm.potential(x)) - oracle.log_partition()
    np.testing.assert_allclose(bound, oracle.mean_field_bound(oracle.states, means), atol=1e-5)
    gap = oracle.log_prob(oracle.states) - bound
    assert np.all(gap > 0.0) and np.max(gap) < 0.3
    # Fewer sweeps, a looser bound.
    rough = array(deep_machine(1)[0].potential(x)) - oracle.log_partition()
    assert np.all(rough <= bound + 1e-5) and np.mean(rough) < np.mean(bound) - 1e-4


def test_four_layers_have_the_partition_function_of_enumeration():
    oracle = testing.EnumerableDBM.random((4, 3, 3, 2), seed=5)
    dbm = models.DBM((4,), [3, 3, 2], mean_field_steps=100)
    for variable, value in zip(dbm.trainable_variables, oracle.parameters):
        variable.assign(value)
    assert dbm.exact_log_partition() == pytest.approx(oracle.log_partition(), abs=1e-5)
    x = oracle.states.astype("float32")
    bound = array(dbm.potential(x)) - oracle.log_partition()
    assert np.all(bound < oracle.log_prob(oracle.states))


def small_dbn(seed=4):
    """A DBN with its recognition side and its oracle."""
    rng = np.random.default_rng(seed)
    top_rbm = testing.EnumerableRBM.random(4, 3, seed=seed)
    oracle = testing.EnumerableDBN(rng.normal(size=(4, 5)), rng.normal(size=5), top_rbm)
    dbn = models.DBN((5,), [4, 3])
    down = dbn.likelihood.head["logits"]
    down.kernel.assign(oracle.kernel)
    down.bias.assign(oracle.bias)
    for variable, value in zip(dbn.top.trainable_variables, top_rbm.parameters):
        variable.assign(value)
    dbn.top.log_partition.assign(dbn.top.exact_log_partition())
    return dbn, oracle


def test_a_dbn_and_its_bound_against_enumeration():
    dbn, oracle = small_dbn()
    x = oracle.states.astype("float32")
    h = oracle.top.states.astype("float32")
    table = array(dbn.log_prob(np.tile(x, (16, 1, 1)), np.repeat(h[:, None], 32, axis=1)))
    np.testing.assert_allclose(
        np.logaddexp.reduce(table, axis=0), oracle.log_prob(oracle.states), atol=1e-4
    )
    up_down = dgm.UpDown(dbn, seed=0)
    up_down.compile("sgd")
    head = up_down.inference.head["logits"]
    exact = oracle.bound(oracle.states, array(head.kernel), array(head.bias))
    many = np.repeat(x, 500, axis=0)
    got = up_down.evaluate(many, batch_size=4000, verbose=0, return_dict=True)
    assert got["elbo"] == pytest.approx(exact.mean(), abs=0.06)
    # Importance weights of a fair coin are bounded: 30 000 of them leave 0.03 nat or less.
    head.kernel.assign(np.zeros(head.kernel.shape))
    head.bias.assign(np.zeros(head.bias.shape))
    likelihood = up_down.log_likelihood(x, num_samples=30_000)
    np.testing.assert_allclose(likelihood, oracle.log_prob(oracle.states), atol=0.15)


def test_a_dbn_draws_from_its_law():
    dbn, oracle = small_dbn()
    x, _ = dbn.descend(dbn.top.exact_sample(4000), backend.as_seed(0))
    x = array(x)
    index = (x.astype(int) @ (1 << np.arange(4, -1, -1))).astype(int)
    counts = np.bincount(index, minlength=32)
    law = np.exp(oracle.log_prob(oracle.states))
    assert testing.chi_square_test(counts, law)[1] > 1e-3


@pytest.mark.parametrize(
    "model",
    [
        models.RBM((2, 2), 3, visible="gaussian", scale=0.5),
        models.DBM((4,), [3, 2], mean_field_steps=7),
        models.DBN((4,), [5, 3, 2]),
    ],
    ids=lambda model: type(model).__name__,
)
def test_machines_come_back_from_their_configs(model):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    assert again.get_config() == model.get_config()
    assert [v.shape for v in again.variables] == [v.shape for v in model.variables]
