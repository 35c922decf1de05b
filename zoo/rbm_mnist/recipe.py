"""A restricted Boltzmann machine with 500 hidden units on static binarised MNIST.

`--rule` chooses between contrastive divergence with 1 or 25 Gibbs steps and persistent chains.
"""

import argparse
import time

import keras
import numpy as np

import keras_dgm as dgm

DATA = {"name": "mnist", "binarize": "static"}
HIDDEN = 500
BATCH_SIZE = 100
NUM_TEMPERATURES = 10000
NUM_CHAINS = 100
RULES = {
    "cd-1": {"steps": 1, "epochs": 60, "rate": 0.05},
    "cd-25": {"steps": 25, "epochs": 60, "rate": 0.05},
    "pcd": {"steps": 5, "epochs": 100, "rate": 0.05},
}
RULE = "pcd"


def data():
    """The data set that the model is trained and measured on."""
    return dgm.datasets.load(**DATA)


def build(rule=RULE):
    """The untrained model, compiled."""
    field = dgm.models.RBM((28, 28, 1), HIDDEN)
    steps = RULES[rule]["steps"]
    if rule == "pcd":
        model = dgm.StochasticMaximumLikelihood(
            field, num_steps=steps, num_chains=BATCH_SIZE, seed=0, name="rbm_mnist"
        )
    else:
        model = dgm.ContrastiveDivergence(field, num_steps=steps, seed=0, name="rbm_mnist")
    model.compile(optimizer=keras.optimizers.SGD(RULES[rule]["rate"]))
    return model


def evaluate(model, num_temperatures=NUM_TEMPERATURES, num_chains=NUM_CHAINS, seed=0, verbose=1):
    """The figures on the card: log p of the test split, log Z by annealing in both directions."""
    dataset = data()
    images = dataset.test.images
    bracket = model.estimate_log_partition(
        num_temperatures=num_temperatures,
        num_chains=num_chains,
        data=dataset.train.images,
        seed=seed,
        verbose=verbose,
    )
    potential = model.potential(images).astype("float64")
    error = float(np.std(potential, ddof=1) / np.sqrt(len(potential)))

    def figure(result):
        return {
            "value": float(np.mean(potential) - result.log_partition),
            "standard_error": float(np.hypot(error, result.standard_error)),
            "unit": "nats",
            "num_samples": num_chains,
            "count": len(potential),
            "seed": seed,
            "num_temperatures": num_temperatures,
            "effective_sample_size": result.effective_sample_size,
        }

    return {
        "log_likelihood": figure(bracket.forward),
        "log_likelihood_reverse": figure(bracket.reverse),
    }


def train(epochs=None, directory="rbm_mnist", rule=RULE, verbose="auto"):
    """Trains, measures, and writes the folder of the preset; returns the model."""
    keras.utils.set_random_seed(0)
    dataset, model = data(), build(rule)
    settings = RULES[rule]
    epochs = settings["epochs"] if epochs is None else epochs
    model.field.init_bias(dataset.train.images)

    def rate(epoch, _=None):
        # Chains that persist lag behind weights that move; the rate falls to nothing at the end.
        return settings["rate"] * (1.0 - epoch / epochs)

    started = time.monotonic()
    model.fit(
        dataset.train.images,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        callbacks=[keras.callbacks.LearningRateScheduler(rate)],
        verbose=verbose,
    )
    write(model, dataset, time.monotonic() - started, directory, rule, epochs)
    return model


def write(model, dataset, seconds, directory, rule, epochs):
    """Measures the model and writes its folder."""
    metrics = {
        "description": "A restricted Boltzmann machine on static binarised MNIST.",
        "architecture": "784 binary visible and 500 binary hidden units",
        "data": dgm.presets.describe_data(dataset, **DATA),
        "training": dgm.presets.describe_training(
            model,
            seconds,
            rule=rule,
            gibbs_steps=RULES[rule]["steps"],
            epochs=epochs,
            batch_size=BATCH_SIZE,
            schedule=f"{RULES[rule]['rate']} falling linearly to 0",
        ),
        "figures": evaluate(model),
        "published": {
            "log_likelihood": {
                "value": {"cd-1": -125.53, "cd-25": -86.34, "pcd": -86.34}[rule],
                "source": "Salakhutdinov & Murray (2008), RBM with 500 hidden units, CD-25 (with "
                "CD-1: -125.53), annealed importance sampling; as quoted, not checked there",
            }
        },
        "limits": "log Z is estimated: the forward figure flatters the model in expectation, and "
        "the reverse one begins at chains that may not have mixed. Samples are the ends of "
        "1 000 Gibbs steps from noise.",
    }
    samples = model.sample(64, seed=0)
    dgm.presets.write_zoo_folder(model, directory, metrics, samples=samples, recipe=__file__)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--directory", default="rbm_mnist")
    parser.add_argument("--rule", choices=sorted(RULES), default=RULE)
    train(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
