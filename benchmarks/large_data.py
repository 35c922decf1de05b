"""One pass over shards that memory need not hold: memory, and how long steps wait for input.

    KERAS_BACKEND=jax python -m benchmarks.large_data --images 1000000 --directory /tmp/shards

Trains as `examples/large_data.py` does, on JAX, whose `fetch` of the next batches can be timed: the
share of a step that goes by in it is the most that a step can have waited. Then the same for one
batch that lies in memory, whose fetch is as cheap as one can be.
"""

import argparse
import itertools
import pathlib
import sys
import time
import types

import keras

import keras_dgm as dgm
from keras_dgm.backend.jax import engine

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "examples"))
import large_data  # noqa: E402


class Fetch:
    """Stands in for `itertools` where `fit` takes the batches of an execution."""

    seconds = 0.0

    def islice(self, iterator, count):
        start = time.perf_counter()
        batches = list(itertools.islice(iterator, count))
        self.seconds += time.perf_counter() - start
        return batches


class Report(keras.callbacks.Callback):
    """A line every so many steps."""

    def __init__(self, fetch, every):
        super().__init__()
        self.fetch, self.every = fetch, every
        self.most = 0.0

    def on_train_begin(self, logs=None):
        self._mark(0)

    def _mark(self, step):
        self.last, self.started, self.used = step, time.perf_counter(), time.process_time()
        self.fetched = self.fetch.seconds

    def on_train_batch_end(self, batch, logs=None):
        steps = batch + 1 - self.last
        if steps < self.every:
            return
        wall, used = time.perf_counter() - self.started, time.process_time() - self.used
        waited, memory = self.fetch.seconds - self.fetched, large_data.resident_memory()
        print(
            f"| {batch + 1} | {1e3 * wall / steps:.1f} | {1e3 * used / steps:.1f} "
            f"| {1e3 * waited / steps:.2f} | {memory:.0f} |",
            flush=True,
        )
        self._mark(batch + 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--directory", type=pathlib.Path, required=True)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--every", type=int, default=1000)
    options = parser.parse_args()

    paths = large_data.write_shards(options.directory, options.images)
    data = large_data.pipeline(paths, options.batch_size, seed=0)
    keras.utils.set_random_seed(0)
    parts = dgm.models.sigmoid_belief_network([100, 50], (large_data.SIDE, large_data.SIDE, 1))
    model = dgm.JSA(*parts, num_data=options.images, num_samples=5, seed=0)
    model.compile(keras.optimizers.Adam(1e-3), steps_per_execution=10)
    fetch = Fetch()
    engine.itertools = types.SimpleNamespace(islice=fetch.islice)
    print("| step | ms a step | of processor time | in the fetch | MiB resident |")
    print("| --- | --- | --- | --- | --- |")
    report = Report(fetch, options.every)
    model.fit(data, epochs=1, verbose=0, callbacks=[report])
    visits = keras.ops.convert_to_numpy(model.visits.value)
    print(f"every image was visited {visits.min()} to {visits.max()} times")
    print("one batch that lies in memory:")
    held = data.take(1).cache().repeat()
    model.fit(held, steps_per_epoch=2 * options.every, verbose=0, callbacks=[report])


if __name__ == "__main__":
    main()
