"""The importance-weighted auto-encoder on binarised MNIST, beside a VAE of the same networks.

    python examples/iwae_mnist.py --epochs 20 --num-samples 5

Downloads MNIST at the first run (or reads it from the folder `KERAS_DGM_DATA`); with
`--data digits` nothing is downloaded. Prints the held-out log-likelihood of both rules.
"""

import argparse

import keras

import keras_dgm as dgm


def build(rule, event, data_mean_of, **options):
    """The same two parts for either rule."""
    keras.utils.set_random_seed(0)
    generative = dgm.models.LatentVariableModel(
        prior=dgm.distributions.Normal((50,)),
        likelihood=dgm.distributions.Bernoulli(
            event, network=dgm.networks.mlp([200, 200], activation="tanh")
        ),
    )
    generative.likelihood.init_bias(data_mean_of)
    inference = dgm.distributions.Normal(
        (50,), network=dgm.networks.mlp([200, 200], activation="tanh")
    )
    model = rule(generative, inference, seed=0, **options)
    model.compile(optimizer=keras.optimizers.Adam(1e-3))
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--num-samples", type=int, default=5, help="K of the bound")
    parser.add_argument("--estimator", default="iwae", choices=["iwae", "dreg", "path_derivative"])
    parser.add_argument("--test-images", type=int, default=1000)
    options = parser.parse_args()

    # "static" is one fixed draw of the pixels, as most published tables use.
    data = dgm.datasets.load(options.data, binarize="static")
    train, test = data.train.images, data.test.images[: options.test_images]
    models = {
        "VAE": build(dgm.VAE, data.image_shape, train),
        f"IWAE, K = {options.num_samples}": build(
            dgm.IWAE,
            data.image_shape,
            train,
            num_samples=options.num_samples,
            estimator=options.estimator,
        ),
    }
    for name, model in models.items():
        model.fit(train, batch_size=100, epochs=options.epochs, verbose=2)
        figure = dgm.evaluation.log_likelihood(model, test, num_samples=500, verbose=0)
        print(f"{name}: held-out log-likelihood {figure} ({len(test)} images)")


if __name__ == "__main__":
    main()
