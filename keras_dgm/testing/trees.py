"""Gradients as nested dicts and lists of arrays, flattened under readable names."""

import numpy as np


def flatten(tree, name=""):
    """[(name, float64 array), ...] of a dict, list or tuple of arrays (or of one array).

    Names read like the expression that picks the array, `generative[0]`. Backend tensors are
    converted.

    Raises:
        ValueError: an entry that is None, as an unconnected gradient is.
    """
    if isinstance(tree, dict):
        return [
            pair
            for key in tree
            for pair in flatten(tree[key], f"{name}.{key}" if name else str(key))
        ]
    if isinstance(tree, (list, tuple)):
        return [pair for i, item in enumerate(tree) for pair in flatten(item, f"{name}[{i}]")]
    if tree is None:
        raise ValueError(
            f"The gradient {name or 'given'} is None: the objective does not reach this variable. "
            "Return zeros if that is meant."
        )
    return [(name or "value", np.asarray(tree, dtype="float64"))]


def flatten_like(tree, reference, name=""):
    """`flatten(tree)`, restricted to the keys of dicts in `reference`, shapes checked.

    So a check may look at one player of several.

    Raises:
        ValueError: a missing key, another number of arrays, or another shape.
    """
    if isinstance(reference, dict):
        if not isinstance(tree, dict):
            raise ValueError(
                f"Expected a dict with the keys {list(reference)} at {name or 'the top'}; "
                f"received {type(tree).__name__}."
            )
        missing = [key for key in reference if key not in tree]
        if missing:
            raise ValueError(
                f"The drawn gradients have no {missing} at {name or 'the top'}; they have "
                f"{list(tree)}."
            )
        return [
            pair
            for key in reference
            for pair in flatten_like(tree[key], reference[key], f"{name}.{key}" if name else key)
        ]
    if isinstance(reference, (list, tuple)):
        if not isinstance(tree, (list, tuple)) or len(tree) != len(reference):
            count = len(tree) if isinstance(tree, (list, tuple)) else type(tree).__name__
            raise ValueError(
                f"Expected a list of {len(reference)} arrays at {name or 'the top'}; received "
                f"{count}."
            )
        return [
            pair
            for i, (item, expected) in enumerate(zip(tree, reference, strict=True))
            for pair in flatten_like(item, expected, f"{name}[{i}]")
        ]
    ((label, value),) = flatten(tree, name)
    if value.shape != np.shape(reference):
        raise ValueError(
            f"The drawn gradient {label} has shape {value.shape}; the exact one has "
            f"{np.shape(reference)}."
        )
    return [(label, value)]
