"""Latent variable models with finitely many latent states: exact values and exact gradients."""

import numpy as np

from keras_dgm.testing.markov import metropolis_independence_matrix, visited_distribution
from keras_dgm.testing.multisample import multisample_expectations
from keras_dgm.testing.numeric import log_sum_exp

GENERATIVE = "generative"
INFERENCE = "inference"
RULES = (
    "log_likelihood",
    "elbo",
    "iw_bound",
    "inclusive_kl",
    "sleep",
    "wake_sleep",
    "rws",
    "jsa",
)


class FiniteLatentModel:
    """p_theta(x, h) and q_phi(h | x) over finitely many h; everything exact, nats, float64.

    A subclass gives tables over all N latent states: `log_joint_table(x)`,
    `log_inference_table(x)` of shape (N,), their scores `generative_scores(x)`,
    `inference_scores(x)` of shape (N, number of parameters), and the parameter lists. With
    these, every bound and every learning rule's expectation is a sum.

    Data `x` has shape (batch, pixels), or (pixels,) for one point; values have shape (batch,),
    and gradients are means over the batch. Images are flattened by the caller.
    """

    generative_parameters: list
    inference_parameters: list

    # What a subclass provides.

    def log_joint_table(self, x):
        """log p(x, h) for every h, shape (N,), x of shape (pixels,)."""
        raise NotImplementedError

    def log_inference_table(self, x):
        """log q(h | x) for every h, shape (N,)."""
        raise NotImplementedError

    def generative_scores(self, x):
        """Gradient of log p(x, h) in theta for every h, shape (N, size of theta)."""
        raise NotImplementedError

    def inference_scores(self, x):
        """Gradient of log q(h | x) in phi for every h, shape (N, size of phi)."""
        raise NotImplementedError

    def visible_states(self):
        """Every x, shape (number of images, pixels); the sleep phase sums over them."""
        raise NotImplementedError

    # Values.

    def log_marginal(self, x):
        """log p(x), shape (batch,)."""
        return self._map(x, lambda row: log_sum_exp(self.log_joint_table(row)))

    def posterior(self, x):
        """p(h | x), shape (batch, N), or (N,) for one point."""
        rows = self._rows(x)
        joint = np.stack([self.log_joint_table(row) for row in rows])
        posterior = np.exp(joint - log_sum_exp(joint, axis=1)[:, None])
        return posterior if np.ndim(x) == 2 else posterior[0]

    def inference(self, x):
        """q(h | x), shape (batch, N), or (N,) for one point."""
        rows = self._rows(x)
        table = np.exp(np.stack([self.log_inference_table(row) for row in rows]))
        return table if np.ndim(x) == 2 else table[0]

    def log_weights(self, x):
        """log p(x, h) - log q(h | x), shape (batch, N), or (N,) for one point."""
        rows = self._rows(x)
        table = np.stack([self.log_joint_table(r) - self.log_inference_table(r) for r in rows])
        return table if np.ndim(x) == 2 else table[0]

    def elbo(self, x):
        """E_q[log p(x, h) - log q(h | x)], shape (batch,) (Ou 2019, Eq. 8)."""
        return self._map(x, lambda row: self.inference(row) @ self.log_weights(row))

    def iw_bound(self, x, num_samples):
        """E[log mean_k w_k] over num_samples draws of q, shape (batch,) (Ou 2019, Eq. 19)."""
        return self._map(x, lambda row: self.multisample(row, num_samples).bound)

    def multisample(self, x, num_samples):
        """`MultiSampleExpectations` of one point x, shape (pixels,)."""
        return multisample_expectations(self.log_weights(x), self.inference(x), num_samples)

    def inclusive_kl(self, x):
        """KL(p(h | x) || q(h | x)), shape (batch,)."""
        return self._map(x, self._inclusive_kl)

    def exclusive_kl(self, x):
        """KL(q(h | x) || p(h | x)) = log p(x) - ELBO, shape (batch,)."""
        return self.log_marginal(x) - self.elbo(x)

    def sleep_value(self):
        """E_p(x, h)[log q(h | x)], a scalar: the sleep phase's objective (Ou 2019, Eq. 21)."""
        return sum(
            np.exp(self.log_joint_table(row)) @ self.log_inference_table(row)
            for row in self.visible_states()
        )

    # Gradients.

    def gradient(
        self,
        rule,
        x,
        num_samples=1,
        *,
        phi_update="wake",
        start="posterior",
        num_steps=1,
    ):
        """Expected ascent direction of a learning rule, mean over the batch.

        | rule | generative | inference |
        | --- | --- | --- |
        | "log_likelihood" | grad log p(x) | 0 |
        | "elbo" | grad ELBO | grad ELBO (also NVIL before its 1/max(1, sd), MuProp) |
        | "iw_bound" | grad of the K-sample bound | the same (VIMCO, IWAE) |
        | "inclusive_kl" | 0 | E_p(h|x)[grad log q] |
        | "sleep" | 0 | E_p(x',h')[grad log q(h'|x')] |
        | "wake_sleep" | grad ELBO | sleep (Ou 2019, Eq. 22) |
        | "rws" | E[sum_k v_k grad log p] | by `phi_update` (Ou 2019, Eq. 23, 25) |
        | "jsa" | mean over visited states of grad log p | of grad log q (Ou 2019, Eq. 27) |

        Normalised importance weights v_k are biased for the posterior; "rws" is their own exact
        expectation at `num_samples`, which is what an unbiased check must compare with.

        Args:
            rule: a name of the table.
            x: (batch, pixels) or (pixels,).
            num_samples: K of "iw_bound" and "rws".
            phi_update: of "rws": "wake", "sleep" or "both" (their sum).
            start: of "jsa", law of the state before the first move: "posterior" (the sampler is
                then stationary, Eq. 27 exactly), "inference" (a fresh draw of q, stage I), or
                an array of shape (N,) or (batch, N).
            num_steps: of "jsa", moves of the Metropolis independence sampler.

        Returns:
            {"generative": [arrays], "inference": [arrays]} in the order and shapes of
            `generative_parameters` and `inference_parameters`. A player that the rule does not
            move gets zeros. A loss's gradient is the negative: see `loss_gradient`.

        Raises:
            ValueError: an unknown rule or `phi_update`, or too many tuples to enumerate.
        """
        if rule not in RULES:
            raise ValueError(f"Unknown rule {rule!r}; expected one of {list(RULES)}.")
        if phi_update not in ("wake", "sleep", "both"):
            raise ValueError(
                f'phi_update must be "wake", "sleep" or "both"; received {phi_update!r}.'
            )
        rows = self._rows(x)
        theta, phi = 0.0, 0.0
        for number, row in enumerate(rows):
            if rule == "jsa":
                visited = self._visited(row, number, len(rows), start, num_steps)
                coefficients = (visited, visited)
            else:
                coefficients = self._coefficients(rule, row, num_samples, phi_update)
            for_theta, for_phi = coefficients
            if for_theta is not None:
                theta = theta + for_theta @ self.generative_scores(row) / len(rows)
            if for_phi is not None:
                phi = phi + for_phi @ self.inference_scores(row) / len(rows)
        dreams = rule in ("sleep", "wake_sleep")
        if dreams or (rule == "rws" and phi_update in ("sleep", "both")):
            phi = phi + self._sleep_gradient()
        return {
            GENERATIVE: _unflatten(theta, self.generative_parameters),
            INFERENCE: _unflatten(phi, self.inference_parameters),
        }

    def loss_gradient(self, rule, x, num_samples=1, **options):
        """Minus `gradient`: what an algorithm that minimises hands to its optimisers."""
        gradients = self.gradient(rule, x, num_samples, **options)
        return {player: [-g for g in arrays] for player, arrays in gradients.items()}

    def _coefficients(self, rule, row, num_samples, phi_update):
        """Per-state coefficients of the generative and the inference score; None for nothing."""
        if rule == "log_likelihood":
            return self.posterior(row), None
        if rule == "inclusive_kl":
            return None, self.posterior(row)
        if rule == "sleep":
            return None, None
        if rule == "wake_sleep":
            return self.inference(row), None
        if rule == "elbo":
            inference = self.inference(row)
            # E_q[grad log q] = 0, so any constant may be taken off the signal.
            signal = self.log_weights(row)
            return inference, inference * (signal - inference @ signal)
        expectations = self.multisample(row, num_samples)
        if rule == "iw_bound":
            return expectations.weights, expectations.log_mean_weight - expectations.weights
        return expectations.weights, expectations.weights if phi_update != "sleep" else None

    def _sleep_gradient(self):
        return sum(
            np.exp(self.log_joint_table(row)) @ self.inference_scores(row)
            for row in self.visible_states()
        )

    def _visited(self, row, number, batch, start, num_steps):
        inference = self.inference(row)
        if isinstance(start, str):
            if start not in ("posterior", "inference"):
                raise ValueError(
                    'start must be "posterior", "inference" or an array of probabilities; '
                    f"received {start!r}."
                )
            law = self.posterior(row) if start == "posterior" else inference
        else:
            law = np.broadcast_to(start, (batch, len(inference)))[number]
        matrix = metropolis_independence_matrix(self.log_weights(row), inference)
        return visited_distribution(matrix, law, num_steps)

    def _inclusive_kl(self, row):
        joint = self.log_joint_table(row)
        log_posterior = joint - log_sum_exp(joint)
        return np.exp(log_posterior) @ (log_posterior - self.log_inference_table(row))

    def _rows(self, x):
        x = np.asarray(x, dtype="float64")
        if x.ndim not in (1, 2):
            raise ValueError(
                f"Data must have shape (batch, pixels) or (pixels,); received {x.shape}. "
                "Flatten images first."
            )
        return x if x.ndim == 2 else x[None]

    def _map(self, x, function):
        values = np.array([function(row) for row in self._rows(x)])
        return values if np.ndim(x) == 2 else values[0]


def _unflatten(flat, parameters):
    sizes = [np.size(p) for p in parameters]
    flat = np.broadcast_to(flat, (sum(sizes),))
    pieces = np.split(flat, np.cumsum(sizes)[:-1]) if sizes else []
    return [piece.reshape(np.shape(p)) for piece, p in zip(pieces, parameters, strict=True)]
