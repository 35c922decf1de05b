"""An importance-weighted autoencoder, K = 5, on static binarised MNIST, one stochastic layer."""

import argparse
import math
import time

import keras

import keras_dgm as dgm

DATA = {"name": "mnist", "binarize": "static"}
LATENTS = 50
NUM_SAMPLES = 5
EPOCHS = 200
ANNEALING_EPOCHS = 120
STAGES = [(50, 0), (78, 1), (100, 3), (125, 4), (150, 5), (175, 6), (200, 7)]
SETTINGS = {
    "epochs": f"{EPOCHS} with batches of 20, then {ANNEALING_EPOCHS} with batches of 100",
    "num_samples": NUM_SAMPLES,
    "schedule": "1e-3 * 10^(-i/7), i = 0, 1, 3, 4, 5, 6, 7 up to epochs 50, 78, 100, 125, 150, "
    "175, 200; then from 1e-3 to 0 by a cosine",
}


def data():
    """The data set that the model is trained and measured on."""
    return dgm.datasets.load(**DATA)


def build():
    """The untrained model, compiled."""
    generative = dgm.models.LatentVariableModel(
        prior=dgm.distributions.Normal((LATENTS,)),
        likelihood=dgm.distributions.Bernoulli(
            (28, 28, 1), network=dgm.networks.mlp([200, 200], activation="tanh")
        ),
    )
    inference = dgm.distributions.Normal(
        (LATENTS,), network=dgm.networks.mlp([200, 200], activation="tanh")
    )
    model = dgm.IWAE(generative, inference, num_samples=NUM_SAMPLES, seed=0, name="iwae_mnist")
    model.compile(optimizer=keras.optimizers.Adam(1e-3, epsilon=1e-4))
    return model


def stage_rate(epoch, _=None):
    """The learning rate of the first part."""
    return next((1e-3 * 10 ** (-i / 7) for end, i in STAGES if epoch < end), 1e-4)


def annealing_rate(epoch, _=None):
    """The learning rate of the second part."""
    return 1e-3 * 0.5 * (1 + math.cos(math.pi * epoch / ANNEALING_EPOCHS))


def evaluate(model, num_samples=5000, seed=0):
    """The figures on the card, measured on the test split."""
    images = data().test.images
    figure = dgm.presets.log_likelihood_figure(model, images, num_samples=num_samples, seed=seed)
    return {"log_likelihood": figure}


def train(epochs=None, directory="iwae_mnist", verbose="auto"):
    """Trains, measures, and writes the folder of the preset; returns the model."""
    keras.utils.set_random_seed(0)
    dataset, model = data(), build()
    # Without this start of the output bias, most latents fall silent early on.
    model.generative.likelihood.init_bias(dataset.train.images)
    started = time.monotonic()
    for batch_size, last, rate in [
        (20, EPOCHS, stage_rate),
        (100, ANNEALING_EPOCHS, annealing_rate),
    ]:
        model.compile(optimizer=keras.optimizers.Adam(1e-3, epsilon=1e-4))
        model.fit(
            dataset.train.images,
            batch_size=batch_size,
            epochs=last if epochs is None else epochs,
            callbacks=[keras.callbacks.LearningRateScheduler(rate)],
            verbose=verbose,
        )
    write(model, dataset, time.monotonic() - started, directory)
    return model


def write(model, dataset, seconds, directory):
    """Measures the model and writes its folder."""
    metrics = {
        "description": "An importance-weighted autoencoder (K = 5) on static binarised MNIST.",
        "architecture": "50 Gaussian latents; 784-200-200-100 and 50-200-200-784, tanh; Bernoulli "
        "pixels",
        "data": dgm.presets.describe_data(dataset, **DATA),
        "training": dgm.presets.describe_training(model, seconds, **SETTINGS),
        "figures": evaluate(model),
        "published": {
            "log_likelihood": {
                "value": -87.63,
                "source": "IWAE paper (Burda et al. 2016), appendix D: static binarisation, one "
                "stochastic layer, k = 5, 5000 samples, 3 280 epochs",
            }
        },
        "limits": "Blurred strokes; trained for a tenth of the published number of epochs.",
    }
    samples = model.sample(64, seed=0, mean=True)
    dgm.presets.write_zoo_folder(model, directory, metrics, samples=samples, recipe=__file__)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--directory", default="iwae_mnist")
    train(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
