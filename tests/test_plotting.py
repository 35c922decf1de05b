"""Figures show what they were given, touch no global state, and refuse what they cannot show."""

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from keras_dgm import plotting
from keras_dgm.plotting import figures

RNG = np.random.default_rng(0)
IMAGES = RNG.random((6, 28, 28, 1)).astype(np.float32)


def _picture(figure):
    return np.asarray(figure.axes[0].images[0].get_array())


def _texts(figure):
    return " ".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def _draw_all(path=None):
    rows = IMAGES.reshape(2, 3, 28, 28, 1)
    z = RNG.normal(size=(50, 3))
    yield "grid", plotting.image_grid(IMAGES, title="a", path=path)
    yield "strip", plotting.reconstruction_strip(IMAGES, IMAGES, path=path)
    yield "traversal", plotting.latent_traversal(rows, [-1, 0, 1], ["h0", "h1"], path=path)
    yield "chain", plotting.chain_strip(rows, path=path)
    yield "scatter", plotting.scatter_latent(z, np.arange(50) % 4, path=path)
    yield "curves", plotting.training_curves({"loss": [2.0, 1.0]}, path=path)
    yield "density", plotting.density_2d(lambda x: -(x**2).sum(-1), z[:, :2], path=path)


def test_every_function_returns_a_figure_and_leaves_matplotlib_alone():
    import matplotlib.pyplot as plt

    before = dict(matplotlib.rcParams), plt.get_fignums(), matplotlib.get_backend()
    for name, figure in _draw_all():
        assert isinstance(figure, Figure), name
    assert (dict(matplotlib.rcParams), plt.get_fignums(), matplotlib.get_backend()) == before


def test_every_function_writes_a_png_and_nothing_else(tmp_path):
    path = tmp_path / "new" / "picture.png"
    sizes = set()
    for name, _ in _draw_all(path):
        with Image.open(path) as picture:
            assert picture.format == "PNG", name
            sizes.add(picture.size)
            assert np.asarray(picture.convert("L")).std() > 5, name
        assert [entry.name for entry in path.parent.iterdir()] == ["picture.png"]
    assert len(sizes) > 1


def test_a_failed_write_leaves_the_old_picture(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    plotting.image_grid(IMAGES, path=path)
    old = path.read_bytes()

    def full(*arguments):
        raise OSError("no space left")

    monkeypatch.setattr(figures.os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        plotting.image_grid(IMAGES[:1], path=path)
    assert path.read_bytes() == old
    assert [entry.name for entry in tmp_path.iterdir()] == ["picture.png"]


def test_tile_puts_every_pixel_in_its_place():
    images = RNG.random((5, 3, 4, 3))
    picture = figures.tile(images, rows=2, columns=3)
    assert picture.shape == (2 * 4 + 1, 3 * 5 + 1, 3)
    covered = np.zeros(picture.shape[:2], bool)
    for index, image in enumerate(images):
        row, column = divmod(index, 3)
        where = np.s_[1 + 4 * row : 4 + 4 * row, 1 + 5 * column : 5 + 5 * column]
        np.testing.assert_array_equal(picture[where], image)
        covered[where] = True
    assert np.all(picture[5:8, 11:15] == 1)  # the place without an image
    assert np.all(picture[0, :] == figures.GAP_GREY)
    assert np.all(picture[:9, 0] == figures.GAP_GREY)


def test_grid_shows_the_images_in_reading_order():
    picture = _picture(plotting.image_grid(IMAGES[..., 0], columns=2))
    assert picture.shape == (3 * 29 + 1, 2 * 29 + 1, 3)
    np.testing.assert_allclose(picture[30:58, 1:29, 0], IMAGES[2, ..., 0], rtol=1e-6)


@pytest.mark.parametrize(
    "scale, shift, dtype, expected",
    [(1, 0, np.float32, 0.5), (2, -1, np.float32, 0.5), (255, 0, np.uint8, 128 / 255)],
)
def test_the_value_range_follows_the_data(scale, shift, dtype, expected):
    images = np.zeros((1, 28, 28))
    images[0, 0, :2] = [1, 0.503]
    figure = plotting.image_grid((images * scale + shift).astype(dtype))
    assert abs(_picture(figure)[1, 2, 0] - expected) < 0.01
    assert "black" not in _texts(figure)


def test_an_unusual_range_is_stretched_and_said():
    images = 3 * IMAGES - 1
    figure = plotting.image_grid(images)
    assert f"from {images.min():.3g} (black) to {images.max():.3g} (white)" in _texts(figure)
    assert _picture(figure)[1:29, 1:29].max() <= 1
    clipped = _picture(plotting.image_grid(images, value_range=(0, 1)))[1:29, 1:29, 0]
    np.testing.assert_allclose(clipped, np.clip(images[0, ..., 0], 0, 1), atol=1e-6)


def test_colour_images_keep_their_channels():
    images = RNG.random((1, 32, 32, 3))
    np.testing.assert_allclose(_picture(plotting.image_grid(images))[1:33, 1:33], images[0])


def test_strip_has_data_above_and_the_model_below():
    figure = plotting.reconstruction_strip(IMAGES, 1 - IMAGES)
    picture = _picture(figure)[..., 0]
    np.testing.assert_allclose(picture[1:29, 1:29], IMAGES[0, ..., 0], rtol=1e-6)
    np.testing.assert_allclose(picture[30:58, 1:29], 1 - IMAGES[0, ..., 0], rtol=1e-5, atol=1e-6)
    assert "data" in _texts(figure) and "model" in _texts(figure)


def test_a_chain_runs_from_left_to_right():
    states = IMAGES.reshape(3, 2, 28, 28, 1)  # 3 steps of 2 chains
    figure = plotting.chain_strip(states, steps=[0, 10, 20])
    picture = _picture(figure)[..., 0]
    assert picture.shape == (2 * 29 + 1, 3 * 29 + 1)
    np.testing.assert_allclose(picture[30:58, 59:87], states[2, 1, ..., 0], rtol=1e-6)
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["0", "10", "20"]


def test_many_columns_are_labelled_sparsely():
    figure = plotting.chain_strip(np.zeros((40, 1, 28, 28)))
    assert 8 <= len(figure.axes[0].get_xticklabels()) <= 12


def test_scatter_draws_the_chosen_dimensions():
    z = RNG.normal(size=(40, 3))
    drawn = plotting.scatter_latent(z, dimensions=(2, 0)).axes[0].collections[0].get_offsets()
    np.testing.assert_allclose(drawn, z[:, [2, 0]])


@pytest.mark.parametrize("num_classes, legend", [(3, True), (20, True), (30, False)])
def test_scatter_names_the_classes(num_classes, legend):
    labels = np.arange(60) % num_classes
    figure = plotting.scatter_latent(RNG.normal(size=(60, 2)), labels)
    assert bool(figure.legends) == legend
    if legend:
        assert len(figure.legends[0].get_texts()) == num_classes
        offsets = figure.axes[0].collections[0].get_offsets()
        colors = figure.axes[0].collections[0].get_facecolors()
        assert len(offsets) == 60 and len(np.unique(colors, axis=0)) == num_classes


def test_curves_pair_training_with_validation():
    history = {"loss": [3.0, np.nan, 1.0], "elbo": [-3.0], "val_loss": [4.0, 3.0, np.inf]}
    figure = plotting.training_curves(history)
    assert [axes.get_title() for axes in figure.axes] == ["loss", "elbo"]
    training, validation = figure.axes[0].lines
    np.testing.assert_array_equal(training.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(training.get_ydata(), [3, np.nan, 1])
    np.testing.assert_array_equal(validation.get_ydata(), [4, 3, np.nan])
    only = plotting.training_curves(history, metrics=["elbo"])
    assert [axes.get_title() for axes in only.axes] == ["elbo"]


def test_values_that_were_not_measured_are_bridged():
    history = {"loss": [3.0, 2.0, 1.0, 0.5], "val_loss": [None, 2.5, None, 1.0]}
    _, validation = plotting.training_curves(history).axes[0].lines
    np.testing.assert_array_equal(validation.get_xdata(), [2, 4])
    np.testing.assert_array_equal(validation.get_ydata(), [2.5, 1.0])


def test_density_is_upright_and_relative():
    figure = plotting.density_2d(
        lambda x: np.where((x[:, 0] > 0) & (x[:, 1] > 0), 2.0, -np.inf), resolution=4
    )
    picture = _picture(figure)
    assert figure.axes[0].images[0].origin == "lower"
    np.testing.assert_array_equal(picture, np.outer([0, 0, 1, 1], [0, 0, 1, 1]))
    grid = np.log([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_allclose(_picture(plotting.density_2d(grid)), np.exp(grid) / 4)


def test_contours_lie_one_nat_apart():
    figure = plotting.density_2d(lambda x: -(x**2).sum(-1), resolution=80, contours=3)
    [lines] = [c for c in figure.axes[0].collections if hasattr(c, "levels")]
    np.testing.assert_allclose(np.diff(lines.levels), 1.0)
    for level, path in zip(lines.levels, lines.get_paths()):
        np.testing.assert_allclose((path.vertices**2).sum(axis=1), -level, atol=0.06)


def test_density_says_how_many_samples_it_leaves_out():
    figure = plotting.density_2d(np.zeros((2, 2)), samples=[[0, 0], [9, 0], [0, -9]])
    assert "2 of 3 samples lie outside" in _texts(figure)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: plotting.image_grid(np.zeros((2, 64))), r"received \(2, 64\)"),
        (lambda: plotting.image_grid(np.zeros((2, 8, 8, 2))), "1 or 3 channels"),
        (lambda: plotting.image_grid(np.zeros((0, 8, 8))), "at least one image"),
        (lambda: plotting.image_grid(np.full((1, 8, 8), np.nan)), "64 of 64 values"),
        (lambda: plotting.image_grid(IMAGES, rows=1, columns=2), "no room for 6"),
        (lambda: plotting.image_grid(IMAGES, value_range=(1, 0)), "low < high"),
        (lambda: plotting.image_grid(["a"]), "array of numbers"),
        (lambda: plotting.reconstruction_strip(IMAGES, IMAGES[:2]), "the same shape"),
        (lambda: plotting.latent_traversal(IMAGES[0]), r"\(rows, columns, height"),
        (lambda: plotting.latent_traversal(IMAGES[None], values=[1]), "6 column labels"),
        (lambda: plotting.chain_strip(IMAGES[..., 0]), "num_steps, num_chains"),
        (lambda: plotting.scatter_latent(np.zeros((5, 1))), "d >= 2"),
        (lambda: plotting.scatter_latent(np.zeros((5, 2)), [1]), r"shape \(5,\)"),
        (lambda: plotting.scatter_latent(np.zeros((5, 2)), dimensions=(0, 2)), "0, ..., 1"),
        (lambda: plotting.training_curves({}), "nothing to draw"),
        (lambda: plotting.training_curves([1, 2]), "dict of lists"),
        (lambda: plotting.training_curves({"a": [1.0]}, metrics=["b"]), r"\['b'\]"),
        (lambda: plotting.density_2d(np.zeros(3)), r"shape \(3,\)"),
        (lambda: plotting.density_2d(np.array([[0, np.nan]])), "NaN"),
        (lambda: plotting.density_2d(lambda x: x), "one value a point"),
        (lambda: plotting.density_2d(np.zeros((2, 2)), np.zeros((2, 3))), r"\(n, 2\)"),
        (lambda: plotting.density_2d(np.zeros((2, 2)), extent=(1, 0, 0, 1)), "extent"),
    ],
)
def test_what_cannot_be_drawn_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
