"""Numerical differentiation and a few stable functions, in NumPy float64.

Nothing here (or elsewhere in `keras_dgm.testing`) imports a backend or any other part of the
library, so that an error of the library cannot hide in the answer it is compared with.
"""

import numpy as np

# Sixth-order central differences: weights of f(x + step * offset).
_OFFSETS = (-3.0, -2.0, -1.0, 1.0, 2.0, 3.0)
_COEFFICIENTS = (-1.0 / 60.0, 9.0 / 60.0, -45.0 / 60.0, 45.0 / 60.0, -9.0 / 60.0, 1.0 / 60.0)


def sigmoid(x):
    """Logistic function without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * np.asarray(x, dtype="float64")))


def softplus(x):
    """log(1 + exp(x)) without overflow."""
    return np.logaddexp(0.0, x)


def inverse_softplus(y):
    """x with softplus(x) = y, for y > 0."""
    y = np.asarray(y, dtype="float64")
    return y + np.log(-np.expm1(-y))


def log_sum_exp(x, axis=None):
    """log of the sum of exponentials along `axis`; -inf where every entry is -inf."""
    x = np.asarray(x, dtype="float64")
    peak = np.max(x, axis=axis, keepdims=True)
    peak = np.where(np.isfinite(peak), peak, 0.0)
    with np.errstate(divide="ignore"):
        total = np.log(np.sum(np.exp(x - peak), axis=axis, keepdims=True)) + peak
    return np.squeeze(total, axis=axis) if axis is not None else total.reshape(())[()]


def log_softmax(x, axis=-1):
    """x minus its log-sum-exp along `axis`."""
    return x - np.expand_dims(log_sum_exp(x, axis=axis), axis)


def binary_states(num_bits):
    """Every binary vector of `num_bits` entries, shape (2**num_bits, num_bits).

    The first bit varies slowest, so the row number is the number that the bits spell.
    """
    if num_bits > 24:
        raise ValueError(
            f"Received {num_bits} bits, that is 2**{num_bits} states; enumeration holds at most "
            "24 bits. Use a smaller model."
        )
    numbers = np.arange(2**num_bits)[:, None]
    return ((numbers >> np.arange(num_bits - 1, -1, -1)) & 1).astype("float64")


def numeric_jacobian(function, parameters, step=1e-3):
    """Derivatives of an array-valued function of a list of arrays, by central differences.

    The error is of order `step**6` plus rounding of about 1e-16 / `step` of the value: near 1e-12
    for smooth functions of order one.

    Args:
        function: callable that takes a list of float64 arrays (or one array, if `parameters` is
            one) and returns a float64 array or scalar.
        parameters: list of arrays, or one array.
        step: absolute size of the step.

    Returns:
        A list with one array a parameter, of shape `value.shape + parameter.shape`; one array if
        `parameters` is one.
    """
    single = not isinstance(parameters, (list, tuple))
    values = [np.array(p, dtype="float64") for p in ([parameters] if single else parameters)]
    call = (lambda arrays: function(arrays[0])) if single else function
    jacobians = []
    for number, value in enumerate(values):
        columns = []
        for entry in range(value.size):
            total = 0.0
            for offset, coefficient in zip(_OFFSETS, _COEFFICIENTS, strict=True):
                moved = [v.copy() for v in values]
                moved[number].reshape(-1)[entry] += offset * step
                total = total + coefficient * np.asarray(call(moved), dtype="float64")
            columns.append(total / step)
        output_shape = np.shape(columns[0]) if columns else np.shape(call(values))
        stacked = np.stack(columns, axis=-1) if columns else np.zeros(output_shape + (0,))
        jacobians.append(stacked.reshape(output_shape + value.shape))
    return jacobians[0] if single else jacobians


def numeric_gradient(function, parameters, step=1e-3):
    """Gradient of a scalar function of a list of arrays; see `numeric_jacobian`.

    Any exact value of this module becomes an exact gradient by it, under any parametrisation:

    ```python
    def objective(parameters):
        kernel, bias, raw_scale = parameters
        model = LinearGaussianModel(kernel, bias, np.exp(raw_scale), ...)
        return model.elbo(x).mean()

    gradient = numeric_gradient(objective, [kernel, bias, raw_scale])
    ```
    """

    def scalar(arrays):
        value = np.asarray(function(arrays), dtype="float64")
        if value.size != 1:
            raise ValueError(
                f"numeric_gradient needs a scalar function; received a value of shape "
                f"{value.shape}. Sum or average it, or use numeric_jacobian."
            )
        return value.reshape(())

    return numeric_jacobian(scalar, parameters, step)
