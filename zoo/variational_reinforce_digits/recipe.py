"""A sigmoid belief network of 64 latents on the 8x8 digits, by the plain score-function update,
ten draws."""

import keras

import keras_dgm as dgm

DATA = {"name": "digits", "binarize": "threshold"}
SETTINGS = {"epochs": 400, "batch_size": 50, "learning_rate": 1e-3}
WORDS = {
    "description": "A sigmoid belief network on the 8x8 digits of scikit-learn, learned by the "
    "plain score-function update, ten draws.",
    "architecture": "64 Bernoulli latents, linear: 64-64 upwards, 64-64 downwards; Bernoulli "
    "pixels",
    "limits": "A small model of 8x8 pictures, trained for a minute.",
}


def data():
    """The data set that the model is trained and measured on."""
    return dgm.datasets.load(**DATA)


def build():
    """The untrained model, compiled."""
    generative, inference = dgm.models.sigmoid_belief_network([64], (8, 8, 1))
    model = dgm.VariationalREINFORCE(
        generative, inference, num_samples=10, seed=0, name="variational_reinforce_digits"
    )
    model.compile(keras.optimizers.Adam(1e-3), steps_per_execution=13)
    return model


def evaluate(model):
    """The figure on the card, measured on the test split."""
    return dgm.presets.likelihood_figures(model, data().test.images, num_samples=1000)


def train(epochs=None, directory="variational_reinforce_digits", verbose="auto"):
    """Trains, measures, and writes the folder of the preset; returns the model."""
    keras.utils.set_random_seed(0)
    dataset, model = data(), build()
    # Pixels begin at their means.
    model.generative.likelihood.init_bias(dataset.train.images)
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
    dgm.presets.recipe_main(train, __doc__, "variational_reinforce_digits")


if __name__ == "__main__":
    main()
