"""Conditional models: labels by concatenation, projection and classifier; images."""

import keras
import numpy as np
import pytest
from games import plane_critic, plane_model, plane_rows
from keras import layers, ops

import keras_dgm as dgm
from keras_dgm import networks
from keras_dgm.algorithms.adversarial.penalties import R1Penalty
from keras_dgm.models import ImplicitModel
from keras_dgm.networks import (
    ConcatenateCondition,
    ConditionalBatchNormalization,
    ConditionalSequential,
    ProjectionHead,
)

MEANS = np.array([[-2.0, 0.0], [2.0, 0.0], [0.0, 3.0]])


def labelled(rows, seed=0):
    """Points around the mean of their class."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, rows)
    return (MEANS[y] + 0.3 * rng.normal(size=(rows, 2))).astype("float32"), y


def concatenating_model():
    """Labels appended to the noise."""
    keras.utils.set_random_seed(0)
    return ImplicitModel(2, networks.joint_mlp([16], output_units=2, num_classes=3), num_classes=3)


def normalizing_model():
    """Labels in conditional batch normalisation."""
    keras.utils.set_random_seed(0)
    stack = [
        layers.Dense(16),
        ConditionalBatchNormalization(3),
        layers.Activation("relu"),
        layers.Dense(2),
    ]
    return ImplicitModel(2, ConditionalSequential(stack), num_classes=3)


def projecting_critic():
    """A spectrally normalised projection discriminator."""
    body = networks.mlp([32, 32], "leaky_relu", normalization="spectral")
    return ConditionalSequential([body, ProjectionHead(3, normalization="spectral")])


def concatenating_critic():
    return networks.joint_mlp([32, 32], "leaky_relu", output_units=1, num_classes=3)


def classifying_critic():
    return networks.mlp([32, 32], "leaky_relu", output_units=4)


def train(model, steps=300):
    """A short training."""
    adam = keras.optimizers.Adam(5e-3, beta_1=0.5)
    model.compile({"critic": adam, "generator": keras.optimizers.Adam(2e-3, beta_1=0.5)})
    x, y = labelled(64 * steps)
    model.fit(x, y, batch_size=64, verbose=0)


@pytest.mark.parametrize("kind", ["concatenation", "projection", "classifier"])
def test_each_class_is_learned(kind):
    model = {
        "concatenation": lambda: dgm.GAN(
            concatenating_model(), concatenating_critic(), penalties=[R1Penalty(0.3)], seed=0
        ),
        "projection": lambda: dgm.SNGAN(normalizing_model(), projecting_critic(), seed=0),
        "classifier": lambda: dgm.ACGAN(
            concatenating_model(),
            classifying_critic(),
            classify_samples=False,
            penalties=[R1Penalty(0.3)],
            seed=0,
        ),
    }[kind]()
    train(model)
    drawn, y = model.sample(450, seed=1), np.arange(450) % 3  # labels 0, 1, 2 in turn
    nearest = np.argmin(np.sum((drawn[:, None] - MEANS) ** 2, axis=-1), axis=1)
    assert (nearest == y).mean() > 0.9
    means = np.stack([drawn[y == label].mean(axis=0) for label in range(3)])
    assert np.abs(means - MEANS).max() < 0.8
    one = model.sample(50, seed=2, y=2)
    assert np.abs(one - MEANS[2]).mean() < np.abs(one - MEANS[0]).mean()
    x, y = labelled(200, seed=1)
    figures = model.evaluate(x, y, batch_size=100, return_dict=True, verbose=0)
    assert np.isfinite(list(figures.values())).all() and set(figures) == set(model.evaluation_terms)
    if kind == "classifier":
        assert figures["data_cross_entropy"] < 0.5 * np.log(3.0)
        log_prob = model.classify(x)
        np.testing.assert_allclose(np.exp(log_prob).sum(axis=1), 1.0, rtol=1e-5)
        assert (log_prob.argmax(axis=1) == y).mean() > 0.9


def test_the_classifier_losses_are_those_of_the_formula():
    model = dgm.ACGAN(concatenating_model(), classifying_critic(), class_weight=0.7, seed=0)
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(2, 5, 4)).astype("float32")
    y = np.array([0, 2, 1, 1, 0])

    def log_softmax(outputs):
        logits = outputs[:, :3]
        return (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))[np.arange(5), y]

    def log_sigmoid(v):
        return -np.log1p(np.exp(-v))

    source = np.mean(log_sigmoid(real[:, 3])) + np.mean(log_sigmoid(-fake[:, 3]))
    classes = log_softmax(real).mean() + log_softmax(fake).mean()
    args = [ops.convert_to_tensor(part) for part in (real, fake, y.astype("int32"))]
    loss, _ = model.critic_loss(*args)
    assert float(loss) == pytest.approx(-(source + 0.7 * classes), rel=1e-5)
    model.classify_samples = False
    loss, _ = model.critic_loss(*args)
    assert float(loss) == pytest.approx(-(source + 0.7 * log_softmax(real).mean()), rel=1e-5)
    loss, _ = model.generator_loss(*args[1:])
    own = -np.mean(log_sigmoid(fake[:, 3])) - 0.7 * log_softmax(fake).mean()
    assert float(loss) == pytest.approx(own, rel=1e-5)


def test_conditioning_on_an_image():
    # The second half of a picture given the first: its negative, with noise.
    keras.utils.set_random_seed(0)
    shape = (2, 4, 1)
    rng = np.random.default_rng(0)
    given = rng.uniform(-0.5, 0.5, (6000, *shape)).astype("float32")
    x = -given + 0.05 * rng.normal(size=given.shape).astype("float32")
    network = ConditionalSequential(
        [networks.joint_mlp([32], output_units=8, output_activation="tanh"), layers.Reshape(shape)]
    )
    model = dgm.GAN(
        ImplicitModel(2, network, condition_shape=shape),
        ConditionalSequential(
            [ConcatenateCondition(), layers.Flatten(), layers.Dense(32, "relu"), layers.Dense(1)]
        ),
        seed=0,
    )
    assert model.generator.value_range == (-1.0, 1.0)
    model.compile(keras.optimizers.Adam(5e-3, beta_1=0.5))
    model.fit(x, given, batch_size=50, epochs=2, verbose=0)
    drawn = model.sample(200, seed=0, y=given[:200])
    correlation = np.corrcoef(drawn.ravel(), given[:200].ravel())[0, 1]
    assert correlation < -0.5
    with pytest.raises(ValueError, match="need conditions"):
        model.sample(3)
    with pytest.raises(ValueError, match=r"conditions of shape \(n, 2, 4, 1\)"):
        model.fit(x, given[:, :1], verbose=0)


def test_labels_that_are_missing_or_wrong():
    model = dgm.GAN(concatenating_model(), concatenating_critic(), seed=0)
    model.compile("sgd")
    x, y = labelled(8)
    with pytest.raises(ValueError, match=r"conditional and y is missing: fit\(x, y\)"):
        model.fit(x, verbose=0)
    for wrong in (y.astype("float32"), y + 1, y - 1, np.eye(3)[y]):
        with pytest.raises(ValueError, match=r"integer labels in 0 .. 2"):
            model.fit(x, wrong, verbose=0)
    with pytest.raises(ValueError, match="as many conditions"):
        model.sample(4, y=y)
    with pytest.raises(ValueError, match="no condition; leave y out"):
        dgm.GAN(plane_model(), plane_critic()).sample(4, y=1)


def test_parts_that_do_not_go_together():
    with pytest.raises(ValueError, match="keras.Sequential takes x alone"):
        dgm.GAN(concatenating_model(), plane_critic())
    with pytest.raises(ValueError, match="generator has no condition"):
        dgm.GAN(plane_model(), concatenating_critic())
    with pytest.raises(ValueError, match="network is a keras.Sequential"):
        plane_model(num_classes=3)
    with pytest.raises(ValueError, match="told of no condition"):
        ImplicitModel(2, networks.joint_mlp([4], output_units=2, num_classes=3))
    with pytest.raises(ValueError, match="both came"):
        plane_model(num_classes=3, condition_shape=(2,))
    with pytest.raises(ValueError, match="4 numbers for each x"):
        dgm.ACGAN(concatenating_model(), networks.mlp([4], output_units=3))
    with pytest.raises(ValueError, match="generator of labels"):
        dgm.ACGAN(plane_model(), classifying_critic())


def test_data_outside_the_generators_range():
    keras.utils.set_random_seed(0)
    bounded = ImplicitModel(2, networks.mlp([4], output_units=2, output_activation="tanh"))
    model = dgm.GAN(bounded, plane_critic(), seed=0)
    model.compile("sgd")
    with pytest.raises(ValueError, match="from 0 to 255.*from -1 to 1.*127.5"):
        model.fit(np.array([[0.0, 255.0]], "float32"), verbose=0)
    with pytest.raises(ValueError, match=r"expected \(n, 2\)"):
        model.fit(np.zeros((3, 4), "float32"), verbose=0)
    free = ImplicitModel(2, bounded.network, value_range=None)
    loose = dgm.GAN(free, plane_critic(), seed=0)
    loose.check_data(np.array([[0.0, 255.0]]))
    with pytest.raises(ValueError, match="low < high"):
        ImplicitModel(2, bounded.network, value_range=(1, 0))


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (networks.dcgan_generator((28, 28, 1), width=4), (-1.0, 1.0)),
        (networks.dcgan_generator((28, 28, 1), 4, spectral_normalization=True), (-1.0, 1.0)),
        (networks.mlp([4], output_units=2, output_activation="sigmoid"), (0.0, 1.0)),
        (networks.mlp([4], output_units=2), None),
        (keras.Sequential([layers.Dense(4, "tanh"), layers.Reshape((2, 2))]), (-1.0, 1.0)),
    ],
)
def test_the_range_is_that_of_the_last_activation(network, expected):
    assert ImplicitModel(3, network).value_range == expected


def test_the_range_of_a_functional_model():
    inputs = keras.Input((3,))
    hidden = layers.Dense(4, "relu")(inputs)
    network = keras.Model(inputs, layers.Dense(2, "sigmoid")(hidden))
    assert ImplicitModel(3, network).value_range == (0.0, 1.0)


def test_datasets_bring_their_labels(backend_name):
    if backend_name != "tensorflow":
        pytest.skip("tf.data is tried on TensorFlow")
    import tensorflow as tf

    model = dgm.GAN(concatenating_model(), concatenating_critic(), seed=0)
    model.compile("sgd", steps_per_execution=1)
    x, y = labelled(8)
    model.fit(tf.data.Dataset.from_tensor_slices((x, y.astype("int32"))).batch(4), verbose=0)
    with pytest.raises(ValueError, match="y is missing"):
        model.fit(tf.data.Dataset.from_tensor_slices(x).batch(4), verbose=0)


def test_plane_rows_are_unlabelled():
    with pytest.raises(ValueError, match="takes no labels"):
        dgm.GAN(plane_model(), plane_critic()).check_labels(np.zeros(len(plane_rows(3))))
