"""Unnormalised densities on a grid: log Z, expectations, distribution functions, samples."""

import numpy as np
from scipy import interpolate

from keras_dgm.testing.numeric import log_sum_exp

MAX_POINTS = 20_000_000


class GridDensity:
    """p(x) proportional to exp u(x) in one to three dimensions, by the trapezoidal rule.

    The rule converges faster than any power of the spacing for smooth densities that vanish at
    the bounds.

    Args:
        potential: callable (n, dimension) -> u of shape (n,) or (n, 1), NumPy or backend
            tensors; called in chunks with arrays of `dtype`.
        bounds: [(low, high), ...], one a dimension.
        num_points: points in each dimension.
        dtype: of the points handed to `potential`.
        max_boundary_mass: largest share of the mass allowed on the faces of the box.

    Raises:
        ValueError: too many points, a potential of the wrong shape or not finite, or mass at
            the bounds.
    """

    def __init__(self, potential, bounds, num_points=401, dtype="float64", max_boundary_mass=1e-6):
        self.bounds = [tuple(map(float, b)) for b in bounds]
        dimension = len(self.bounds)
        if num_points**dimension > MAX_POINTS:
            raise ValueError(
                f"{num_points} points in {dimension} dimensions are {num_points**dimension}, more "
                f"than {MAX_POINTS}. Use fewer points."
            )
        self.axes = [np.linspace(low, high, num_points) for low, high in self.bounds]
        self.cell = float(np.prod([axis[1] - axis[0] for axis in self.axes]))
        mesh = np.meshgrid(*self.axes, indexing="ij")
        self.points = np.stack([m.ravel() for m in mesh], axis=-1)
        chunks = np.array_split(self.points.astype(dtype), max(1, len(self.points) // 100_000))
        values = [np.asarray(potential(chunk), dtype="float64") for chunk in chunks]
        if any(v.size != len(c) for v, c in zip(values, chunks, strict=True)):
            raise ValueError(
                f"The potential must return one number a point; for {len(chunks[0])} points it "
                f"returned shape {values[0].shape}."
            )
        self.potential = np.concatenate([v.reshape(-1) for v in values])
        if np.any(np.isnan(self.potential)) or np.any(self.potential == np.inf):
            raise ValueError("The potential is not finite everywhere on the grid.")
        log_mass = log_sum_exp(self.potential)
        self.log_partition = float(log_mass + np.log(self.cell))
        self.probabilities = np.exp(self.potential - log_mass)
        ends = [np.isin(m.ravel(), (a[0], a[-1])) for m, a in zip(mesh, self.axes, strict=True)]
        boundary = float(np.sum(self.probabilities[np.any(ends, axis=0)]))
        if boundary > max_boundary_mass:
            raise ValueError(
                f"A share {boundary:.2g} of the mass lies on the bounds {self.bounds}; widen them."
            )

    def log_prob_on_grid(self):
        """log p at `points`, (number of points,)."""
        return self.potential - self.log_partition

    def expectation(self, function):
        """E_p[function(x)], `function` taking (n, dimension) and returning (n, ...)."""
        values = np.asarray(function(self.points), dtype="float64")
        return np.tensordot(self.probabilities, values, axes=1)

    def entropy(self):
        """Differential entropy in nats."""
        return -float(self.probabilities @ self.log_prob_on_grid())

    def marginal(self, axis=0):
        """Probabilities of the grid values of one coordinate, (num_points,)."""
        shape = [len(a) for a in self.axes]
        others = tuple(i for i in range(len(shape)) if i != axis)
        return self.probabilities.reshape(shape).sum(axis=others)

    def cdf(self, axis=0):
        """Distribution function of one coordinate, a callable on arrays (for KS tests)."""
        grid = self.axes[axis]
        integral = interpolate.CubicSpline(grid, self.marginal(axis)).antiderivative()
        low, total = integral(grid[0]), integral(grid[-1]) - integral(grid[0])

        def function(values):
            inside = np.clip(np.asarray(values, dtype="float64"), grid[0], grid[-1])
            return np.clip((integral(inside) - low) / total, 0.0, 1.0)

        return function

    def sample(self, num_samples, rng):
        """Draws (num_samples, dimension), piecewise linear between grid points."""
        index = rng.choice(len(self.points), size=num_samples, p=self.probabilities)
        widths = np.array([axis[1] - axis[0] for axis in self.axes])
        # A triangular jitter around a grid point makes the density linear between the points.
        jitter = rng.triangular(-1.0, 0.0, 1.0, size=(num_samples, len(widths)))
        return self.points[index] + jitter * widths
