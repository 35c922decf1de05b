"""A GAN with the hinge loss and a spectrally normalised critic on grey MNIST, without labels."""

import keras

import keras_dgm as dgm
from keras_dgm import networks
from keras_dgm.models import ImplicitModel

DATA = {"name": "mnist", "scale": "symmetric"}
SHAPE = (28, 28, 1)
LATENTS, WIDTH = 64, 16
SETTINGS = {"epochs": 6, "batch_size": 64}
WORDS = {
    "description": "A GAN of digits without labels: hinge loss, spectral normalisation.",
    "architecture": "64 normal noises; DCGAN of width 16, batch normalisation in the generator, a "
    "spectrally normalised critic",
    "limits": "Small networks, trained for minutes: some samples are no digits.",
}


def data():
    """The data set that the model is trained and measured on."""
    return dgm.datasets.load(**DATA)


def build():
    """The untrained model, compiled."""
    generator = ImplicitModel(LATENTS, networks.dcgan_generator(SHAPE, WIDTH))
    critic = networks.dcgan_critic(SHAPE, WIDTH, normalization="spectral")
    model = dgm.SNGAN(generator, critic, ema_decay=0.999, seed=0, name="sngan_unconditional_mnist")
    model.compile(
        {player: keras.optimizers.Adam(1e-3, beta_1=0.5) for player in model.players},
        steps_per_execution=10,
    )
    return model


def evaluate(model, dataset=None):
    """The figures on the card: Frechet distances, and the rarest class."""
    return dgm.presets.sample_figures(model, data() if dataset is None else dataset)


def train(epochs=None, directory="sngan_unconditional_mnist", verbose="auto"):
    """Trains, measures, and writes the folder of the preset; returns the model."""
    keras.utils.set_random_seed(0)
    settings = {**SETTINGS, **({} if epochs is None else {"epochs": epochs})}
    return dgm.presets.train_by_samples(
        build(), data(), directory, __file__, WORDS, evaluate=evaluate, verbose=verbose, **settings
    )


def main():
    dgm.presets.recipe_main(train, __doc__, "sngan_unconditional_mnist")


if __name__ == "__main__":
    main()
