"""The blocks of critics can be differentiated twice, as gradient penalties do."""

import keras
import numpy as np
from keras import layers

from keras_dgm.networks import (
    GlobalSumPooling2D,
    SelfAttention2D,
    SpectralNormalization,
    WeightNormalization,
)
from tests.networks.helpers import as_array, function_gradient, gradient_penalty


def test_penalty_s_gradient_against_finite_differences(rng):
    """On smooth activations: with rectifiers the penalty jumps, and differences see the jumps."""
    critic = keras.Sequential(
        [
            SpectralNormalization(layers.Conv2D(4, 3, 2, "same", activation="tanh")),
            WeightNormalization(layers.Conv2DTranspose(4, 4, 2, "same", activation="tanh")),
            layers.GroupNormalization(groups=1),
            SelfAttention2D(reduction=2, pool=False),
            GlobalSumPooling2D(),
            SpectralNormalization(layers.Dense(1)),
        ]
    )
    critic.build((None, 6, 6, 2))
    critic.layers[3].gamma.assign(0.7)
    x = rng.normal(size=(2, 6, 6, 2)).astype("float32")
    penalty, values = gradient_penalty(critic, x)
    values = [as_array(value).astype("float32") for value in values]
    gradients = function_gradient(lambda *v: penalty(list(v)), *values)
    direction = [0.3 * rng.normal(size=value.shape) for value in values]

    def along(step):
        moved = [v + step * d for v, d in zip(values, direction, strict=True)]
        return as_array(penalty([keras.ops.convert_to_tensor(v, dtype="float32") for v in moved]))

    difference = (along(2e-3) - along(-2e-3)) / 4e-3
    slope = sum(np.sum(g * d) for g, d in zip(gradients, direction, strict=True))
    assert abs(difference) > 1e-2
    np.testing.assert_allclose(slope, difference, rtol=2e-2)
