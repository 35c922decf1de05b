"""An energy prior over a two-dimensional latent space, on static binarised MNIST."""

import pathlib
import time

import keras

import keras_dgm as dgm

DATA = {"name": "mnist", "binarize": "static"}
LATENTS = 2
BATCH_SIZE = 100
EPOCHS = 15
BOUND = 8.0
RATES = {"sampler": 3e-3, "inference": 1e-3, "model": 1e-3}
# f(z) is this times a network: the energy moves slowly, and the sampler stays with it.
SLOWNESS = 0.02
NOISE, PENALTY = 0.3, 0.05
OTHER = "the same model with a normal prior, not stored"


def data():
    """The data set that the model is trained and measured on."""
    return dgm.datasets.load(**DATA)


def model_and_inference(prior):
    """p(x, z) with this prior, and q(z|x)."""

    def network():
        return dgm.networks.mlp([200, 200], activation="tanh")

    likelihood = dgm.distributions.Bernoulli((28, 28, 1), network=network())
    inference = dgm.distributions.Normal((LATENTS,), network=network())
    return dgm.models.LatentVariableModel(prior, likelihood), inference


def adam(rate, epochs):
    """Adam with a rate that falls to nothing in these epochs of 50 000 images."""
    steps = max(1, epochs * 50_000 // BATCH_SIZE)
    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps))


def build(epochs=EPOCHS):
    """The untrained model, compiled."""
    potential = keras.Sequential(
        [
            dgm.networks.mlp([64, 64], activation="tanh", output_units=1),
            keras.layers.Rescaling(SLOWNESS),
        ]
    )
    # exp(-U) = exp f(z) N(z; 0, I) with f bounded, so that Z is finite.
    prior = dgm.models.RandomField(
        potential, event_shape=(LATENTS,), reference=dgm.distributions.Normal((LATENTS,))
    )
    generative, inference = model_and_inference(prior)
    sampler = dgm.models.ImplicitModel(LATENTS, dgm.networks.mlp([64, 64], "tanh", LATENTS))
    code = dgm.distributions.Normal(
        (LATENTS,), network=dgm.networks.mlp([64, 64], activation="tanh"), scale="shared"
    )
    model = dgm.EVAE(
        generative,
        inference,
        sampler,
        code,
        sampler_noise=NOISE,
        gradient_penalty=PENALTY,
        seed=0,
        name="evae_mnist",
    )
    optimizers = {player: adam(rate, epochs) for player, rate in RATES.items()}
    model.compile(optimizers, steps_per_execution=25)
    return model


def build_vae(epochs=EPOCHS):
    """The same nets with a standard normal prior, for comparison."""
    model = dgm.VAE(*model_and_inference(dgm.distributions.Normal((LATENTS,))), seed=0)
    model.compile(adam(RATES["model"], epochs), steps_per_execution=25)
    return model


def evaluate(model, num_samples=500, seed=0):
    """The figure on the card, log Z by quadrature."""
    details = {}
    if isinstance(model, dgm.EVAE):
        value = model.normalize_prior([(-BOUND, BOUND)] * LATENTS, num_points=400)
        details["log_partition"] = value
    images = data().test.images
    figure = dgm.presets.log_likelihood_figure(model, images, num_samples=num_samples, seed=seed)
    return {"log_likelihood": {**figure, **details}}


def fit(model, images, epochs, verbose):
    """Trains from an output bias at the pixels' means."""
    model.generative.likelihood.init_bias(images)
    model.fit(images, batch_size=BATCH_SIZE, epochs=epochs, verbose=verbose)


def train(epochs=None, directory="evae_mnist", verbose="auto"):
    """Trains, measures, and writes the folder of the preset; returns the model."""
    keras.utils.set_random_seed(0)
    epochs = EPOCHS if epochs is None else epochs
    dataset, model = data(), build(epochs)
    started = time.monotonic()
    fit(model, dataset.train.images, epochs, verbose)
    seconds = time.monotonic() - started
    keras.utils.set_random_seed(0)
    vae = build_vae(epochs)
    fit(vae, dataset.train.images, epochs, verbose)
    figures = {
        **evaluate(model),
        "log_likelihood_with_a_normal_prior": {**evaluate(vae)["log_likelihood"], "of": OTHER},
    }
    folder = dgm.presets.publish(
        model,
        directory,
        recipe=__file__,
        dataset=dataset,
        arguments=DATA,
        seconds=seconds,
        settings={
            "epochs": epochs,
            "batch_size": BATCH_SIZE,
            "schedule": "a cosine to 0",
            "sampler_noise": NOISE,
            "gradient_penalty": PENALTY,
        },
        figures=figures,
        samples=model.sample(64, seed=0, mean=True),
        description="A variational auto-encoder with a learned energy as prior over two latent "
        "dimensions, its amortised sampler beside it.",
        architecture="784-200-200-4 and 2-200-200-784, tanh; U: 2-64-64-1 on N(0, I); sampler "
        "2-64-64-2",
        limits="Two latent dimensions blur. log Z is a sum over a grid of 400 x 400 points on "
        f"[-{BOUND:g}, {BOUND:g}]^2. The energy learns slowly, so that the sampler can stay with "
        "it; where U runs ahead, the prior is not what its samples say. It keeps a peak at 0, "
        "where few codes lie.",
    )
    draw_energy(model, dataset.test.images[:2000], pathlib.Path(folder) / "energy.png")
    return model


def draw_energy(model, images, path):
    """The prior exp(-U) / Z with contours of U, over draws of the aggregate posterior."""
    codes = model.infer(images, seed=0)
    dgm.plotting.density_2d(
        lambda z: -keras.ops.convert_to_numpy(model.energy(z, training=False)),
        codes.reshape(-1, LATENTS),
        extent=(-5, 5, -5, 5),
        title="Prior, contours of U, and the aggregate posterior",
        path=str(path),
        contours=8,
    )


def main():
    dgm.presets.recipe_main(train, __doc__, "evae_mnist")


if __name__ == "__main__":
    main()
