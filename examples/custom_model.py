"""A model of one's own: convolutional networks and two stochastic layers, by two rules.

    python examples/custom_model.py --epochs 20

Nothing here is particular to a rule: the parts are built once for each run and handed to `VAE`
or `IWAE`, or to any other rule for latent-variable models.
"""

import argparse

import keras
from keras import layers

import keras_dgm as dgm
from keras_dgm.distributions import Bernoulli, Chain, Normal


def parts():
    """p(h2) p(h1 | h2) p(x | h1) and q(h1 | x) q(h2 | h1) of 8x8 pictures."""
    decoder = keras.Sequential(
        [
            layers.Dense(4 * 4 * 16, activation="relu"),
            layers.Reshape((4, 4, 16)),
            layers.UpSampling2D(2),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
        ]
    )
    encoder = keras.Sequential(
        [
            layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
        ]
    )
    generative = dgm.models.LatentVariableModel(
        prior=Chain([Normal((4,)), Normal((8,), network=dgm.networks.mlp([32]))]),
        likelihood=Bernoulli((8, 8, 1), network=decoder),
    )
    inference = Chain([Normal((8,), network=encoder), Normal((4,), network=dgm.networks.mlp([32]))])
    return generative, inference


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    data = dgm.datasets.load("digits", binarize="threshold")
    rules = {
        "VAE": lambda g, q: dgm.VAE(g, q, seed=0),
        "IWAE, DReG, K = 8": lambda g, q: dgm.IWAE(g, q, num_samples=8, estimator="dreg", seed=0),
    }
    for name, rule in rules.items():
        keras.utils.set_random_seed(0)
        model = rule(*parts())
        model.compile(optimizer=keras.optimizers.Adam(2e-3))
        model.fit(data.train.images, batch_size=50, epochs=options.epochs, verbose=0)
        figure = dgm.evaluation.log_likelihood(model, data.test.images, num_samples=500, verbose=0)
        print(f"{name}: held-out log-likelihood {figure}")
        top, bottom = model.infer(data.test.images[:3])
        print(f"  h2 {top.shape}, h1 {bottom.shape}")


if __name__ == "__main__":
    main()
