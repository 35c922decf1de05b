"""A sigmoid belief network of 200-200 latents on static binarised MNIST, by NVIL with ten draws."""

import keras

import keras_dgm as dgm

DATA = {"name": "mnist", "binarize": "static"}
SETTINGS = {"epochs": 50, "batch_size": 50, "learning_rate": 1e-3}
WORDS = {
    "description": "A sigmoid belief network on static binarised MNIST, learned by NVIL with ten "
    "draws.",
    "architecture": "two layers of 200 Bernoulli latents, linear: 784-200-200 upwards, "
    "200-200-784 downwards",
    "limits": "Two linear layers; trained for 50 epochs, where published figures take many "
    "hundreds. The figure is of every fourth test image.",
    "published": {
        "log_likelihood": {
            "value": -99.8,
            "source": "ARM paper (Yin and Zhou 2019), table 2: NVIL with one draw, two layers of "
            "200",
        },
    },
}


def data():
    """The data set that the model is trained and measured on."""
    return dgm.datasets.load(**DATA)


def build():
    """The untrained model, compiled."""
    generative, inference = dgm.models.sigmoid_belief_network([200, 200], (28, 28, 1))
    model = dgm.NVIL(generative, inference, num_samples=10, seed=0, name="nvil_mnist")
    model.compile(keras.optimizers.Adam(1e-3), steps_per_execution=20)
    return model


def evaluate(model):
    """The figure on the card, measured on every fourth image of the test split."""
    return dgm.presets.likelihood_figures(model, data().test.images[::4], num_samples=1000)


def train(epochs=None, directory="nvil_mnist", verbose="auto"):
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
    dgm.presets.recipe_main(train, __doc__, "nvil_mnist")


if __name__ == "__main__":
    main()
