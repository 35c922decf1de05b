"""The page's structure, its curves and walks, without a browser."""

import html.parser
import re

import numpy as np
import pytest

from keras_dgm import cli, gallery, plotting, presets
from keras_dgm.gallery import build, pictures, render
from keras_dgm.gallery.curves import HEIGHT, WIDTH, curves
from keras_dgm.gallery.walks import between
from keras_dgm.presets import registry

VOID = {"meta", "link", "img", "input", "path", "polyline", "br"}


class Outline(html.parser.HTMLParser):
    """Collects tags with their attributes, ids and links; notes tags left open or closed twice."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.faults = [], [], []
        self.feed(text)
        self.faults += self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag in VOID or not self.open or self.open.pop() != tag:
            self.faults.append(f"/{tag}")

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def test_structure(page):
    text = page.read_text(encoding="utf-8")
    outline = Outline(text)
    assert outline.faults == []
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    cards = outline.of("article")
    assert [card["data-family"] for card in cards] == [
        "directed",
        "undirected",
        "adversarial",
        "directed",
        "symmetric",
    ]
    images = outline.of("img")
    assert len(images) == 15
    for image in images:
        assert (page.parent / image["src"]).read_bytes().startswith(b"\x89PNG")
        assert image["alt"] and int(image["width"]) > 0 and int(image["height"]) > 0
    assert "&lt;digits&gt; &amp; friends" in text and "<digits>" not in text
    assert text.count("-87.63") == 10 and "Somebody 2016, Table 1" in text


def test_the_page_asks_for_nothing_from_elsewhere(page):
    text = page.read_text(encoding="utf-8")
    outline = Outline(text)
    for _, attributes in outline.tags:
        for name in ("src", "href", "action"):
            assert not re.match(r"(https?:)?//", attributes.get(name) or "")
    assert "http" not in re.sub(r"http://www\.w3\.org/\S*", "", text)
    assert "@import" not in text and "url(" not in text


def test_a_model_that_says_nothing_of_itself():
    bare = render.Model("thing", {"class": "Thing", "parameters": 3}, {}, [])
    text = render.render([bare])
    assert Outline(text).faults == []
    assert "Nothing was measured." in text and bare.family == "network" and bare.data == "unknown"


@pytest.mark.parametrize(
    "start, end",
    [([[3.0, 0.0]], [[0.0, 1.0]]), ([[1.0, 2.0]], [[-1.0, -2.0]]), ([[0.5, 0.5]], [[1.5, 1.5]])],
)
def test_walks_of_real_codes_begin_and_end_where_they_should(start, end):
    path = between(np.float32(start), np.float32(end), 9)
    assert path.shape == (1, 9, 2) and np.isfinite(path).all()
    np.testing.assert_allclose(path[:, 0], start, atol=1e-5)
    np.testing.assert_allclose(path[:, -1], end, atol=1e-5)


def test_walks_between_gaussian_draws_keep_their_length():
    start, end = np.random.default_rng(0).normal(size=(2, 4, 100)).astype("float32")
    lengths = np.linalg.norm(between(start, end, 11), axis=-1)
    assert lengths.min() > 0.95 * min(lengths[:, 0].min(), lengths[:, -1].min())
    straight = np.linalg.norm((start + end) / 2, axis=-1)
    assert straight.max() < 0.9 * lengths.min()


def test_walks_of_binary_codes_stay_binary():
    start, end = np.float32([[0, 0, 1, 1, 0, 1]]), np.float32([[1, 1, 1, 0, 1, 1]])
    path = between(start, end, 5)[0]
    assert set(np.unique(path)) == {0.0, 1.0}
    assert [int((step != start[0]).sum()) for step in path] == [0, 1, 2, 3, 4]
    one_hot = np.eye(3, dtype="float32")[[[0, 1], [2, 2]]]
    path = between(one_hot[:1], one_hot[1:], 3)
    np.testing.assert_array_equal(path.sum(-1), 1.0)
    np.testing.assert_array_equal(path[0, 1].argmax(-1), [2, 1])


def test_curves_put_validated_terms_first_and_bridge_their_gaps():
    history = {
        "epoch": [1, 2, 3, 4],
        "loss": [4.0, None, 2.0, 1.0],
        "elbo": [-4.0, -3.0, -2.0, -1.0],
        "val_elbo": [-5.0, None, None, -2.0],
        "constant": [1.0] * 4,
        "learning_rate_adam": [4.0, 3.0, 2.0, 1.0],
    }
    assert [panel["name"] for panel in curves(history)] == ["elbo", "loss"]
    first, second, third = curves({**history, "kl": [1.0, 2.0, 3.0, 4.0]})
    assert [first["name"], second["name"], third["name"]] == ["elbo", "loss", "kl"]
    training, validation = first["lines"]
    assert training["points"] == [
        f"0.0,{0.75 * HEIGHT:.1f} {WIDTH / 3:.1f},{0.5 * HEIGHT:.1f} "
        f"{2 * WIDTH / 3:.1f},{0.25 * HEIGHT:.1f} {WIDTH:.1f},0.0"
    ]
    assert validation["points"] == [f"0.0,{HEIGHT:.1f} {WIDTH:.1f},{HEIGHT / 4:.1f}"]
    # A single point is no line; what follows the gap is.
    assert len(second["lines"][0]["points"]) == 1


@pytest.mark.parametrize("history", [{}, {"epoch": [1], "loss": [2.0]}, {"epoch": [1, 2]}])
def test_no_curve_without_a_course(history):
    assert curves(history) == []


def test_a_first_epoch_far_off_does_not_flatten_the_rest():
    (panel,) = curves({"epoch": list(range(100)), "loss": [1e6, *np.linspace(2, 1, 99)]})
    assert float(panel["high"]) < 3


def test_tiles_hold_every_pixel_and_clear_gaps():
    images = np.linspace(0, 1, 3 * 28 * 28).reshape(3, 28, 28, 1)
    png = plotting.image_tiles(images, columns=2, gap=4)
    assert render.Picture("", "", "", png).size == (60, 60)
    import io

    from matplotlib.image import imread

    picture = imread(io.BytesIO(png))
    np.testing.assert_allclose(picture[32:, :28, 0], images[2, ..., 0], atol=1 / 255)
    assert picture[:28, 28:32, 3].max() == 0 and picture[32:, 32:, 3].max() == 0


@pytest.fixture
def small(tmp_path, monkeypatch):
    """An untrained model of the digits in a zoo of its own."""
    monkeypatch.setattr(registry, "zoo_folder", lambda: tmp_path / "zoo")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    import keras_dgm as dgm

    model = dgm.VAE(
        dgm.models.LatentVariableModel(
            dgm.distributions.Normal((2,)),
            dgm.distributions.Bernoulli((8, 8, 1), network=dgm.networks.mlp([4])),
        ),
        dgm.distributions.Normal((2,), network=dgm.networks.mlp([4])),
    )
    arguments = {"name": "digits", "binarize": "threshold"}
    data = presets.describe_data(dgm.datasets.load(**arguments), **arguments)
    folder = presets.write_zoo_folder(model, tmp_path / "zoo" / "small_digits", {"data": data})
    presets.zoo.write_index(folder.parent)
    return folder


def test_command(small, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        cli.main(["gallery", "-o", "page"])
    out = capsys.readouterr().out
    assert stop.value.code == 0 and "small_digits: samples, walk, reconstructions" in out
    (card,) = Outline((tmp_path / "page" / "index.html").read_text()).of("article")
    assert (card["data-name"], card["data-family"], card["data-data"]) == (
        "small_digits",
        "directed",
        "digits",
    )
    assert len(list((tmp_path / "page" / "pictures").glob("*.png"))) == 3
    with pytest.raises(SystemExit) as stop:
        cli.main(["gallery", "--names", "nothing_here"])
    assert stop.value.code == 2


def test_without_its_data_a_model_shows_what_it_can(small, tmp_path, monkeypatch):
    def absent(**arguments):
        raise FileNotFoundError("digits is not here")

    monkeypatch.setattr(build.datasets, "load", absent)
    said = []
    gallery.make_gallery(tmp_path / "page", say=said.append)
    assert "without its data (digits is not here)" in said[0]
    assert said[1] == "small_digits: samples, walk"


def test_a_field_of_the_plane_shows_points_and_density(tmp_path):
    import keras_dgm as dgm

    class Plane:
        """A standard normal field whose samples are its own."""

        def sample(self, count, seed=None):
            return np.random.default_rng(seed).normal(size=(count, 2)).astype("float32")

        def potential(self, x):
            return -0.5 * np.sum(np.square(x), axis=-1)

    for data in (None, dgm.datasets.load("two_moons")):
        drawn = pictures.draw_pictures(Plane(), data, tmp_path)
        assert [picture.kind for picture in drawn] == ["samples", "density"]
        assert all(picture.png.startswith(b"\x89PNG") for picture in drawn)
        assert ("held-out" in drawn[0].caption) == (data is not None)


def test_an_empty_zoo_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "zoo_folder", lambda: tmp_path)
    with pytest.raises(ValueError, match="nothing to show"):
        gallery.make_gallery(tmp_path / "page")


def test_what_draws_no_samples_shows_what_is_stored(tmp_path):
    png = plotting.image_tiles(np.zeros((1, 8, 8)))
    assert pictures.draw_pictures(object(), None, tmp_path) == []
    (tmp_path / "samples.png").write_bytes(png)
    (picture,) = pictures.draw_pictures(object(), None, tmp_path)
    assert (picture.kind, picture.png) == ("samples", png)
