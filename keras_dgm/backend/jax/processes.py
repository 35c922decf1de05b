"""Several processes on JAX: `jax.distributed` and `keras.distribution.DataParallel`."""

import contextlib

import jax
import keras


def join_processes(addresses, number):
    """Joins the processes at these addresses, and gives the scope in which models are made.

    Call it first of all, before any layer or array is made. One program draws the noise of the
    global batch and computes on it; each process is given its rows.

    Args:
        addresses: list of "host:port", one for each process, the same in all; the first is where
            the others meet.
        number: which of them this process is.

    Returns:
        A context, to be entered as often as one likes. Build and compile the algorithm in it, call
        `fit` with the whole data and the global batch size.
    """
    # How CPU devices of several processes talk; accelerators have their own way.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    keras.distribution.initialize(addresses[0], len(addresses), int(number))
    keras.distribution.set_distribution(keras.distribution.DataParallel())
    return contextlib.nullcontext()


def process_number():
    """Which of the joined processes this is; 0 of one alone."""
    return jax.process_index()
