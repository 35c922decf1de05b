import keras
import numpy as np
import pytest
from keras import layers

from keras_dgm.networks import (
    ConcatenateCondition,
    ConditionalBatchNormalization,
    ConditionalSequential,
    ProjectionHead,
    joint_mlp,
    mlp,
)
from tests.networks.helpers import as_array, check_round_trip, compiled_call, scramble

_RNG = np.random.default_rng(2)
IMAGE = _RNG.normal(size=(5, 4, 6, 2)).astype("float32")
VECTOR = _RNG.normal(size=(5, 3)).astype("float32")
LABELS = np.array([2, 0, 1, 2, 2], "int32")
ONE_HOT = np.eye(3)[LABELS]


@pytest.mark.parametrize("labels", [LABELS, LABELS[:, None], LABELS.astype("int64")])
def test_a_label_becomes_a_one_hot_row(labels):
    found = as_array(ConcatenateCondition(num_classes=3)([VECTOR, labels]))
    np.testing.assert_allclose(found, np.concatenate([VECTOR, ONE_HOT], axis=-1), rtol=1e-6)


def test_a_label_is_repeated_over_an_image():
    layer = ConcatenateCondition(num_classes=3)
    found = as_array(layer([IMAGE, LABELS]))
    repeated = np.broadcast_to(ONE_HOT[:, None, None, :], (5, 4, 6, 3))
    np.testing.assert_allclose(found, np.concatenate([IMAGE, repeated], axis=-1), rtol=1e-6)
    assert layer.compute_output_shape([(None, 4, 6, 2), (None,)]) == (None, 4, 6, 5)


def test_unlabelled_data_have_a_row_of_zeros():
    found = as_array(ConcatenateCondition(num_classes=3)([VECTOR[:1], np.array([-1])]))
    np.testing.assert_array_equal(found[0, 3:], np.zeros(3))


@pytest.mark.parametrize(
    ("x", "condition", "flatten", "expected"),
    [
        (VECTOR, VECTOR, False, (5, 6)),
        (IMAGE, VECTOR, False, (5, 4, 6, 5)),
        (IMAGE, IMAGE[..., :1], False, (5, 4, 6, 3)),
        (VECTOR, IMAGE, False, (5, 51)),
        (IMAGE, VECTOR, True, (5, 51)),
        (IMAGE, IMAGE[:, :2], True, (5, 72)),
        (VECTOR, VECTOR[:, 0], False, (5, 4)),
    ],
)
def test_what_goes_where(x, condition, flatten, expected):
    layer = ConcatenateCondition(flatten=flatten)
    found = as_array(layer([x, condition]))
    assert found.shape == expected
    assert layer.compute_output_shape([x.shape, condition.shape]) == expected
    size = expected[-1] - x.shape[-1] if len(expected) == x.ndim else expected[-1] - x[0].size
    tail = found[..., -size:]
    if condition.ndim == len(expected):
        np.testing.assert_allclose(tail, condition, rtol=1e-6)
    else:
        place = (slice(None), *(1,) * (len(expected) - 2))
        np.testing.assert_allclose(tail[place], condition.reshape(5, -1), rtol=1e-6)
    rest = found[..., : expected[-1] - size]
    np.testing.assert_allclose(rest.reshape(x.shape), x, rtol=1e-6)


def test_concatenation_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"x of shape \(None, 4, 6, 2\).*\(None, 4, 5, 2\)"):
        ConcatenateCondition()([IMAGE, IMAGE[:, :, :5]])
    with pytest.raises(ValueError, match="pair of inputs.*one tensor"):
        ConcatenateCondition()(IMAGE)
    with pytest.raises(ValueError, match=r"labels of shape \(5, 3\).*argmax"):
        ConcatenateCondition(num_classes=3)([VECTOR, ONE_HOT])
    with pytest.raises(ValueError, match="float32.*astype"):
        ConcatenateCondition(num_classes=3)([VECTOR, LABELS.astype("float32")])
    with pytest.raises(ValueError, match="num_classes=0"):
        ConcatenateCondition(num_classes=0)


def test_conditional_batch_normalization_against_numpy():
    layer = ConditionalBatchNormalization(3, momentum=0.8, epsilon=1e-3)
    layer.build([IMAGE.shape, LABELS.shape])
    rng = np.random.default_rng(0)
    gamma, beta = rng.normal(size=(2, 3, 2))
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    mean, variance = IMAGE.mean((0, 1, 2)), IMAGE.var((0, 1, 2))

    def expected(mean, variance):
        hat = (IMAGE - mean) / np.sqrt(variance + 1e-3)
        return gamma[LABELS][:, None, None] * hat + beta[LABELS][:, None, None]

    trained = compiled_call(layer, [IMAGE, LABELS], training=True)
    np.testing.assert_allclose(trained, expected(mean, variance), rtol=1e-4, atol=1e-5)
    running = 0.2 * mean, 0.8 + 0.2 * variance
    inferred = compiled_call(layer, [IMAGE, LABELS])
    np.testing.assert_allclose(inferred, expected(*running), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(as_array(layer.normalization.moving_mean), running[0], atol=1e-5)


def test_conditional_batch_normalization_starts_as_plain_one():
    layer = ConditionalBatchNormalization(3)
    plain = layers.BatchNormalization(epsilon=1e-5)
    np.testing.assert_allclose(
        as_array(layer([VECTOR, LABELS], training=True)),
        as_array(plain(VECTOR, training=True)),
        atol=1e-5,
    )


@pytest.mark.parametrize("normalization", [None, "spectral", "weight"])
def test_projection_head_against_numpy(normalization):
    head = ProjectionHead(3, normalization=normalization)
    head.build([VECTOR.shape, LABELS.shape])
    scramble(head)
    dense = head.dense if normalization is None else head.dense.layer
    embedding = head.embedding.layer if normalization == "spectral" else head.embedding
    kernel, table = as_array(dense.kernel), as_array(embedding.embeddings)
    if normalization == "spectral":
        for _ in range(10):
            head([VECTOR, LABELS], training=True)
        kernel = kernel / np.linalg.norm(kernel)
        table = table / np.linalg.svd(table, compute_uv=False)[0]
    elif normalization == "weight":
        kernel = kernel / np.linalg.norm(kernel) * as_array(head.dense.g)
    inner = np.sum(table[LABELS] * VECTOR, axis=-1, keepdims=True)
    expected = VECTOR @ kernel + as_array(dense.bias) + inner
    found = as_array(head([VECTOR, LABELS]))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_class_conditional_layers_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match=r"labels of shape \(5, 3\)"):
        ConditionalBatchNormalization(3)([VECTOR, ONE_HOT])
    with pytest.raises(ValueError, match="pair of inputs"):
        ConditionalBatchNormalization(3)(VECTOR)
    with pytest.raises(ValueError, match="pool or flatten"):
        ProjectionHead(3)([IMAGE, LABELS])
    with pytest.raises(ValueError, match="'spectrl'.*Did you mean 'spectral'"):
        ProjectionHead(3, normalization="spectrl")


def test_conditional_sequential_feeds_the_condition_to_those_that_take_it():
    network = ConditionalSequential(
        [
            layers.Dense(4),
            ConditionalBatchNormalization(3),
            ConditionalSequential([ConcatenateCondition(3), layers.Dense(5)]),
            layers.Dropout(0.5),
            ProjectionHead(3),
        ]
    )
    network.build([(None, 3), (None,)])
    assert network.compute_output_shape([(None, 3), (None,)]) == (None, 1)
    scramble(network)
    x, *steps = as_array(network([VECTOR, LABELS])), *network.layers
    y = steps[0](VECTOR)
    y = steps[1]([y, LABELS])
    y = steps[2]([y, LABELS])
    np.testing.assert_allclose(x, as_array(steps[4]([y, LABELS])), rtol=1e-5)
    # In training the dropout and the batch's own moments change the result.
    trained = compiled_call(network, [VECTOR, LABELS], training=True)
    assert np.abs(trained - x).max() > 1e-3


def test_conditional_sequential_refuses_an_unconditional_stack():
    with pytest.raises(ValueError, match="none takes the condition.*keras.Sequential"):
        ConditionalSequential([layers.Dense(3)])
    network = ConditionalSequential([ConcatenateCondition(3), layers.Dense(3)])
    with pytest.raises(ValueError, match="pair of inputs"):
        network(VECTOR)


@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (lambda: ConditionalBatchNormalization(3, momentum=0.7), [IMAGE, LABELS]),
        (lambda: ProjectionHead(3, normalization="spectral"), [VECTOR, LABELS]),
        (
            lambda: ConditionalSequential(
                [ConcatenateCondition(3), mlp([4], normalization="batch"), ProjectionHead(3)]
            ),
            [IMAGE, LABELS],
        ),
        (lambda: joint_mlp([4], output_units=1), [IMAGE, VECTOR]),
    ],
    ids=["batch_norm", "projection", "sequential", "joint_mlp"],
)
def test_round_trip(make, inputs, tmp_path):
    check_round_trip(make(), inputs, tmp_path)


def test_mixed_precision(mixed_bfloat16):
    network = ConditionalSequential(
        [layers.Dense(4), ConditionalBatchNormalization(3), ProjectionHead(3, "spectral")]
    )
    outputs = network([VECTOR, LABELS], training=True)
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    assert {variable.dtype for variable in network.trainable_variables} == {"float32"}
    concatenated = ConcatenateCondition(3)([VECTOR, LABELS])
    assert keras.backend.standardize_dtype(concatenated.dtype) == "bfloat16"
