"""An Extended Helmholtz Machine on grey MNIST.

`--compare` trains it with and without the latent critic, and prints what that changes.
"""

import argparse

import keras

import keras_dgm as dgm
from keras_dgm import networks
from keras_dgm.distributions import Bernoulli, Normal
from keras_dgm.models import LatentVariableModel

DATA = {"name": "mnist"}
SHAPE = (28, 28, 1)
LATENTS, HIDDEN = 16, [256, 256]
# Slopes of the critics: their weight against the reconstructions'.
VISIBLE_SLOPE, LATENT_SLOPE = 20.0, 10.0
SETTINGS = {"epochs": 15, "batch_size": 100}
WORDS = {
    "description": "An Extended Helmholtz Machine on grey MNIST: encoder, decoder, two critics.",
    "architecture": "16 normal latents; encoder, decoder and critics of 256-256 units, ReLU, the "
    "critics spectrally normalised; P(x|z) Bernoulli, the critic sees its mean",
    "limits": "Perceptrons of small width; strokes are soft.",
    "use": 'model = dgm.from_preset("extended_helmholtz_machine_mnist")\n'
    "model.sample(64, seed=0, mean=True)",
}


def data():
    """The data set that the model is trained and measured on."""
    return dgm.datasets.load(**DATA)


def critic(slope):
    """A critic whose layers have slope one at most, times `slope`."""
    body = networks.mlp(HIDDEN, "leaky_relu", output_units=1, normalization="spectral")
    return keras.Sequential([body, keras.layers.Rescaling(slope)])


def build(latent_critic=True):
    """The untrained model, compiled."""
    likelihood = Bernoulli(SHAPE, network=networks.mlp(HIDDEN, "relu"))
    model = dgm.ExtendedHelmholtzMachine(
        LatentVariableModel(Normal(LATENTS), likelihood),
        Normal(LATENTS, networks.mlp(HIDDEN, "relu")),
        critic(VISIBLE_SLOPE),
        critic(LATENT_SLOPE) if latent_critic else False,
        visible="mean",
        ema_decay=0.99,
        seed=0,
        name="extended_helmholtz_machine_mnist",
    )
    model.compile(
        {player: keras.optimizers.Adam(1e-3, beta_1=0.5) for player in model.players},
        steps_per_execution=10,
    )
    return model


def evaluate(model, dataset=None):
    """The figures on the card: Frechet distances, the rarest class, errors, Cov Q(z)."""
    return dgm.presets.helmholtz_figures(model, data() if dataset is None else dataset)


def train(epochs=None, directory="extended_helmholtz_machine_mnist", verbose="auto"):
    """Trains, measures, and writes the folder of the preset; returns the model."""
    keras.utils.set_random_seed(0)
    return dgm.presets.train_by_samples(
        build(),
        data(),
        directory,
        __file__,
        WORDS,
        evaluate=evaluate,
        sampling={"mean": True},
        verbose=verbose,
        **{**SETTINGS, **({} if epochs is None else {"epochs": epochs})},
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--directory", default="extended_helmholtz_machine_mnist")
    parser.add_argument("--compare", action="store_true", help="with and without latent critic")
    options = parser.parse_args()
    if options.compare:
        epochs = options.epochs or SETTINGS["epochs"]
        dgm.presets.compare_latent_critics(build, data(), epochs, SETTINGS["batch_size"])
    else:
        train(options.epochs, options.directory)


if __name__ == "__main__":
    main()
