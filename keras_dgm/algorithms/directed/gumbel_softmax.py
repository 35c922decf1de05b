"""Learning discrete latents through their Concrete relaxation."""

import keras
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms import checks
from keras_dgm.algorithms.directed import relaxation
from keras_dgm.algorithms.directed.base import LatentVariableAlgorithm
from keras_dgm.algorithms.directed.layers import inference_parts
from keras_dgm.distributions import Chain
from keras_dgm.distributions.bernoulli import check_temperature

DENSITIES = ("concrete", "discrete")


@keras.saving.register_keras_serializable(package="keras_dgm")
class GumbelSoftmax(LatentVariableAlgorithm):
    """Gumbel-softmax, or Concrete: discrete draws replaced in training by reparameterised ones.

    Objective (Ou 2019, section 3.2.1 item 2), in theta and phi together, with h~ the relaxed
    draw at temperature t:
        E_{h~} [log p(x | h~) + log p(h~) - log q(h~ | x)].
    What the last two terms are is told by `density`:
    - `"concrete"`: densities of the Concrete families with the logits of p(h) and q(h|x) (Maddison
      et al. 2016): a bound for the relaxed model, which is not the discrete one;
    - `"discrete"`: the mass functions, extended linearly in h to the relaxed draw (Jang et al.
      2016): no bound on anything.
    With `straight_through` the forward pass has the hard values, at which mass functions are what
    they are, and the gradient is that of the relaxed values.

    Estimator: the total derivative by reparameterisation.

    Bias: unbiased for the relaxed objective, biased for the discrete model's bound, less so at
    low temperatures, where the variance grows. Training therefore reports no ELBO: `evaluate`
    and `log_likelihood` take hard draws of the discrete model.

    Cost per step: one pass and gradient of the inference network on the batch, one of the
    generative side on K times the batch.

    Args:
        generative: a `LatentVariableModel`, its prior of Bernoulli or one-hot layers.
        inference: q(h|x), a Bernoulli or one-hot layer, or a `Chain` of such. They are relaxed
            here, and must not be relaxed families themselves.
        num_samples: K, draws averaged.
        temperature: a positive number, or a `keras.optimizers.schedules.LearningRateSchedule` of
            the number of steps made, which is a saved weight.
        prior_temperature: of p(h)'s Concrete family, the same by default.
        straight_through: see above.
        density: see above; None for "discrete" with `straight_through` and "concrete" without.
        others: see `LatentVariableAlgorithm`.

    Raises:
        ValueError: latents of another family, a temperature that is not positive, Concrete
            densities asked for with `straight_through`.
    """

    terms = ("loss", "reconstruction", "kl", "temperature")

    def __init__(
        self,
        generative,
        inference,
        num_samples=1,
        temperature=0.5,
        prior_temperature=None,
        straight_through=False,
        density=None,
        **kwargs,
    ):
        super().__init__(generative, inference, num_samples=num_samples, **kwargs)
        relaxation.check_discrete(self)
        self.straight_through = bool(straight_through)
        if density is None:
            density = "discrete" if self.straight_through else "concrete"
        self.density = checks.one_of("density", density, DENSITIES)
        if self.straight_through and density == "concrete":
            raise ValueError(
                "With `straight_through` the draws are hard, and a Concrete family has no density "
                "there: use density='discrete'."
            )
        self.temperature = _temperature(temperature)
        self.prior_temperature = _temperature(prior_temperature)
        if self.prior_temperature is not None and self.density == "discrete":
            raise ValueError(
                "`prior_temperature` is of the prior's Concrete density; with density='discrete' "
                "there is none. Leave it out."
            )
        self.temperature_step = self.add_learning_state("temperature_step", ())
        self.finish()

    def train_step(self, data):
        """One step on the relaxed objective."""
        x = self.unpack(data)["x"]
        seed = self.next_seed()
        step = ops.convert_to_tensor(self.temperature_step)
        temperature = _at(self.temperature, step)
        prior_temperature = temperature
        if self.prior_temperature is not None:
            prior_temperature = _at(self.prior_temperature, step)
        self.temperature_step.assign(step + 1.0)

        def loss_fn():
            points, values, log_q = self.relaxed_draw(x, temperature, seed)
            log_likelihood = self.generative.log_likelihood(x, values[0], training=True)
            log_prior = self.log_prior(points, values, prior_temperature)
            reconstruction, kl = -ops.mean(log_likelihood), ops.mean(log_q - log_prior)
            loss = reconstruction + kl
            terms = {"loss": loss, "reconstruction": reconstruction, "kl": kl}
            return loss, {**terms, "temperature": temperature}

        _, terms = self.minimize(loss_fn)
        return self.log(terms)

    def relaxed_draw(self, x, temperature, seed):
        """Relaxed draws from x up: points, values and the sum of log q, with gradient."""
        parts = inference_parts(self.inference)
        points, values, total = [], [], 0.0
        context, sample_shape = x, (self.num_samples,)
        for part, part_seed in zip(parts, backend.split_seed(seed, len(parts))):
            parameters = part(context, training=True)
            point = relaxation.relaxed_point(part, parameters, sample_shape, temperature, part_seed)
            value = relaxation.relaxed_value(part, point)
            if self.straight_through:
                hard = relaxation.hard_value(part, point)
                value = value + ops.stop_gradient(hard - value)
            total = total + self._log_prob(part, parameters, point, value, temperature)
            points.append(point)
            values.append(value)
            context, sample_shape = value, ()
        return points, values, total

    def log_prior(self, points, values, temperature):
        """The sum of log p over the layers at relaxed draws, (num_samples, batch)."""
        prior = self.generative.prior
        downward = prior.parts if isinstance(prior, Chain) else [prior]
        total, context = 0.0, None
        for part, point, value in zip(downward, reversed(points), reversed(values)):
            parameters = part(context, training=True)
            total = total + self._log_prob(part, parameters, point, value, temperature)
            context = value
        return total

    def _log_prob(self, part, parameters, point, value, temperature):
        if self.density == "concrete":
            return relaxation.relaxed_log_prob(part, parameters, point, temperature)
        return part.log_prob_from(parameters, value)

    def get_config(self):
        return {
            **super().get_config(),
            "temperature": _serialize(self.temperature),
            "prior_temperature": _serialize(self.prior_temperature),
            "straight_through": self.straight_through,
            "density": self.density,
        }


def _temperature(value):
    if value is None or isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
        return value
    return check_temperature(value)


def _at(temperature, step):
    """The temperature after so many steps, a float32 tensor."""
    value = temperature(step) if callable(temperature) else temperature
    return ops.convert_to_tensor(value, dtype="float32")


def _serialize(temperature):
    if isinstance(temperature, keras.optimizers.schedules.LearningRateSchedule):
        return keras.saving.serialize_keras_object(temperature)
    return temperature
