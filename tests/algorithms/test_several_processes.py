"""Several processes on the loopback address train as one does; one that is killed comes back."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from scripts import ROOT

PROGRAM = """
import contextlib, json, os, signal, sys
import keras, numpy as np
from keras_dgm import backend

number, addresses, what, folder, kill = (
    int(sys.argv[1]), sys.argv[2].split(","), sys.argv[3], sys.argv[4], sys.argv[5] == "kill")
scope = contextlib.nullcontext()
if len(addresses) > 1:
    scope = backend.join_processes(addresses, number)
import keras_dgm as dgm
import scripts

keras.utils.set_random_seed(0)
x = scripts.binary_rows(16)
Bernoulli, Normal = dgm.distributions.Bernoulli, dgm.distributions.Normal


def vae():
    generative, inference = scripts.small_model()
    return dgm.VAE(generative, inference, seed=0, num_samples=2)


def jsa():
    generative, inference = dgm.models.sigmoid_belief_network([4, 3], (6,))
    return dgm.JSA(generative, inference, num_data=16, num_samples=3, seed=0)


def persistent():
    machine = dgm.models.RBM((6,), 4)
    return dgm.StochasticMaximumLikelihood(machine, num_steps=2, num_chains=5, seed=0)


def wgan():
    generator = dgm.models.ImplicitModel(3, dgm.networks.mlp([5], output_units=6))
    critic = dgm.networks.mlp([5], output_units=1)
    return dgm.WGANGP(generator, critic, critic_steps=2, seed=0)


RULES = {"vae": vae, "jsa": jsa, "persistent": persistent, "wgan": wgan}


def same_for_all_rows(shape, seed, *args, **kwargs):
    # Noise that does not depend on which rows of the batch a process holds: of axes (samples,
    # rows, units), (samples or chains, rows or units) and (rows,) the rows' one is left out.
    rank = len(shape)
    samples = np.arange(shape[0]).reshape(-1, *[1] * (rank - 1)) if rank > 1 else np.zeros(1)
    units = np.arange(shape[-1]) if rank > 2 else np.zeros(1)
    fixed = np.modf(0.37 + 0.618 * samples + 0.271 * units)[0].astype("float32")
    return keras.ops.broadcast_to(fixed, shape)


def same_normal(shape, seed, dtype="float32"):
    fixed = np.sin(1.0 + 2.0 * np.arange(shape[-1])).astype("float32")
    return keras.ops.broadcast_to(fixed, shape)


out = {}
for name in what.split("+"):
    if not kill and not folder:
        backend.uniform, backend.normal = same_for_all_rows, same_normal
    keras.utils.set_random_seed(1)
    with scope:
        model = RULES[name]()
        model.compile(keras.optimizers.SGD(0.05, momentum=0.5), steps_per_execution=1)
    callbacks = []
    if folder:
        class Kill(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                if kill and epoch == 2 and number == len(addresses) - 1:
                    os.kill(os.getpid(), signal.SIGKILL)
        callbacks = [keras.callbacks.BackupAndRestore(os.path.join(folder, str(number))), Kill()]
    epochs = 4 if folder else 3
    model.fit(x, batch_size=8, epochs=epochs, verbose=0, shuffle=True, callbacks=callbacks)
    state = model.non_trainable_variables if not folder else []
    out[name] = [
        keras.ops.convert_to_numpy(v).astype("float64").ravel().tolist()
        for v in [*model.trainable_variables, *state]
    ]
print(json.dumps(out))
"""


def free_addresses(count):
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    found = [f"127.0.0.1:{one.getsockname()[1]}" for one in held]
    for one in held:
        one.close()
    return ",".join(found)


def start(count, what, folder="", kill=""):
    folders = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "algorithms")])
    environment = {**os.environ, "PYTHONPATH": folders, "OMP_NUM_THREADS": "1"}
    addresses = free_addresses(count)
    return [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(number), addresses, what, str(folder), kill],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]


def results(processes, timeout=1200):
    out = []
    for process in processes:
        stdout, stderr = process.communicate(timeout=timeout)
        assert process.returncode == 0, stderr[-3000:]
        out.append(json.loads(stdout.strip().splitlines()[-1]))
    return out


def furthest(one, other):
    """The largest difference between two lists of arrays."""
    return max(np.abs(np.array(a) - np.array(b)).max() for a, b in zip(one, other, strict=True))


RULES = "vae+jsa+persistent+wgan"


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_processes_take_the_steps_of_one(count):
    [alone] = results(start(1, RULES))
    together = results(start(count, RULES))
    for found in together:
        for rule, values in alone.items():
            assert furthest(found[rule], values) < 1e-5, rule
    # The comparison can fail: the rules moved, each elsewhere.
    assert furthest(alone["vae"][:1], [np.zeros_like(alone["vae"][0])]) > 1e-2


@pytest.mark.slow
def test_a_killed_process_is_restarted_and_nothing_is_lost(tmp_path):
    [first, _] = results(start(2, "vae", tmp_path / "whole"))
    killed = start(2, "vae", tmp_path / "killed", "kill")
    deadline = time.monotonic() + 600
    while killed[1].poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    assert killed[1].returncode == -signal.SIGKILL
    # The launcher's part: the others cannot go on without it, and all start anew.
    killed[0].kill()
    for process in killed:
        process.communicate()
    again = results(start(2, "vae", tmp_path / "killed"))
    for found in again:
        assert furthest(found["vae"], first["vae"]) < 1e-6
