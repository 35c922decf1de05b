"""A restricted Boltzmann machine on the 8x8 digits by CD-25, and by CD-1 for comparison."""

import time

import keras

import keras_dgm as dgm

DATA = {"name": "digits", "binarize": "threshold"}
HIDDEN = 100
BATCH_SIZE = 50
EPOCHS = 200
STEPS = 25
RATE = 0.05
OTHER = "the same field trained by CD-1, not stored"


def data():
    """The data set that the model is trained and measured on."""
    return dgm.datasets.load(**DATA)


def build(num_steps=STEPS):
    """The untrained model, compiled."""
    model = dgm.ContrastiveDivergence(
        dgm.models.RBM((8, 8, 1), HIDDEN),
        num_steps=num_steps,
        seed=0,
        name="contrastive_divergence_digits",
    )
    model.compile(keras.optimizers.SGD(RATE), steps_per_execution=13)
    return model


def evaluate(model, num_temperatures=5_000, num_chains=100, seed=0, verbose=0):
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


def fit(model, images, epochs, verbose):
    """Trains, the rate falling to nothing."""
    keras.utils.set_random_seed(0)
    model.field.init_bias(images)
    schedule = keras.callbacks.LearningRateScheduler(lambda n, _: RATE * (1.0 - n / epochs))
    model.fit(images, batch_size=BATCH_SIZE, epochs=epochs, callbacks=[schedule], verbose=verbose)


def train(epochs=None, directory="contrastive_divergence_digits", verbose="auto"):
    """Trains, measures, and writes the folder of the preset; returns the model."""
    keras.utils.set_random_seed(0)
    epochs = EPOCHS if epochs is None else epochs
    dataset, model, one_step = data(), build(), build(1)
    fit(one_step, dataset.train.images, epochs, verbose)
    started = time.monotonic()
    fit(model, dataset.train.images, epochs, verbose)
    seconds = time.monotonic() - started
    comparison = {
        f"{name}_of_cd_1": {**figure, "of": OTHER} for name, figure in evaluate(one_step).items()
    }
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
            "gibbs_steps": STEPS,
            "schedule": f"{RATE} falling linearly to 0",
        },
        figures={**evaluate(model), **comparison},
        samples=model.sample(64, seed=0, num_steps=1000),
        description="A restricted Boltzmann machine on the 8x8 digits of scikit-learn, learned by "
        "contrastive divergence with 25 Gibbs steps.",
        architecture=f"64 binary visible and {HIDDEN} binary hidden units",
        limits="A small model. log Z is estimated: the forward figure flatters in expectation, "
        "the reverse one begins at chains that may not have mixed.",
    )
    return model


def main():
    dgm.presets.recipe_main(train, __doc__, "contrastive_divergence_digits")


if __name__ == "__main__":
    main()
