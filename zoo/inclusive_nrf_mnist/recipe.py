"""A semi-supervised inclusive neural random field on MNIST: 100 labels in 50 000 images."""

import pathlib
import time

import keras
import numpy as np

import keras_dgm as dgm
from keras_dgm.callbacks import SampleGrid

DATA = {"name": "mnist"}
LABELS_PER_CLASS = 10
BATCH_SIZE = 100
EPOCHS = 5
STEPS = 2
RATE = 1e-3


def data():
    """The data set that the model is trained and measured on."""
    return dgm.datasets.load(**DATA)


def few_labels(labels, seed=0):
    """The labels with all but `LABELS_PER_CLASS` of each class, drawn at random, set to -1."""
    rng = np.random.default_rng(seed)
    known = np.full(len(labels), -1, "int32")
    for number in range(10):
        rows = rng.choice(np.flatnonzero(labels == number), LABELS_PER_CLASS, replace=False)
        known[rows] = number
    return known


def potential_network():
    """u(x, y) for ten y; noise on every layer's input keeps it smooth around the data."""
    layers = [keras.layers.Flatten(), keras.layers.GaussianNoise(0.3, seed=1)]
    for number, units in enumerate((200, 100)):
        layers.append(keras.layers.Dense(units, activation="leaky_relu"))
        layers.append(keras.layers.GaussianNoise(0.3, seed=2 + number))
    return keras.Sequential([*layers, keras.layers.Dense(10)])


def build(seed=0):
    """The untrained model, compiled."""
    generator = keras.Sequential(
        [
            dgm.networks.mlp([128], "relu", 784, "sigmoid", normalization="batch"),
            keras.layers.Reshape((28, 28, 1)),
        ]
    )
    model = dgm.InclusiveNRF(
        dgm.models.RandomField(potential_network(), event_shape=(28, 28, 1), num_classes=10),
        dgm.models.ImplicitModel(50, generator, value_range=None),
        dgm.sampling.Langevin(
            num_steps=STEPS, gradient_coefficient=(0.02, 0.001), noise_scale=(0.01, 0.01)
        ),
        noise_scale=0.3,
        classification_weight=1.0,
        confidence_weight=0.3,
        labelled_batch_size=100,
        potential_penalty=1e-3,
        seed=seed,
        name="inclusive_nrf_mnist",
    )
    model.compile(keras.optimizers.Adam(RATE, beta_1=0.5), steps_per_execution=25)
    return model


def evaluate(model, seed=0):
    """The figures on the card: error on the test split, and other sets told apart by u(x)."""
    dataset = data()
    images, labels = dataset.test.images, dataset.test.labels
    wrong = model.classify(images).argmax(axis=1) != labels
    inside = model.potential(images)
    uniform = np.random.default_rng(seed).uniform(size=images.shape).astype("float32")
    fashion = dgm.datasets.load("fashion_mnist").test.images
    figures = {"error": dgm.presets.mean_figure(100.0 * wrong, "%, with 100 labels")}
    for name, others in (("uniform_noise", uniform), ("fashion_mnist", fashion)):
        figures[f"auroc_against_{name}"] = {
            "value": dgm.evaluation.area_under_roc(inside, model.potential(others)),
            "unit": "area under the ROC curve of u(x)",
            "count": len(inside) + len(others),
        }
    return figures


def train(epochs=None, directory="inclusive_nrf_mnist", verbose="auto", seed=0, pictures=None):
    """Trains, measures, and writes the folder of the preset; returns the model.

    With `pictures`, a folder, every epoch leaves a grid of revised samples there, and one of the
    generator's own.
    """
    keras.utils.set_random_seed(seed)
    epochs = EPOCHS if epochs is None else epochs
    dataset, model = data(), build(seed)

    def rate(epoch, _=None):
        return RATE * min(1.0, 2.0 * (1.0 - epoch / epochs))

    grids = []
    if pictures is not None:
        grids = [
            SampleGrid(pathlib.Path(pictures) / name, num_samples=64, revise=name == "revised")
            for name in ("revised", "generated")
        ]
    started = time.monotonic()
    model.fit(
        dataset.train.images,
        few_labels(dataset.train.labels, seed),
        batch_size=BATCH_SIZE,
        epochs=epochs,
        callbacks=[keras.callbacks.LearningRateScheduler(rate), *grids],
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
            "epochs": epochs,
            "batch_size": BATCH_SIZE,
            "labels": f"{LABELS_PER_CLASS} of each class, all of them in every batch",
            "schedule": "constant for half of the epochs, then linearly to 0",
            "revision": f"{STEPS} Langevin steps",
        },
        figures=evaluate(model),
        samples=np.clip(model.sample(64, seed=0), 0.0, 1.0),
        description="A semi-supervised inclusive neural random field on MNIST, with 100 labels.",
        architecture="u: 784-200-100-10, leaky ReLU, Gaussian noise on the layers' inputs; G: "
        "50-128-784, ReLU, batch normalisation",
        limits="One draw of the labels, five epochs of small nets. Samples keep the noise (0.3) "
        "that the generator's density has, which two steps do not take away.",
    )
    return model


def main():
    dgm.presets.recipe_main(train, __doc__, "inclusive_nrf_mnist")


if __name__ == "__main__":
    main()
