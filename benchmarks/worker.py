"""One column in a process of its own: `python -m benchmarks.worker COLUMN`.

Reads one JSON object a line on stdin and answers with one on its first stdout: `{"row": ...}`
prepares a row and times its first step, `{"go": ...}` times one repeat. Before each `go`, and after
the last, it says `{"ready": true}`: what a library does between repeats (the end of an epoch) is
over then, and takes no time of another column's repeat.
"""

import importlib
import json
import os
import sys
import time
import traceback

COLUMNS = {
    "keras_dgm, TensorFlow": ("ours", "Loop", {"KERAS_BACKEND": "tensorflow"}),
    "keras_dgm, JAX": ("ours", "Loop", {"KERAS_BACKEND": "jax"}),
    "tf.function by hand": ("plain_tensorflow", "Loop", {}),
    "JAX by hand": ("plain_jax", "Loop", {}),
    "PyTorch": ("plain_torch", "Loop", {}),
    # Without its cache, so that a first step is one.
    "PyTorch, compiled": (
        "plain_torch",
        "CompiledLoop",
        {"TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"},
    ),
    "Pyro": ("peers", "Pyro", {}),
    "pythae": ("peers", "Pythae", {}),
    "torchebm": ("peers", "TorchEBM", {}),
    "mimicry": ("peers", "Mimicry", {}),
}
NEEDS_TORCH = tuple(name for name, entry in COLUMNS.items() if entry[0] in ("plain_torch", "peers"))


def peak_memory(reset=False):
    """`(peak, present)` resident memory in MiB; `reset` starts the peak anew."""
    if reset:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    with open("/proc/self/status") as file:
        lines = dict(line.split(":", 1) for line in file if ":" in line)
    return tuple(int(lines[key].split()[0]) / 1024 for key in ("VmHWM", "VmRSS"))


class Gate:
    """Turns: `begin` waits for the driver's word, `end` answers with the time taken."""

    def __init__(self, commands, answer, steps):
        self.commands, self.answer, self.steps = commands, answer, steps

    def begin(self):
        """Waits until the driver gives this column the machine."""
        self.answer({"ready": True})
        next(self.commands)
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def end(self, loss):
        """Tells the driver the seconds a step, and the loss."""
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        self.answer({"wall": wall / self.steps, "cpu": cpu / self.steps, "loss": loss})


def run_row(make, command, commands, answer):
    """Prepares a row, answers with its first step, then takes `repeats` turns."""
    from benchmarks.workloads import WORKLOADS, shortened

    workload = shortened(WORKLOADS[command["row"]], command["divide"])
    _, before = peak_memory(reset=True)
    start, cpu = time.perf_counter(), time.process_time()
    loop = make(workload)
    loss = loop.run(1)
    first = {"wall": time.perf_counter() - start, "cpu": time.process_time() - cpu, "loss": loss}
    answer({"first": first})
    gate, repeats = Gate(commands, answer, workload.steps), command["repeats"]
    if hasattr(loop, "repeats"):
        loop.repeats(gate, repeats)
    else:
        for _ in range(repeats):
            gate.begin()
            gate.end(loop.run(workload.steps))
    answer({"ready": True})
    next(commands)
    report = {"memory": peak_memory()[0] - before}
    if command["bare"] and hasattr(loop, "bare_step") and workload.steps >= 5:
        report["bare"], report["epoch"] = loop.bare_step(3), loop.epoch
    answer(report)


def main(name):
    # Libraries print on stdout; answers go where it was, and prints to stderr.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    module, attribute, _ = COLUMNS[name]

    def answer(message):
        out.write(json.dumps(message) + "\n")
        out.flush()

    commands = (json.loads(line) for line in sys.stdin)
    library = importlib.import_module(f"benchmarks.{module}")
    answer({"versions": library.VERSIONS})
    for command in commands:
        if "row" not in command:
            continue
        try:
            run_row(getattr(library, attribute), command, commands, answer)
        except NotImplementedError:
            answer({"cannot": True})
        except Exception as error:
            traceback.print_exc()
            answer({"error": f"{type(error).__name__}: {error}"[:500]})


if __name__ == "__main__":
    main(sys.argv[1])
