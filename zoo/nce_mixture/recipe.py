"""A random field learned by noise-contrastive estimation on a mixture of 32 Gaussians."""

import time

import keras
import numpy as np

import keras_dgm as dgm

DATA = {"name": "mixture32"}
EPOCHS = 30
REPEATS = 50


def data():
    """The data set that the model is trained and measured on."""
    return dgm.datasets.load(**DATA)


def build():
    """The untrained model, compiled."""
    noise = dgm.distributions.Normal(2, scale=4.0)
    reference = dgm.distributions.Normal(2, scale=4.0)
    field = dgm.models.RandomField(
        dgm.networks.random_field_mlp(),
        event_shape=(2,),
        reference=reference,
        sampler=dgm.sampling.Langevin(0.008, num_steps=400, clip_gradient=20.0),
    )
    model = dgm.NCE(field, noise, noise_ratio=5.0, seed=0, name="nce_mixture")
    model.compile(keras.optimizers.Adam(1e-3), steps_per_execution=200)
    return model


def evaluate(model, seed=0):
    """The figures on the card."""
    dataset = data()
    likelihood = dgm.presets.plane_log_likelihood(model.potential, dataset.test.images)
    error = model.log_partition - likelihood["log_partition"]
    return {
        "log_likelihood": likelihood,
        "log_partition_error": {"value": float(error), "unit": "nats, learned minus quadrature"},
        **dgm.presets.mode_figures(model.sample, dataset, seed=seed),
    }


def train(epochs=None, directory="nce_mixture", verbose="auto"):
    """Trains, measures, and writes the folder of the preset; returns the model."""
    keras.utils.set_random_seed(0)
    epochs = EPOCHS if epochs is None else epochs
    dataset, model = data(), build()

    def rate(epoch, _=None):
        return 1e-3 * min(1.0, 2.0 * (1.0 - epoch / epochs))

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
            "noise": "N(0, 16), five draws for each point",
        },
        figures=evaluate(model),
        samples=model.sample(2000, seed=0),
        description="A random field with a learned normalising constant, on a mixture of 32 "
        "Gaussians (sd 0.1) from 1 600 points, by noise-contrastive estimation.",
        architecture="u: 2-100-100-1, leaky ReLU, weight normalisation, on N(0, 16)",
        published={
            "modes_covered": {"value": 30.6, "source": "perfect samples, the ceiling"},
            "share_at_a_mode": {"value": 0.989, "source": "perfect samples, the ceiling"},
            "log_likelihood": {
                "value": round(float(np.mean(dataset.log_prob(dataset.test.images))), 3),
                "source": "the true density",
            },
        },
        limits="Samples are the ends of 400 Langevin steps from N(0, 16), which do not mix "
        "between the rings.",
    )
    return model


def main():
    dgm.presets.recipe_main(train, __doc__, "nce_mixture")


if __name__ == "__main__":
    main()
