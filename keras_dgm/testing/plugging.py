"""Is it allowed to plug an optimum into an objective and differentiate around it?"""

import dataclasses

import numpy as np

from keras_dgm.testing.numeric import numeric_gradient


@dataclasses.dataclass(frozen=True)
class PluggingReport:
    """What `check_plugging` found.

    Attributes:
        plugged: gradient in phi with the inner solution held constant, what an alternating game
            follows.
        total: gradient in phi of the target objective, the inner solution following phi.
        tolerance: relative to the total gradient's largest entry (or 1, if that is larger).
    """

    plugged: np.ndarray
    total: np.ndarray
    tolerance: float

    @property
    def ignored(self):
        """(dF / dpsi)(dpsi* / dphi): what is lost by holding psi constant."""
        return self.total - self.plugged

    def passed(self):
        """Whether the trick is valid here: what is ignored is zero."""
        scale = max(1.0, float(np.max(np.abs(self.total), initial=0.0)))
        return bool(np.all(np.abs(self.ignored) <= self.tolerance * scale))

    def __str__(self):
        verdict = "valid" if self.passed() else "NOT VALID"
        return (
            f"plugging is {verdict} here: gradient with the solution constant {self.plugged}, "
            f"total {self.total}, ignored {self.ignored}"
        )


def check_plugging(objective, inner_solution, parameters, tolerance=1e-5):
    """The check that makes the plugging trick valid (Ou 2019, Appendix A).

    An objective F(phi, V(phi)) whose intractable term V(phi) = v(phi, psi*) comes from an inner
    optimum psi*(phi) may be followed as a game, in which psi is constant while phi moves, only if
    the gradient ignored is zero: (dF / dpsi)(dpsi* / dphi) = 0. Equal values do not suffice. To
    first order this is decided at one phi at a time, so give some.

    ```python
    # KL(N(phi, 1) || N(0, 1)) with log q - log p plugged in as a + b h, b = phi, a = -phi^2 / 2.
    report = check_plugging(
        lambda phi, psi: psi[0] + psi[1] * phi[0],
        lambda phi: np.array([-0.5 * phi[0] ** 2, phi[0]]),
        np.array([0.7]),
    )
    assert report.passed(), report
    ```

    Args:
        objective: function (phi, psi) -> float, exact (a closed form, quadrature, enumeration).
        inner_solution: function phi -> psi*, an array.
        parameters: phi, an array.
        tolerance: see `PluggingReport`.

    Returns:
        A `PluggingReport`.

    Raises:
        ValueError: values that are not finite.
    """
    phi = np.asarray(parameters, "float64")
    psi = np.asarray(inner_solution(phi), "float64")
    value = float(objective(phi, psi))
    if not (np.isfinite(value) and np.isfinite(psi).all()):
        raise ValueError(f"The objective is {value} at phi = {phi}, psi* = {psi}; not finite.")
    plugged = numeric_gradient(lambda p: objective(p, psi), phi)
    total = numeric_gradient(lambda p: objective(p, np.asarray(inner_solution(p))), phi)
    return PluggingReport(np.asarray(plugged), np.asarray(total), float(tolerance))
