"""The linear-Gaussian latent variable model, everything in closed form."""

import numpy as np

from keras_dgm.testing.enumeration import GENERATIVE, INFERENCE
from keras_dgm.testing.gaussian import (
    LOG_TWO_PI,
    mean_field_gap,
    multivariate_normal_kl,
    multivariate_normal_log_prob,
    normal_log_prob,
)
from keras_dgm.testing.numeric import numeric_gradient
from keras_dgm.testing.quadrature import QuadratureModel


class LinearGaussianModel:
    """h ~ N(0, I), x ~ N(h W + b, diag(s**2)); q(h | x) = N(x A + c, S S^T).

    Kernels are (inputs, outputs), as in `keras.layers.Dense`. Data has shape (batch, visible)
    (or (visible,)), values (batch,), gradients are means over the batch.

    Args:
        kernel: W, (latent, visible).
        bias: b, (visible,).
        scale: s, (visible,), standard deviations.
        inference_kernel: A, (visible, latent).
        inference_bias: c, (latent,).
        inference_scale: standard deviations (latent,), or a full S (latent, latent), x = mu + S e.
    """

    def __init__(self, kernel, bias, scale, inference_kernel, inference_bias, inference_scale):
        self.kernel = np.array(kernel, dtype="float64")
        self.bias = np.array(bias, dtype="float64")
        self.scale = np.array(scale, dtype="float64")
        self.inference_kernel = np.array(inference_kernel, dtype="float64")
        self.inference_bias = np.array(inference_bias, dtype="float64")
        self.inference_scale = np.array(inference_scale, dtype="float64")
        latent, visible = self.kernel.shape
        fits = (
            self.bias.shape == self.scale.shape == (visible,)
            and self.inference_kernel.shape == (visible, latent)
            and self.inference_bias.shape == (latent,)
            and self.inference_scale.shape in ((latent,), (latent, latent))
        )
        if not fits:
            shapes = [p.shape for p in self.generative_parameters + self.inference_parameters]
            raise ValueError(
                "Expected shapes (latent, visible), (visible,), (visible,), (visible, latent), "
                f"(latent,), (latent,) or (latent, latent); received {shapes}."
            )

    @classmethod
    def random(cls, visible, latent, seed=0, full_covariance=False):
        """A model with normal weights; q is the exact posterior's family, moved a little."""
        rng = np.random.default_rng(seed)
        model = cls(
            rng.normal(size=(latent, visible)),
            rng.normal(size=visible),
            rng.uniform(0.5, 1.0, size=visible),
            np.zeros((visible, latent)),
            np.zeros(latent),
            np.ones(latent),
        ).with_exact_inference()
        kernel, bias, scale = model.inference_parameters
        if full_covariance:
            scale = scale * rng.uniform(0.8, 1.5, size=(latent, latent))
        else:
            scale = np.diag(scale) * rng.uniform(0.8, 1.5, size=latent)
        kernel = kernel + 0.1 * rng.normal(size=kernel.shape)
        return model.with_parameters(
            inference=[kernel, bias + 0.3 * rng.normal(size=latent), scale]
        )

    @property
    def generative_parameters(self):
        """[kernel, bias, scale]."""
        return [self.kernel, self.bias, self.scale]

    @property
    def inference_parameters(self):
        """[inference_kernel, inference_bias, inference_scale]."""
        return [self.inference_kernel, self.inference_bias, self.inference_scale]

    def with_parameters(self, generative=None, inference=None):
        """The same model with other parameters."""
        return type(self)(
            *(self.generative_parameters if generative is None else generative),
            *(self.inference_parameters if inference is None else inference),
        )

    @property
    def inference_covariance(self):
        """S S^T, (latent, latent)."""
        scale = self.inference_scale
        return np.diag(scale**2) if scale.ndim == 1 else scale @ scale.T

    @property
    def marginal_covariance(self):
        """Covariance of x, (visible, visible)."""
        return self.kernel.T @ self.kernel + np.diag(self.scale**2)

    @property
    def posterior_precision(self):
        """Precision of p(h | x), (latent, latent)."""
        return np.eye(len(self.kernel)) + (self.kernel / self.scale**2) @ self.kernel.T

    def posterior(self, x):
        """Mean (batch, latent) and covariance (latent, latent) of p(h | x)."""
        covariance = np.linalg.inv(self.posterior_precision)
        return (np.asarray(x) - self.bias) / self.scale**2 @ self.kernel.T @ covariance, covariance

    def inference(self, x):
        """Mean (batch, latent) and covariance (latent, latent) of q(h | x)."""
        mean = np.asarray(x) @ self.inference_kernel + self.inference_bias
        return mean, self.inference_covariance

    def with_exact_inference(self):
        """The same model with q(h | x) = p(h | x), S its covariance's Cholesky factor."""
        offset, covariance = self.posterior(np.zeros(self.kernel.shape[1]))
        kernel = (covariance @ self.kernel / self.scale**2).T
        return self.with_parameters(inference=[kernel, offset, np.linalg.cholesky(covariance)])

    def log_marginal(self, x):
        """log p(x), (batch,)."""
        value = multivariate_normal_log_prob(x, self.bias, self.marginal_covariance)
        return value if np.ndim(x) == 2 else value[0]

    def reconstruction(self, x):
        """E_q[log p(x | h)], (batch,)."""
        mean, covariance = self.inference(x)
        residual = (np.asarray(x) - mean @ self.kernel - self.bias) / self.scale
        spread = np.sum((self.kernel.T @ covariance @ self.kernel).diagonal() / self.scale**2)
        constant = np.sum(np.log(self.scale)) + 0.5 * len(self.bias) * LOG_TWO_PI
        return -0.5 * np.sum(residual**2, axis=-1) - 0.5 * spread - constant

    def kl_to_prior(self, x):
        """KL(q(h | x) || p(h)), (batch,)."""
        mean, covariance = self.inference(x)
        latent = len(self.kernel)
        return multivariate_normal_kl(mean, covariance, np.zeros(latent), np.eye(latent))

    def elbo(self, x):
        """E_q[log p(x, h) - log q(h | x)], (batch,)."""
        return self.reconstruction(x) - self.kl_to_prior(x)

    def exclusive_kl(self, x):
        """KL(q(h | x) || p(h | x)), (batch,)."""
        return multivariate_normal_kl(*self.inference(x), *self.posterior(x))

    def inclusive_kl(self, x):
        """KL(p(h | x) || q(h | x)), (batch,)."""
        return multivariate_normal_kl(*self.posterior(x), *self.inference(x))

    def sleep_value(self):
        """E_p(x, h)[log q(h | x)], a scalar (Ou 2019, Eq. 21)."""
        mapping = self.inference_kernel
        mean = -self.bias @ mapping - self.inference_bias
        cross = self.kernel @ mapping
        second = np.eye(len(self.kernel)) - cross - cross.T + np.outer(mean, mean)
        second = second + mapping.T @ self.marginal_covariance @ mapping
        covariance = self.inference_covariance
        quadratic = np.trace(np.linalg.solve(covariance, second))
        constant = np.linalg.slogdet(covariance)[1] + len(self.kernel) * LOG_TWO_PI
        return -0.5 * (quadratic + constant)

    def approximation_gap(self):
        """log p(x) minus the ELBO of the best diagonal q, the same for every x, in nats."""
        return mean_field_gap(self.posterior_precision)

    def amortization_gap(self, x):
        """ELBO of the best q of the family at each x minus this q's ELBO, (batch,)."""
        best = self.approximation_gap() if self.inference_scale.ndim == 1 else 0.0
        return self.exclusive_kl(x) - best

    def sample(self, num_samples, rng):
        """(x, h) drawn from the joint, (num_samples, visible) and (num_samples, latent)."""
        h = rng.normal(size=(num_samples, len(self.kernel)))
        noise = rng.normal(size=(num_samples, len(self.bias)))
        return h @ self.kernel + self.bias + self.scale * noise, h

    def gradient(self, rule, x, num_samples=1):
        """Expected ascent direction of a learning rule, mean over the batch.

        The table of `FiniteLatentModel.gradient` without its discrete estimators: rules
        "log_likelihood", "elbo", "inclusive_kl", "sleep", "wake_sleep", "jsa" (Ou 2019, Eq. 27);
        "iw_bound" and "rws" (wake phase) where there is one latent variable, by quadrature.

        Returns:
            {"generative": [kernel, bias, scale], "inference": [kernel, bias, scale]}: derivatives
            in the scales themselves. For another parametrisation of the scale, multiply by its
            derivative, or use `numeric_gradient` on any value above.
        """
        if rule in ("iw_bound", "rws"):
            return self.quadrature().gradient(rule, np.atleast_2d(x), num_samples)
        likelihood, elbo, inclusive, sleep = (
            lambda m: np.mean(m.log_marginal(x)),
            lambda m: np.mean(m.elbo(x)),
            lambda m: -np.mean(m.inclusive_kl(x)),
            lambda m: m.sleep_value(),
        )
        objectives = {
            "log_likelihood": (likelihood, None),
            "elbo": (elbo, elbo),
            "inclusive_kl": (None, inclusive),
            "sleep": (None, sleep),
            "wake_sleep": (elbo, sleep),
            "jsa": (likelihood, inclusive),
        }
        if rule not in objectives:
            raise ValueError(
                f"Unknown rule {rule!r}; expected one of {[*objectives, 'iw_bound', 'rws']}."
            )
        for_theta, for_phi = objectives[rule]
        theta = [np.zeros_like(p) for p in self.generative_parameters]
        phi = [np.zeros_like(p) for p in self.inference_parameters]
        if for_theta is not None:
            theta = numeric_gradient(
                lambda p: for_theta(self.with_parameters(generative=p)), self.generative_parameters
            )
        if for_phi is not None:
            phi = numeric_gradient(
                lambda p: for_phi(self.with_parameters(inference=p)), self.inference_parameters
            )
        return {GENERATIVE: theta, INFERENCE: phi}

    def loss_gradient(self, rule, x, num_samples=1):
        """Minus `gradient`."""
        gradients = self.gradient(rule, x, num_samples)
        return {player: [-g for g in arrays] for player, arrays in gradients.items()}

    def iw_bound(self, x, num_samples):
        """E[log mean_k w_k], (batch,), for one latent variable, by quadrature."""
        return self.quadrature().iw_bound(x, num_samples)

    def quadrature(self, **options):
        """This model, with one latent variable, as a `QuadratureModel`."""
        if len(self.kernel) != 1:
            raise ValueError(
                f"Quadrature needs one latent variable; this model has {len(self.kernel)}."
            )

        def log_joint(parameters, x, h):
            kernel, bias, scale = parameters
            log_likelihood = normal_log_prob(x, h[:, None] @ kernel + bias, scale).sum(axis=-1)
            return log_likelihood + normal_log_prob(h, 0.0, 1.0)

        def inference(parameters, x):
            kernel, bias, scale = parameters
            return (x @ kernel + bias)[0], scale.reshape(-1)[0]

        return QuadratureModel(
            log_joint, inference, self.generative_parameters, self.inference_parameters, **options
        )
