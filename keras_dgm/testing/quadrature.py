"""Latent variable models with one continuous latent variable, by dense quadrature."""

import numpy as np

from keras_dgm.testing.enumeration import GENERATIVE, INFERENCE
from keras_dgm.testing.gaussian import normal_log_prob
from keras_dgm.testing.multisample import multisample_expectations
from keras_dgm.testing.numeric import log_sum_exp, numeric_gradient, numeric_jacobian

ESTIMATORS = ("reparameterized", "path_derivative", "dreg")
# Nodes of the standard normal noise for K = 1, 2, 3 samples; the trapezoidal rule converges
# exponentially on these smooth integrands, and the tuples of K nodes have to fit in memory.
_NUM_NODES = {1: 801, 2: 401, 3: 201}
_NOISE_BOUND = 9.0


class QuadratureModel:
    """p(x, h) with scalar h and a normal q(h | x) = N(loc, scale**2), h = loc + scale e.

    Values and gradients are integrals over the noise (and over h for log p(x)) on fixed nodes,
    accurate to about 1e-9 for importance weights that are smooth on the scale of q.

    Args:
        log_joint: callable (parameters, x, h) -> log p(x, h), h and the result of shape (n,).
        inference: callable (parameters, x) -> (loc, scale), two scalars.
        generative_parameters, inference_parameters: lists of arrays.
        num_nodes: nodes of the noise; by default 801, 401, 201 for 1, 2, 3 samples.
        latent_bounds: interval of h that holds all mass of p(x, h), for log p(x).
    """

    def __init__(
        self,
        log_joint,
        inference,
        generative_parameters,
        inference_parameters,
        num_nodes=None,
        latent_bounds=(-15.0, 15.0),
    ):
        self.log_joint = log_joint
        self.inference = inference
        self.generative_parameters = [np.array(p, dtype="float64") for p in generative_parameters]
        self.inference_parameters = [np.array(p, dtype="float64") for p in inference_parameters]
        self.num_nodes = num_nodes
        self.latent_bounds = latent_bounds

    def log_marginal(self, x):
        """log p(x), (batch,)."""
        return self._map(x, lambda row: self._log_marginal(self.generative_parameters, row))

    def elbo(self, x):
        """E_q[log p(x, h) - log q(h | x)], (batch,)."""
        return self.iw_bound(x, 1)

    def iw_bound(self, x, num_samples):
        """E[log mean_k w_k] over num_samples <= 3 draws of q, (batch,)."""
        theta, phi = self.generative_parameters, self.inference_parameters
        return self._map(x, lambda row: self._expectations(theta, phi, row, num_samples).bound)

    def gradient(self, rule, x, num_samples=1):
        """Exact gradient of "log_likelihood", "elbo" or "iw_bound", or expectation of "rws".

        "rws" moves phi by the wake phase, E[sum_k v_k grad log q(h_k | x)] (Ou 2019, Eq. 25).
        Means over the batch, {"generative": [...], "inference": [...]}, ascent.
        """
        rows = np.atleast_2d(np.asarray(x, dtype="float64"))
        theta, phi = self.generative_parameters, self.inference_parameters
        if rule == "log_likelihood":
            gradient = numeric_gradient(
                lambda p: np.mean([self._log_marginal(p, row) for row in rows]), theta
            )
            return {GENERATIVE: gradient, INFERENCE: [np.zeros_like(p) for p in phi]}
        if rule not in ("elbo", "iw_bound", "rws"):
            raise ValueError(
                f"Unknown rule {rule!r}; expected one of "
                "['log_likelihood', 'elbo', 'iw_bound', 'rws']."
            )
        num_samples = 1 if rule == "elbo" else num_samples
        for_theta, for_phi = [], []
        for row in rows:
            parts = self._derivatives(row, num_samples)
            weights = parts["expectations"].weights
            scores = numeric_jacobian(lambda p, x=row, h=parts["h"]: self.log_joint(p, x, h), theta)
            for_theta.append([weights @ s.reshape(len(s), -1) for s in scores])
            wake = [weights @ s for s in parts["score"]]
            path = [weights @ s for s in parts["path"]]
            total = [p - w for p, w in zip(path, wake, strict=True)]
            for_phi.append(wake if rule == "rws" else total)
        return {GENERATIVE: _batch_mean(for_theta, theta), INFERENCE: _batch_mean(for_phi, phi)}

    def loss_gradient(self, rule, x, num_samples=1):
        """Minus `gradient`."""
        gradients = self.gradient(rule, x, num_samples)
        return {player: [-g for g in arrays] for player, arrays in gradients.items()}

    def estimator_mean(self, estimator, x, num_samples=1):
        """Expectation of a reparameterised estimator of phi's gradient, mean over the batch.

        With z = z_phi(e), v_k the normalised weights and P_k = d log w_k / d z_k * d z_k / d phi:

        - "reparameterized": E[sum_k v_k d log w_k / d phi], the gradient of the bound (IWAE; VAE
          at one sample).
        - "path_derivative": E[sum_k v_k P_k] (sticking the landing); unbiased for the bound only
          at one sample.
        - "dreg": E[sum_k v_k**2 P_k], unbiased for the bound.

        Returns:
            Arrays of the shapes of `inference_parameters`, ascent.
        """
        if estimator not in ESTIMATORS:
            raise ValueError(f"Unknown estimator {estimator!r}; expected one of {ESTIMATORS}.")
        each = []
        for row in np.atleast_2d(np.asarray(x, dtype="float64")):
            parts = self._derivatives(row, num_samples)
            expectations = parts["expectations"]
            squared = estimator == "dreg"
            coefficients = expectations.squared_weights if squared else expectations.weights
            total = [coefficients @ p for p in parts["path"]]
            if estimator == "reparameterized":
                scores = [coefficients @ s for s in parts["score"]]
                total = [t - s for t, s in zip(total, scores, strict=True)]
            each.append(total)
        return _batch_mean(each, self.inference_parameters)

    def with_parameters(self, generative=None, inference=None):
        """The same model with other parameters."""
        return type(self)(
            self.log_joint,
            self.inference,
            self.generative_parameters if generative is None else generative,
            self.inference_parameters if inference is None else inference,
            self.num_nodes,
            self.latent_bounds,
        )

    def _nodes(self, num_samples):
        if num_samples not in _NUM_NODES:
            raise ValueError(f"Quadrature holds 1, 2 or 3 samples; received {num_samples}.")
        count = self.num_nodes or _NUM_NODES[num_samples]
        noise = np.linspace(-_NOISE_BOUND, _NOISE_BOUND, count)
        return noise, np.exp(normal_log_prob(noise, 0.0, 1.0)) * (noise[1] - noise[0])

    def _log_weights(self, theta, phi, x, noise):
        loc, scale = self.inference(phi, x)
        log_inference = normal_log_prob(noise, 0.0, 1.0) - np.log(scale)
        return self.log_joint(theta, x, loc + scale * noise) - log_inference

    def _expectations(self, theta, phi, x, num_samples):
        noise, probabilities = self._nodes(num_samples)
        log_weights = self._log_weights(theta, phi, x, noise)
        return multisample_expectations(log_weights, probabilities, num_samples)

    def _derivatives(self, x, num_samples):
        """Per node: path derivative of log w and score of q, each (nodes, size) a parameter."""
        theta, phi = self.generative_parameters, self.inference_parameters
        noise, probabilities = self._nodes(num_samples)
        loc, scale = self.inference(phi, x)
        h = loc + scale * noise
        log_weights = self._log_weights(theta, phi, x, noise)
        step = 1e-3
        slope = (
            8.0 * (self.log_joint(theta, x, h + step) - self.log_joint(theta, x, h - step))
            - (self.log_joint(theta, x, h + 2 * step) - self.log_joint(theta, x, h - 2 * step))
        ) / (12.0 * step)
        # d log w / dz at fixed phi; log q contributes -(z - loc) / scale**2 = -noise / scale.
        slope = slope + noise / scale
        jacobians = numeric_jacobian(lambda p: np.array(self.inference(p, x)), phi)
        flat = [j.reshape(2, -1) for j in jacobians]
        return {
            "expectations": multisample_expectations(log_weights, probabilities, num_samples),
            "h": h,
            "path": [slope[:, None] * (j[0] + noise[:, None] * j[1]) for j in flat],
            "score": [
                (noise[:, None] * j[0] + (noise[:, None] ** 2 - 1.0) * j[1]) / scale for j in flat
            ],
        }

    def _log_marginal(self, theta, x):
        h = np.linspace(*self.latent_bounds, 6001)
        return log_sum_exp(self.log_joint(theta, x, h)) + np.log(h[1] - h[0])

    def _map(self, x, function):
        rows = np.atleast_2d(np.asarray(x, dtype="float64"))
        values = np.array([function(row) for row in rows])
        return values if np.ndim(x) == 2 else values[0]


def _batch_mean(each, parameters):
    """Mean over data points of lists of flat arrays, in the parameters' shapes."""
    return [
        np.mean(pieces, axis=0).reshape(p.shape)
        for pieces, p in zip(zip(*each, strict=True), parameters, strict=True)
    ]
