"""The page in a real headless browser; skipped where there is none."""

import os
import shutil

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium: that of $CHROMIUM, of the path, or playwright's own."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    with playwright.sync_playwright() as driver:
        path = found or driver.chromium.executable_path
        if not os.path.exists(path):
            pytest.skip("no Chromium on this machine: install one, or name it in $CHROMIUM")
        # No sandbox: continuous integration runs as root.
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=[(1280, "light"), (360, "dark")], ids=["desktop", "phone"])
def tab(browser, page, request):
    """The page opened, with everything that it complained about or asked for."""
    width, scheme = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
    )
    tab = context.new_page()
    tab.complaints, tab.requests = [], []
    tab.on("console", lambda message: tab.complaints.append(message.text))
    tab.on("pageerror", lambda error: tab.complaints.append(str(error)))
    tab.on("requestfailed", lambda request: tab.complaints.append(request.url))
    tab.on("request", lambda request: tab.requests.append(request.url))
    tab.goto(page.as_uri())
    yield tab
    assert tab.complaints == []
    assert all(url.startswith(("file:", "data:")) for url in tab.requests)
    context.close()


def names(tab):
    return tab.eval_on_selector_all(".card:not([hidden])", "cards => cards.map(c => c.id)")


def test_every_image_loads(tab):
    for button in tab.query_selector_all("[role=tab]"):
        button.click()
    sizes = tab.eval_on_selector_all(
        "img",
        "images => Promise.all(images.map(i => { i.loading = 'eager'; "
        "return i.decode().then(() => i.naturalWidth) }))",
    )
    assert len(sizes) == 15 and min(sizes) > 0


def test_nothing_is_wider_than_the_screen(tab):
    wide = "document.documentElement.scrollWidth > window.innerWidth"
    assert not tab.evaluate(wide)
    tab.eval_on_selector_all("details", "all => all.forEach(d => d.open = true)")
    assert not tab.evaluate(wide)
    tab.add_style_tag(content="#models { min-width: 3000px }")
    assert tab.evaluate(wide)


@pytest.mark.parametrize(
    "key, first, last",
    [
        ("family", "iwae_mnist", "rbm_mnist"),
        ("data", "vae_digits", "bigan_two_moons"),
        ("name", "bigan_two_moons", "vae_digits"),
        ("parameters", "iwae_mnist", "gan_mnist"),
    ],
)
def test_sorting(tab, key, first, last):
    other = "name" if key != "name" else "data"
    tab.select_option("#sort", other)
    before = names(tab)
    tab.select_option("#sort", key)
    after = names(tab)
    assert (after[0], after[-1]) == (first, last)
    assert sorted(before) == sorted(after) and before != after


def test_filters(tab):
    tab.select_option("#data", "mnist")
    tab.select_option("#family", "directed")
    assert names(tab) == ["iwae_mnist"] and tab.inner_text("#count") == "1 of 5 models"
    tab.select_option("#family", "symmetric")
    assert names(tab) == [] and tab.is_visible("#nothing")
    tab.select_option("#family", "")
    tab.select_option("#data", "")
    tab.fill("#search", "bigan")
    assert names(tab) == ["bigan_two_moons"]
    tab.fill("#search", "")
    assert len(names(tab)) == 5 and not tab.is_visible("#nothing")


def test_by_keyboard_alone(tab):
    reached = []
    for _ in range(12):
        tab.keyboard.press("Tab")
        reached.append(tab.evaluate("document.activeElement.id || document.activeElement.tagName"))
        if reached[-1] not in ("BODY",):
            outline = "getComputedStyle(document.activeElement).outlineStyle"
            assert tab.evaluate(outline) != "none", reached
    assert reached[:4] == ["sort", "family", "data", "search"]
    assert "A" in reached and "SUMMARY" in reached
    # The families come first, so iwae_mnist is the first card; its tabs are one stop.
    first = "iwae_mnist-view-0-tab"
    assert first in reached
    tab.focus(f"#{first}")
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate("document.activeElement.id") == "iwae_mnist-view-1-tab"
    assert tab.is_visible("#iwae_mnist-view-1") and not tab.is_visible("#iwae_mnist-view-0")
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("ArrowLeft")
    assert tab.is_visible("#iwae_mnist-view-3 svg")
    tab.focus("#search")
    tab.keyboard.type("gan_mnist")
    assert names(tab) == ["gan_mnist"]


def test_text_stands_out_from_its_ground(tab):
    """Contrast of body and soft text against the card, by WCAG's formula, at least 4.5 to 1."""
    ratio = """() => {
      const channel = c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
      const light = color => { const [r, g, b] = color.match(/[\\d.]+/g).map(Number);
        return 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b); };
      const style = s => getComputedStyle(document.querySelector(s));
      const ground = light(style('.card').backgroundColor) + 0.05;
      return ['.card', '.card header p', 'summary', 'h2 a', '.figure dt'].map(s => {
        const ink = light(style(s).color) + 0.05;
        return Math.max(ink, ground) / Math.min(ink, ground); });
    }"""
    assert min(tab.evaluate(ratio)) > 4.5
