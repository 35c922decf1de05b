"""Checks of arguments and inputs that several networks share."""

import difflib
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import keras
from keras import ops


def check_choice(argument: str, value: Any, choices: Sequence[Any]) -> Any:
    """Returns `value`; raises a ValueError that names the nearest choice when it is not one."""
    if value in choices:
        return value
    near = difflib.get_close_matches(str(value), [c for c in choices if isinstance(c, str)], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(repr(choice) for choice in choices)
    raise ValueError(f"{argument}={value!r} came; expected one of {listed}.{hint}")


def check_positive(argument: str, value: Any) -> int:
    """Returns `value` as an integer of at least one, or raises a ValueError."""
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise ValueError(f"{argument}={value!r} came; expected an integer of at least 1.")
    return number


def check_units(argument: str, units: Any) -> list[int]:
    """Returns a list of layer widths, or raises a ValueError that says which one is wrong."""
    if isinstance(units, (str, bytes)) or not isinstance(units, Iterable):
        raise ValueError(
            f"{argument}={units!r} came; expected a list of layer widths, [200, 200] say."
        )
    return [check_positive(f"{argument}[{i}]", unit) for i, unit in enumerate(units)]


def check_image_shape(image_shape: Any) -> tuple[int, int, int]:
    """Returns (height, width, channels), or raises a ValueError."""
    shape = tuple(image_shape) if isinstance(image_shape, Iterable) else (image_shape,)
    if len(shape) != 3:
        raise ValueError(
            f"image_shape={image_shape!r} came; expected (height, width, channels), "
            "(28, 28, 1) for MNIST."
        )
    height, width, channels = (check_positive("image_shape's entry", size) for size in shape)
    return height, width, channels


def check_image_side(image_shape: Any, sides: Sequence[int], builder: str) -> tuple[int, int, int]:
    """Returns (height, width, channels) of a square image of one of the given sides."""
    height, width, channels = check_image_shape(image_shape)
    if height != width or height not in sides:
        listed = ", ".join(f"({side}, {side}, channels)" for side in sides)
        raise ValueError(
            f"{builder} came with image_shape={(height, width, channels)}; it is laid out for "
            f"{listed}. Pad or resize the images, or use conv_encoder and conv_decoder, which take "
            "any size that their strides divide."
        )
    return height, width, channels


def check_pair(inputs: Any, layer: str, second: str) -> tuple[Any, Any]:
    """Returns the two entries of `[x, second]`, tensors or shapes, or raises a ValueError."""
    received = "one tensor"
    if isinstance(inputs, (list, tuple)):
        if all(entry is None or isinstance(entry, int) for entry in inputs):
            received = f"one tensor of shape {tuple(inputs)}"
        elif len(inputs) == 2:
            return inputs[0], inputs[1]
        else:
            received = f"{len(inputs)} of them"
    raise ValueError(f"{layer} takes a pair of inputs, [x, {second}]; {received} came.")


def check_label_shape(shape: Any, layer: str) -> None:
    """Raises a ValueError unless the shape is (batch,) or (batch, 1)."""
    shape = tuple(shape)
    if len(shape) != 1 and not (len(shape) == 2 and shape[-1] == 1):
        raise ValueError(
            f"{layer}: labels of shape {shape} came; expected integer class labels of shape "
            "(batch,). Turn one-hot rows into labels with argmax(axis=-1)."
        )


def class_labels(labels: Any, layer: str) -> Any:
    """Integer class labels as an int32 tensor of shape (batch,).

    Labels of shape (batch, 1) are squeezed. One-hot rows and floating-point labels are a
    ValueError: the former have the wrong rank, the latter lose classes under mixed precision.
    """
    check_label_shape(labels.shape, layer)
    if len(labels.shape) == 2:
        labels = ops.squeeze(labels, axis=-1)
    dtype = keras.backend.standardize_dtype(labels.dtype)
    if "int" not in dtype:
        raise ValueError(
            f"{layer}: labels of dtype {dtype} came; expected integers. "
            'Cast them first, labels.astype("int32").'
        )
    return ops.cast(labels, "int32")


def fresh_initializer(initializer: Any) -> Any:
    """A copy of an initializer for one layer.

    An unseeded Keras initializer draws the same numbers at each call for one shape, so two layers
    that share an instance would start with equal kernels.
    """
    initializer = keras.initializers.get(initializer)
    if isinstance(initializer, keras.initializers.Initializer):
        return initializer.clone()
    return initializer
