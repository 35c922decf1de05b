"""Cooperative training of a descriptor and a generator on a mixture of 32 Gaussians."""

import time

import keras
import numpy as np

import keras_dgm as dgm

DATA = {"name": "mixture32"}
EPOCHS = 15
REPEATS = 50
STEPS = 20


def data():
    """The data set that the model is trained and measured on."""
    return dgm.datasets.load(**DATA)


def build():
    """The untrained model, compiled."""
    reference = dgm.distributions.Normal(2, scale=4.0)
    network = dgm.networks.random_field_mlp()
    model = dgm.CooperativeTraining(
        dgm.models.RandomField(network, event_shape=(2,), reference=reference),
        dgm.models.ImplicitModel(2, dgm.networks.mixture_generator()),
        dgm.sampling.Langevin(0.008, num_steps=STEPS, clip_gradient=20.0),
        noise_scale=0.1,
        potential_penalty=1e-4,
        seed=0,
        name="cooperative_training_mixture",
    )
    model.compile(keras.optimizers.Adam(1e-3, beta_1=0.0), steps_per_execution=200)
    return model


def evaluate(model, seed=0):
    """The figures on the card."""
    dataset = data()
    return {
        **dgm.presets.mode_figures(model.sample, dataset, seed=seed),
        "log_likelihood": dgm.presets.plane_log_likelihood(model.potential, dataset.test.images),
    }


def train(epochs=None, directory="cooperative_training_mixture", verbose="auto"):
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
            "revision": f"{STEPS} Langevin steps of 0.008, gradients clipped at 20",
            "potential_penalty": 1e-4,
        },
        figures=evaluate(model),
        samples=model.sample(2000, seed=0),
        description="A descriptor (a field that tilts a wide Gaussian) and a generator, learned "
        "together on a mixture of 32 Gaussians (sd 0.1) from 1 600 points.",
        architecture="u: 2-100-100-1, leaky ReLU, weight normalisation, on N(0, 16); G: 2-50-50-2, "
        "ReLU, batch normalisation",
        published={
            "modes_covered": {"value": 30.6, "source": "perfect samples, the ceiling"},
            "share_at_a_mode": {"value": 0.989, "source": "perfect samples, the ceiling"},
            "log_likelihood": {
                "value": round(float(np.mean(dataset.log_prob(dataset.test.images))), 3),
                "source": "the true density",
            },
        },
        limits="Trained briefly: the spokes are not yet cut into modes. Samples are the "
        "generator's draws, revised by as many steps as in training.",
    )
    return model


def main():
    dgm.presets.recipe_main(train, __doc__, "cooperative_training_mixture")


if __name__ == "__main__":
    main()
