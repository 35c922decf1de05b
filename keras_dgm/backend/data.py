"""Arrays as a source of training batches: shuffled by (seed, epoch), kept on the device."""

import numpy as np
from keras.src.trainers.data_adapters.data_adapter import DataAdapter

_RESIDENT_BYTES = 4 * 2**30


class ArraySource(DataAdapter):
    """Batches of rows of some arrays, in an order that depends on (seed, epoch) alone.

    Keras' own shuffling cannot be resumed; this one can, since the order of an epoch is known
    from its number. A batch is a dictionary with the names of the arrays, and `"index"` (int32
    row numbers) where asked for. Arrays up to 4 GiB together are given to the device once, and
    what travels in an epoch are row numbers.

    Args:
        arrays: dictionary of arrays of one length.
        batch_size: rows a batch; the last batch of an epoch may be smaller.
        shuffle: whether to shuffle.
        with_index: whether a batch tells its row numbers.
        num_replicas: replicas that will share each batch.
        num_parts: parts that a step divides a batch into (a critic's moves), of each of which a
            replica is given its share.
    """

    def __init__(
        self, arrays, batch_size, shuffle=False, with_index=False, num_replicas=1, num_parts=1
    ):
        self.arrays = {name: _plain(array) for name, array in arrays.items()}
        self.num_rows = len(next(iter(self.arrays.values())))
        self.shuffle = shuffle
        self.with_index = with_index
        self.num_replicas, self.num_parts = num_replicas, num_parts
        self.seed, self.epoch = 0, 0
        self._batch_size = min(int(batch_size), self.num_rows)
        self._listeners = []
        size = sum(array.nbytes for array in self.arrays.values())
        self.resident = size <= _RESIDENT_BYTES

    def begin_epoch(self, seed, epoch):
        """Fixes the order of the rows until the next call."""
        self.seed, self.epoch = int(seed) & 0x7FFFFFFF, int(epoch)
        for listener in self._listeners:
            listener(self.seed, self.epoch)

    def order(self):
        """Row numbers of this epoch in their order, int32."""
        if not self.shuffle:
            return np.arange(self.num_rows, dtype=np.int32)
        generator = np.random.default_rng([self.seed, self.epoch])
        return generator.permutation(self.num_rows).astype(np.int32)

    def index_batches(self):
        """Yields the row numbers of each batch."""
        order = self.order()
        for start in range(0, self.num_rows, self._batch_size):
            yield order[start : start + self._batch_size]

    def rows(self, index):
        """The batch with these row numbers, from the host's memory."""
        batch = {name: array[index] for name, array in self.arrays.items()}
        return {**batch, "index": index} if self.with_index else batch

    def get_numpy_iterator(self):
        """See `DataAdapter`."""
        return map(self.rows, self.index_batches())

    def get_jax_iterator(self):
        """Row numbers where the arrays live on the device, batches otherwise.

        Of several processes each gives its own rows of a batch, in the order of the processes.
        """
        import jax

        own = self.index_batches()
        processes, number = jax.process_count(), jax.process_index()
        if processes > 1:
            own = (np.array_split(batch, processes)[number] for batch in own)
        return own if self.resident else map(self.rows, own)

    def get_tf_dataset(self):
        """See `DataAdapter`."""
        from keras_dgm.backend.tensorflow.data import dataset

        return dataset(self)

    @property
    def num_batches(self):
        return -(-self.num_rows // self._batch_size)

    @property
    def batch_size(self):
        return self._batch_size

    @property
    def has_partial_batch(self):
        return self.partial_batch_size is not None

    @property
    def partial_batch_size(self):
        return self.num_rows % self._batch_size or None


def _plain(array):
    array = np.asarray(array)
    if array.dtype == np.float64:
        return array.astype(np.float32)
    if array.dtype in (np.int64, np.uint32, np.uint64):
        return array.astype(np.int32)
    return array
