"""Row numbers for algorithms that keep something for every training point."""


def with_index(dataset):
    """Numbers the elements of a dataset, for algorithms with a state for each training point.

    Call it on single elements, before shuffling and batching:

    ```python
    data = tf.data.Dataset.from_tensor_slices(x)
    data = keras_dgm.datasets.with_index(data).shuffle(10_000).batch(50)
    model = keras_dgm.JSA(generative, inference, num_data=len(x))
    ```

    Args:
        dataset: a `tf.data.Dataset` whose elements are x, (x, y), or a dictionary with "x". Its
            order must be the same every time it is read.

    Returns:
        A dataset of dictionaries `{"x": x, "index": number}`, and "y" where there was one.

    Raises:
        ValueError: something that is no `tf.data.Dataset`, or batches.
    """
    spec = getattr(dataset, "element_spec", None)
    if spec is None:
        raise ValueError(
            f"with_index numbers the elements of a tf.data.Dataset; received "
            f"{type(dataset).__name__}. Plain arrays need no numbers: give them to fit as they are."
        )
    first = _as_dictionary(spec).get("x")
    shape = getattr(first, "shape", ())
    if len(shape) > 0 and shape[0] is None:
        raise ValueError(
            f"The elements of the dataset have shape {tuple(shape)}, that is they are batches. "
            "Call with_index on single rows, before batch()."
        )

    def numbered(index, *element):
        return {**_as_dictionary(element if len(element) > 1 else element[0]), "index": index}

    return dataset.enumerate().map(numbered)


def _as_dictionary(element):
    """An element as {"x": ..., "y": ...}."""
    if isinstance(element, dict):
        return element
    if isinstance(element, tuple):
        return dict(zip(("x", "y"), element))
    return {"x": element}
