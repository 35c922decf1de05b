"""An inclusive neural random field on a mixture of 32 Gaussians of the plane."""

import time

import keras
import numpy as np

import keras_dgm as dgm

DATA = {"name": "mixture32"}
EPOCHS = 110
REPEATS = 50
STEPS = 40
PENALTY = 1e-4


def data():
    """The data set that the model is trained and measured on."""
    return dgm.datasets.load(**DATA)


def build():
    """The untrained model, compiled."""
    model = dgm.InclusiveNRF(
        dgm.models.RandomField(dgm.networks.random_field_mlp(), event_shape=(2,)),
        dgm.models.ImplicitModel(2, dgm.networks.mixture_generator()),
        # Steps for (x, h); unclipped gradients make this field diverge after 40 000 iterations.
        dgm.sampling.Langevin((0.008, 0.001), num_steps=STEPS, clip_gradient=(20.0, 20.0)),
        noise_scale=0.1,
        potential_penalty=PENALTY,
        seed=0,
        name="inclusive_nrf_mixture",
    )
    model.compile(keras.optimizers.Adam(1e-3, beta_1=0.0), steps_per_execution=200)
    return model


def evaluate(model, seed=0):
    """The figures on the card: samples by revision, by the generator alone, held-out points."""
    dataset = data()
    drawn = dgm.presets.mode_figures(
        lambda count, seed: model.sample(count, seed=seed, revise=False),
        dataset,
        seed=seed,
        suffix="_by_generation",
    )
    return {
        **dgm.presets.mode_figures(model.sample, dataset, seed=seed),
        **drawn,
        "log_likelihood": dgm.presets.plane_log_likelihood(model.potential, dataset.test.images),
    }


def train(epochs=None, directory="inclusive_nrf_mixture", verbose="auto"):
    """Trains, measures, and writes the folder of the preset; returns the model."""
    keras.utils.set_random_seed(0)
    epochs = EPOCHS if epochs is None else epochs
    dataset, model = data(), build()

    def rate(epoch, _=None):
        """Constant for six tenths of the way, then down to nothing."""
        return 1e-3 * min(1.0, (1.0 - epoch / epochs) / 0.4)

    started = time.monotonic()
    model.fit(
        # Long epochs: what happens between two of them costs time.
        np.tile(dataset.train.images, (REPEATS, 1)),
        batch_size=100,
        epochs=epochs,
        callbacks=[keras.callbacks.LearningRateScheduler(rate)],
        verbose=verbose,
    )
    exact = float(np.mean(dataset.log_prob(dataset.test.images)))
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
            "schedule": "constant for 60 % of the iterations, then linearly to 0",
            "revision": f"{STEPS} Langevin steps of 0.008 for x and 0.001 for h, gradients "
            "clipped at 20",
            "potential_penalty": PENALTY,
        },
        figures=evaluate(model),
        samples=model.sample(2000, seed=0),
        description="An inclusive neural random field on a mixture of 32 Gaussians (sd 0.1) on "
        "four rings, learned from 1 600 points.",
        architecture="u: 2-100-100-1, leaky ReLU, weight normalisation; G: 2-50-50-2, ReLU, batch "
        "normalisation",
        published={
            "modes_covered": {"value": 30.6, "source": "perfect samples, the ceiling"},
            "share_at_a_mode": {"value": 0.989, "source": "perfect samples, the ceiling"},
            "log_likelihood": {"value": round(exact, 3), "source": "the true density"},
        },
        limits="Samples are the generator's draws, revised by as many steps as in training. Where "
        "neither data nor draws come the field is not held down, and `log_likelihood`, whose Z is "
        "that of the whole square, counts what it puts there.",
    )
    return model


def main():
    dgm.presets.recipe_main(train, __doc__, "inclusive_nrf_mixture")


if __name__ == "__main__":
    main()
