"""Extended Helmholtz Machine and Symmetric VAE on a linear-Gaussian toy, in closed form."""

import numpy as np

from keras_dgm.testing.gaussian import LOG_TWO_PI, normal_entropy
from keras_dgm.testing.numeric import numeric_gradient


class LinearHelmholtzMachine:
    """Q(x) = N(0, s**2), Q(z|x) = N(a x, tau**2), P(z) = N(0, 1), P(x|z) = N(b z, sigma**2).

    The critics are exact: c_x = log Q(x), c_z = log P(z). Everything in nats. `parameters` is
    (a, log tau, b, log sigma).

    Args:
        a, tau, b, sigma: encoder and decoder, scalars.
        data_scale: s.
    """

    def __init__(self, a=0.4, tau=0.6, b=0.9, sigma=0.5, data_scale=1.7):
        self.parameters = np.array([a, np.log(tau), b, np.log(sigma)], dtype="float64")
        self.data_scale = data_scale

    def with_parameters(self, parameters):
        """Another machine with (a, log_tau, b, log_sigma)."""
        a, log_tau, b, log_sigma = parameters
        return type(self)(a, np.exp(log_tau), b, np.exp(log_sigma), self.data_scale)

    @property
    def latent_variance(self):
        """Var Q(z)."""
        a, log_tau, _, _ = self.parameters
        return a**2 * self.data_scale**2 + np.exp(2.0 * log_tau)

    @property
    def visible_variance(self):
        """Var P(x)."""
        _, _, b, log_sigma = self.parameters
        return b**2 + np.exp(2.0 * log_sigma)

    def terms(self):
        """The four cross-entropies of the Extended Helmholtz Machine by name, in nats."""
        a, log_tau, b, log_sigma = self.parameters
        tau, sigma, data = np.exp(log_tau), np.exp(log_sigma), self.data_scale
        wake_error = (1.0 - b * a) ** 2 * data**2 + b**2 * tau**2
        sleep_error = (1.0 - a * b) ** 2 + a**2 * sigma**2
        constant = 0.5 * LOG_TWO_PI
        return {
            "wake_reconstruction": 0.5 * wake_error / sigma**2 + log_sigma + constant,
            "wake_prior": 0.5 * self.latent_variance + constant,
            "sleep_reconstruction": 0.5 * sleep_error / tau**2 + log_tau + constant,
            "sleep_prior": 0.5 * self.visible_variance / data**2 + np.log(data) + constant,
        }

    def extended_helmholtz(self):
        """J of the Extended Helmholtz Machine (Symmetric VAE 2017): the terms' sum."""
        return float(sum(self.terms().values()))

    def symmetric_vae(self):
        """J of the Symmetric VAE: J of the machine minus H[Q(z|x)] and H[P(x|z)]."""
        _, log_tau, _, log_sigma = self.parameters
        entropies = normal_entropy(np.exp([log_tau, log_sigma]))
        return self.extended_helmholtz() - float(entropies)

    def gradient(self, objective="extended_helmholtz"):
        """Gradient of an objective in (a, log_tau, b, log_sigma), paths through samples kept."""
        return numeric_gradient(
            lambda p: getattr(self.with_parameters(p), objective)(), self.parameters
        )

    def pathless_gradient(self):
        """What (a, log_tau, b, log_sigma) get if samples are treated as constants: wrong."""
        a, log_tau, b, log_sigma = self.parameters
        tau, sigma, data = np.exp(log_tau), np.exp(log_sigma), self.data_scale
        wake_error = (1.0 - b * a) ** 2 * data**2 + b**2 * tau**2
        sleep_error = (1.0 - a * b) ** 2 + a**2 * sigma**2
        return np.array(
            [
                (a * self.visible_variance - b) / tau**2,
                1.0 - sleep_error / tau**2,
                (b * self.latent_variance - a * data**2) / sigma**2,
                1.0 - wake_error / sigma**2,
            ]
        )


def energy_sampler_objective(alpha, delta, energy_scale=3.0):
    """EVAE's loss of G and E on U(z) = z**2 / (2 energy_scale**2), G(w) = alpha w, E optimal.

    E[U(z_w)] + E[- log q(w | z_w)] with z_w = alpha w + delta e: the mutual-information bound
    at the best linear E and its best sigma. Minimal where alpha**2 + delta**2 = energy_scale**2.
    """
    variance = alpha**2 + delta**2
    energy = 0.5 * variance / energy_scale**2
    return energy + 0.5 * np.log(delta**2 / variance) + 0.5 * (LOG_TWO_PI + 1.0)
