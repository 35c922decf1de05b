"""A small classifier of grey MNIST digits, whose features compare images with samples.

`keras_dgm.presets.load_features("classifier_mnist")` gives it as a feature network.
"""

import argparse
import time

import keras
import numpy as np

import keras_dgm as dgm

DATA = {"name": "mnist"}
BATCH_SIZE = 100
EPOCHS = 8
RATE = 2e-3


def data():
    """The data set that the classifier is trained and measured on."""
    return dgm.datasets.load(**DATA)


def build():
    """The untrained classifier, compiled."""
    model = dgm.evaluation.small_classifier((28, 28, 1), 10, name="classifier_mnist")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(RATE), loss, steps_per_execution=50)
    return model


def evaluate(model):
    """The figures on the card, measured on the test split."""
    test = data().test
    logits = np.float64(model.predict(test.images, batch_size=500, verbose=0))
    wrong = logits.argmax(axis=1) != test.labels
    top = logits.max(axis=1, keepdims=True)
    log_probability = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
    losses = -log_probability[np.arange(len(wrong)), test.labels]

    def figure(values, unit):
        error = float(np.std(values, ddof=1) / np.sqrt(len(values)))
        return {
            "value": float(np.mean(values)),
            "standard_error": error,
            "unit": unit,
            "count": len(values),
        }

    return {"test_error": figure(100.0 * wrong, "%"), "cross_entropy": figure(losses, "nats")}


def train(epochs=None, directory="classifier_mnist", verbose="auto"):
    """Trains, measures, and writes the folder of the preset; returns the classifier."""
    keras.utils.set_random_seed(0)
    dataset, model = data(), build()
    epochs = EPOCHS if epochs is None else epochs
    rows = BATCH_SIZE * (len(dataset.train) // BATCH_SIZE)
    started = time.monotonic()
    model.fit(
        dataset.train.images[:rows],
        dataset.train.labels[:rows],
        batch_size=BATCH_SIZE,
        epochs=epochs,
        callbacks=[
            keras.callbacks.LearningRateScheduler(lambda epoch, _: RATE * (1.0 - epoch / epochs))
        ],
        verbose=verbose,
    )
    write(model, dataset, time.monotonic() - started, directory, epochs)
    return model


def write(model, dataset, seconds, directory, epochs):
    """Measures the classifier and writes its folder."""
    metrics = {
        "description": "A small classifier of grey MNIST, the feature network of the zoo's figures "
        "on MNIST.",
        "architecture": "convolutions 4x4 of stride 2 with 32 and 64 channels, 64 hidden units "
        "(the features), 10 logits; ReLU",
        "data": dgm.presets.describe_data(dataset, **DATA),
        "training": dgm.presets.describe_training(
            model,
            seconds,
            epochs=epochs,
            batch_size=BATCH_SIZE,
            schedule=f"{RATE} falling linearly to 0, by epochs",
            seed=0,
        ),
        "figures": evaluate(model),
        "limits": "Images lie in [0, 1]. A distance in these features is no FID, and compares only "
        "with others in the same features at equal numbers of images.",
        "use": f'network = dgm.presets.load_features("{model.name}")\n'
        "dgm.evaluation.frechet_distance(real, fake, network)",
    }
    dgm.presets.write_zoo_folder(model, directory, metrics, recipe=__file__)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--directory", default="classifier_mnist")
    train(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
