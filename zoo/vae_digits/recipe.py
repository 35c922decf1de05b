"""A variational autoencoder on the 8x8 digits that come with scikit-learn: no network needed."""

import argparse
import time

import keras

import keras_dgm as dgm

DATA = {"name": "digits", "binarize": "threshold"}
EPOCHS = 200
BATCH_SIZE = 50
LATENTS = 8


def data():
    """The data set that the model is trained and measured on."""
    return dgm.datasets.load(**DATA)


def build():
    """The untrained model, compiled."""
    generative = dgm.models.LatentVariableModel(
        prior=dgm.distributions.Normal((LATENTS,)),
        likelihood=dgm.distributions.Bernoulli(
            (8, 8, 1), network=dgm.networks.mlp([128, 128], activation="tanh")
        ),
    )
    inference = dgm.distributions.Normal(
        (LATENTS,), network=dgm.networks.mlp([128, 128], activation="tanh")
    )
    model = dgm.VAE(generative, inference, seed=0, name="vae_digits")
    model.compile(optimizer=keras.optimizers.Adam(2e-3))
    return model


def evaluate(model, num_samples=5000, seed=0):
    """The figures on the card, measured on the test split."""
    images = data().test.images
    figure = dgm.presets.log_likelihood_figure(model, images, num_samples=num_samples, seed=seed)
    return {"log_likelihood": figure}


def train(epochs=None, directory="vae_digits", verbose="auto"):
    """Trains, measures, and writes the folder of the preset; returns the model."""
    keras.utils.set_random_seed(0)
    epochs = EPOCHS if epochs is None else epochs
    dataset, model = data(), build()
    started = time.monotonic()
    model.fit(
        dataset.train.images,
        validation_data=dataset.valid.images,
        validation_freq=10,
        epochs=epochs,
        batch_size=BATCH_SIZE,
        verbose=verbose,
    )
    seconds = time.monotonic() - started
    metrics = {
        "description": "A variational autoencoder on the 8x8 digits of scikit-learn.",
        "architecture": f"{LATENTS} Gaussian latents; 64-128-128-{2 * LATENTS} and "
        f"{LATENTS}-128-128-64, tanh; Bernoulli pixels",
        "data": dgm.presets.describe_data(dataset, **DATA),
        "training": dgm.presets.describe_training(
            model, seconds, epochs=epochs, batch_size=BATCH_SIZE
        ),
        "figures": evaluate(model),
        "limits": "A small model for tests and first steps, trained for seconds.",
    }
    samples = model.sample(64, seed=0, mean=True)
    dgm.presets.write_zoo_folder(model, directory, metrics, samples=samples, recipe=__file__)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--directory", default="vae_digits")
    train(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
