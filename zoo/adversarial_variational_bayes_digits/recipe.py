"""A deep latent Gaussian model with an implicit posterior, by adversarial variational Bayes on the
8x8 digits."""

import keras

import keras_dgm as dgm

DATA = {"name": "digits", "binarize": "threshold"}
SETTINGS = {"epochs": 250, "batch_size": 50, "learning_rate": 1e-3}
WORDS = {
    "description": "A deep latent Gaussian model with an implicit posterior, by adversarial "
    "variational Bayes on the 8x8 digits of scikit-learn.",
    "architecture": "8 Gaussian latents; 8-128-128-64 downwards, tanh; Bernoulli pixels; "
    "posterior (64 + 8 noises)-128-128-8; discriminator 72-256-256-1",
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
    inference = dgm.models.ImplicitModel(
        8,
        dgm.networks.joint_mlp([128, 128], output_units=8),
        condition_shape=(8, 8, 1),
    )
    discriminator = dgm.networks.joint_mlp([256, 256], output_units=1)
    model = dgm.AdversarialVariationalBayes(
        generative,
        inference,
        discriminator,
        critic_steps=3,
        seed=0,
        name="adversarial_variational_bayes_digits",
    )
    model.compile(keras.optimizers.Adam(1e-3), steps_per_execution=13)
    return model


def evaluate(model):
    """The figure on the card, measured on the test split."""
    return {
        "log_likelihood": dgm.presets.annealed_figure(
            model, data().test.images, num_chains=8, num_temperatures=300
        )
    }


def train(epochs=None, directory="adversarial_variational_bayes_digits", verbose="auto"):
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
    dgm.presets.recipe_main(train, __doc__, "adversarial_variational_bayes_digits")


if __name__ == "__main__":
    main()
