"""One RBM on binarised MNIST, three rules: CD-1, CD-25 and persistent chains (PCD).

    KERAS_BACKEND=jax python examples/rbm_mnist.py --epochs 20

Prints the held-out log-likelihood of each, log Z by annealed importance sampling: the forward
figure is too high in expectation, the reverse one too low as far as its first chains have mixed.
Downloads MNIST at the first run (or reads it from the folder `KERAS_DGM_DATA`); `--data digits`
needs nothing.
"""

import argparse
import time

import keras

import keras_dgm as dgm

BATCH_SIZE = 100


def build(rule, event, hidden):
    """The rule, around a new machine."""
    keras.utils.set_random_seed(0)
    field = dgm.models.RBM(event, hidden)
    rules = {
        "cd1": lambda: dgm.ContrastiveDivergence(field, num_steps=1, seed=0),
        "cd25": lambda: dgm.ContrastiveDivergence(field, num_steps=25, seed=0),
        "pcd": lambda: dgm.StochasticMaximumLikelihood(
            field, num_steps=1, num_chains=BATCH_SIZE, seed=0
        ),
    }
    return rules[rule]()


def train(model, images, epochs, rate):
    """Trains at a rate that falls linearly to nothing."""
    model.compile(keras.optimizers.SGD(rate), steps_per_execution=25)
    model.field.init_bias(images)
    schedule = keras.callbacks.LearningRateScheduler(
        lambda epoch, _=None: rate * (1.0 - epoch / epochs)
    )
    model.fit(images, batch_size=BATCH_SIZE, epochs=epochs, callbacks=[schedule], verbose=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--rules", nargs="+", default=["cd1", "cd25", "pcd"])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--hidden", type=int, default=500)
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--temperatures", type=int, default=10_000)
    parser.add_argument("--chains", type=int, default=100)
    options = parser.parse_args()

    binarize = "threshold" if options.data == "digits" else "static"
    data = dgm.datasets.load(options.data, binarize=binarize)
    print(f"{options.data}, {options.hidden} hidden units, {options.epochs} epochs; held-out nats")
    print(f"{'':<6}{'forward':>10}{'reverse':>10}{'error':>8}{'seconds':>9}", flush=True)
    for rule in options.rules:
        begin = time.perf_counter()
        model = build(rule, data.image_shape, options.hidden)
        train(model, data.train.images, options.epochs, options.rate)
        seconds = time.perf_counter() - begin
        figures = dgm.presets.annealed_figures(
            model,
            data.test.images,
            data.train.images,
            num_temperatures=options.temperatures,
            num_chains=options.chains,
        )
        forward, reverse = figures["log_likelihood"], figures["log_likelihood_reverse"]
        print(
            f"{rule:<6}{forward['value']:>10.2f}{reverse['value']:>10.2f}"
            f"{forward['standard_error']:>8.2f}{seconds:>9.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
