"""Gives the columns their turns, so that what else the machine does meets all alike."""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks.worker import COLUMNS, NEEDS_TORCH


class Column:
    """A worker process and what it answered."""

    def __init__(self, name, python, threads):
        self.name, self.python, self.threads = name, python, threads
        self.log = os.path.join(tempfile.gettempdir(), f"benchmarks-{os.getpid()}.log")
        self.start()

    def start(self):
        """Starts the process and waits until its libraries are imported."""
        environment = {**os.environ, **COLUMNS[self.name][2], "TF_CPP_MIN_LOG_LEVEL": "3"}
        root = str(pathlib.Path(__file__).parents[1])
        environment["PYTHONPATH"] = os.pathsep.join([root, environment.get("PYTHONPATH", "")])
        if self.threads:
            count = str(self.threads)
            eigen = "" if self.threads > 1 else "--xla_cpu_multi_thread_eigen=false"
            environment.update(
                OMP_NUM_THREADS=count,
                OPENBLAS_NUM_THREADS=count,
                TF_NUM_INTRAOP_THREADS=count,
                TF_NUM_INTEROP_THREADS=count,
                XLA_FLAGS=eigen,
            )
        self.process = subprocess.Popen(
            [self.python, "-m", "benchmarks.worker", self.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=open(self.log, "a"),
            env=environment,
            text=True,
        )
        self.versions = self.read().get("versions", {})

    def ask(self, **message):
        """Sends a command and waits for its answer."""
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        return self.read()

    def read(self):
        """The next answer."""
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"error": "the process ended"}

    def stop(self):
        """Ends the process."""
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()


def run(
    rows,
    columns,
    repeats=5,
    divide=1,
    threads=None,
    minutes=None,
    peer_python=None,
    say=print,
    bare=True,
):
    """Measures rows by columns.

    Args:
        rows, columns: names.
        repeats: timed repeats of each cell; one more, before them, is warm-up.
        divide: what the steps of a repeat are divided by.
        threads: for every library, or None for each one's own default.
        minutes: after which no further row is begun, or None.
        peer_python: an interpreter that has PyTorch, Pyro, pythae, torchebm.
        say: called with a line of progress.
        bare: whether this library's columns time the step alone, too.

    Returns:
        `(cells, versions)`: dictionaries by row and column of figures, seconds and MiB; versions.
    """
    workers, versions = {}, {}
    for name in columns:
        python = peer_python if name in NEEDS_TORCH and peer_python else sys.executable
        worker = Column(name, python, threads)
        if worker.process.poll() is None:
            workers[name] = worker
            versions.update(worker.versions)
        else:
            say(f"{name}: cannot be imported by {python}; left out")
    cells = {}
    started = time.monotonic()
    for row in rows:
        if minutes is not None and time.monotonic() - started > 60.0 * minutes:
            say(f"{row}: left out, {minutes:g} minutes are over")
            continue
        cells[row] = {}
        running = {}
        for name, worker in workers.items():
            answer = worker.ask(row=row, repeats=repeats + 1, divide=divide, bare=bare)
            ready = worker.read() if "first" in answer else answer
            if "ready" in ready:
                running[name] = {"first": answer["first"], "times": []}
            elif "error" in ready:
                cells[row][name] = ready
                if worker.process.poll() is not None:
                    worker.start()
        for number in range(repeats + 1):
            for name in list(running):
                answer = workers[name].ask(go=number)
                # One column at a time: the next begins when this one waits again.
                ready = workers[name].read() if "wall" in answer else answer
                if "ready" in ready:
                    running[name]["times"].append(answer)
                else:
                    cells[row][name] = ready
                    del running[name]
        for name, cell in running.items():
            cells[row][name] = {**summary(cell), **workers[name].ask(finish=True)}
        figures = {
            name: f"{1e3 * cell['wall']:.2f}" if "wall" in cell else "error"
            for name, cell in cells[row].items()
        }
        say(f"{row}: ms a step {figures}")
    for worker in workers.values():
        worker.stop()
    return cells, versions


def summary(cell):
    """Medians of the repeats after the warm-up, their spread, and the losses."""
    timed = cell["times"][1:]
    walls = [time["wall"] for time in timed]
    return {
        "wall": statistics.median(walls),
        "spread": [min(walls), max(walls)],
        "cpu": statistics.median(time["cpu"] for time in timed),
        "first_step": cell["first"]["wall"],
        "first_step_cpu": cell["first"]["cpu"],
        "first_loss": cell["first"]["loss"],
        "warm_up_loss": cell["times"][0]["loss"],
    }
