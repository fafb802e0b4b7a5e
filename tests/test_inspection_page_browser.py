"""The page of an inspection in a real browser: what a person sees, clicks and hears."""

from pathlib import Path

import pytest
from test_inspection_arrays import recognizer, sweep
from test_inspection_picture import made

from asr.inspection.arrays import inspect
from asr.inspection.page import write_page

from browsing import Page, luminance, needs_browser, started, webdriver  # isort: skip  (skips where there is none)

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

pytestmark = needs_browser


class Panels(Page):
    """The page of an inspection."""

    def __init__(self, browser, path: Path) -> None:
        super().__init__(browser)
        browser.get(path.as_uri())

    def __call__(self, name: str):
        return self.browser.find_element(By.ID, name)

    def point(self, panel: str, share: float, row: float = 0.5, click: bool = False) -> None:
        """Moves the pointer over a panel, to a share of its width and height."""
        canvas = self.panel(panel).find_element(By.TAG_NAME, "canvas")
        dx, dy = (share - 0.5) * canvas.size["width"], (row - 0.5) * canvas.size["height"]
        actions = webdriver.ActionChains(self.browser, duration=0).move_to_element_with_offset(
            canvas, round(dx), round(dy)
        )
        (actions.click() if click else actions).perform()

    def panel(self, name: str):
        figures = self.browser.find_elements(By.TAG_NAME, "figure")
        return next(figure for figure in figures if figure.find_element(By.TAG_NAME, "b").text == name)

    def said(self, panel: str) -> str:
        return self.panel(panel).find_element(By.TAG_NAME, "span").text


def complaints(browser) -> list:
    return [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with started(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def page(browser, tmp_path):
    """The page of `made`, whose frames last a second."""
    write_page(made(), tmp_path / "a.html")
    yield Panels(browser, tmp_path / "a.html")
    assert not complaints(browser)


def test_a_moment_is_shown_in_every_panel(page):
    assert page("title").text == "a $1$ <b>.wav"
    assert page("facts").text == "exp/a/model: lstm; 2 of 4 units, ordered by when their outputs peak"
    assert not page("moment").is_displayed()
    page.point("CTC", 0.26)
    assert page("now").text == "8.00 s a 90 %, blank 10 % · a"
    assert page.said("forget gate") == "mean 0.50"
    assert page.said("cell state") == "mean size 3.00"
    assert page.said("words") == "a, 8.00 s to 9.00 s, confidence 90 %"
    line, canvas = page("moment").rect, page.panel("CTC").find_element(By.TAG_NAME, "canvas").rect
    assert line["x"] == pytest.approx(canvas["x"] + canvas["width"] / 8, abs=1)
    assert line["width"] == pytest.approx(canvas["width"] / 4, abs=1)
    assert line["height"] > page("stack").size["height"] - 40


def test_the_unit_under_the_pointer(page):
    page.point("cell state", 0.26, row=0.75)
    assert page.said("cell state") == "mean size 3.00, unit 1: \N{MINUS SIGN}3.00"
    assert page.said("forget gate") == "mean 0.50, unit 1: 1.00"
    page.point("cell state", 0.26, row=0.25)
    assert page.said("cell state") == "mean size 3.00, unit 3: 3.00"
    page.point("sound", 0.26)
    assert page.said("cell state") == "mean size 3.00"


def test_keys_and_playing(page):
    page("stack").send_keys(Keys.HOME, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert page("stack").get_attribute("aria-valuenow") == "2.00"
    assert page("now").text == "9.00 s blank 50 %, ␣ 50 %"
    page.press(Keys.ARROW_DOWN)
    assert page.said("forget gate") == "mean 0.00, unit 3: 0.00"
    page.press(" ")
    page.until(lambda: page.run("return audio.currentTime") > 2.6)
    assert page.run("return moment") == 3
    assert page("play").text == "Stop"
    page.press(" ")
    assert page.run("return audio.paused")
    page.press(Keys.SHIFT, Keys.ARROW_LEFT)
    assert page.run("return moment") == 0


def test_a_click_plays_from_there(page):
    page.point("log-mel", 0.5, click=True)
    page.until(lambda: page.run("return audio.currentTime") > 2.0)
    assert page.run("return audio.currentTime") < 3.5
    page.until(lambda: page("play").text == "Stop")
    page("play").click()
    page.until(lambda: page("play").text == "Play")
    assert not page("unplayable").is_displayed()


@pytest.mark.parametrize("encoder", ["gru", "transformer"])
def test_layers_to_choose_from(browser, tmp_path, encoder):
    write_page(inspect(recognizer(encoder), sweep(0.5), layer=1, every=True), tmp_path / "a.html")
    page = Panels(browser, tmp_path / "a.html")
    options = [option.text for option in page("view").find_elements(By.TAG_NAME, "option")]
    both = ["layer 1, forward", "layer 1, backward", "layer 2, forward", "layer 2, backward"]
    assert options == (["layer 1", "layer 2"] if encoder == "transformer" else both)
    names = (
        ["attention", "output"] if encoder == "transformer" else ["reset gate", "update gate", "candidate", "output"]
    )
    shown = [each.text for each in browser.find_elements(By.CSS_SELECTOR, "figcaption b")]
    assert shown == ["sound", "log-mel", *names, "CTC", "words"]
    page.point("output", 0.5)
    before = page.said("output")
    page("view").send_keys(options[1])
    page("view").send_keys(Keys.ENTER)
    page.until(lambda: page.run("return view") == page.run("return views[1]"))
    page.point("output", 0.5)
    assert page.said("output") != before
    if encoder == "transformer":
        assert page.said("attention").startswith("this frame looks most to 0.")
    assert not complaints(browser)


def test_what_does_not_fit_scrolls_to_the_moment(browser, tmp_path):
    size = {"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    write_page(inspect(recognizer(), sweep(12.0)), tmp_path / "a.html")
    page = Panels(browser, tmp_path / "a.html")
    assert page.run("return panels[0].canvas.clientWidth") == 12 * 48
    page("stack").send_keys(Keys.END)
    line = page("moment").rect
    assert 180 < line["x"] < 360 - line["width"]
    caption = page.panel("output").find_element(By.TAG_NAME, "b").rect
    assert 0 < caption["x"] < 30
    page("stack").send_keys(Keys.HOME)
    assert page.run("return stack.scrollLeft") < 20
    assert page.run("return document.documentElement.scrollWidth") <= 360
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


COLOURS = """
return [...document.querySelectorAll("h1, #facts, #now, button, select, figcaption > *, .keys")].map(each => {
    let behind = each;
    while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
    return [getComputedStyle(each).color, getComputedStyle(behind).backgroundColor];
});
"""

FIRST_FRAME = """
const { width, height } = panels[2].canvas, context = panels[2].canvas.getContext("2d");
return [0.25, 0.75].map(y => [...context.getImageData(width / 16, y * height, 1, 1).data].slice(0, 3));
"""


@pytest.mark.parametrize("width", [360, 1200])
def test_it_can_be_read_on_any_screen_by_day_and_by_night(page, width):
    command = page.browser.execute_cdp_cmd
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    command("Emulation.setDeviceMetricsOverride", size)
    page("stack").send_keys(Keys.HOME)
    grounds, opened = [], []
    for scheme in ("light", "dark"):
        command("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        for ink, ground in page.run(COLOURS):
            darker, lighter = sorted((luminance(ink), luminance(ground)))
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (scheme, ink, ground)
        grounds.append(luminance(page.run("return getComputedStyle(document.body).backgroundColor")))
        assert page.run("return document.documentElement.scrollWidth") <= width
        page.run("redraw()")
        first, second = (luminance(f"rgb({','.join(map(str, pixel))})") for pixel in page.run(FIRST_FRAME))
        opened.append(first - second)  # of unit 3, open in the first frame, and of unit 1, shut
    assert grounds[0] > 0.8
    assert grounds[1] < 0.05
    assert opened[0] < -0.5
    assert opened[1] > 0.5
    command("Emulation.clearDeviceMetricsOverride", {})
    command("Emulation.setEmulatedMedia", {"features": []})
