"""A VQ-VAE of 16 codes a picture on static binarised MNIST."""

import keras

import keras_dgm as dgm

DATA = {"name": "mnist", "binarize": "static"}
SETTINGS = {"epochs": 12, "batch_size": 100, "learning_rate": 1e-3}
WORDS = {
    "description": "A VQ-VAE with 16 codes out of 64 for each picture, on static binarised MNIST.",
    "architecture": "784-512-(16 positions of 8), 64 code vectors by moving averages; 128-512-784"
    " downwards, ReLU; Bernoulli pixels",
    "limits": "The bound is with the uniform prior over codes, 16 log 64 = 66.5 nats of it, which"
    " is also a poor generator: samples are drawn from that prior. Made for "
    "reconstruction.",
}


def data():
    """The data set that the model is trained and measured on."""
    return dgm.datasets.load(**DATA)


def build():
    """The untrained model, compiled."""
    encoder = keras.Sequential(
        [
            dgm.networks.mlp([512], output_units=128),
            keras.layers.Reshape((16, 8)),
        ]
    )
    decoder = dgm.networks.mlp([512])
    likelihood = dgm.distributions.Bernoulli((28, 28, 1), network=decoder)
    model = dgm.VQVAE(encoder, likelihood, num_codes=64, ema_decay=0.99, seed=0, name="vqvae_mnist")
    model.compile(keras.optimizers.Adam(1e-3), steps_per_execution=50)
    return model


def perplexity(model):
    """The exponential of the entropy of the codes' use."""
    logs = model.evaluate(data().test.images, batch_size=500, verbose=0, return_dict=True)
    return float(logs["perplexity"])


def evaluate(model):
    """The figures on the card, measured on the test split."""
    return {
        **dgm.presets.likelihood_figures(model, data().test.images, num_samples=1),
        "perplexity": {"value": perplexity(model), "unit": "of 64 codes, on the test split"},
    }


def train(epochs=None, directory="vqvae_mnist", verbose="auto"):
    """Trains, measures, and writes the folder of the preset; returns the model."""
    keras.utils.set_random_seed(0)
    dataset, model = data(), build()
    # Pixels begin at their means.
    model.likelihood.init_bias(dataset.train.images)
    # And codes where the encoder's vectors are, so that none is dead from the start.
    model.init_codebook(dataset.train.images[:1000])
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
    dgm.presets.recipe_main(train, __doc__, "vqvae_mnist")


if __name__ == "__main__":
    main()
