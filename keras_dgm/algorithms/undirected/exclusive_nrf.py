"""Random fields with a generator learned by the exclusive divergence."""

import math
import random

import keras
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms.undirected.base import RandomFieldAlgorithm
from keras_dgm.algorithms.undirected.generators import check_same_events
from keras_dgm.models import ImplicitModel

_HALF_LOG_2PI_E = 0.5 * math.log(2.0 * math.pi * math.e)


@keras.saving.register_keras_serializable(package="keras_dgm")
class ExclusiveNRF(RandomFieldAlgorithm):
    """Neural random field p with an exclusive generator x = G(h) (Kim & Bengio 2016).

    Objectives (Ou 2019, Eq. 40, 41):
        field: min KL(p_data || p), its samples replaced by the generator's, so that the loss is
            mean u(G(h)) - mean u(x~);
        generator: min KL(q || p) = - E_q u(x) - H[q] + const, the entropy replaced by
            sum over batch-norm scales of 1/2 log(2 pi e gamma^2).

    Estimator: reparameterised through x = G(h), batch normalisation in training mode. Biased
    twice: the field's negative phase is not under p, and the entropy is a surrogate without a
    bound. It can even grow while the law of x does not change (the scale and shift of a batch
    norm followed by another are without effect), so after each of its moves every |gamma| is
    cut to `max_scale`; the largest |gamma| is logged.

    Cost per step, in batches: G 2 forwards and one gradient; u 3 forwards and gradients.

    Terms: `loss` (the field's), `potential_difference` (data minus generator), `chain_norm` (of
    the generator's draws), `generator_loss`, `entropy` (the surrogate, nats), `largest_scale`.

    Args:
        field: a `RandomField`; Kim & Bengio's has `linear_and_squared=True`.
        generator: an `ImplicitModel` whose network has `BatchNormalization` with a trainable
            scale.
        entropy_weight: of the surrogate; 1 is the rule.
        max_scale: cap on every |gamma|, 1 or more.
        others: see `RandomFieldAlgorithm`.

    Raises:
        ValueError: a generator without batch-norm scales, or over another x than the field;
            labels; a cap below 1 (where the scales start) or a negative weight.
    """

    players = ("field", "generator")
    terms = (
        "loss",
        "potential_difference",
        "chain_norm",
        "generator_loss",
        "entropy",
        "largest_scale",
    )

    def __init__(self, field, generator, entropy_weight=1.0, max_scale=5.0, **kwargs):
        super().__init__(field, **kwargs)
        if not isinstance(generator, ImplicitModel):
            raise ValueError(
                "ExclusiveNRF takes an ImplicitModel as generator; received "
                f"{type(generator).__name__}."
            )
        check_same_events(field, generator)
        if generator.is_conditional or field.num_classes is not None:
            raise ValueError(
                "ExclusiveNRF takes no labels; InclusiveNRF learns with a conditional field and "
                "generator."
            )
        if not float(max_scale) >= 1.0 or not float(entropy_weight) >= 0.0:
            raise ValueError(
                "`max_scale` is 1 or more, where the scales start, and `entropy_weight` 0 or "
                f"more; received {max_scale!r} and {entropy_weight!r}."
            )
        self.generator = generator
        self.entropy_weight = float(entropy_weight)
        self.max_scale = float(max_scale)
        self._scales = tuple(_batch_norm_scales(generator.network))
        if not self._scales:
            raise ValueError(
                "The entropy surrogate reads the scales of batch normalisation, and the "
                "generator's network has no BatchNormalization with a trainable scale. Build it "
                'with normalization="batch" (networks.mixture_generator does).'
            )
        self.finish()

    def player_variables(self, player):
        """theta of the field, phi of the generator."""
        if player == "generator":
            return self.generator.trainable_variables
        return super().player_variables(player)

    def entropy(self):
        """The surrogate, nats: a scalar tensor."""
        return sum(
            ops.sum(_HALF_LOG_2PI_E + ops.log(ops.abs(ops.convert_to_tensor(scale))))
            for scale in self._scales
        )

    def train_step(self, data):
        """The field moves, then the generator, each with draws of its own."""
        x = ops.cast(self.unpack(data)["x"], "float32")
        rows = ops.shape(x)[0]
        first, second = backend.split_seed(self.next_seed(), 2)
        with backend.forgetting():
            drawn = ops.stop_gradient(self.generator.sample(rows, first, training=True))

        def field_loss():
            return self.field_loss(x, drawn)

        def generator_loss():
            fake = self.generator.sample(rows, second, training=True)
            with backend.forgetting():
                potential = self.field.potential(fake, training=True)
            entropy = self.entropy()
            return -ops.mean(potential) - self.entropy_weight * entropy, {"entropy": entropy}

        with self.moving_together():
            _, terms = self.minimize(field_loss, "field")
            generator_loss, entropy = self.minimize(generator_loss, "generator")
        largest = [ops.max(ops.abs(ops.convert_to_tensor(scale))) for scale in self._scales]
        terms.pop("acceptance")
        return self.log(
            {
                **terms,
                **entropy,
                "generator_loss": generator_loss,
                "largest_scale": ops.max(ops.stack(largest)),
            }
        )

    def after_update(self, player):
        """Cuts the batch-norm scales to the cap."""
        if player == "generator":
            for scale in self._scales:
                value = ops.convert_to_tensor(scale)
                scale.assign(ops.clip(value, -self.max_scale, self.max_scale))

    def sample(self, num_samples, seed=None):
        """Draws by the generator, NumPy array (num_samples, *event)."""
        program = self.compiled_function(
            ("generate", int(num_samples)),
            lambda seed: self.generator.sample(int(num_samples), seed, training=False),
        )
        seed = random.randint(0, 2**31 - 1) if seed is None else seed
        return ops.convert_to_numpy(program(backend.as_seed(seed)))

    def get_config(self):
        return {
            **super().get_config(),
            "generator": keras.saving.serialize_keras_object(self.generator),
            "entropy_weight": self.entropy_weight,
            "max_scale": self.max_scale,
        }


def _batch_norm_scales(network):
    """The trainable gammas of a network's batch normalisation layers."""
    for layer in network._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            if layer.gamma is not None and layer.gamma.trainable:
                yield layer.gamma
