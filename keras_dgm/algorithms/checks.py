"""What is checked before a run, and what the errors say."""

import difflib
import sys

import keras
import numpy as np
from keras import ops

from keras_dgm import backend

_announced = False


def announce_device():
    """Says once a process which device was found."""
    global _announced
    if not _announced:
        _announced = True
        line = f"keras_dgm: computing on {backend.device_name()} with {backend.name()}"
        print(line, file=sys.stderr)


def one_of(name, value, choices):
    """Raises a ValueError with the nearest name unless `value` is one of `choices`."""
    if value in choices:
        return value
    near = difflib.get_close_matches(str(value), choices, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"`{name}` is one of {sorted(choices)}; received {value!r}.{hint}")


@keras.saving.register_keras_serializable(package="keras_dgm")
def dynamic_binarization(x, seed):
    """Fresh Bernoulli draws from grey levels in [0, 1]."""
    return backend.bernoulli(x, seed)


def transform(value):
    """Resolves the `transform` argument of an algorithm."""
    if value is None or callable(value):
        return value
    if isinstance(value, str):
        one_of("transform", value, ["dynamic_binarization"])
        return dynamic_binarization
    return keras.saving.deserialize_keras_object(value)


def transform_config(value):
    """The serialised form of a transform."""
    if value is None:
        return None
    if value is dynamic_binarization:
        return "dynamic_binarization"
    return keras.saving.serialize_keras_object(value)


def is_array(x):
    """Whether x is an array (of NumPy or of the backend), and no dataset or generator."""
    if isinstance(x, (list, tuple)):
        return True
    return hasattr(x, "shape") and hasattr(x, "dtype")


def arrays(algorithm, x, y):
    """The checked arrays of a source, by name."""
    x = np.asarray(x) if not hasattr(x, "dtype") else ops.convert_to_numpy(x)
    if x.dtype == object or x.dtype.kind in "USV":
        raise ValueError(
            f"x holds {x.dtype} values; expected an array of numbers of shape (n, *event)."
        )
    if x.ndim == 0 or len(x) == 0:
        raise ValueError(f"The data set is empty: x has shape {x.shape}.")
    algorithm.check_data(x)
    out = {"x": x}
    if y is not None:
        y = ops.convert_to_numpy(y)
        if len(y) != len(x):
            raise ValueError(f"x has {len(x)} rows and y has {len(y)}; they must be as many.")
        out["y"] = y
    algorithm.check_labels(out.get("y"))
    return out


def dataset(algorithm, x, y, with_index):
    """A dataset or generator, after a look at what an algorithm needs of it.

    Args:
        algorithm: who asks.
        x: the dataset.
        y: labels that came beside it.
        with_index: whether its batches must tell row numbers.
    """
    if y is not None:
        raise ValueError("With a dataset or a generator, labels come in the batches: (x, y).")
    if with_index:
        spec = getattr(x, "element_spec", None)
        first = spec[0] if isinstance(spec, tuple) else spec
        if not (isinstance(first, dict) and "index" in first):
            raise ValueError(
                f"{type(algorithm).__name__} keeps a state for every training point, so a batch "
                "must tell its row numbers. Give `fit` plain arrays, or a tf.data.Dataset whose "
                'elements are {"x": ..., "index": int32 row numbers} '
                "(keras_dgm.datasets.with_index makes one)."
            )
    return x


def split(x, y, share):
    """The last rows held out: ((x, y), validation_data)."""
    if not is_array(x):
        raise ValueError("`validation_split` needs arrays; give `validation_data` instead.")
    if not 0.0 < share < 1.0:
        raise ValueError(f"`validation_split` lies between 0 and 1; received {share}.")
    rows = len(x) - max(1, int(round(len(x) * share)))
    if y is None:
        return (x[:rows], None), x[rows:]
    return (x[:rows], y[:rows]), (x[rows:], y[rows:])


def event(name, x, event_shape):
    """Checks rank and shape of a batch of events."""
    if tuple(x.shape[1:]) != tuple(event_shape):
        expected = ", ".join(str(size) for size in event_shape)
        hint = ""
        if int(np.prod(x.shape[1:])) == int(np.prod(event_shape)):
            hint = f" x.reshape((-1, {expected})) has it."
        elif x.ndim == 1:
            hint = " Are these labels? The images go first, labels into `y`."
        raise ValueError(
            f"{name} has shape {tuple(x.shape)}; expected (n, {expected}), a row an "
            f"observation.{hint}"
        )


def finite(name, x):
    """Checks that all numbers are finite."""
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        bad = int(np.count_nonzero(~np.isfinite(x).reshape(len(x), -1).all(axis=1)))
        raise ValueError(
            f"{name} holds NaN or infinite values in {bad} of its {len(x)} rows; remove or "
            "impute them."
        )


def stored_state(algorithm, store, name, shape):
    """Checks a piece of learning state in a file against the shape it is to have."""
    if name not in store.keys():
        raise ValueError(
            f"The file holds no state {name!r}, which {type(algorithm).__name__} needs to go on "
            "learning. It may be a preset, which keeps the model alone: load it with from_preset."
        )
    if tuple(store[name].shape) != shape:
        raise ValueError(
            f"The file's state {name!r} has shape {tuple(store[name].shape)}; this "
            f"{type(algorithm).__name__} has {shape}. Build it for the same data."
        )
