"""A real NVP flow by maximum likelihood on two moons."""

import keras

import keras_dgm as dgm

DATA = {"name": "two_moons"}
SETTINGS = {"epochs": 60, "batch_size": 100, "learning_rate": 2e-3}
WORDS = {
    "description": "A real NVP flow on two moons, by maximum likelihood.",
    "architecture": "8 affine couplings of 64-64 hidden units on a learned diagonal Gaussian",
    "limits": "A toy: points of the plane.",
}


def data():
    """The data set that the model is trained and measured on."""
    return dgm.datasets.load(**DATA)


def build():
    """The untrained model, compiled."""
    base = dgm.distributions.Normal(2, learned=True)
    flow = dgm.distributions.flows.real_nvp(base, num_steps=8, hidden_units=(64, 64))
    model = dgm.MaximumLikelihood(flow, seed=0, name="maximum_likelihood_two_moons")
    model.compile(keras.optimizers.Adam(2e-3), steps_per_execution=50)
    return model


def evaluate(model):
    """The figure on the card, measured on the test split."""
    return {
        "log_likelihood": dgm.presets.mean_figure(model.log_likelihood(data().test.images), "nats")
    }


def train(epochs=None, directory="maximum_likelihood_two_moons", verbose="auto"):
    """Trains, measures, and writes the folder of the preset; returns the model."""
    keras.utils.set_random_seed(0)
    dataset, model = data(), build()
    settings = {**SETTINGS, **({} if epochs is None else {"epochs": epochs})}
    return dgm.presets.train_by_likelihood(
        model,
        dataset,
        directory,
        __file__,
        WORDS,
        DATA,
        evaluate=evaluate,
        verbose=verbose,
        **settings,
    )


def main():
    dgm.presets.recipe_main(train, __doc__, "maximum_likelihood_two_moons")


if __name__ == "__main__":
    main()
