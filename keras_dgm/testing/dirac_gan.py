"""The Dirac-GAN: one number each for generator and critic, its training replayed exactly."""

import numpy as np

from keras_dgm.testing.numeric import numeric_jacobian, sigmoid

OBJECTIVES = ("gan", "non_saturating", "wgan")


class DiracGAN:
    """Data at 0, generator at theta, critic logit V(x) = - psi x, plain gradient descent.

    With this sign both players start at theta = psi = 1. A critic written V(x) = w x is the same
    game from w = -1. The critic's loss is softplus(-V(0)) + softplus(V(theta)) (the first a
    constant), or V(theta) - V(0) for "wgan"; the generator's is - softplus(V(theta)) for "gan"
    (saturating), softplus(-V(theta)) for "non_saturating", and -V(theta) for "wgan".

    Args:
        objective: "gan", "non_saturating" or "wgan".
        updates: "simultaneous" (both from the same weights) or "alternating".
        order: of the players when alternating, ("generator", "critic") or the reverse.
        step_size: h.
        clip: critic weight clipped to [-clip, clip] after each of its steps, or None.
        gradient_penalty: weight lambda of lambda (|grad V| - target)**2, or 0. The "0.5" of the
            usual convention is lambda = 0.5.
        gradient_target: of the penalty.
        r1: gamma of (gamma / 2) |grad V(0)|**2, or 0.
    """

    def __init__(
        self,
        objective="gan",
        updates="simultaneous",
        order=("generator", "critic"),
        step_size=0.1,
        clip=None,
        gradient_penalty=0.0,
        gradient_target=0.3,
        r1=0.0,
    ):
        if objective not in OBJECTIVES:
            raise ValueError(f"Unknown objective {objective!r}; expected one of {OBJECTIVES}.")
        if updates not in ("simultaneous", "alternating"):
            raise ValueError(
                f'updates must be "simultaneous" or "alternating"; received {updates!r}.'
            )
        if sorted(order) != ["critic", "generator"]:
            raise ValueError(f'order holds "generator" and "critic" once each; received {order}.')
        self.objective = objective
        self.updates = updates
        self.order = tuple(order)
        self.step_size = step_size
        self.clip = clip
        self.gradient_penalty = gradient_penalty
        self.gradient_target = gradient_target
        self.r1 = r1

    def generator_gradient(self, theta, psi):
        """Derivative of the generator's loss in theta."""
        logit = -psi * theta
        slope = {
            "gan": -sigmoid(logit),
            "non_saturating": -sigmoid(-logit),
            "wgan": -1.0,
        }[self.objective]
        return slope * -psi

    def critic_gradient(self, theta, psi):
        """Derivative of the critic's loss, penalties included, in psi."""
        logit = -psi * theta
        slope = 1.0 if self.objective == "wgan" else sigmoid(logit)
        gradient = slope * -theta
        excess = np.abs(psi) - self.gradient_target
        gradient = gradient + 2.0 * self.gradient_penalty * excess * np.sign(psi)
        return gradient + self.r1 * psi

    def step(self, state):
        """(theta, psi) after one round of both players."""
        theta, psi = state
        if self.updates == "simultaneous":
            return self._move(
                theta, psi, self.generator_gradient(theta, psi), self.critic_gradient(theta, psi)
            )
        for player in self.order:
            if player == "generator":
                theta, psi = self._move(theta, psi, self.generator_gradient(theta, psi), None)
            else:
                theta, psi = self._move(theta, psi, 0.0, self.critic_gradient(theta, psi))
        return theta, psi

    def _move(self, theta, psi, generator_gradient, critic_gradient):
        theta = theta - self.step_size * generator_gradient
        if critic_gradient is None:
            return theta, psi
        psi = psi - self.step_size * critic_gradient
        return theta, psi if self.clip is None else float(np.clip(psi, -self.clip, self.clip))

    def trajectory(self, num_steps=500, start=(1.0, 1.0)):
        """(num_steps + 1, 2): theta and psi, the start included."""
        states = [tuple(map(float, start))]
        for _ in range(num_steps):
            states.append(self.step(states[-1]))
        return np.array(states)

    def radius(self, num_steps=500, start=(1.0, 1.0)):
        """Distance from the equilibrium (0, 0) at the end."""
        return float(np.linalg.norm(self.trajectory(num_steps, start)[-1]))

    def spectral_radius(self):
        """Of the update's Jacobian at (0, 0): below one, the game converges locally."""
        jacobian = numeric_jacobian(lambda s: np.array(self.step(s)), np.zeros(2), step=1e-4)
        return float(np.max(np.abs(np.linalg.eigvals(jacobian))))
