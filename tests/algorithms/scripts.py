"""Programs that tests run in a process of their own, and the small models they use."""

import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def run(program, *arguments, environment=None, check=True, timeout=300):
    """Runs Python source with the repository on the path; returns the completed process."""
    variables = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "algorithms")]),
        **(environment or {}),
    }
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=variables,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"exit {done.returncode}\n{done.stdout}\n{done.stderr[-4000:]}")
    return done


def result(done):
    """The JSON object on the last line that a program printed."""
    return json.loads(done.stdout.strip().splitlines()[-1])


def binary_rows(num_rows, num_pixels=6, seed=0):
    """Random binary rows, float32."""
    import numpy as np

    generator = np.random.default_rng(seed)
    return (generator.random((num_rows, num_pixels)) < 0.4).astype("float32")


def small_model(dropout=0.0, batch_norm=False):
    """A Gaussian latent-variable model of six binary pixels: (generative, inference)."""
    import keras_dgm as dgm

    normalization = "batch" if batch_norm else None
    return (
        dgm.models.LatentVariableModel(
            dgm.distributions.Normal((3,)),
            dgm.distributions.Bernoulli(
                (6,), network=dgm.networks.mlp([5], dropout=dropout, normalization=normalization)
            ),
        ),
        dgm.distributions.Normal((3,), network=dgm.networks.mlp([5], dropout=dropout)),
    )


def fix_noise(inference):
    """Replaces the noise of a Normal layer by a function of the row, the same on any device."""
    import keras

    def sample_from(parameters, sample_shape, seed):
        loc, scale = inference.location_and_scale(parameters)
        noise = keras.ops.sin(2.0 * keras.ops.cumsum(loc, axis=-1))
        return keras.ops.broadcast_to(loc + scale * noise, (*sample_shape, *keras.ops.shape(loc)))

    inference.sample_from = sample_from
