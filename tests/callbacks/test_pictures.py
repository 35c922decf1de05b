"""The picture callbacks on a small VAE: files, TensorBoard, seeds, errors before training."""

import keras
import numpy as np
import pytest
from PIL import Image

import keras_dgm as dgm
from keras_dgm import callbacks, plotting

IMAGES = np.random.default_rng(0).integers(0, 2, (64, 8, 8, 1)).astype(np.float32)
EPOCHS = 3


def _vae(prior=None):
    model = dgm.VAE(
        dgm.models.LatentVariableModel(
            prior or dgm.distributions.Normal((2,)),
            dgm.distributions.Bernoulli((8, 8, 1), network=dgm.networks.mlp([8])),
        ),
        dgm.distributions.Normal((2,), network=dgm.networks.mlp([8])),
        seed=1,
    )
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    return model


class Spy(callbacks.SampleGrid):
    """Keeps what it draws."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.drawn = []

    def draw(self, epoch):
        self.drawn.append(self.model.sample(self.num_samples, seed=self.seed, **self.options))
        return super().draw(epoch)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    ema = callbacks.ExponentialMovingAverage(0.99, swap_for_validation=True)
    spy = Spy(folder / "pictures", num_samples=9, every=2, seed=4, mean=True)
    averaged = Spy(folder / "averaged", num_samples=9, seed=4, mean=True, average=ema)
    board = folder / "logs"
    made = {
        "ema": ema,
        "spy": spy,
        "averaged": averaged,
        "strip": callbacks.ReconstructionStrip(
            folder / "pictures", IMAGES[:5], tensorboard_dir=board
        ),
        "traversal": callbacks.LatentTraversal(
            folder / "pictures", IMAGES[:2], span=2.0, num_values=5
        ),
        "curves": callbacks.TrainingCurves(folder / "curves.png"),
    }
    model = _vae()
    history = model.fit(
        IMAGES,
        batch_size=16,
        epochs=EPOCHS,
        verbose=0,
        validation_data=IMAGES[:16],
        validation_freq=2,
        callbacks=list(made.values()),
    )
    return model, folder, made, history.history


def _names(folder, tag):
    return sorted(path.name for path in folder.glob(f"{tag}-*"))


def test_pictures_are_written_for_the_epochs_asked_for(run):
    _, folder, _, _ = run
    pictures = folder / "pictures"
    assert _names(pictures, "samples") == ["samples-0002.png"]
    for tag in ("reconstructions", "traversals"):
        assert _names(pictures, tag) == [f"{tag}-{epoch:04d}.png" for epoch in (1, 2, 3)]
    for path in pictures.iterdir():
        with Image.open(path) as picture:
            assert np.asarray(picture.convert("L")).std() > 5, path


def test_samples_follow_the_weights_with_one_noise(run):
    model, _, made, _ = run
    last = model.sample(9, seed=4, mean=True)
    assert np.any(made["spy"].drawn[0] != last)  # of epoch 2
    assert made["spy"].drawn[0].shape == (9, 8, 8, 1)


def test_an_average_draws_with_its_weights(run):
    model, _, made, _ = run
    last = made["averaged"].drawn[-1]
    assert np.abs(last - model.sample(9, seed=4, mean=True)).max() > 1e-4
    with made["ema"].swap():
        np.testing.assert_allclose(last, model.sample(9, seed=4, mean=True), atol=1e-6)


def test_traversal_moves_one_coordinate_at_a_time(run, monkeypatch):
    model, _, made, _ = run
    drawn = {}

    def record(images, **options):
        drawn.update(images=images, **options)

    monkeypatch.setattr(plotting, "latent_traversal", record)
    made["traversal"].set_model(model)
    made["traversal"].draw(1)
    np.testing.assert_allclose(drawn["values"], [-2, -1, 0, 1, 2])
    assert drawn["row_labels"] == ["x0 h0", "x0 h1", "x1 h0", "x1 h1"]
    h = model.infer(IMAGES[:2])
    for row, (image, dimension) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        for column, value in enumerate(drawn["values"]):
            moved = h[image : image + 1].copy()
            moved[0, dimension] = value
            expected = model.generative.likelihood.mean(keras.ops.convert_to_tensor(moved))
            np.testing.assert_allclose(drawn["images"][row, column], expected[0], atol=1e-6)


def test_tensorboard_gets_the_same_pictures(run):
    tf = pytest.importorskip("tensorflow")
    _, folder, _, _ = run
    (path,) = (folder / "logs").iterdir()
    assert "tfevents" in path.name
    events = []
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        events.append(tf.compat.v1.Event.FromString(record))
    assert events[0].file_version == "brain.Event:2"
    assert [event.step for event in events[1:]] == [1, 2, 3]
    for event in events[1:]:
        (value,) = event.summary.value
        assert value.tag == "reconstructions"
        png = (folder / "pictures" / f"reconstructions-{event.step:04d}.png").read_bytes()
        assert value.image.encoded_image_string == png
        with Image.open(folder / "pictures" / f"reconstructions-{event.step:04d}.png") as picture:
            assert (value.image.width, value.image.height) == picture.size


def test_curves_hold_every_metric_at_its_epoch(run):
    _, folder, made, history = run
    kept = made["curves"].history
    assert set(kept) == set(history)
    np.testing.assert_allclose(kept["loss"], history["loss"])
    first, second, *rest = kept["val_elbo"]
    assert first is None and second == history["val_elbo"][0] and rest == []
    with Image.open(folder / "curves.png") as picture:
        assert picture.size[0] > 300


def test_curves_go_on_where_a_run_goes_on(tmp_path):
    curves = callbacks.TrainingCurves(tmp_path / "curves.png", every=10)
    curves.on_epoch_end(3, {"loss": 2.0})
    assert not (tmp_path / "curves.png").exists()
    curves.on_epoch_end(4, {"loss": 1.0})
    curves.on_epoch_end(4, {"loss": 1.5})  # repeated after a restore
    curves.on_train_end()
    assert curves.history == {"loss": [None, None, None, 2.0, 1.5]}
    assert (tmp_path / "curves.png").exists()


@pytest.mark.parametrize(
    "result, ok",
    [
        (IMAGES[:4], True),
        ((IMAGES[:4], "h"), True),
        ({"x": IMAGES[:4], "h": 0}, True),
        ({"y": 0}, False),
    ],
)
def test_samples_may_come_with_their_latents(tmp_path, result, ok):
    class Model:
        def sample(self, num_samples, seed):
            return result

    grid = callbacks.SampleGrid(tmp_path, num_samples=4)
    grid.set_model(Model())
    grid.on_train_begin()
    if ok:
        grid.on_epoch_end(0)
        assert (tmp_path / "samples-0001.png").exists()
    else:
        with pytest.raises(ValueError, match=r"without 'x': \['y'\]"):
            grid.on_epoch_end(0)


def _chain():
    dense = dgm.networks.mlp
    return dgm.VAE(
        dgm.models.LatentVariableModel(
            dgm.distributions.Chain(
                [
                    dgm.distributions.Normal((2,)),
                    dgm.distributions.Normal((2,), network=dense([4])),
                ]
            ),
            dgm.distributions.Bernoulli((8, 8, 1), network=dense([4])),
        ),
        dgm.distributions.Chain(
            [
                dgm.distributions.Normal((2,), network=dense([4])),
                dgm.distributions.Normal((2,), network=dense([4])),
            ]
        ),
    )


@pytest.mark.parametrize(
    "make, model, words",
    [
        (lambda d: callbacks.SampleGrid(d), keras.Sequential, "Sequential has no sample"),
        (
            lambda d: callbacks.ReconstructionStrip(d, IMAGES[:2]),
            keras.Sequential,
            "no reconstruct",
        ),
        (
            lambda d: callbacks.LatentTraversal(d, IMAGES[:2]),
            keras.Sequential,
            "no infer and no generative",
        ),
        (
            lambda d: callbacks.LatentTraversal(d, IMAGES[:2], dimensions=[0, 2]),
            _vae,
            r"coordinates 0, ..., 1; received dimensions=\[0, 2\]",
        ),
        (lambda d: callbacks.LatentTraversal(d, IMAGES[:2]), _chain, "one latent layer"),
    ],
)
def test_a_model_that_will_not_do_is_refused_before_training(tmp_path, make, model, words):
    callback = make(tmp_path)
    callback.set_model(model())
    with pytest.raises(ValueError, match=words):
        callback.on_train_begin()


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda d: callbacks.SampleGrid(d, every=0), "every must be an integer >= 1; received 0"),
        (lambda d: callbacks.TrainingCurves(d, every=1.5), "every"),
        (lambda d: callbacks.ReconstructionStrip(d, IMAGES[0]), r"received \(8, 8, 1\)"),
        (lambda d: callbacks.LatentTraversal(d, IMAGES[:0]), "ReconstructionStrip|LatentTraversal"),
        (lambda d: callbacks.LatentTraversal(d, IMAGES[:1], span=0), "span"),
        (lambda d: callbacks.LatentTraversal(d, IMAGES[:1], num_values=1), "num_values"),
    ],
)
def test_bad_arguments(tmp_path, make, words):
    with pytest.raises(ValueError, match=words):
        make(tmp_path)


def test_without_tensorflow_the_error_says_what_to_do(tmp_path, monkeypatch):
    import sys

    from keras_dgm.backend.tensorboard import ImageSummaryWriter

    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ImportError, match="pip install tensorflow"):
        ImageSummaryWriter(tmp_path)
    assert list(tmp_path.iterdir()) == []
