"""Frechet and kernel distance, Inception Score, precision and recall against closed forms."""

import keras
import numpy as np
import pytest
import scipy.linalg
import scipy.special

from keras_dgm.evaluation import (
    FeatureNetwork,
    RunningMoments,
    classifier_features,
    feature_moments,
    frechet_distance,
    gaussian_frechet_distance,
    identity_features,
    inception_score,
    inception_v3,
    kernel_distance,
    polynomial_mmd,
    precision_recall,
    score_of_probabilities,
    small_classifier,
    train_classifier,
)

RNG = np.random.default_rng(0)
PLANE = identity_features((2,))


def covariance(size, rank):
    factor = RNG.normal(size=(size, rank))
    return factor @ factor.T


@pytest.mark.parametrize("rank", [6, 3], ids=["full", "singular"])
def test_gaussian_distance_is_that_of_the_matrix_root(rank):
    first, second = covariance(6, 6), covariance(6, rank)
    means = RNG.normal(size=(2, 6))
    root = scipy.linalg.sqrtm(first @ second)
    exact = np.sum((means[0] - means[1]) ** 2) + np.trace(first + second - 2 * root.real)
    found = gaussian_frechet_distance(means[0], first, means[1], second)
    assert found == pytest.approx(exact, rel=1e-5)
    # Without the factor 2 of the root, a copied slip, it is another number.
    assert abs(found - exact - np.trace(root.real)) > 0.1
    assert gaussian_frechet_distance(means[0], second, means[0], second) == pytest.approx(
        0, abs=1e-8
    )
    with pytest.raises(ValueError, match="do not go together"):
        gaussian_frechet_distance(means[0], first, means[1], np.eye(5))


def test_moments_of_batches_are_those_of_the_whole_far_from_zero():
    x = RNG.normal(size=(1003, 4)) * 1e-3 + 1e5
    moments = RunningMoments()
    for rows in np.split(x, [1, 300, 300, 900]):
        moments.update(rows)
    assert moments.count == 1003
    assert np.allclose(moments.mean, x.mean(axis=0), rtol=1e-14)
    assert np.allclose(moments.covariance, np.cov(x, rowvar=False), rtol=1e-4, atol=1e-12)
    # Sums of squares in float64 lose all digits here.
    naive = x.T @ x / 1003 - np.outer(x.mean(axis=0), x.mean(axis=0))
    assert not np.allclose(naive, np.cov(x, rowvar=False), rtol=0.5, atol=1e-7)


def test_frechet_distance_of_normal_samples_and_its_report():
    real = RNG.normal(size=(4000, 2))
    fake = RNG.normal(size=(3000, 2)) * [2.0, 1.0] + [0.0, 3.0]
    report = frechet_distance(real, fake, PLANE)
    assert report.value == pytest.approx(9.0 + 1.0, rel=0.05)
    text = str(report)
    for part in ("identity", PLANE.checksum, "n_real=4000", "n_fake=3000", "Frechet distance"):
        assert part in text
    assert "FID" not in text
    batches = [real[:1000], (real[1000:], None)]
    moments = feature_moments(iter(batches), PLANE)
    assert float(frechet_distance(moments, fake, PLANE)) == pytest.approx(report.value, rel=1e-9)
    with pytest.raises(ValueError, match="2 rows of `fake`"):
        frechet_distance(real, fake[:1], PLANE)


def test_kernel_distance_is_the_unbiased_one():
    u, v = RNG.normal(size=(7, 3)), RNG.normal(size=(5, 3)) + 1.0

    def k(a, b):
        return (a @ b / 3 + 1) ** 3

    pairs_u = [k(a, b) for i, a in enumerate(u) for j, b in enumerate(u) if i != j]
    pairs_v = [k(a, b) for i, a in enumerate(v) for j, b in enumerate(v) if i != j]
    cross = [k(a, b) for a in u for b in v]
    exact = np.mean(pairs_u) + np.mean(pairs_v) - 2 * np.mean(cross)
    assert polynomial_mmd(u, v) == pytest.approx(exact, rel=1e-10)
    # Zero on average for equal laws; with the diagonals, which a V-statistic keeps, it is not.
    draws = RNG.normal(size=(400, 2, 10, 3))
    found = np.array([polynomial_mmd(a, b) for a, b in draws])
    error = found.std() / np.sqrt(len(found))
    assert abs(found.mean()) < 4 * error
    kept = np.mean([k(a, a) for a in draws[:, 0, 0]]) / 10
    assert kept > 8 * error
    same = kernel_distance(draws[:200, 0, 0, :2], draws[200:, 0, 0, :2], PLANE, 20, 100)
    apart = kernel_distance(draws[:200, 0, 0, :2], draws[200:, 0, 0, :2] + 2.0, PLANE, 20, 100)
    assert abs(same.value) < 0.2 < 5 < apart.value
    assert apart.n_real == 200 and apart.details["subset size"] == 100


def test_inception_score():
    assert score_of_probabilities(np.eye(5)) == pytest.approx(5.0)
    assert score_of_probabilities(np.full((8, 5), 0.2)) == pytest.approx(1.0)
    p = RNG.dirichlet(np.ones(3), size=50)
    divergence = np.sum(p * np.log(p / p.mean(axis=0)), axis=1).mean()
    assert score_of_probabilities(p) == pytest.approx(np.exp(divergence), rel=1e-12)
    layer = keras.layers.Activation("linear")
    layer.build((None, 3))
    network = FeatureNetwork(layer, "logits", layer)
    report = inception_score(np.log(p), network, num_splits=1, batch_size=16)
    assert report.value == pytest.approx(np.exp(divergence), rel=1e-5)
    assert report.n_real is None and "n_fake=50" in str(report) and "n_real" not in str(report)
    with pytest.raises(ValueError, match="no classifier"):
        inception_score(p, PLANE)


def test_precision_and_recall():
    ring = RNG.integers(0, 2, size=(600, 1)) * 10.0 + RNG.normal(size=(600, 2)) * 0.1
    one_mode = RNG.normal(size=(500, 2)) * 0.1
    precision, recall = precision_recall(ring, one_mode, PLANE)
    assert precision.value > 0.95 and 0.35 < recall.value < 0.6
    swapped = precision_recall(one_mode, ring, PLANE)
    assert swapped[1].value == precision.value and swapped[0].value == recall.value
    far = precision_recall(ring, one_mode + 100.0, PLANE)
    assert far[0].value == 0.0 and far[1].value == 0.0
    assert "recall" in str(recall) and recall.details == {"neighbours": 3}


def test_radii_by_hand():
    from keras_dgm.evaluation.precision_recall import covered_share, squared_radii

    line = np.array([[0.0], [1.0], [3.0], [7.0]])
    assert np.allclose(squared_radii(line, 2, block=3), [9.0, 4.0, 9.0, 36.0])
    assert covered_share(np.array([[-2.9], [14.0]]), line, squared_radii(line, 2)) == 0.5


def test_a_trained_classifier_is_a_named_network(tmp_path):
    centres = np.array([[0, 0], [4, 0], [0, 4]], "float32")
    y = RNG.integers(0, 3, 600)
    x = (centres[y] + RNG.normal(size=(600, 2)) * 0.3).astype("float32")
    network = train_classifier(x, y, "toy_classifier", epochs=12, batch_size=50)
    p = np.concatenate(list(network.probabilities(x)))
    assert np.mean(p.argmax(axis=1) == y) > 0.95
    assert network.features(x[:300]).shape == (300, 64)
    assert inception_score(x, network, 1).value > 2.5
    # Another network has another checksum, and the same one from a file has the same.
    network.classifier.save(tmp_path / "classifier.keras")
    again = classifier_features(
        keras.saving.load_model(tmp_path / "classifier.keras"), "toy_classifier"
    )
    assert again.checksum == network.checksum
    assert np.allclose(again.features(x[:5]), network.features(x[:5]))
    other = classifier_features(small_classifier((2,), 3), "untrained")
    assert other.checksum != network.checksum
    with pytest.raises(ValueError, match="no layer 'pool'"):
        classifier_features(network.classifier, "toy", layer="pool")


@pytest.mark.slow
def test_inception_from_a_weights_file(tmp_path):
    keras.utils.set_random_seed(0)
    full = keras.applications.InceptionV3(weights=None, classifier_activation=None)
    full.save_weights(tmp_path / "inception.weights.h5")
    network = inception_v3((0.0, 255.0), str(tmp_path / "inception.weights.h5"))
    images = RNG.integers(0, 256, size=(3, 28, 28, 1))
    features = network.features(images, batch_size=2)
    assert features.shape == (3, 2048) and network.name == "keras_inception_v3"
    colour = np.float32(np.repeat(images, 3, axis=-1)) / 127.5 - 1.0
    resized = keras.ops.image.resize(colour, (299, 299), interpolation="bilinear")
    logits = keras.ops.convert_to_numpy(full(resized, training=False))
    p = np.exp(logits - scipy.special.logsumexp(logits, axis=1, keepdims=True))
    assert np.allclose(np.concatenate(list(network.probabilities(images, 2))), p, atol=1e-5)


def test_bad_networks():
    with pytest.raises(ValueError, match="not built"):
        FeatureNetwork(keras.layers.Dense(3), "dense")
    with pytest.raises(ValueError, match="needs a name"):
        FeatureNetwork(PLANE.model, "")
    with pytest.raises(ValueError, match="could not be had"):
        inception_v3(weights="no/such/file.weights.h5")
    with pytest.raises(ValueError, match="not finite"):
        PLANE.features(np.full((3, 2), np.nan))
    with pytest.raises(ValueError, match="integers"):
        train_classifier(np.zeros((4, 2)), np.zeros(4), "toy")
