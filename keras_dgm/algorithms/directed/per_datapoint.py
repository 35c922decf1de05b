"""What the rules share that keep something for every training point."""

import numpy as np
from keras import ops

from keras_dgm.backend.data import ArraySource


class PerDatapoint:
    """Mixin of an algorithm with tables of one row for each training point.

    A batch tells its row numbers: `fit` adds them to plain arrays, and
    `keras_dgm.datasets.with_index` to a `tf.data.Dataset`. A row number occurs once in a batch.
    What can be seen beforehand is checked at the start of `fit` (the length of arrays, the first
    batch of a dataset); every later batch is checked on the device, and a batch with a repeated
    or impossible row number stops the run at the end of the epoch at the latest.
    """

    needs_index = True

    def keep_tables_for(self, num_data):
        """Notes the number of training points; call it after `super().__init__`."""
        if int(num_data) < 1 or int(num_data) != num_data:
            raise ValueError(
                f"`num_data` is the number of training points, 1 at least; received {num_data!r}."
            )
        self.num_data = int(num_data)
        self.index_faults = self.add_learning_state("index_faults", (), "int32")

    def row_numbers(self, data):
        """`(index, is_faulty)`: the batch's row numbers, and whether one repeats or is too large.

        `index` (int32) is made to lie inside the tables; `is_faulty` is a boolean scalar, for
        `mark_fault`.
        """
        if "index" not in data:
            raise ValueError(
                f"{type(self).__name__} needs the batch's row numbers: data['index'], int32, "
                "shape (batch,)."
            )
        index = ops.cast(data["index"], "int32")
        if len(index.shape) != 1:
            raise ValueError(
                f"data['index'] has shape {tuple(index.shape)}; expected (batch,). Was with_index "
                "called after batch()? It comes before shuffle and batch."
            )
        inside = ops.clip(index, 0, self.num_data - 1)
        in_order = ops.sort(index)
        repeated = ops.any(in_order[1:] == in_order[:-1])
        return inside, ops.logical_or(repeated, ops.any(inside != index))

    def mark_fault(self, is_faulty, term):
        """The term, or NaN where the batch's row numbers were at fault, which stops the run."""
        self.index_faults.assign(self.index_faults + ops.cast(is_faulty, "int32"))
        return ops.where(is_faulty, float("nan"), term)

    def non_finite_error(self, term, epoch, step):
        """Tells faulty row numbers from a diverging loss."""
        if int(ops.convert_to_numpy(self.index_faults)) > 0:
            self.index_faults.assign(0)
            raise ValueError(
                f"Training stopped in epoch {epoch}: the batch of step {step} held a row number "
                f"twice, or one outside 0 .. {self.num_data - 1}. A training point occurs once in "
                "a batch: shuffle without `repeat` inside a batch, and number the rows with "
                "keras_dgm.datasets.with_index before shuffling."
            )
        super().non_finite_error(term, epoch, step)

    def _set_sources(self, train, test):
        if isinstance(train, ArraySource):
            self._check_length(train.num_rows)
        elif train is not None and train is not self._train_source:
            self._check_first_batch(next(iter(train)))
        super()._set_sources(train, test)

    def _check_length(self, rows):
        if rows != self.num_data:
            raise ValueError(
                f"This {type(self).__name__} keeps a state for each of num_data={self.num_data} "
                f"training points, and fit was given {rows} rows. Row numbers would not mean the "
                "same points: build it with num_data=len(x), after any validation split."
            )

    def _check_first_batch(self, batch):
        first = batch[0] if isinstance(batch, tuple) else batch
        index = ops.convert_to_numpy(first["index"])
        if index.ndim != 1 or index.dtype.kind not in "iu":
            raise ValueError(
                f"A batch's 'index' has shape {index.shape} and dtype {index.dtype}; expected "
                "integers of shape (batch,). Call with_index before batch()."
            )
        if len(np.unique(index)) != len(index):
            raise ValueError(
                "The first batch of the dataset holds a row number twice; a training point occurs "
                "once in a batch. Shuffle and batch before `repeat`, not after."
            )
        if index.size and (index.min() < 0 or index.max() >= self.num_data):
            raise ValueError(
                f"The first batch of the dataset has row numbers in [{index.min()}, "
                f"{index.max()}]; this {type(self).__name__} was built with num_data="
                f"{self.num_data}."
            )
