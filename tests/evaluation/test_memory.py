"""The memory of an evaluation is bounded by the chunk size, whatever the number of draws."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]

PROGRAM = """
import json, pathlib, sys
import keras, numpy as np
import keras_dgm as dgm

network = dgm.networks.mlp
keras.utils.set_random_seed(0)
generative = dgm.models.LatentVariableModel(
    dgm.distributions.Normal((5,)), dgm.distributions.Bernoulli((784,), network=network([10]))
)
model = dgm.VAE(generative, dgm.distributions.Normal((5,), network=network([10])), seed=0)
x = (np.random.default_rng(0).random((60, 784)) < 0.3).astype("float32")


def peak(num_samples, chunk):
    dgm.evaluation.log_likelihood(model, x, num_samples, rows=50, chunk=chunk, verbose=0)
    # Not ru_maxrss, which begins at what the process had that started this one.
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


print(json.dumps([peak(100, 50), peak(1500, 50), peak(1500, 1500)]))
"""


@pytest.mark.skipif(
    not pathlib.Path("/proc/self/status").exists(), reason="reads the peak memory that Linux keeps"
)
def test_memory_is_bounded_by_the_chunk_not_by_the_draws(backend_name):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    few, many, at_once = json.loads(done.stdout.strip().splitlines()[-1])
    # The logits of a chunk are 50 * 50 * 784 numbers, 7.5 MiB; of all 1,500 draws 224 MiB.
    assert many - few < 50.0
    # The measure can fail: a chunk of all draws takes its memory.
    assert at_once - many > 150.0
