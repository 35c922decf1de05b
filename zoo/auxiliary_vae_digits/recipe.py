"""An auxiliary VAE, whose posterior is a mixture over two auxiliary variables on the 8x8 digits."""

import keras

import keras_dgm as dgm

DATA = {"name": "digits", "binarize": "threshold"}
SETTINGS = {"epochs": 200, "batch_size": 50, "learning_rate": 2e-3}
WORDS = {
    "description": "An auxiliary VAE, whose posterior is a mixture over two auxiliary variables "
    "on the 8x8 digits of scikit-learn.",
    "architecture": "8 Gaussian latents; 8-128-128-64 downwards, tanh; Bernoulli pixels; "
    "66-128-128-16 upwards, auxiliary 64-64-4 and 72-64-4",
    "limits": "A small model of 8x8 pictures, trained for a minute.",
}


def data():
    """The data set that the model is trained and measured on."""
    return dgm.datasets.load(**DATA)


def build():
    """The untrained model, compiled."""
    generative = dgm.models.LatentVariableModel(
        prior=dgm.distributions.Normal((8,)),
        likelihood=dgm.distributions.Bernoulli(
            (8, 8, 1), network=dgm.networks.mlp([128, 128], activation="tanh")
        ),
    )
    normal = dgm.distributions.Normal
    tanh = dict(activation="tanh")
    model = dgm.AuxiliaryVAE(
        generative,
        inference=normal((8,), network=dgm.networks.mlp([128, 128], **tanh)),
        auxiliary=normal((2,), network=dgm.networks.mlp([64], **tanh)),
        reverse=normal((2,), network=dgm.networks.mlp([64], **tanh)),
        seed=0,
        name="auxiliary_vae_digits",
    )
    model.compile(keras.optimizers.Adam(2e-3), steps_per_execution=13)
    return model


def evaluate(model):
    """The figure on the card, measured on the test split."""
    return dgm.presets.likelihood_figures(model, data().test.images, num_samples=1000)


def train(epochs=None, directory="auxiliary_vae_digits", verbose="auto"):
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
    dgm.presets.recipe_main(train, __doc__, "auxiliary_vae_digits")


if __name__ == "__main__":
    main()
