"""Several processes on TensorFlow: `tf.distribute.MultiWorkerMirroredStrategy`."""

import json
import os

import tensorflow as tf


def join_processes(addresses, number):
    """Joins the processes at these addresses, and gives the scope in which models are made.

    Call it first of all, before any layer or tensor is made. Each process draws noise of its own
    and takes its share of every batch; the gradients are those of the global batch.

    Args:
        addresses: list of "host:port", one for each process, the same in all.
        number: which of them this process is.

    Returns:
        A context, to be entered as often as one likes. Build and compile the algorithm in it, call
        `fit` with the whole data and the global batch size.
    """
    task = {"type": "worker", "index": int(number)}
    cluster = {"worker": list(addresses)}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})
    return _Scope(tf.distribute.MultiWorkerMirroredStrategy())


def process_number():
    """Which of the joined processes this is; 0 of one alone."""
    task = json.loads(os.environ.get("TF_CONFIG") or "{}").get("task", {})
    return int(task.get("index", 0))


class _Scope:
    """The scope of a strategy, which itself can be entered once."""

    def __init__(self, strategy):
        self.strategy = strategy
        self.entered = []

    def __enter__(self):
        self.entered.append(self.strategy.scope())
        return self.entered[-1].__enter__()

    def __exit__(self, *reason):
        return self.entered.pop().__exit__(*reason)
