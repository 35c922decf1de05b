"""Training on images that do not fit in memory: TFRecord shards, `tf.data`, row numbers.

    python examples/large_data.py --images 100000 --directory /tmp/shards

Writes synthetic 32x32 images into shards (once), then trains JSA on them, whose cache needs each
image's row number, and prints what a step took, what one takes whose input lies in memory, and the
memory of the process. Works on both backends; `tf.data` reads for JAX too.
"""

import argparse
import os
import pathlib
import time

import keras
import numpy as np
import tensorflow as tf

import keras_dgm as dgm

SIDE = 32
ROWS_A_SHARD = 10_000


def write_shards(directory, num_images):
    """Packs binary images into TFRecord shards: row number and 128 bytes of bits in a record."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for start in range(0, num_images, ROWS_A_SHARD):
        count = min(ROWS_A_SHARD, num_images - start)
        path = directory / f"images-{start:09d}-{count}.tfrecord"
        paths.append(str(path))
        if path.exists():
            continue
        generator = np.random.default_rng(start)
        means = generator.random((count, 4, 4), "float32").repeat(8, 1).repeat(8, 2)
        images = generator.random((count, SIDE, SIDE), "float32") < means
        bits = np.packbits(images.reshape(count, -1), axis=1)
        with tf.io.TFRecordWriter(str(path) + ".unfinished") as writer:
            for row in range(count):
                number = np.int64(start + row).tobytes()
                writer.write(number + bits[row].tobytes())
        os.replace(str(path) + ".unfinished", path)
    return paths


def pipeline(paths, batch_size, seed):
    """Batches `{"x": (batch, 32, 32, 1), "index": (batch,)}`, shuffled anew every epoch.

    Shards are read in a random order and mixed, and rows shuffled within a window. Parsing works
    on whole batches, which costs a fraction of what it costs record by record.
    """

    def parse(records):
        numbers = tf.io.decode_raw(tf.strings.substr(records, 0, 8), tf.int64)[:, 0]
        octets = tf.cast(tf.io.decode_raw(tf.strings.substr(records, 8, 128), tf.uint8), tf.int32)
        shifts = tf.range(7, -1, -1)
        bits = tf.bitwise.bitwise_and(tf.bitwise.right_shift(octets[..., None], shifts), 1)
        x = tf.reshape(tf.cast(bits, tf.float32), (-1, SIDE, SIDE, 1))
        return {"x": x, "index": tf.cast(numbers, tf.int32)}

    shards = tf.data.Dataset.from_tensor_slices(paths).shuffle(len(paths), seed)
    records = shards.interleave(
        tf.data.TFRecordDataset, cycle_length=8, block_length=64, num_parallel_calls=1
    )
    batches = records.shuffle(20_000, seed).batch(batch_size, drop_remainder=True)
    return batches.map(parse, num_parallel_calls=1).prefetch(4)


class Watch(keras.callbacks.Callback):
    """Time a step and memory, epoch by epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.started, self.used = time.perf_counter(), time.process_time()

    def on_train_batch_end(self, batch, logs=None):
        self.batches = batch + 1

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self.started
        used = time.process_time() - self.used
        print(
            f"epoch {epoch + 1}: {1e3 * seconds / self.batches:.2f} ms a step "
            f"({1e3 * used / self.batches:.2f} of processor time), "
            f"{resident_memory():.0f} MiB resident",
            flush=True,
        )


def resident_memory():
    """Of this process, MiB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--directory", type=pathlib.Path, default=pathlib.Path("shards"))
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--steps-per-epoch", type=int, help="shorter epochs, for a look")
    options = parser.parse_args()

    start = time.perf_counter()
    paths = write_shards(options.directory, options.images)
    size = sum(os.path.getsize(path) for path in paths) / 2**20
    print(f"{len(paths)} shards, {size:.0f} MiB, in {time.perf_counter() - start:.0f} s")
    data = pipeline(paths, options.batch_size, seed=0)
    # How fast the pipeline is alone: above the steps' rate it never keeps them waiting.
    count, start = 0, time.perf_counter()
    for _ in data.take(min(500, options.images // options.batch_size)):
        count += 1
    print(f"the pipeline alone: {1e3 * (time.perf_counter() - start) / count:.2f} ms a batch")

    keras.utils.set_random_seed(0)
    parts = dgm.models.sigmoid_belief_network([100, 50], (SIDE, SIDE, 1))
    model = dgm.JSA(*parts, num_data=options.images, num_samples=5, seed=0)
    model.compile(keras.optimizers.Adam(1e-3), steps_per_execution=10)
    print(f"before training: {resident_memory():.0f} MiB resident")
    steps = options.steps_per_epoch
    settings = {"epochs": options.epochs, "steps_per_epoch": steps, "verbose": 0}
    model.fit(data if steps is None else data.repeat(), callbacks=[Watch()], **settings)
    print(model.evaluate(data.take(10), verbose=0, return_dict=True))
    # What a step takes whose input is there already.
    print("the same steps on one batch that lies in memory:")
    settings["steps_per_epoch"] = min(steps or 1000, options.images // options.batch_size)
    model.fit(data.take(1).cache().repeat(), callbacks=[Watch()], **settings)


if __name__ == "__main__":
    main()
