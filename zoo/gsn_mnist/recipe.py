"""A generative stochastic network on static binarised MNIST, trained by walkback."""

import pathlib
import time

import keras
import numpy as np

import keras_dgm as dgm

DATA = {"name": "mnist", "binarize": "static"}
BATCH_SIZE = 100
EPOCHS = 2
NOISE = 0.2
WALKBACK_STEPS = 3


def data():
    """The data set that the model is trained and measured on."""
    return dgm.datasets.load(**DATA)


def build():
    """The untrained model, compiled."""
    event = (28, 28, 1)
    network = dgm.networks.mlp([200], activation="relu")
    model = dgm.GSN(
        dgm.distributions.FlipCorruption(event, NOISE),
        dgm.distributions.Bernoulli(event, network=network),
        walkback_steps=WALKBACK_STEPS,
        seed=0,
        name="gsn_mnist",
    )
    model.compile(keras.optimizers.Adam(1e-3), steps_per_execution=25)
    return model


def evaluate(model, seed=0):
    """The figure on the card: log p(x | x~) of test images at draws of their corruption."""
    images = data().test.images
    score = model.compiled_function(
        "score", lambda x, seed: model.row_losses(x, x, seed, training=False)[1]
    )
    nll = [
        keras.ops.convert_to_numpy(score(images[i : i + 1000], dgm.backend.as_seed(seed + i)))
        for i in range(0, len(images), 1000)
    ]
    figure = dgm.presets.mean_figure(-np.concatenate(nll), "nats, given x~", seed=seed)
    return {"denoising_log_likelihood": figure}


def train(epochs=None, directory="gsn_mnist", verbose="auto"):
    """Trains, measures, and writes the folder of the preset; returns the model."""
    keras.utils.set_random_seed(0)
    epochs = EPOCHS if epochs is None else epochs
    dataset, model = data(), build()
    model.reconstruction.init_bias(dataset.train.images)

    def rate(epoch, _=None):
        return 1e-3 * min(1.0, 2.0 * (1.0 - epoch / epochs))

    started = time.monotonic()
    model.fit(
        dataset.train.images,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        callbacks=[keras.callbacks.LearningRateScheduler(rate)],
        verbose=verbose,
    )
    seconds = time.monotonic() - started
    # A chain from each of 64 test images, the mean of x given the last x~ shown.
    starts = dataset.test.images[:64]
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
            "schedule": "constant for half of the epochs, then linearly to 0",
            "walkback_steps": WALKBACK_STEPS,
        },
        figures=evaluate(model),
        samples=model.sample(64, seed=0, num_steps=200, start=starts, mean=True),
        description="A generative stochastic network on static binarised MNIST: denoising along "
        "its own chain.",
        architecture="784-200-784, ReLU; Bernoulli pixels",
        limits="Two epochs of a small net. The pixels of x given x~ are drawn "
        "independently, so the chain's steps are noisy. Samples are the means after 200 steps "
        "from test images.",
    )
    chain = model.chain(starts[:8], 60, seed=0, mean=True)[::4]
    dgm.plotting.chain_strip(
        chain,
        steps=range(1, 61, 4),
        title="Chains from test images",
        path=str(pathlib.Path(folder) / "chains.png"),
    )
    return model


def main():
    dgm.presets.recipe_main(train, __doc__, "gsn_mnist")


if __name__ == "__main__":
    main()
