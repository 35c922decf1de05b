"""A restricted Boltzmann machine with 500 hidden units on static binarised MNIST, by PCD."""

import time

import keras

import keras_dgm as dgm

DATA = {"name": "mnist", "binarize": "static"}
HIDDEN = 500
BATCH_SIZE = 100
EPOCHS = 120
RATE = 0.1


def data():
    """The data set that the model is trained and measured on."""
    return dgm.datasets.load(**DATA)


def build():
    """The untrained model, compiled."""
    model = dgm.StochasticMaximumLikelihood(
        dgm.models.RBM((28, 28, 1), HIDDEN),
        num_steps=1,
        num_chains=BATCH_SIZE,
        seed=0,
        name="rbm_mnist",
    )
    model.compile(keras.optimizers.SGD(RATE), steps_per_execution=50)
    return model


def evaluate(model, num_temperatures=10_000, num_chains=100, seed=0, verbose=1):
    """The figures on the card: log p of the test split, log Z by annealing in both directions."""
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


def train(epochs=None, directory="rbm_mnist", verbose="auto"):
    """Trains, measures, and writes the folder of the preset; returns the model."""
    keras.utils.set_random_seed(0)
    epochs = EPOCHS if epochs is None else epochs
    dataset, model = data(), build()
    model.field.init_bias(dataset.train.images)

    def rate(epoch, _=None):
        """Chains that persist lag behind weights that move: the rate falls to nothing."""
        return RATE * (1.0 - epoch / epochs)

    started = time.monotonic()
    model.fit(
        dataset.train.images,
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
            "epochs": epochs,
            "batch_size": BATCH_SIZE,
            "gibbs_steps": 1,
            "schedule": f"{RATE} falling linearly to 0",
        },
        figures=evaluate(model, verbose=0 if verbose == 0 else 1),
        samples=model.sample(64, seed=0, num_steps=1000),
        description="A restricted Boltzmann machine on static binarised MNIST, learned with "
        "persistent chains.",
        architecture=f"784 binary visible and {HIDDEN} binary hidden units",
        limits="log Z is estimated: the forward figure flatters the model in expectation, and "
        "the reverse one begins at chains that may not have mixed. Samples are the ends of "
        "1 000 Gibbs steps from noise.",
    )
    return model


def main():
    dgm.presets.recipe_main(train, __doc__, "rbm_mnist")


if __name__ == "__main__":
    main()
