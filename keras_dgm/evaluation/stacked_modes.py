"""Modes of images whose channels are images of their own (stacked MNIST)."""

import numpy as np

from keras_dgm.evaluation.report import FeatureReport, check_rows


def stacked_modes(fake, network, batch_size=128):
    """How many of the K^c combinations of classes the samples hold, and how unevenly.

    Stacked MNIST (Metz et al. 2017): three digits as the channels of one image, 1 000 modes. A
    classifier of one channel names each; a mode counts with one sample. Published figures are of
    26 000 samples: fewer find fewer modes, and the KL is biased upwards by about
    (K^c - 1) / (2 n) nats.

    Args:
        fake: samples (n, height, width, c).
        network: a `FeatureNetwork` whose classifier takes (batch, height, width, 1).

    Returns:
        A `FeatureReport` of the number of modes; `details` has the KL in nats from the samples'
        law over modes to the uniform one, and the number of modes there are.

    Raises:
        ValueError: samples that are no images, fewer than one, a network without a classifier.
    """
    fake = np.asarray(fake)
    if fake.ndim != 4:
        raise ValueError(
            f"Stacked images are (n, height, width, channels); received shape {fake.shape}."
        )
    check_rows("The number of stacked modes", "fake", len(fake), 1)
    modes, num_modes = np.zeros(len(fake), "int64"), 1
    for channel in range(fake.shape[-1]):
        batches = network.probabilities(fake[..., channel : channel + 1], batch_size)
        p = np.concatenate(list(batches))
        modes = modes * p.shape[1] + p.argmax(axis=1)
        num_modes *= p.shape[1]
    share = np.unique(modes, return_counts=True)[1] / len(fake)
    return FeatureReport(
        "stacked modes",
        float(len(share)),
        network.name,
        network.checksum,
        None,
        len(fake),
        {"KL": float(np.sum(share * np.log(share * num_modes))), "of": num_modes},
    )
