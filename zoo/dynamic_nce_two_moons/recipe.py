"""A random field learned by dynamic noise-contrastive estimation on two moons."""

import time

import keras
import numpy as np

import keras_dgm as dgm

DATA = {"name": "two_moons"}
EPOCHS = 20
REPEATS = 5
RATE = 5e-3


def data():
    """The data set that the model is trained and measured on."""
    return dgm.datasets.load(**DATA)


def build():
    """The untrained model, compiled."""
    field = dgm.models.RandomField(
        dgm.networks.random_field_mlp(),
        event_shape=(2,),
        reference=dgm.distributions.Normal(2, scale=2.0),
        sampler=dgm.sampling.Langevin(0.002, num_steps=400, clip_gradient=30.0),
    )
    noise = dgm.distributions.Normal(2, learned=True)
    model = dgm.DynamicNCE(
        field, noise, noise_ratio=2.0, data_share=0.5, seed=0, name="dynamic_nce_two_moons"
    )
    model.compile(keras.optimizers.Adam(RATE), steps_per_execution=200)
    return model


def evaluate(model, seed=0):
    """The figures on the card."""
    points = data().test.images
    likelihood = dgm.presets.plane_log_likelihood(model.potential, points)
    error = model.log_partition - likelihood["log_partition"]
    noise = keras.ops.convert_to_numpy(model.noise.log_prob(points.astype("float32")))
    return {
        "log_likelihood": likelihood,
        "log_partition_error": {"value": float(error), "unit": "nats, learned minus quadrature"},
        "log_likelihood_of_the_noise": dgm.presets.mean_figure(noise, "nats"),
    }


def train(epochs=None, directory="dynamic_nce_two_moons", verbose="auto"):
    """Trains, measures, and writes the folder of the preset; returns the model."""
    keras.utils.set_random_seed(0)
    epochs = EPOCHS if epochs is None else epochs
    dataset, model = data(), build()

    def rate(epoch, _=None):
        return RATE * min(1.0, 2.0 * (1.0 - epoch / epochs))

    started = time.monotonic()
    model.fit(
        # Long epochs: what happens between two of them costs time.
        np.tile(dataset.train.images, (REPEATS, 1)),
        batch_size=100,
        epochs=epochs,
        callbacks=[keras.callbacks.LearningRateScheduler(rate)],
        verbose=verbose,
    )
    dgm.presets.publish(
        model,
        directory,
        recipe=__file__,
        dataset=dataset,
        arguments=DATA,
        seconds=time.monotonic() - started,
        settings={
            "iterations": epochs * REPEATS * len(dataset.train.images) // 100,
            "batch_size": 100,
            "schedule": "constant for half of the iterations, then linearly to 0",
            "noise": "a learned Gaussian, two draws for each point; half of the data class",
        },
        figures=evaluate(model),
        samples=model.sample(2000, seed=0),
        description="A random field with a learned normalising constant and learned noise, on two "
        "moons, by dynamic noise-contrastive estimation.",
        architecture="u: 2-100-100-1, leaky ReLU, weight normalisation, on N(0, 4); noise: a "
        "diagonal Gaussian",
        limits="By design the field is half data and half noise where the noise is not the data's "
        "law, which a Gaussian cannot be. Samples are the ends of 400 Langevin steps.",
    )
    return model


def main():
    dgm.presets.recipe_main(train, __doc__, "dynamic_nce_two_moons")


if __name__ == "__main__":
    main()
