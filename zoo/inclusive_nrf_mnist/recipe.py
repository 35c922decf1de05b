"""A semi-supervised inclusive neural random field on MNIST: 100 labels in 50 000 images."""

import pathlib
import time

import keras
import numpy as np

import keras_dgm as dgm
from keras_dgm.callbacks import ExponentialMovingAverage, SampleGrid

DATA = {"name": "mnist"}
LABELS_PER_CLASS = 10
DRAWS = 3
OTHERS = f"{DRAWS} models, each with its own draw of the labels; the first is stored"
BATCH_SIZE = 50
EPOCHS = 10
STEPS = 2
RATE = 3e-3
# u holds - |x|^2 / (2 sigma^2), sigma about this at first: noise that no draw shows scores low.
SPREAD = 3.0


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
    for number, units in enumerate((400, 200, 200)):
        dense = keras.layers.Dense(units, activation="leaky_relu")
        layers.append(dgm.networks.WeightNormalization(dense))
        layers.append(keras.layers.GaussianNoise(0.5, seed=2 + number))
    return keras.Sequential([*layers, dgm.networks.WeightNormalization(keras.layers.Dense(10))])


def build(seed=0):
    """The untrained model, compiled.

    The unlabelled images teach as long as the generator's draws lie near them: with sharp draws,
    a revision that moves them by more than its noise, and a potential that the penalty leaves
    free to slope. Where the field tells all draws apart the error stays that of 100 labels alone.
    """
    generator = keras.Sequential(
        [
            dgm.networks.mlp([200, 200], "relu", 784, "sigmoid", normalization="batch"),
            keras.layers.Reshape((28, 28, 1)),
        ]
    )
    field = dgm.models.RandomField(
        potential_network(), event_shape=(28, 28, 1), num_classes=10, linear_and_squared=True
    )
    field.raw_scale.assign(SPREAD)
    model = dgm.InclusiveNRF(
        field,
        dgm.models.ImplicitModel(50, generator, value_range=None),
        dgm.sampling.Langevin(
            num_steps=STEPS, gradient_coefficient=(0.1, 1e-4), noise_scale=(0.01, 0.01)
        ),
        noise_scale=0.05,
        labelled_batch_size=BATCH_SIZE,
        potential_penalty=1e-2,
        seed=seed,
        name="inclusive_nrf_mnist",
    )
    model.compile(keras.optimizers.Adam(RATE, beta_1=0.5), steps_per_execution=25)
    return model


def test_error(model, images, labels):
    """The share of wrong labels, a figure."""
    wrong = model.classify(images).argmax(axis=1) != labels
    return dgm.presets.mean_figure(100.0 * wrong, "%, with 100 labels")


def evaluate(model, seed=0):
    """The figures on the card: error on the test split, and other sets told apart by u(x)."""
    dataset = data()
    images, labels = dataset.test.images, dataset.test.labels
    inside = model.potential(images)
    uniform = np.random.default_rng(seed).uniform(size=images.shape).astype("float32")
    fashion = dgm.datasets.load("fashion_mnist").test.images
    figures = {"error": test_error(model, images, labels)}
    for name, others in (("uniform_noise", uniform), ("fashion_mnist", fashion)):
        figures[f"auroc_against_{name}"] = {
            "value": dgm.evaluation.area_under_roc(inside, model.potential(others)),
            "unit": "area under the ROC curve of u(x)",
            "count": len(inside) + len(others),
        }
    return figures


def fit(dataset, epochs, seed=0, pictures=None, verbose="auto"):
    """A model trained with its own draw of the labels, the field's weights averaged."""
    keras.utils.set_random_seed(seed)
    model = build(seed)
    average = ExponentialMovingAverage(0.995, variables=lambda m: m.field.trainable_variables)

    def rate(epoch, _=None):
        return RATE * min(1.0, (1.0 - epoch / epochs) / 0.7)

    grids = []
    if pictures is not None:
        grids = [
            SampleGrid(
                pathlib.Path(pictures) / name,
                revise=name == "revised",
                value_range=(0.0, 1.0),
                average=average,
            )
            for name in ("revised", "generated")
        ]
    model.fit(
        dataset.train.images,
        few_labels(dataset.train.labels, seed),
        batch_size=BATCH_SIZE,
        epochs=epochs,
        callbacks=[keras.callbacks.LearningRateScheduler(rate), average, *grids],
        verbose=verbose,
    )
    for variable in model.field.trainable_variables:
        variable.assign(average.averages[variable.path])
    return model


def error_of_all(figures):
    """The mean error of all draws of the labels, as a figure."""
    errors = [figure["value"] for figure in figures]
    spread = float(np.std(errors, ddof=1))
    each = ", ".join(f"{error:.2f}" for error in errors)
    return {
        **dgm.presets.mean_figure(errors, f"%, with 100 labels: {each}, sd {spread:.2f}"),
        "standard_deviation": spread,
        "values": errors,
        "of": OTHERS,
    }


def train(epochs=None, directory="inclusive_nrf_mnist", verbose="auto", pictures=None):
    """Trains one model for each draw of the labels, writes the first's folder, returns it.

    With `pictures`, a folder, every epoch of the first leaves a grid of revised samples there,
    and one of the generator's own.
    """
    epochs = EPOCHS if epochs is None else epochs
    dataset = data()
    started = time.monotonic()
    model = fit(dataset, epochs, 0, pictures, verbose)
    seconds = time.monotonic() - started
    test = dataset.test
    errors = [test_error(model, test.images, test.labels)]
    for seed in range(1, DRAWS):
        other = fit(dataset, epochs, seed, verbose=verbose)
        errors.append(test_error(other, test.images, test.labels))
    dgm.presets.publish(
        model,
        directory,
        recipe=__file__,
        dataset=dataset,
        arguments=DATA,
        seconds=seconds,
        settings={
            "epochs": epochs,
            "batch_size": BATCH_SIZE,
            "labels": f"{LABELS_PER_CLASS} of each class, {BATCH_SIZE} of them in every batch",
            "schedule": "constant for three tenths of the epochs, then linearly to 0",
            "weights": "of the field: moving average (0.995)",
            "revision": f"{STEPS} Langevin steps",
        },
        figures={**evaluate(model), f"error_mean_of_{DRAWS}_draws": error_of_all(errors)},
        samples=np.clip(model.sample(64, seed=0), 0.0, 1.0),
        description="A semi-supervised inclusive neural random field on MNIST, with 100 labels.",
        architecture="u: 784-400-200-200-10, leaky ReLU, weight normalisation, Gaussian noise on "
        "the layers' inputs, a linear and a squared term; G: 50-200-200-784, ReLU, batch "
        "normalisation",
        limits=f"{epochs} epochs of small nets, no confidence term. The sharp draws that bring the "
        "error down teach the field little of noise; the squared term of u stands in, and how "
        "surely u(x) tells uniform noise from digits varies with the draw of the labels.",
    )
    return model


def main():
    dgm.presets.recipe_main(train, __doc__, "inclusive_nrf_mnist")


if __name__ == "__main__":
    main()
