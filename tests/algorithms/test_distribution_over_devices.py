"""Two devices take the step that one device takes."""

import re

import pytest
from scripts import result, run

PROGRAM = """
import contextlib, json, sys
import keras, numpy as np

devices, clip, rows = int(sys.argv[1]), sys.argv[2] == "clip", int(sys.argv[3])
backend = keras.backend.backend()
scope = contextlib.nullcontext()
if backend == "tensorflow":
    import tensorflow as tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    if devices == 2:
        scope = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope()
elif devices == 2:
    keras.distribution.set_distribution(keras.distribution.DataParallel())

import keras_dgm as dgm
import scripts

keras.utils.set_random_seed(0)
with scope:
    generative, inference = scripts.small_model()
    scripts.fix_noise(inference)
    model = dgm.VAE(generative, inference, seed=0, num_samples=2)
    optimizer = keras.optimizers.SGD(0.02, global_clipnorm=0.3 if clip else None)
    model.compile(optimizer, steps_per_execution=1)
history = model.fit(scripts.binary_rows(rows), batch_size=10, epochs=2, verbose=0)
evaluated = model.evaluate(scripts.binary_rows(20), batch_size=10, verbose=0, return_dict=True)
weights = [keras.ops.convert_to_numpy(v).ravel().tolist() for v in model.trainable_variables]
print(json.dumps({"weights": sum(weights, []), "loss": history.history["loss"],
                  "elbo": evaluated["elbo"]}))
"""

TWO_CPUS = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}


@pytest.mark.parametrize("clip", ["clip", "no clip"])
def test_two_devices_equal_one(backend_name, clip):
    # TensorFlow takes an odd last batch (45 rows: the last has five); JAX refuses one, below.
    rows = 45 if backend_name == "tensorflow" else 40
    one, two = (
        result(run(PROGRAM, devices, clip, rows, environment=TWO_CPUS)) for devices in (1, 2)
    )
    assert one["weights"] == pytest.approx(two["weights"], abs=1e-5)
    assert one["loss"] == pytest.approx(two["loss"], rel=1e-5)
    assert one["elbo"] == pytest.approx(two["elbo"], rel=1e-4)


TABLES = """
import json, sys
import keras, numpy as np
import tensorflow as tf
import keras_dgm as dgm
import scripts


def run(distribution, path, write):
    keras.distribution.set_distribution(distribution)
    keras.utils.set_random_seed(0)
    x = scripts.binary_rows(21)
    model = dgm.JSA(*dgm.models.sigmoid_belief_network([3], (6,)), num_data=21, seed=0)
    machine = dgm.models.RBM((6,), 4)
    chains = dgm.StochasticMaximumLikelihood(machine, num_steps=2, num_chains=6, seed=0)
    for one in (model, chains):
        one.compile(keras.optimizers.SGD(0.05), steps_per_execution=1)
    data = dgm.datasets.with_index(tf.data.Dataset.from_tensor_slices(x))
    model.fit(data.batch(10, drop_remainder=True), epochs=3, verbose=0)
    chains.fit(x[:20], batch_size=10, epochs=3, verbose=0)
    held = [model.cache[0], model.visits, chains.chains.variables[0]]
    weights = [*model.trainable_variables, *chains.trainable_variables]
    values = [keras.ops.convert_to_numpy(v.value)[:21].ravel().tolist() for v in held + weights]
    if write:
        model.save_weights(path)
    else:
        model.load_weights(path)
    read = keras.ops.convert_to_numpy(model.cache[0].value)[:21].ravel().tolist()
    rows = [v.value.addressable_shards[0].data.shape[0] for v in held]
    return {"values": values, "rows": rows, "read": read}


two = run(keras.distribution.DataParallel(), sys.argv[1], True)
one = run(None, sys.argv[1], False)
print(json.dumps([two, one]))
"""


def test_devices_divide_tables_and_chains(backend_name, tmp_path):
    if backend_name != "jax":
        pytest.skip("TensorFlow's replicas keep whole copies")
    dump = f"--xla_dump_to={tmp_path}/dump --xla_dump_hlo_as_text --xla_dump_hlo_module_re=.*pure.*"
    flags = {"XLA_FLAGS": f"{TWO_CPUS['XLA_FLAGS']} {dump}"}
    two, one = result(run(TABLES, tmp_path / "divided.weights.h5", environment=flags))
    # 21 points make two tables of eleven rows; six chains, three each.
    assert two["rows"] == [11, 11, 3]
    assert one["rows"] == [21, 21, 6]
    for found, expected in zip(two["values"], one["values"], strict=True):
        assert found == pytest.approx(expected, abs=1e-5)
    # The file knows nothing of the devices that wrote it.
    assert one["read"] == two["values"][0]
    assert set(one["read"]) == {0.0, 1.0}
    # What travels are gradients and rows of tables: no device is sent another's activations.
    steps = [path.read_text() for path in (tmp_path / "dump").glob("*cpu_after_optimizations.txt")]
    sent = [re.findall(r"= (.*?) (all-\w+|collective-permute)\(", step) for step in steps]
    assert any(("f32[6,3]" in what) for what, how in sum(sent, []) if how == "all-reduce")
    assert not [what for what, how in sum(sent, []) if how != "all-reduce" and "f32" in what]


def test_replicas_do_not_share_noise(backend_name):
    # With shared noise the two halves of a batch of equal rows would be equal.
    program = """
import json, keras, numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras_dgm as dgm, scripts
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    model = dgm.VAE(*scripts.small_model(), seed=0)
    model.compile("sgd")
seeds = strategy.experimental_local_results(strategy.run(model.next_seed))
again = strategy.experimental_local_results(strategy.run(model.next_seed))
print(json.dumps([s.numpy().tolist() for s in (*seeds, *again)]))
"""
    if backend_name != "tensorflow":
        pytest.skip("one program draws the noise of the global batch on JAX")
    seeds = {tuple(seed) for seed in result(run(program))}
    assert len(seeds) == 4


def test_an_indivisible_batch_is_a_clear_error(backend_name):
    if backend_name != "jax":
        pytest.skip("TensorFlow's replicas take uneven batches")
    done = run(PROGRAM, 2, "no clip", 45, environment=TWO_CPUS, check=False)
    assert done.returncode != 0
    assert "A batch of 5 rows cannot be divided among 2 devices" in done.stderr
