"""The Inception Score, with any named classifier."""

import numpy as np

from keras_dgm.evaluation.report import FeatureReport, check_rows


def score_of_probabilities(probabilities):
    """exp of the mean KL(p(y|x) || p(y)) in nats, p(y) the rows' mean; from 1 to num_classes."""
    p = np.asarray(probabilities, "float64")
    tiny = np.finfo("float64").tiny
    log_ratio = np.log(np.maximum(p, tiny)) - np.log(np.maximum(p.mean(axis=0), tiny))
    return float(np.exp(np.sum(p * log_ratio, axis=1).mean()))


def inception_score(fake, network, num_splits=10, batch_size=128):
    """Mean score over splits of the samples (Salimans et al. 2016).

    It looks at no data: a model that gives one sharp sample of each class has the best score.
    Biased downwards by small splits.

    Args:
        fake: array (n, *event), or an iterable of batches.
        network: a `FeatureNetwork` with a classifier.
        num_splits: parts of the samples, in the order they come.

    Returns:
        A `FeatureReport`; `details` has the standard deviation over splits.
    """
    p = np.concatenate(list(network.probabilities(fake, batch_size)))
    check_rows("The Inception Score", "fake", len(p), num_splits)
    scores = [score_of_probabilities(part) for part in np.array_split(p, num_splits)]
    return FeatureReport(
        "Inception Score",
        float(np.mean(scores)),
        network.name,
        network.checksum,
        None,
        len(p),
        {"sd over splits": float(np.std(scores)), "splits": num_splits},
    )
