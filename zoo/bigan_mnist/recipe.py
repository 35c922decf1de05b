"""A bidirectional GAN on grey MNIST."""

import keras

import keras_dgm as dgm
from keras_dgm import networks
from keras_dgm.models import ImplicitModel

DATA = {"name": "mnist", "scale": "symmetric"}
SHAPE = (28, 28, 1)
LATENTS, WIDTH = 16, 16
SETTINGS = {"epochs": 5, "batch_size": 64}
WORDS = {
    "description": "A bidirectional GAN of digits: a generator and its encoder, by a critic "
    "of pairs.",
    "architecture": "16 normal latents; generator and critic a DCGAN of width 16, the "
    "critic's features joined to z by 128 units; encoder convolutions of 16 and 32 channels",
    "limits": "Small networks, trained for minutes: some samples are no digits. "
    "Reconstructions keep the kind of digit, not its pixels.",
}


def data():
    """The data set that the model is trained and measured on."""
    return dgm.datasets.load(**DATA)


def build():
    """The untrained model, compiled."""
    generator = ImplicitModel(LATENTS, networks.dcgan_generator(SHAPE, WIDTH))
    encoder = keras.Sequential(
        [networks.conv_encoder(SHAPE, (WIDTH, 2 * WIDTH)), keras.layers.Dense(LATENTS)]
    )
    body = networks.dcgan_critic(SHAPE, WIDTH, normalization="spectral", include_head=False)
    critic = networks.joint_critic(body, [128], normalization="spectral")
    model = dgm.BiGAN(generator, encoder, critic, ema_decay=0.999, seed=0, name="bigan_mnist")
    model.compile(
        {player: keras.optimizers.Adam(1e-3, beta_1=0.5) for player in model.players},
        steps_per_execution=10,
    )
    return model


def evaluate(model, dataset=None):
    """The figures on the card: Frechet distances, the rarest class, reconstructions."""
    return dgm.presets.sample_figures(model, data() if dataset is None else dataset)


def train(epochs=None, directory="bigan_mnist", verbose="auto"):
    """Trains, measures, and writes the folder of the preset; returns the model."""
    keras.utils.set_random_seed(0)
    settings = {**SETTINGS, **({} if epochs is None else {"epochs": epochs})}
    return dgm.presets.train_by_samples(
        build(), data(), directory, __file__, WORDS, evaluate=evaluate, verbose=verbose, **settings
    )


def main():
    dgm.presets.recipe_main(train, __doc__, "bigan_mnist")


if __name__ == "__main__":
    main()
