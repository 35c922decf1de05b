"""A deep belief network on static binarised MNIST: greedy layers, then the up-down algorithm."""

import time

import keras

import keras_dgm as dgm

DATA = {"name": "mnist", "binarize": "static"}
UNITS = [300, 200]
BATCH_SIZE = 100
PRETRAINING_EPOCHS = 10
EPOCHS = 15
RATE = 0.02


def data():
    """The data set that the model is trained and measured on."""
    return dgm.datasets.load(**DATA)


def build():
    """The untrained model, compiled."""
    generative = dgm.models.DBN((28, 28, 1), UNITS)
    model = dgm.UpDown(generative, num_steps=5, seed=0, name="up_down_mnist")
    model.compile(keras.optimizers.SGD(RATE), steps_per_execution=25)
    return model


def evaluate(model, num_samples=200, count=1_000, num_temperatures=2_000, seed=0, verbose=0):
    """The figure on the card: the importance-weighted bound with log Z of the top by annealing."""
    model.estimate_log_partition(
        num_temperatures=num_temperatures, reverse=False, seed=seed, verbose=verbose
    )
    figure = dgm.presets.log_likelihood_figure(
        model, data().test.images[:count], num_samples=num_samples, seed=seed
    )
    return {"log_likelihood": {**figure, "num_temperatures": num_temperatures}}


def train(epochs=None, directory="up_down_mnist", verbose="auto"):
    """Trains, measures, and writes the folder of the preset; returns the model."""
    keras.utils.set_random_seed(0)
    before, epochs = (PRETRAINING_EPOCHS, EPOCHS) if epochs is None else (epochs, epochs)
    dataset, model = data(), build()
    images = dataset.train.images
    started = time.monotonic()
    dgm.pretrain(
        model.generative,
        images,
        inference=model.inference,
        epochs=before,
        batch_size=BATCH_SIZE,
        verbose=0,
    )

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
            "epochs": f"{before} for each pair of layers, then {epochs} up and down",
            "batch_size": BATCH_SIZE,
            "gibbs_steps": "1 while the layers are learned, then 5",
            "schedule": f"{RATE} falling linearly to 0",
        },
        figures=evaluate(model),
        samples=model.sample(64, seed=0, mean=True),
        description="A deep belief network on static binarised MNIST.",
        architecture=f"784 visible and {UNITS[0]} hidden units, directed; above them an RBM with "
        f"{UNITS[1]} hidden units",
        limits="The importance-weighted bound is far from tight where q(h|x) is factorial, and "
        "log Z of the top is estimated. Samples end 1 000 Gibbs steps of the top from noise: many "
        "are no digits, since learning saw five steps at a time.",
    )
    return model


def main():
    dgm.presets.recipe_main(train, __doc__, "up_down_mnist")


if __name__ == "__main__":
    main()
