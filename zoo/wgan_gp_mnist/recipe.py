"""A conditional Wasserstein GAN with a gradient penalty on grey MNIST."""

import keras

import keras_dgm as dgm
from keras_dgm import networks
from keras_dgm.models import ImplicitModel

DATA = {"name": "mnist", "scale": "symmetric"}
SHAPE = (28, 28, 1)
LATENTS, WIDTH, CLASSES = 64, 16, 10
SETTINGS = {"epochs": 6, "batch_size": 64, "labels": True}
WORDS = {
    "description": "A conditional Wasserstein GAN of digits, with a gradient penalty.",
    "architecture": "64 normal noises and a label; DCGAN of width 16, conditional batch "
    "normalisation in the generator, a projection critic without normalisation",
    "limits": "Small networks, trained for minutes: some samples are no digits.",
}


def data():
    """The data set that the model is trained and measured on."""
    return dgm.datasets.load(**DATA)


def build():
    """The untrained model, compiled."""
    generator = ImplicitModel(
        LATENTS,
        networks.dcgan_generator(SHAPE, WIDTH, conditioning="batch_norm", num_classes=CLASSES),
        num_classes=CLASSES,
    )
    critic = networks.dcgan_critic(SHAPE, WIDTH, conditioning="projection", num_classes=CLASSES)
    model = dgm.WGANGP(
        generator, critic, critic_steps=1, ema_decay=0.999, seed=0, name="wgan_gp_mnist"
    )
    model.compile(
        {player: keras.optimizers.Adam(5e-4, beta_1=0.5) for player in model.players},
        steps_per_execution=10,
    )
    return model


def evaluate(model, dataset=None):
    """The figures on the card: Frechet distances, and the rarest class."""
    return dgm.presets.sample_figures(model, data() if dataset is None else dataset)


def train(epochs=None, directory="wgan_gp_mnist", verbose="auto"):
    """Trains, measures, and writes the folder of the preset; returns the model."""
    keras.utils.set_random_seed(0)
    settings = {**SETTINGS, **({} if epochs is None else {"epochs": epochs})}
    return dgm.presets.train_by_samples(
        build(), data(), directory, __file__, WORDS, evaluate=evaluate, verbose=verbose, **settings
    )


def main():
    dgm.presets.recipe_main(train, __doc__, "wgan_gp_mnist")


if __name__ == "__main__":
    main()
