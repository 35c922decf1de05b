"""Several processes on the loopback address train as one does; one that is killed comes back."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import several_processes
from scripts import ROOT

PROGRAM = pathlib.Path(several_processes.__file__)
RULES = ["vae", "jsa", "persistent", "wgan"]


def free_addresses(count):
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    found = [f"127.0.0.1:{one.getsockname()[1]}" for one in held]
    for one in held:
        one.close()
    return ",".join(found)


def start(count, rules, folder="", how=""):
    folders = os.pathsep.join([str(ROOT), str(PROGRAM.parent)])
    environment = {**os.environ, "PYTHONPATH": folders, "OMP_NUM_THREADS": "1"}
    addresses, rules = free_addresses(count), "+".join(rules)
    return [
        subprocess.Popen(
            [sys.executable, str(PROGRAM), str(number), addresses, rules, str(folder), how],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]


def results(processes, timeout=600):
    """What each printed; none of them outlives the call."""
    try:
        out = []
        for process in processes:
            stdout, stderr = process.communicate(timeout=timeout)
            assert process.returncode == 0, stderr[-3000:]
            out.append(json.loads(stdout.strip().splitlines()[-1]))
        return out
    finally:
        for process in processes:
            process.kill()


def furthest(one, other):
    """The largest difference between two lists of lists of numbers."""
    return max(np.abs(np.subtract(a, b)).max(initial=0.0) for a, b in zip(one, other, strict=True))


def test_two_processes_take_the_steps_of_one_and_draw_noise_of_their_own():
    together = start(2, ["vae", "noise", "shared noise"])
    alone = several_processes.train("vae")
    begun = several_processes.train("vae", epochs=0)
    first, second = results(together)
    for found in (first, second):
        assert furthest(found["vae"], alone) < 1e-5
    # The comparison can fail: the steps went somewhere.
    assert furthest(begun, alone) > 1e-2
    # Of the sixteen rows no two were given the same noise; with the fault each half was.
    assert first["noise"] == second["noise"]
    assert len(set(first["noise"][-1])) == 16
    assert len(set(first["shared noise"][-1])) == 8


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_processes_take_the_steps_of_one(count):
    [alone] = results(start(1, RULES))
    for found in results(start(count, RULES)):
        for rule in RULES:
            difference = furthest(found[rule], alone[rule])
            print(f"{count} processes, {rule}: {difference:.2g}")
            assert difference < 1e-5, rule


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["vae", "jsa", "persistent"])
def test_a_killed_process_is_restarted_and_nothing_is_lost(rule, tmp_path):
    whole = results(start(2, [rule], tmp_path / "whole"))
    assert not list((tmp_path / "whole").glob("*/*.h5"))
    folder = tmp_path / "killed"
    killed = start(2, [rule], folder, "kill")
    deadline = time.monotonic() + 300
    while killed[1].poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    # The launcher's part: the others cannot go on without it, and all start anew.
    for process in killed:
        process.kill()
        process.communicate()
    assert killed[1].returncode == -signal.SIGKILL
    # Had the first process come less far, all would go on from there.
    (folder / "0" / "epoch-000002.weights.h5").unlink(missing_ok=True)
    kept = sorted(path.name for path in folder.glob("*/*.h5") if "epoch" in path.name)
    assert kept == ["epoch-000001.weights.h5"] * 2 + ["epoch-000002.weights.h5"]
    # What begins elsewhere ends as the whole run did only by what it reads.
    again = results(start(2, [rule], folder, "elsewhere"))
    for found, expected in zip(again, whole, strict=True):
        assert furthest(found[rule], expected[rule]) == 0.0
