"""A variational auto-encoder on 8x8 digits, from data to samples, without any download.

    python examples/vae_digits.py --epochs 60

Trains, prints the held-out log-likelihood with its standard error, and writes the pictures
`samples.png`, `reconstructions.png` and `curves.png`.
"""

import argparse
import pathlib

import keras

import keras_dgm as dgm


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("vae_digits"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)

    data = dgm.datasets.load("digits", binarize="threshold")
    event = data.image_shape

    # The model: p(h) p(x | h). The algorithm: how it is learned, with the help of q(h | x).
    generative = dgm.models.LatentVariableModel(
        prior=dgm.distributions.Normal((8,)),
        likelihood=dgm.distributions.Bernoulli(event, network=dgm.networks.mlp([128, 128])),
    )
    inference = dgm.distributions.Normal((8,), network=dgm.networks.mlp([128, 128]))
    model = dgm.VAE(generative, inference, seed=0)

    model.compile(optimizer=keras.optimizers.Adam(2e-3))
    history = model.fit(
        data.train.images,
        validation_data=data.valid.images,
        batch_size=50,
        epochs=options.epochs,
        verbose=2,
    )

    figure = dgm.evaluation.log_likelihood(model, data.test.images, num_samples=1000)
    print(f"held-out log-likelihood: {figure}")

    dgm.plotting.image_grid(
        model.sample(64, seed=0, mean=True), path=options.output / "samples.png"
    )
    shown = data.test.images[:10]
    dgm.plotting.reconstruction_strip(
        shown, model.reconstruct(shown), path=options.output / "reconstructions.png"
    )
    dgm.plotting.training_curves(history, path=options.output / "curves.png")
    print(f"pictures are in {options.output}/")


if __name__ == "__main__":
    main()
