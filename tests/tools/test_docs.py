"""The pages' code runs, every algorithm has a page, the table of figures is up to date."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest

import keras_dgm

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"


def tool(name):
    spec = importlib.util.spec_from_file_location(f"tool_{name}", REPOSITORY / f"tools/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def algorithms():
    public = [getattr(keras_dgm, name) for name in keras_dgm.__all__]
    classes = {c for c in public if isinstance(c, type) and issubclass(c, keras_dgm.Algorithm)}
    return {c.__name__ for c in classes - {keras_dgm.Algorithm}}


def python(page, **smaller):
    """The page's Python, with smaller numbers in the place of larger ones."""
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL)
    for name, (large, small) in smaller.items():
        old, new = f"{name}={large}", f"{name}={small}"
        assert any(old in block for block in blocks)
        blocks = [block.replace(old, new) for block in blocks]
    return blocks


def test_every_algorithm_has_a_page_with_an_equation_and_no_other_has():
    pages = {}
    for path in (DOCS / "algorithms").glob("*.md"):
        text = path.read_text("utf-8")
        for name in re.findall(r"^::: keras_dgm\.(\w+)$", text, re.MULTILINE):
            pages[name] = text
            assert text.startswith(f"# {name}\n")
    assert set(pages) == algorithms()
    for text in pages.values():
        assert re.search(r"^\$\$\n.+?\n\$\$$", text, re.MULTILINE | re.DOTALL)
        assert "\nSource: " in text and "What to watch for" in text


def test_the_navigation_and_the_overview_name_every_page():
    navigation = (REPOSITORY / "mkdocs.yml").read_text("utf-8")
    overview = (DOCS / "algorithms" / "index.md").read_text("utf-8")
    for path in DOCS.rglob("*.md"):
        assert str(path.relative_to(DOCS)) in navigation
        if path.parent.name == "algorithms" and path.name != "index.md":
            assert f"({path.name})" in overview


def test_the_first_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in python("index.md", epochs=(20, 1), num_samples=(500, 5)):
        exec(compile(block, "index.md", "exec"), names)
    assert names["images"].shape == (64, 8, 8, 1)
    assert type(keras_dgm.from_preset(tmp_path / "my_vae_digits")).__name__ == "VAE"


def test_an_algorithm_of_ones_own_runs_in_sixty_lines(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = python("own_algorithm.md", epochs=(20, 2))
    lines = [line for line in blocks[0].splitlines() if line.strip()]
    assert len(lines) <= 60 and max(map(len, lines)) <= 100
    names = {"__name__": "own_algorithm"}
    for block in blocks:
        exec(compile(block, "own_algorithm.md", "exec"), names)
    model, images = names["model"], names["data"].test.images[:50]
    assert model.history.history["val_bound"][-1] > model.history.history["val_bound"][0]
    # At alpha = 0 the bound is the K-sample bound, and it falls as alpha rises.
    bounds = []
    for alpha in (0.0, 0.5, 0.95):
        other = names["RenyiVAE"](model.generative, model.inference, alpha, 50, seed=0)
        other.compile()
        bounds.append(other.evaluate(images, verbose=0, return_dict=True)["bound"])
    assert bounds[0] > bounds[1] > bounds[2]
    iwae = keras_dgm.IWAE(model.generative, model.inference, num_samples=50, seed=0)
    exact = iwae.log_likelihood(images, num_samples=2000).mean()
    assert bounds[0] == pytest.approx(exact, abs=1.0) and bounds[2] < exact - 1.0
    loaded = names["keras"].saving.load_model("renyi.keras")
    np.testing.assert_array_equal(loaded.get_weights()[0], model.get_weights()[0])


def test_the_table_of_figures_is_up_to_date(capsys):
    assert tool("figures_table").main(["--check"]) == 0, capsys.readouterr().out


def test_a_stale_table_is_noticed(tmp_path, capsys):
    folder = tmp_path / "zoo" / "thing_digits"
    folder.mkdir(parents=True)
    metadata = {"class": "VAE", "module": "keras_dgm.algorithms.directed.vae", "parameters": 3}
    figure = {"value": 7.5, "features": "c sha256 " + 64 * "a", "n_fake": 9}
    metrics = {"data": {"name": "digits"}, "figures": {"frechet_distance": figure}}
    (folder / "metadata.json").write_text(json.dumps(metadata))
    (folder / "metrics.json").write_text(json.dumps(metrics))
    options = ["--zoo", str(tmp_path / "zoo"), "--output", str(tmp_path / "figures.md")]
    table = tool("figures_table")
    assert table.main(["--check", *options]) == 1 and not (tmp_path / "figures.md").exists()
    assert table.main(options) == 0 and table.main(["--check", *options]) == 0
    row = (
        "| `thing_digits` | `VAE` | digits | frechet distance | 7.5 (features of c, n_fake 9) | - |"
    )
    assert row in (tmp_path / "figures.md").read_text().splitlines()
    metrics["published"] = {"frechet_distance": {"value": 6.1, "source": "A | B"}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    assert table.main(["--check", *options]) == 1
    assert table.main(options) == 0
    assert "| 6.1 (A / B) |" in (tmp_path / "figures.md").read_text()


def test_equations_become_mathml():
    pytest.importorskip("latex2mathml")

    class Page:
        class file:
            src_path = "page.md"

    convert = tool("mathml").on_page_content
    html = convert('<p><span class="arithmatex">\\(a &lt; b\\)</span></p>', Page)
    assert "<math" in html and "&#x0003C;" in html and "arithmatex" not in html
    html = convert('<div class="arithmatex">\\[\nx^2\n\\]</div>', Page)
    assert '<div class="equation"><math' in html and 'display="block"' in html
    with pytest.raises(ValueError, match="page.md: .* is no equation"):
        convert('<span class="arithmatex">\\(a_1_2\\)</span>', Page)


def test_docstrings_become_markdown():
    pytest.importorskip("griffe")
    apart = tool("docstrings").apart
    text = "Sum:\n    a + b\nafter. Kinds:\n- one\n  more\n- two\n\nArgs:\n    x: it.\n"
    assert apart(text) == (
        "Sum:\n\n    a + b\n\nafter. Kinds:\n\n- one\n  more\n- two\n\nArgs:\n    x: it."
    )
