"""A Wasserstein auto-encoder with an MMD penalty on grey MNIST."""

import keras

import keras_dgm as dgm
from keras_dgm import networks
from keras_dgm.models import ImplicitModel

DATA = {"name": "mnist", "scale": "symmetric"}
SHAPE = (28, 28, 1)
LATENTS, WIDTH = 8, 16
SETTINGS = {"epochs": 3, "batch_size": 100}
WORDS = {
    "description": "A Wasserstein auto-encoder of digits, its latents matched to the prior by"
    " an MMD penalty.",
    "architecture": "8 normal latents; generator a DCGAN of width 16, encoder convolutions of"
    " 16 and 32 channels",
    "limits": "Samples are softer than reconstructions: no critic looks at them.",
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
    model = dgm.WAE(
        generator, encoder, penalty_weight=100.0, ema_decay=0.999, seed=0, name="wae_mnist"
    )
    model.compile(
        {player: keras.optimizers.Adam(1e-3, beta_1=0.5) for player in model.players},
        steps_per_execution=10,
    )
    return model


def evaluate(model, dataset=None):
    """The figures on the card: Frechet distances, the rarest class, reconstructions."""
    return dgm.presets.sample_figures(model, data() if dataset is None else dataset)


def train(epochs=None, directory="wae_mnist", verbose="auto"):
    """Trains, measures, and writes the folder of the preset; returns the model."""
    keras.utils.set_random_seed(0)
    settings = {**SETTINGS, **({} if epochs is None else {"epochs": epochs})}
    return dgm.presets.train_by_samples(
        build(), data(), directory, __file__, WORDS, evaluate=evaluate, verbose=verbose, **settings
    )


def main():
    dgm.presets.recipe_main(train, __doc__, "wae_mnist")


if __name__ == "__main__":
    main()
