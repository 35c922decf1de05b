"""A gallery of made-up models: enough for the page, and no training."""

import numpy as np
import pytest

from keras_dgm import plotting
from keras_dgm.gallery.render import Model, Picture, file_name, render

# Names, modules, data sets and parameters in no order that the page should keep.
MODELS = [
    ("vae_digits", "VAE", "keras_dgm.algorithms.directed.vae", "digits", 900),
    ("rbm_mnist", "StochasticMaximumLikelihood", "keras_dgm.algorithms.undirected.x", "mnist", 40),
    ("gan_mnist", "GAN", "keras_dgm.algorithms.adversarial.gan", "mnist", 7000),
    ("iwae_mnist", "IWAE", "keras_dgm.algorithms.directed.iwae", "mnist", 5),
    ("bigan_two_moons", "BiGAN", "keras_dgm.algorithms.symmetric.bigan", "two_moons", 300),
]


def made_up(name, class_name, module, data, parameters):
    """A model with every kind of entry, long words among them."""
    tiles = plotting.image_tiles(np.random.default_rng(0).random((20, 8, 8, 1)), 10)
    kinds = [
        ("samples", "Samples"),
        ("walk", "Latent walk"),
        ("reconstructions", "Reconstructions"),
    ]
    figure = {"value": -88.38, "standard_error": 0.24, "unit": "nats", "count": 10_000}
    features = {"value": 12.3, "features": "classifier_mnist sha256 " + 64 * "f"}
    epochs = list(range(1, 41))
    metrics = {
        "description": f"A model of <{data}> & friends.",
        "architecture": "784-200-200-100-" + "-".join(["200"] * 20),
        "data": {"name": data, "licence": "CC BY 4.0"},
        "training": {"optimizer": "Adam", "hardware": "2 cores", "seed": None},
        "figures": {"log_likelihood": figure, "frechet_distance": features},
        "published": {"log_likelihood": {"value": -87.63, "source": "Somebody 2016, Table 1"}},
        "limits": "Small.",
        "commands": {"train": f"keras-dgm train {name}", "evaluate": f"keras-dgm evaluate {name}"},
        "history": {"epoch": epochs, "loss": [9 / e for e in epochs], "val_loss": [None] * 40},
    }
    metadata = {"class": class_name, "module": module, "parameters": parameters}
    pictures = [Picture(kind, title, f"A {kind} caption.", tiles) for kind, title in kinds]
    return Model(name, metadata, metrics, pictures)


@pytest.fixture(scope="session")
def page(tmp_path_factory):
    """The index.html of a gallery of `MODELS`, its pictures beside it."""
    folder = tmp_path_factory.mktemp("gallery")
    models = [made_up(*facts) for facts in MODELS]
    (folder / "pictures").mkdir()
    for model in models:
        for picture in model.pictures:
            (folder / "pictures" / file_name(model.name, picture)).write_bytes(picture.png)
    (folder / "index.html").write_text(render(models), encoding="utf-8")
    return folder / "index.html"
