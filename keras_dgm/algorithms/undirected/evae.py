"""A VAE whose prior is an energy, sampled by an amortised sampler."""

import math
import random

import keras
import numpy as np
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms.directed.base import LatentVariableAlgorithm
from keras_dgm.distributions.base import sum_event
from keras_dgm.models.unnormalized import UnnormalizedModel

_LOG_2PI = math.log(2.0 * math.pi)
_CHUNK = 10_000


@keras.saving.register_keras_serializable(package="keras_dgm")
class EVAE(LatentVariableAlgorithm):
    """Variational auto-encoder with an energy prior p(z) proportional to exp(-U(z)).

    The prior is a `RandomField` of potential -U. Its samples come from z_w = G(w) + delta e, w
    standard noise, e standard normal; the entropy of z_w is bounded through the mutual
    information of z_w and w by a decoder of w, q(w|z) = N(E(z), sigma^2) with sigma learned.

    Objectives (EVAE notes, with four of their signs corrected), each minimised:
        sampler (G, E, sigma): E U(z_w) + sum_i (w_i - E_i(z_w))^2 / (2 sigma_i^2) + log sigma_i;
        inference: lambda2 E_q(z|x) [log q(z|x) + U(z) - log p(x|z)];
        model (decoder and U): - log p(x|z) + U(z) - U(z_w) + lambda3 |grad U|^2 at both z, the
            samples constants.
    The notes have - U for the sampler, + H and a reversed KL for the inference side: with - U the
    sampler inflates without end.

    Estimator: reparameterised, K = `num_samples` draws of z for each x, as many z_w as rows; each
    player's gradient is unbiased for its own loss. Biased for maximum likelihood: samples of G
    stand for the prior's, the entropy is a bound, q stands for the posterior, lambda3.

    Cost per step, in batches: G, E and the inference network one pass and gradient each; the
    decoder 2K passes; U 2 (1 + K) passes and gradients, and with lambda3 > 0 the gradient of an
    input gradient.

    Terms: `loss` (the model's), `reconstruction` (- log p(x|z)), `data_energy` and
    `sampler_energy` (mean U(z), U(z_w)), `inference_loss`, `mutual_information` (the bound on
    I(z_w; w), nats), `gradient_norm` (mean |grad U| at both), and of the importance weights
    exp(-U(z_w)) q(w|z_w) / (p(w) N(z_w; G(w), delta^2)) the `effective_sample_size` (of the
    batch) and the `log_partition` (log of their mean: below log Z in expectation).

    `evaluate` and `log_likelihood` know log p(x) up to log Z until `normalize_prior` is called.

    Args:
        generative: a `LatentVariableModel` with a `RandomField` as prior.
        inference: q(z|x), a reparameterised distribution layer.
        sampler: an `ImplicitModel` from w to z.
        code_decoder: q(w|z), a distribution layer over w given z: `Normal(size, network,
            scale="shared")` for the notes' E and sigma.
        sampler_noise: delta > 0.
        inference_weight: lambda2.
        gradient_penalty: lambda3, 0 or more.
        others: see `LatentVariableAlgorithm`.

    Raises:
        ValueError: another prior, shapes that do not match, delta = 0 (E would undo any shrinkage
            of G, and the sampler collapses), an inference side without gradients.
    """

    players = ("sampler", "inference", "model")
    terms = (
        "loss",
        "reconstruction",
        "data_energy",
        "sampler_energy",
        "inference_loss",
        "mutual_information",
        "gradient_norm",
        "effective_sample_size",
        "log_partition",
    )

    def __init__(
        self,
        generative,
        inference,
        sampler,
        code_decoder,
        sampler_noise=0.1,
        inference_weight=1.0,
        gradient_penalty=0.0,
        **kwargs,
    ):
        if generative.is_deep or not isinstance(generative.prior, UnnormalizedModel):
            raise ValueError(
                "EVAE learns an energy prior: construct the LatentVariableModel with a "
                f"RandomField as prior; received {type(generative.prior).__name__}."
            )
        super().__init__(generative, inference, **kwargs)
        if not inference.is_reparameterized or not code_decoder.is_reparameterized:
            raise ValueError(
                "EVAE takes gradients through draws of z: the inference side and q(w|z) must be "
                f"reparameterised; received {type(inference).__name__} and "
                f"{type(code_decoder).__name__}."
            )
        if not float(sampler_noise) > 0.0:
            raise ValueError(
                "`sampler_noise` (delta) is positive: without noise E undoes any shrinkage of G, "
                f"and z_w collapses; received {sampler_noise!r}."
            )
        if float(gradient_penalty) < 0.0 or not float(inference_weight) > 0.0:
            raise ValueError(
                "`gradient_penalty` is 0 or more and `inference_weight` positive; received "
                f"{gradient_penalty!r} and {inference_weight!r}."
            )
        self._check_sampler(sampler, code_decoder)
        self.sampler = sampler
        self.code_decoder = code_decoder
        self.sampler_noise = float(sampler_noise)
        self.inference_weight = float(inference_weight)
        self.gradient_penalty = float(gradient_penalty)
        self.finish()

    def _check_sampler(self, sampler, code_decoder):
        latent = tuple(self.generative.latent_shape)
        if sampler.is_conditional or tuple(sampler.event_shape) != latent:
            raise ValueError(
                f"The sampler makes z of shape {latent} from noise alone; it makes "
                f"{tuple(sampler.event_shape)}{' from a condition' * sampler.is_conditional}."
            )
        code_decoder.build((None, *latent))
        if tuple(code_decoder.event_shape) != tuple(sampler.noise_shape):
            raise ValueError(
                f"q(w|z) is over {tuple(code_decoder.event_shape)}, and the sampler's noise w has "
                f"shape {tuple(sampler.noise_shape)}; they must be the same."
            )

    def player_variables(self, player):
        """G, E and sigma; phi; the decoder and U."""
        if player == "sampler":
            return [*self.sampler.trainable_variables, *self.code_decoder.trainable_variables]
        if player == "model":
            return self.generative.trainable_variables
        return self.inference.trainable_variables

    def energy(self, z, training=None):
        """U(z), nats, shape (...,)."""
        return -self.generative.prior.potential(z, training=training)

    def draw_prior(self, num_samples, seed, training=None):
        """`(z_w, w, log importance weight of z_w without -U)`, rows of draws."""
        first, second = backend.split_seed(seed, 2)
        w = self.sampler.draw_noise(num_samples, first)
        centre = self.sampler.generate(w, training=training)
        noise = backend.normal(ops.shape(centre), second)
        z = centre + self.sampler_noise * noise
        log_noise = -0.5 * (noise * noise + _LOG_2PI) - math.log(self.sampler_noise)
        log_noise = sum_event(log_noise, self.generative.latent_shape)
        log_code = self.code_decoder.log_prob(w, z, training=training)
        log_w = self.sampler.noise.log_prob(w)
        return z, {"code": log_code, "noise": log_w, "base": log_code - log_w - log_noise}

    def sampler_loss(self, energy, log_code):
        """The sampler's loss from U(z_w) and log q(w|z_w)."""
        return ops.mean(energy) - ops.mean(log_code)

    def train_step(self, data):
        """The sampler, the inference side and the model move."""
        x = ops.cast(self.unpack(data)["x"], "float32")
        first, second = backend.split_seed(self.next_seed(), 2)
        rows = ops.shape(x)[0]

        def sampler_loss():
            z, logs = self.draw_prior(rows, first, training=True)
            energy = self.energy(z, training=True)
            weights = logs["base"] - energy
            total, count = ops.logsumexp(weights), ops.cast(ops.shape(x)[0], "float32")
            terms = {
                "mutual_information": ops.mean(logs["code"] - logs["noise"]),
                "effective_sample_size": ops.exp(2.0 * total - ops.logsumexp(2.0 * weights)),
                "log_partition": total - ops.log(count),
            }
            return self.sampler_loss(energy, logs["code"]), (z, terms)

        def inference_loss():
            z, log_q = self.draw(x, self.num_samples, second, training=True)
            log_likelihood = self.generative.log_likelihood(x, z, training=True)
            kl = log_q + self.energy(z, training=True)
            return self.inference_weight * ops.mean(kl - log_likelihood), z

        with self.moving_together():
            _, (z_w, sampler_terms) = self.minimize(sampler_loss, "sampler")
            inference_loss, z = self.minimize(inference_loss, "inference")
            z_w, z = ops.stop_gradient(z_w), ops.stop_gradient(z)
            _, terms = self.minimize(lambda: self.model_loss(x, z, z_w), "model")
        return self.log({**terms, **sampler_terms, "inference_loss": inference_loss})

    def model_loss(self, x, z, z_w):
        """`(loss, terms)` of the decoder and U, at constants z (K, batch, ...) and z_w."""
        reconstruction = -ops.mean(self.generative.log_likelihood(x, z, training=True))
        folded = ops.reshape(z, (-1, *self.generative.latent_shape))
        energies, norms, penalty = [], [], 0.0
        for part in (folded, z_w):
            energy, gradient = backend.value_and_input_grad(
                lambda z: self.energy(z, training=True), part
            )
            squares = sum_event(ops.square(gradient), self.generative.latent_shape)
            energies.append(ops.mean(energy))
            norms.append(ops.mean(ops.sqrt(ops.stop_gradient(squares))))
            if self.gradient_penalty:
                penalty = penalty + self.gradient_penalty * ops.mean(squares)
        loss = reconstruction + energies[0] - energies[1] + penalty
        return loss, {
            "loss": loss,
            "reconstruction": reconstruction,
            "data_energy": energies[0],
            "sampler_energy": energies[1],
            "gradient_norm": 0.5 * (norms[0] + norms[1]),
        }

    def sample(self, num_samples, seed=None, mean=False):
        """Draws by the amortised sampler and the decoder.

        Args:
            num_samples: how many.
            seed: integer, or None for a fresh one.
            mean: whether to give E[x | z_w] in place of a draw of x.

        Returns:
            NumPy array (num_samples, *event).
        """

        def draw(seed):
            first, second = backend.split_seed(seed, 2)
            z, _ = self.draw_prior(int(num_samples), first, training=False)
            if mean:
                return self.generative.mean(z, training=False)
            return self.generative.likelihood.sample(z, seed=second, training=False)

        program = self.compiled_function(("sample", int(num_samples), bool(mean)), draw)
        seed = random.randint(0, 2**31 - 1) if seed is None else seed
        return ops.convert_to_numpy(program(backend.as_seed(seed)))

    def normalize_prior(self, bounds=None, num_points=201, num_samples=100_000, seed=0):
        """Estimates log Z of exp(-U) and gives it to the prior, whose log_prob is exact then.

        Args:
            bounds: `[(low, high), ...]`, one for each latent dimension, three at most: the
                integral over a grid, midpoint rule. None: importance sampling with the amortised
                sampler, in any dimension, below log Z in expectation.
            num_points: of the grid, in each dimension.
            num_samples: of importance sampling.
            seed: integer.

        Returns:
            log Z in nats, a float.

        Raises:
            ValueError: bounds that do not go with the latent shape.
        """
        prior = self.generative.prior
        if bounds is None:

            def log_weights(seed):
                z, logs = self.draw_prior(_CHUNK, seed, training=False)
                return ops.logsumexp(logs["base"] - self.energy(z, training=False))

            program = self.compiled_function("log_weights", log_weights)
            chunks = -(-int(num_samples) // _CHUNK)
            key = backend.as_seed(seed)
            sums = [program(backend.fold_in(key, n)) for n in range(chunks)]
            total = np.logaddexp.reduce([np.float64(ops.convert_to_numpy(s)) for s in sums])
            value = float(total - np.log(chunks * _CHUNK))
        else:
            value = self._integral(bounds, int(num_points))
        prior.log_partition.assign(value)
        return value

    def _integral(self, bounds, num_points):
        bounds = [(float(low), float(high)) for low, high in bounds]
        if len(bounds) != int(np.prod(self.generative.latent_shape)) or len(bounds) > 3:
            raise ValueError(
                f"`bounds` has {len(bounds)} pairs; the grid needs one for each of the latent "
                f"dimensions {tuple(self.generative.latent_shape)}, three at most. Leave it out "
                "for importance sampling."
            )
        axes = []
        for low, high in bounds:
            width = (high - low) / num_points
            axes.append(low + width * (np.arange(num_points) + 0.5))
        mesh = np.stack([m.ravel() for m in np.meshgrid(*axes, indexing="ij")], axis=-1)
        points = mesh.reshape((-1, *self.generative.latent_shape)).astype("float32")
        program = self.compiled_function("energy", lambda z: self.energy(z, training=False))
        parts = [program(points[i : i + _CHUNK]) for i in range(0, len(points), _CHUNK)]
        energy = np.concatenate([ops.convert_to_numpy(part) for part in parts]).astype("float64")
        cell = sum(np.log((high - low) / num_points) for low, high in bounds)
        return float(np.logaddexp.reduce(-energy) + cell)

    def get_config(self):
        return {
            **super().get_config(),
            "sampler": keras.saving.serialize_keras_object(self.sampler),
            "code_decoder": keras.saving.serialize_keras_object(self.code_decoder),
            "sampler_noise": self.sampler_noise,
            "inference_weight": self.inference_weight,
            "gradient_penalty": self.gradient_penalty,
        }
