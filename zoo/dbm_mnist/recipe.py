"""A deep Boltzmann machine on static binarised MNIST, by persistent chains and mean fields."""

import time

import keras

import keras_dgm as dgm

DATA = {"name": "mnist", "binarize": "static"}
UNITS = [300, 200]
BATCH_SIZE = 100
PRETRAINING_EPOCHS = 5
EPOCHS = 25
RATE = 0.05


def data():
    """The data set that the model is trained and measured on."""
    return dgm.datasets.load(**DATA)


def build():
    """The untrained model, compiled."""
    field = dgm.models.DBM((28, 28, 1), UNITS, mean_field_steps=10)
    model = dgm.StochasticMaximumLikelihood(
        field, num_steps=2, num_chains=BATCH_SIZE, seed=0, name="dbm_mnist"
    )
    model.compile(keras.optimizers.SGD(RATE), steps_per_execution=25)
    return model


def evaluate(model, num_temperatures=2_000, num_chains=100, seed=0, verbose=0):
    """The figures on the card: the mean-field bound on log p of the test split."""
    dataset = data()
    return dgm.presets.annealed_figures(
        model,
        dataset.test.images,
        dataset.train.images,
        num_temperatures=num_temperatures,
        num_chains=num_chains,
        seed=seed,
        verbose=verbose,
    )


def train(epochs=None, directory="dbm_mnist", verbose="auto"):
    """Trains, measures, and writes the folder of the preset; returns the model."""
    keras.utils.set_random_seed(0)
    before, epochs = (PRETRAINING_EPOCHS, EPOCHS) if epochs is None else (epochs, epochs)
    dataset, model = data(), build()
    images = dataset.train.images
    started = time.monotonic()
    dgm.pretrain(model.field, images, epochs=before, batch_size=BATCH_SIZE, verbose=0)

    def rate(epoch, _=None):
        return RATE * (1.0 - epoch / epochs)

    model.fit(
        images,
        batch_size=BATCH_SIZE,
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
            "epochs": f"{before} for each pair of layers, then {epochs} jointly",
            "batch_size": BATCH_SIZE,
            "gibbs_steps": 2,
            "schedule": f"{RATE} falling linearly to 0",
        },
        figures=evaluate(model),
        samples=model.sample(64, seed=0, num_steps=1000),
        description="A deep Boltzmann machine on static binarised MNIST: pretrained layer by "
        "layer, then learned as a whole with persistent chains and a mean-field bound.",
        architecture=f"784 binary visible, {UNITS[0]} and {UNITS[1]} binary hidden units",
        limits="Both figures are lower bounds as far as log Z is right: the mean-field bound "
        "stands in for log p. Small layers.",
    )
    return model


def main():
    dgm.presets.recipe_main(train, __doc__, "dbm_mnist")


if __name__ == "__main__":
    main()
