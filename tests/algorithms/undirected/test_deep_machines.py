"""DBM and DBN: greedy beginnings, joint learning, what each step's gradient is."""

import boltzmann_machines as machines
import keras
import numpy as np
import pytest
from keras import ops

import keras_dgm as dgm
from keras_dgm import models, networks, testing


def dbm_bound(algorithm, x):
    """Mean lower bound on log p, log Z enumerated."""
    return float(
        np.mean(algorithm.log_likelihood(x, log_partition=algorithm.field.exact_log_partition()))
    )


def test_the_gradient_of_a_dbm_is_the_bounds():
    oracle = testing.EnumerableDBM.random((4, 3, 2), seed=1)
    dbm = models.DBM((4,), [3, 2], mean_field_steps=200)
    for variable, value in zip(dbm.trainable_variables, oracle.parameters):
        variable.assign(value)
    x = testing.binary_states(4)[[1, 7, 8, 13]].astype("float32")
    algorithm = dgm.StochasticMaximumLikelihood(dbm, num_chains=4000, seed=0)

    def bound(parameters):
        machine = oracle.with_parameters(parameters)
        return -np.mean(machine.mean_field_bound(x, machine.mean_field(x, 400)))

    exact = testing.numeric.numeric_gradient(bound, oracle.parameters)
    joint = np.exp(oracle.joint_potential(oracle.states) - oracle.log_partition())
    law = joint.reshape(16, 8, 4).sum(axis=1).ravel()
    rng = np.random.default_rng(0)
    states = testing.binary_states(6)

    def draw(i):
        rows = states[rng.choice(64, 4000, p=law / law.sum())]
        for variable, part in zip(algorithm.chains.variables, (rows[:, :4], rows[:, 4:])):
            variable.assign(part)
        return algorithm.estimate_gradients({"x": x}, i)["field"]

    report = testing.check_gradient_estimator(draw, exact, 40, relative_tolerance=1e-3)
    assert report.passed(), report
    # The exact likelihood's gradient is another, and is told apart.
    likelihood = [-g for g in oracle.log_likelihood_gradient(x)]
    report = testing.check_gradient_estimator(draw, likelihood, 20, relative_tolerance=1e-3)
    assert not report.passed(), report


def test_a_dbm_begins_greedily_and_learns_jointly(tmp_path):
    x = machines.bars(1000)
    dbm = models.DBM((8,), [6, 4])
    algorithm = dgm.StochasticMaximumLikelihood(dbm, num_steps=3, seed=0)
    algorithm.compile(keras.optimizers.SGD(0.05))
    fresh = dbm_bound(algorithm, x[:200])
    optimizer = keras.optimizers.SGD(0.3, momentum=0.9)
    histories = dgm.pretrain(dbm, x, epochs=8, batch_size=50, optimizer=optimizer)
    assert len(histories) == 2
    begun = dbm_bound(algorithm, x[:200])
    algorithm.fit(x, batch_size=50, epochs=12, verbose=0)
    learned = dbm_bound(algorithm, x[:200])
    # A fair coin each: 8 log 2 = 5.55. The data's entropy is 2.50.
    assert fresh == pytest.approx(-8 * np.log(2), abs=0.1)
    assert begun > fresh + 0.2 and learned > begun + 0.3
    assert learned < -machines.ENTROPY_OF_BARS + 0.2
    bracket = algorithm.estimate_log_partition(num_temperatures=200, data=x, burn_in=50)
    for estimate in bracket:
        assert abs(estimate.log_partition - dbm.exact_log_partition()) < 0.3
    assert algorithm.sample(3, seed=0, num_steps=5).shape == (3, 8)
    algorithm.save(tmp_path / "dbm.keras")
    again = keras.saving.load_model(tmp_path / "dbm.keras")
    np.testing.assert_allclose(again.potential(x), algorithm.potential(x), rtol=1e-5)


@pytest.mark.parametrize("units", [[6, 4], [6, 5, 4]], ids=["two", "three"])
def test_a_dbn_begins_greedily_and_learns_up_and_down(units, tmp_path):
    x = machines.bars(1000)
    dbn = models.DBN((8,), units)
    algorithm = dgm.UpDown(dbn, num_steps=3, seed=0)
    algorithm.compile(keras.optimizers.SGD(0.3, momentum=0.9))

    def bound():
        dbn.top.log_partition.assign(dbn.top.exact_log_partition())
        return algorithm.evaluate(x, verbose=0, return_dict=True)["elbo"]

    optimizer = keras.optimizers.SGD(0.3, momentum=0.9)
    dgm.pretrain(dbn, x, algorithm.inference, 4, 50, optimizer, num_steps=3)
    begun = bound()
    history = algorithm.fit(x, batch_size=50, epochs=8, verbose=0).history
    learned = bound()
    assert set(history) == {"loss", "sleep_loss", "reconstruction", "potential_difference"}
    assert learned > begun + 0.3
    assert learned < -machines.ENTROPY_OF_BARS + 0.2
    exact = dbn.top.exact_log_partition()
    estimate = algorithm.estimate_log_partition(num_temperatures=100, reverse=False)
    assert estimate.reverse is None
    assert float(ops.convert_to_numpy(dbn.top.log_partition)) == pytest.approx(exact, abs=0.1)
    algorithm.save(tmp_path / "dbn.keras")
    again = keras.saving.load_model(tmp_path / "dbn.keras")
    h = algorithm.infer(x[:5], seed=3)
    for old, new in zip(keras.tree.flatten(h), keras.tree.flatten(again.infer(x[:5], seed=3))):
        np.testing.assert_array_equal(old, new)


def test_pretraining_copies_each_conditional():
    x = machines.bars(200)
    dbn = models.DBN((8,), [5, 3])
    inference = dbn.recognition()
    inference.build((None, 8))
    dgm.pretrain(dbn, x, inference, epochs=2)
    up = ops.convert_to_numpy(inference.head["logits"].kernel)
    down = ops.convert_to_numpy(dbn.likelihood.head["logits"].kernel)
    np.testing.assert_array_equal(up, down.T)
    assert np.any(up != 0.0)


def test_up_down_and_pretraining_refuse_other_models():
    field = models.RandomField(networks.random_field_mlp((4,)), (2,))
    with pytest.raises(ValueError, match="learns a DBN"):
        dgm.UpDown(field)
    with pytest.raises(ValueError, match="a DBN or a DBM"):
        dgm.pretrain(field, np.zeros((4, 2)))
