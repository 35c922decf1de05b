"""A Wasserstein GAN with clipped weights on a ring of 8 Gaussians."""

import time

import keras
import numpy as np

import keras_dgm as dgm
from keras_dgm import networks
from keras_dgm.models import ImplicitModel

DATA = {"name": "ring8"}
HIDDEN = [128, 128, 128]
BATCH_SIZE, STEPS = 128, 3000
EPOCHS = 10


def data():
    """The data set that the model is trained and measured on."""
    return dgm.datasets.load(**DATA)


def build(scale=1.0, steps=STEPS):
    """The untrained model, compiled; its generator's output is multiplied by `scale`."""
    network = networks.mlp(HIDDEN, "relu", output_units=2)
    network.add(keras.layers.Rescaling(float(scale)))
    critic = keras.Sequential([keras.layers.Rescaling(1.0 / float(scale))])
    critic.add(networks.mlp(HIDDEN, "leaky_relu", output_units=1))
    model = dgm.WGAN(
        ImplicitModel(2, network),
        critic,
        weight_clip=0.1,
        critic_steps=3,
        ema_decay=0.99,
        seed=0,
        name="wgan_ring8",
    )

    def optimizer(player):
        moves = steps * (model.critic_steps if player in model.critics else 1)
        rate = keras.optimizers.schedules.CosineDecay(1e-3, moves)
        return keras.optimizers.Adam(rate, beta_1=0.0, beta_2=0.99)

    model.compile({p: optimizer(p) for p in model.players}, steps_per_execution=50)
    return model


def evaluate(model, seed=0):
    """The figures on the card: modes found by 2 500 samples, and how many are near to one."""
    return dgm.presets.coverage_figures(model.sample(2500, seed=seed), data())


def train(epochs=None, directory="wgan_ring8", verbose="auto"):
    """Trains, measures, and writes the folder of the preset; returns the model."""
    keras.utils.set_random_seed(0)
    epochs = EPOCHS if epochs is None else epochs
    dataset = data()
    x = dataset.train.images
    model = build(scale=x.std())
    # Long epochs: what happens between two of them costs time.
    rows = STEPS // EPOCHS * BATCH_SIZE * model.critic_steps
    x = np.tile(x, (-(-rows // len(x)), 1))[:rows]
    started = time.monotonic()
    model.fit(x, batch_size=BATCH_SIZE, epochs=epochs, verbose=verbose)
    seconds = time.monotonic() - started
    model.average.write_to_weights()
    dgm.presets.publish(
        model,
        directory,
        recipe=__file__,
        dataset=dataset,
        arguments=DATA,
        seconds=seconds,
        settings={
            "steps": epochs * (STEPS // EPOCHS),
            "batch_size": BATCH_SIZE,
            "schedule": "1e-3, a cosine to 0 over 3000 steps",
        },
        figures=evaluate(model),
        samples=model.sample(2500, seed=0),
        description="A Wasserstein GAN with clipped weights on a ring of 8 Gaussians (sd 0.01).",
        architecture="2 normal noises; generator and critic of 128-128-128 units, clipped at 0.1",
        published={
            "modes": {"value": 6.3, "source": "GAN in the PacGAN paper, 2 500 samples"},
            "high_quality": {"value": 98.2, "source": "GAN in the PacGAN paper"},
        },
        limits="Some samples lie between neighbouring modes.",
    )
    return model


def main():
    dgm.presets.recipe_main(train, __doc__, "wgan_ring8")


if __name__ == "__main__":
    main()
