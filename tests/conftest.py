"""Settings that must hold before Keras is imported: the backend, and one thread a test process."""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

# Tests compile many small programs and run each a few times: XLA's optimiser costs more than it
# saves (a learning rule's step compiles in half the time without).
XLA_FLAGS = ["--xla_backend_optimization_level=0", "--xla_llvm_disable_expensive_passes=true"]

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers that each start a thread for every core wait for one another more than they compute.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    XLA_FLAGS.append("--xla_cpu_multi_thread_eigen=false")

os.environ.setdefault("XLA_FLAGS", " ".join(XLA_FLAGS))

import math  # noqa: E402

import numpy as np  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def initializers_without_compilation():
    """Spares JAX the compilation of an initialiser for each shape, which is most of a small test.

    The draws keep their scale, and equal seeds give equal numbers. TensorFlow's run of the same
    tests uses Keras' own.
    """
    if os.environ["KERAS_BACKEND"] != "jax":
        yield
        return
    import keras

    def draw(self, shape, dtype=None):
        seed = self.seed if isinstance(self.seed, int) else 0
        numbers = np.random.default_rng([seed, *shape]).normal(size=shape)
        numbers /= math.sqrt(max(1, math.prod(shape[:-1])))
        return keras.ops.convert_to_tensor(numbers, dtype=dtype or keras.config.floatx())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.initializers.VarianceScaling, "__call__", draw)
        yield


@pytest.fixture(scope="session")
def backend_name():
    """The Keras backend under test, "tensorflow" or "jax"."""
    return os.environ["KERAS_BACKEND"]
