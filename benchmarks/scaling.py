"""Several processes on this machine: time a step, and what they send each other.

    KERAS_BACKEND=jax python -m benchmarks.scaling --processes 1 2 4

IWAE (784-200-200-50, 5 samples) at a global batch of 128. Each process has one thread, so that
more of them than the machine has cores take turns, and what is seen is the cost of joining. What is
sent is read off the loopback device (Linux), headers and whatever else runs there included.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys

BATCH, STEPS, EPOCHS = 128, 20, 4


def worker(number, addresses):
    """One process: prints the milliseconds of a step, and the bytes of all gradients."""
    import contextlib
    import time

    import keras
    import numpy as np

    from keras_dgm import backend

    scope = contextlib.nullcontext()
    if len(addresses) > 1:
        scope = backend.join_processes(addresses, number)
    import keras_dgm as dgm

    class Epochs(keras.callbacks.Callback):
        times: list[float] = []
        used: list[float] = []
        sent: list[float] = []

        def on_epoch_begin(self, epoch, logs=None):
            self.start, self.before = time.perf_counter(), loopback_bytes()
            self.worked = time.process_time()

        def on_epoch_end(self, epoch, logs=None):
            self.times.append((time.perf_counter() - self.start) / STEPS)
            self.used.append((time.process_time() - self.worked) / STEPS)
            self.sent.append((loopback_bytes() - self.before) / STEPS / len(addresses))

    keras.utils.set_random_seed(0)
    x = (np.random.default_rng(0).random((BATCH * STEPS, 784)) < 0.2).astype("float32")
    with scope:
        network = dgm.networks.mlp
        generative = dgm.models.LatentVariableModel(
            dgm.distributions.Normal((50,)),
            dgm.distributions.Bernoulli((784,), network=network([200, 200], "tanh")),
        )
        inference = dgm.distributions.Normal((50,), network=network([200, 200], "tanh"))
        model = dgm.IWAE(generative, inference, num_samples=5, seed=0)
        model.compile(keras.optimizers.Adam(1e-3), steps_per_execution=1)
    epochs = Epochs()
    model.fit(x, batch_size=BATCH, epochs=EPOCHS, verbose=0, callbacks=[epochs])
    size = sum(int(np.prod(v.shape)) * 4 for v in model.trainable_variables)
    found = {"step": epochs.times, "used": epochs.used, "sent": epochs.sent}
    found = {name: statistics.median(values[1:]) for name, values in found.items()}
    print(json.dumps({**found, "gradient_bytes": size}))


def loopback_bytes():
    """What all processes of this machine have sent each other so far."""
    with open("/proc/net/dev") as file:
        line = next(line for line in file if line.strip().startswith("lo:"))
    return int(line.split(":")[1].split()[8])


def measure(count):
    """Starts the processes and returns what the first one printed."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = ",".join(f"127.0.0.1:{one.getsockname()[1]}" for one in held)
    for one in held:
        one.close()
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": "1",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    command = [sys.executable, "-m", "benchmarks.scaling", "--worker"]
    processes = [
        subprocess.Popen(
            [*command, str(number), addresses],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for number in range(count)
    ]
    outputs = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise RuntimeError(f"{count} processes: one of them failed")
    return json.loads(outputs[0].strip().splitlines()[-1])


def ring_bytes(size, count):
    """What each process sends in a ring all-reduce of `size` bytes."""
    return 2.0 * (count - 1) / count * size


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(int(options.worker[0]), options.worker[1].split(","))
        return
    print(
        "| processes | rows each | ms a step | of processor time, each | MB sent by each | a ring |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for count in options.processes:
        found = measure(count)
        ring = ring_bytes(found["gradient_bytes"], count)
        print(
            f"| {count} | {BATCH // count} | {1e3 * found['step']:.1f} "
            f"| {1e3 * found['used']:.1f} | {found['sent'] / 1e6:.2f} | {ring / 1e6:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
