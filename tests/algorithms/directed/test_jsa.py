"""JSA: the chain, the gradients it gives, its state, its errors."""

import keras
import numpy as np
import pytest
import scipy.stats
from keras import ops
from oracles import belief_network, linear_gaussian, raw_gradient

import keras_dgm as dgm
from keras_dgm import backend, testing
from keras_dgm.algorithms.directed import jsa
from keras_dgm.distributions import Bernoulli, Chain, OneHotCategorical

BINARY = np.array([[1.0, 0, 1, 1], [0, 0, 1, 0]], "float32")
COPIES, DRAWS = 500, 40


def chain_kernel(model, x):
    """JSA's own chains for copies of one x, as a function of NumPy states and seeds."""

    def run(cached, seed):
        rows = cached[0].shape[0]
        images = ops.broadcast_to(ops.convert_to_tensor(x), (rows, *x.shape))
        everywhere = ops.ones((rows,), "bool")
        return model.run_chains(images, list(cached), everywhere, seed)["last"]

    program = backend.compiled(model, run)

    def call(states, seed):
        cached = [ops.convert_to_tensor(s.astype("float32")) for s in states]
        last = program(cached, backend.as_seed(int(seed[0]) * 1000 + int(seed[1])))
        return tuple(ops.convert_to_numpy(s) for s in last)

    return call


def stationarity(model, oracle, x, num_steps=2):
    posterior = oracle.posterior(x)
    return testing.check_stationarity(
        chain_kernel(model, x),
        lambda n, seed: oracle.sample_states(posterior, n, np.random.default_rng(seed)),
        num_chains=20_000,
        num_steps=num_steps,
        state_index=oracle.state_index,
        probabilities=posterior,
    )


@pytest.mark.parametrize(("latents", "num_tries"), [([3], 1), ([3, 2], 1), ([3, 2], 2)])
def test_chains_from_exact_draws_stay_exact(latents, num_tries):
    oracle, generative, inference = belief_network(latents)
    x = BINARY[0]
    for moves in (1, 3):
        matrix = testing.metropolis_independence_matrix(
            oracle.log_weights(x), oracle.inference(x), num_tries, moves
        )
        assert testing.stationarity_gap(matrix, oracle.posterior(x)) < 1e-12
    model = dgm.JSA(generative, inference, 2, num_samples=3, num_tries=num_tries, seed=0)
    report = stationarity(model, oracle, x)
    assert report.passed(), report


def test_one_visit_moves_by_the_enumerated_matrix():
    oracle, generative, inference = belief_network([2, 2])
    x = BINARY[1]
    model = dgm.JSA(generative, inference, 2, num_samples=2, seed=0)
    matrix = testing.metropolis_independence_matrix(
        oracle.log_weights(x), oracle.inference(x), num_steps=2
    )
    report = testing.check_transition_matrix(
        chain_kernel(model, x), oracle.states, matrix, oracle.state_index
    )
    assert report.passed(), report


def always_accept(start, proposed, seed):
    """Wrong: every proposal becomes the state."""
    visited = 1 + ops.arange(proposed.shape[0], dtype="int32")[:, None]
    visited = ops.broadcast_to(visited, ops.shape(proposed))
    return visited, visited > 0


def stale_start(start, proposed, seed):
    """Wrong: the first state's weight is that of parameters that gave it another value."""
    return dgm.sampling.independence_walk(start * 0.5 - 2.0, proposed, seed)


@pytest.mark.parametrize("wrong", [always_accept, stale_start])
def test_wrong_chains_are_found_out(monkeypatch, wrong):
    monkeypatch.setattr(jsa, "independence_walk", wrong)
    oracle, generative, inference = belief_network([3, 2])
    model = dgm.JSA(generative, inference, 2, num_samples=3, seed=0)
    assert not stationarity(model, oracle, BINARY[0]).passed()


def fill(model, states, seed):
    """Puts exact posterior draws into the cache: every point is in stage II."""
    rng = np.random.default_rng(seed)
    drawn = [states(row, COPIES, rng) for row in range(len(BINARY))]
    for table, parts in zip(model.cache, zip(*drawn)):
        table.assign(np.concatenate(parts).astype(keras.backend.standardize_dtype(table.dtype)))
    model.visits.assign(np.full(model.num_data, 5, "int32"))


def from_exact_starts(model, states, x):
    batch = {
        "x": np.repeat(x, COPIES, axis=0),
        "index": np.arange(model.num_data, dtype="int32"),
    }

    def draw(number):
        fill(model, states, number)
        return model.estimate_gradients(batch, number)

    return draw


def exact_states(oracle, x):
    posterior = oracle.posterior(x)
    return lambda row, n, rng: oracle.sample_states(posterior[row], n, rng)


@pytest.mark.parametrize(("latents", "num_tries"), [([3], 1), ([3, 2], 2)])
def test_gradients_from_exact_starts_are_those_of_eq_27(latents, num_tries):
    oracle, generative, inference = belief_network(latents)
    model = dgm.JSA(generative, inference, 2 * COPIES, num_samples=3, num_tries=num_tries, seed=0)
    exact = oracle.loss_gradient("jsa", BINARY, start="posterior", num_steps=3)
    draw = from_exact_starts(model, exact_states(oracle, BINARY), BINARY)
    report = testing.check_gradient_estimator(draw, exact, DRAWS)
    assert report.passed(), report


def without_repeats(visited, num_states):
    """Wrong: a state that was held for several moves counts once."""
    counts = dgm.sampling.metropolis_independence.times_visited(visited, num_states)
    once = ops.cast(counts > 0, "float32")
    return once * visited.shape[0] / ops.sum(once, axis=0, keepdims=True)


def test_dropped_repeats_are_found_out(monkeypatch):
    monkeypatch.setattr(jsa, "times_visited", without_repeats)
    oracle, generative, inference = belief_network([3])
    model = dgm.JSA(generative, inference, 2 * COPIES, num_samples=3, seed=0)
    exact = oracle.loss_gradient("jsa", BINARY, start="posterior", num_steps=3)
    draw = from_exact_starts(model, exact_states(oracle, BINARY), BINARY)
    assert not testing.check_gradient_estimator(draw, exact, DRAWS).passed()


def test_stage_one_starts_from_fresh_draws_and_the_sleep_term_is_added():
    oracle, generative, inference = belief_network([3, 2])
    model = dgm.JSA(generative, inference, 2 * COPIES, num_samples=2, sleep_weight=0.5, seed=0)
    model.visits.assign(np.zeros(2 * COPIES, "int32"))
    exact = oracle.loss_gradient("jsa", BINARY, start="inference", num_steps=2)
    sleep = oracle.loss_gradient("sleep", BINARY)["inference"]
    stage_two = oracle.loss_gradient("jsa", BINARY, start="posterior", num_steps=2)
    for gradients in (exact, stage_two):
        gradients["inference"] = [a + 0.5 * b for a, b in zip(gradients["inference"], sleep)]
    batch = {
        "x": np.repeat(BINARY, COPIES, axis=0),
        "index": np.arange(2 * COPIES, dtype="int32"),
    }
    draws = [model.estimate_gradients(batch, number) for number in range(DRAWS)]
    report = testing.check_gradient_estimator(lambda i: draws[i], exact, DRAWS)
    assert report.passed(), report
    assert not testing.check_gradient_estimator(lambda i: draws[i], stage_two, DRAWS).passed()
    # Nothing that a look at the gradients assigns may last.
    assert int(ops.max(ops.convert_to_tensor(model.visits))) == 0


def test_gaussian_latents():
    """The JAE of section 3.2.3, with an inference side that cannot represent the posterior."""
    oracle, generative, inference = linear_gaussian(3, 2)
    rng = np.random.default_rng(1)
    x = oracle.sample(2, rng)[0].astype("float32")
    mean, covariance = oracle.posterior(x)

    def states(row, n, rng):
        return (rng.multivariate_normal(mean[row], covariance, size=n),)

    model = dgm.JSA(generative, inference, 2 * COPIES, num_samples=4, seed=0)
    assert model.cache[0].dtype == "float32"
    exact = raw_gradient(oracle, oracle.loss_gradient("jsa", x))
    report = testing.check_gradient_estimator(from_exact_starts(model, states, x), exact, DRAWS)
    assert report.passed(), report
    names = {"first": lambda s: s[0][:, 0], "sum": lambda s: s[0].sum(axis=1)}
    report = testing.check_stationarity(
        chain_kernel(model, x[0]),
        lambda n, seed: states(0, n, np.random.default_rng(seed)),
        statistics=names,
        cdf=[scipy.stats.norm(mean[0, i], covariance[i, i] ** 0.5).cdf for i in range(2)],
    )
    assert report.passed(), report


def test_no_gradient_leaks_between_the_players():
    """A player's loss does not depend on the other's weights: its gradient there is zero."""
    _, generative, inference = belief_network([3])
    model = dgm.JSA(generative, inference, 2, num_samples=2, seed=0)
    x = ops.convert_to_tensor(BINARY)

    def leaks(part, other):
        def loss():
            fresh = ops.zeros((2,), "bool")
            path = model.run_chains(x, [ops.zeros((2, 3))], fresh, backend.as_seed(1))
            return ops.sum(path[part]), None

        program = model.compiled_function(
            (part, id(other)), lambda: backend.value_and_grad(loss, other)[1]
        )
        return max(float(ops.max(ops.abs(gradient))) for gradient in program())

    assert leaks("log_joint", inference.trainable_variables) == 0.0
    assert leaks("log_inference", generative.trainable_variables) == 0.0
    # A look that finds nothing anywhere would say the same.
    assert leaks("log_joint", generative.trainable_variables) > 0.0


def digits():
    return (dgm.datasets.load("digits").train.images[:1280] > 0.5).astype("float32")


def small(num_data, num_samples=3, seed=0, **options):
    keras.utils.set_random_seed(seed)
    prior, likelihood = Chain([Bernoulli((4,)), Bernoulli((6,))]), Bernoulli((5,))
    generative = dgm.models.LatentVariableModel(prior, likelihood)
    inference = Chain([Bernoulli((6,)), Bernoulli((4,))])
    options = {"seed": seed, **options}
    return dgm.JSA(generative, inference, num_data, num_samples=num_samples, **options)


def rows(num_rows):
    return (np.random.default_rng(0).random((num_rows, 5)) < 0.4).astype("float32")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Four epochs, and the last two again from a file: (whole, resumed, history)."""
    x = rows(24)
    whole = small(24, cache_from_epoch=2)
    whole.compile(keras.optimizers.Adam(0.01))
    history = whole.fit(x, batch_size=8, epochs=2, verbose=0).history
    path = tmp_path_factory.mktemp("jsa") / "model.keras"
    whole.save(path)
    resumed = keras.saving.load_model(path)
    np.testing.assert_array_equal(table(resumed.cache[0]), table(whole.cache[0]))
    last = whole.fit(x, batch_size=8, epochs=4, initial_epoch=2, verbose=0).history
    resumed.fit(x, batch_size=8, epochs=4, initial_epoch=2, verbose=0)
    return whole, resumed, {name: [*history[name], *last[name]] for name in last}


def table(variable):
    return ops.convert_to_numpy(variable)


def test_stages_visits_and_figures(trained):
    whole, _, history = trained
    np.testing.assert_allclose(history["stage"], [1, 1, 2, 2])
    np.testing.assert_array_equal(table(whole.visits), 4)
    assert all(0.0 < rate <= 1.0 for rate in history["acceptance_rate"])
    assert history["longest_stay"][1] <= 3 and history["longest_stay"][3] <= 9
    assert history["longest_stay"][3] == table(whole.stay).max()
    assert [part.dtype for part in whole.cache] == ["int8", "int8"]
    assert [tuple(part.shape) for part in whole.cache] == [(24, 6), (24, 4)]
    assert set(np.unique(table(whole.cache[0]))) == {0, 1}


def test_a_resumed_run_equals_a_whole_one(trained):
    whole, resumed, _ = trained
    assert resumed.cache_from_epoch == 2
    for a, b in zip(whole.weights, resumed.weights):
        np.testing.assert_array_equal(table(a), table(b), err_msg=a.path)


def test_the_cache_holds_the_last_state_and_only_of_the_batch():
    model = small(10, num_samples=1, seed=1)
    model.compile(keras.optimizers.SGD(0.0), steps_per_execution=1)
    start = [np.random.default_rng(i).integers(0, 2, (10, size)) for i, size in enumerate((6, 4))]
    model.visits.assign(np.full(10, 1, "int32"))
    for part, value in zip(model.cache, start):
        part.assign(value.astype("int8"))
    index = np.array([7, 2, 5], "int32")
    x, state = rows(10)[index], np.array(table(model.seed_state))

    def expected(x, cached):
        seed = backend.split_seed(model.next_seed(), 2)[0]
        path = model.run_chains(x, cached, ops.ones((3,), "bool"), seed, training=True)
        return path["last"], path["accepted"]

    cached = [ops.convert_to_tensor(s[index].astype("float32")) for s in start]
    last, accepted = model.compiled_function("expected", expected)(ops.convert_to_tensor(x), cached)
    model.seed_state.assign(state)
    model.fit(iter_once({"x": x, "index": index}), verbose=0)
    others = np.setdiff1d(np.arange(10), index)
    for part, value, state in zip(model.cache, start, last):
        np.testing.assert_array_equal(table(part)[index], table(state))
        np.testing.assert_array_equal(table(part)[others], value[others])
    np.testing.assert_array_equal(table(model.visits)[index], 2)
    np.testing.assert_array_equal(table(model.visits)[others], 1)
    refused = 1 - table(accepted)[0].astype("int32")
    np.testing.assert_array_equal(table(model.stay)[index], refused)


def iter_once(batch):
    """A dataset of this one batch."""
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensors(batch)


def test_refused_in_a_row():
    accepted = ops.convert_to_tensor(np.array([[1, 0, 0], [0, 0, 1]], bool))
    before = ops.convert_to_tensor(np.array([4, 4, 4], "int32"))
    np.testing.assert_array_equal(table(jsa.refused_in_a_row(accepted, before)), [1, 6, 0])


def test_learns_digits():
    x = digits()
    keras.utils.set_random_seed(0)
    likelihood = Bernoulli((8, 8, 1))
    generative = dgm.models.LatentVariableModel(Bernoulli((30,)), likelihood)
    likelihood.init_bias(x)
    model = dgm.JSA(
        generative,
        Bernoulli((30,)),
        len(x),
        num_samples=5,
        cache_from_epoch=4,
        seed=0,
        evaluation_samples=50,
    )
    model.compile(keras.optimizers.Adam(0.01))
    held_out = (dgm.datasets.load("digits").test.images[:240] > 0.5).astype("float32")
    before = model.evaluate(held_out, batch_size=240, return_dict=True, verbose=0)["iw_bound"]
    model.fit(x, batch_size=64, epochs=12, verbose=0)
    after = model.evaluate(held_out, batch_size=240, return_dict=True, verbose=0)["iw_bound"]
    assert after > before + 4.0, (before, after)


def test_categorical_latents_and_one_pass_of_each_side(monkeypatch):
    """K = 4 moves of 2 tries: one pass of q on the batch, one of p on 9 times the batch."""
    generative = dgm.models.LatentVariableModel(OneHotCategorical((2, 3)), Bernoulli((5,)))
    model = dgm.JSA(generative, OneHotCategorical((2, 3)), 6, num_samples=4, num_tries=2, seed=0)
    assert model.cache[0].dtype == "int8"
    passes = []
    for name, layer in (("q", model.inference), ("p", generative.likelihood)):
        head = layer.head["logits"]

        def counted(inputs, training=None, name=name, call=head.call):
            passes.append((name, int(np.prod(inputs.shape[:-1]))))
            return call(inputs)

        monkeypatch.setattr(head, "call", counted)
    model.estimate_gradients({"x": rows(6), "index": np.arange(6, dtype="int32")})
    assert passes == [("q", 6), ("p", 9 * 6)]
    monkeypatch.undo()
    model.compile("adam", steps_per_execution=1)
    model.fit(rows(6), batch_size=6, verbose=0)
    np.testing.assert_array_equal(table(model.cache[0]).sum(axis=-1), 1)


def tensor_dataset(index, batch_size, num_rows=8):
    tf = pytest.importorskip("tensorflow")
    data = {"x": rows(num_rows)[index], "index": np.asarray(index, "int64")}
    return tf.data.Dataset.from_tensor_slices(data).batch(batch_size)


def test_datasets_with_row_numbers():
    tf = pytest.importorskip("tensorflow")
    data = tf.data.Dataset.from_tensor_slices(rows(8))
    data = dgm.datasets.with_index(data).shuffle(8, seed=0).batch(3)
    model = small(8)
    model.compile("adam", steps_per_execution=1)
    model.fit(data, epochs=2, verbose=0)
    np.testing.assert_array_equal(table(model.visits), 2)
    later = tensor_dataset([0, 1, 2, 3, 4, 4], 3)
    with pytest.raises(ValueError, match="row number twice"):
        model.fit(later, verbose=0)
    assert int(table(model.index_faults)) == 0
    with pytest.raises(ValueError, match="first batch of the dataset holds a row number twice"):
        model.fit(tensor_dataset([0, 0, 1], 3), verbose=0)
    with pytest.raises(ValueError, match=r"row numbers in \[0, 11\].*num_data=8"):
        model.fit(tensor_dataset([0, 11, 1], 3, num_rows=12), verbose=0)


def test_with_index_refuses_what_it_cannot_number():
    tf = pytest.importorskip("tensorflow")
    with pytest.raises(ValueError, match="Plain arrays need no numbers"):
        dgm.datasets.with_index(rows(4))
    batches = tf.data.Dataset.from_tensor_slices(rows(8)).batch(4)
    with pytest.raises(ValueError, match=r"before batch\(\)"):
        dgm.datasets.with_index(batches)
    pairs = tf.data.Dataset.from_tensor_slices((rows(4), np.arange(4)))
    element = next(iter(dgm.datasets.with_index(pairs)))
    assert set(element) == {"x", "y", "index"}


def test_wrong_data_is_refused():
    model = small(8)
    model.compile("adam")
    with pytest.raises(ValueError, match="num_data=8.*given 9 rows"):
        model.fit(rows(9), verbose=0)
    with pytest.raises(ValueError, match="num_data=8.*given 6 rows"):
        model.fit(rows(8), validation_split=0.25, verbose=0)
    with pytest.raises(ValueError, match="with_index"):
        model.fit((row for row in [rows(8)]), verbose=0)
    with pytest.raises(ValueError, match="row numbers"):
        model.train_step({"x": rows(3)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_data": 0}, "num_data"),
        ({"num_data": 2.5}, "num_data"),
        ({"num_tries": 0}, "num_tries"),
        ({"cache_from_epoch": -1}, "cache_from_epoch"),
        ({"sleep_weight": -0.5}, "sleep_weight"),
        ({"num_samples": 0}, "num_samples"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        small(**{"num_data": 4, **options})
