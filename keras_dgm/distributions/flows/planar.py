"""Planar flows."""

import keras
from keras import ops

from keras_dgm import backend
from keras_dgm.distributions.flows.transform import Transform

BISECTIONS = 30


@keras.saving.register_keras_serializable(package="keras_dgm")
class Planar(Transform):
    """y = z + u' tanh(w.z + b), a bend along one direction (Rezende & Mohamed 2015, Eq. 10, 11).

    - log-determinant: log(1 + u'.w (1 - tanh^2(w.z + b)));
    - u' = u + (m(w.u) - w.u) w / |w|^2 with m(x) = softplus(x) - 1, so that u'.w > -1 and the map
      is invertible (the same, App. A.1);
    - inverse: w.z solves a + u'.w tanh(a + b) = w.y, which increases in a. Bisection finds it,
      two steps of Newton's method polish it and carry the gradients to the parameters and y.

    u, w and b come from the context, or are learned. As a posterior's part it is evaluated
    forwards only; rules that hold the draws constant (`stop_gradient`) need the inverse.
    """

    def parameter_shapes(self, size, conditional):
        return {"u": (size,), "w": (size,), "b": (1,)}

    def _direction(self, parameters):
        """`(u', u'.w)`."""
        u, w = parameters["u"], parameters["w"]
        dot = ops.sum(u * w, axis=-1, keepdims=True)
        along = ops.softplus(dot) - 1.0
        squared = ops.sum(w * w, axis=-1, keepdims=True)
        return u + (along - dot) * w / (squared + 1e-12), along

    def forward_and_log_det(self, z, parameters):
        direction, along = self._direction(parameters)
        position = ops.sum(parameters["w"] * z, axis=-1, keepdims=True)
        return self._bend(z, 1.0, position, direction, along, parameters["b"])

    def inverse_and_log_det(self, y, parameters):
        direction, along = self._direction(parameters)
        target = ops.sum(parameters["w"] * y, axis=-1, keepdims=True)
        position = self._solve(target, along, parameters["b"])
        return self._bend(y, -1.0, position, direction, along, parameters["b"])

    def _bend(self, value, sign, position, direction, along, b):
        bend = ops.tanh(position + b)
        log_det = ops.log1p(along * (1.0 - bend * bend))[..., 0]
        return value + sign * direction * bend, log_det

    def _solve(self, target, along, b):
        """a with a + along tanh(a + b) = target."""
        target, along, b = (
            ops.broadcast_to(part, ops.shape(target + along + b)) for part in (target, along, b)
        )
        fixed = [ops.stop_gradient(part) for part in (target, along, b)]

        def excess(a, target, along, b):
            return a + along * ops.tanh(a + b) - target

        def halve(_, bounds):
            low, high = bounds
            middle = 0.5 * (low + high)
            above = excess(middle, *fixed) > 0.0
            return ops.where(above, low, middle), ops.where(above, middle, high)

        width = ops.abs(fixed[1])
        bounds = (fixed[0] - width, fixed[0] + width)
        low, high = backend.fori_loop(BISECTIONS, halve, bounds)
        a = ops.stop_gradient(0.5 * (low + high))
        for _ in range(2):
            bend = ops.tanh(a + b)
            a = a - excess(a, target, along, b) / (1.0 + along * (1.0 - bend * bend))
        return a
