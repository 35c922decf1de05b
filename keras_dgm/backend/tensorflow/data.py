"""`ArraySource` as a `tf.data.Dataset` whose order follows the epoch."""

import tensorflow as tf


def dataset(source):
    """A dataset of batches; each new iterator over it reads the source's seed and epoch anew."""
    arrays = {name: tf.convert_to_tensor(array) for name, array in source.arrays.items()}
    state = tf.Variable([0, 0], dtype=tf.int32, trainable=False)
    source._listeners.append(lambda seed, epoch: state.assign([seed, epoch]))
    state.assign([source.seed, source.epoch])
    num_rows, batch_size = source.num_rows, source.batch_size

    def order(_):
        rows = tf.range(num_rows)
        if source.shuffle:
            rows = tf.random.experimental.stateless_shuffle(rows, state.read_value())
        return rows

    def deal(index):
        # Replicas are given a stretch of the batch each, and each divides its own into parts.
        parts, replicas = source.num_parts, source.num_replicas
        if parts == 1:
            return index

        def dealt():
            by_part = tf.reshape(index, (parts, replicas, -1))
            return tf.reshape(tf.transpose(by_part, (1, 0, 2)), (-1,))

        return tf.cond(tf.size(index) % (parts * replicas) == 0, dealt, lambda: index)

    def gather(index):
        batch = {name: tf.gather(array, index) for name, array in arrays.items()}
        return {**batch, "index": index} if source.with_index else batch

    orders = tf.data.Dataset.range(1).map(order)
    if source.num_replicas > 1:
        # A strategy splits batches that `batch` has made.
        rows = orders.flat_map(tf.data.Dataset.from_tensor_slices)
        return rows.batch(batch_size).map(deal).map(gather).prefetch(2)

    # No dataset inside a dataset: each function in it is prepared anew for every iterator, and
    # Keras makes two an epoch.
    result = orders.rebatch(batch_size).map(gather)
    options = tf.data.Options()
    options.deterministic = True
    return result.with_options(options).prefetch(8)
