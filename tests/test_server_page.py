"""The server's page in a real browser: what a person sees, clicks, types and gets."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import write_tone
from test_server import WORDS, Fake, running

from asr.audio import read
from asr.formats import render
from asr.transcript import Transcript

from browsing import Page, luminance, needs_browser, started  # isort: skip  (skips where there is none)

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

pytestmark = needs_browser

HEARD = Transcript("", "so it goes", 3.21, None, WORDS)


class ServerPage(Page):
    """The server's page."""

    def __init__(self, browser, server) -> None:
        super().__init__(browser)
        self.server = server
        browser.get("about:blank")
        browser.get_log("performance")  # what a new tab loads, or the page before
        browser.get(server.url)
        self.until(lambda: self("model").text == "numbers")

    def __call__(self, name: str):
        return self.browser.find_element(By.ID, name)

    def upload(self, path: Path) -> None:
        """Hands over a file as the dialogue does, and waits for the words or the complaint."""
        self("file").send_keys(str(path))
        self.until(lambda: self("name").text == path.name or self("error").is_displayed())

    @property
    def words(self) -> list:
        return self("text").find_elements(By.CLASS_NAME, "word")

    @property
    def time_s(self) -> float:
        return self.run("return audio.currentTime")

    @property
    def complaint(self) -> str:
        return self("error").find_element(By.TAG_NAME, "p").text


@pytest.fixture(scope="module")
def recognizer():
    return Fake()


@pytest.fixture(scope="module")
def server(recognizer):
    with running(recognizer, upload_bytes=1_000_000) as server:
        yield server


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    microphone = write_tone(folder / "microphone.wav", 440.0, 3.0)
    fakes = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with started(folder, *fakes, f"--use-file-for-fake-audio-capture={microphone}") as browser:
        browser.downloads = folder
        yield browser


@pytest.fixture
def page(browser, server):
    page = ServerPage(browser, server)
    yield page
    logged = browser.get_log("browser")
    assert not [entry for entry in logged if entry["level"] == "SEVERE" and entry["source"] != "network"]
    asked = page.asked()
    assert f"{server.url}/health" in asked
    assert not [url for url in asked if not url.startswith((f"{server.url}/", "blob:", "data:"))]


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    return write_tone(tmp_path_factory.mktemp("talks") / "a <b>talk.wav", 440.0, 3.21)


def test_words_with_their_times_and_confidence(page, talk):
    assert "up to 1 MB" in page("limit").text
    page.upload(talk)
    assert [word.text for word in page.words] == ["so", "it", "goes"]
    assert [word.get_attribute("class") for word in page.words] == ["word sure", "word unsure", "word doubtful"]
    assert page.words[1].get_attribute("title") == "0.40 to 0.50 s, confidence 70 %"
    assert page.words[2].get_attribute("data-at") == "2.00"
    assert [each.text for each in page.browser.find_elements(By.CSS_SELECTOR, ".segment > .at")] == ["0:00", "0:02"]
    assert page("name").text == "a <b>talk.wav"
    assert page("facts").text == "0:03 · 3 words · mean confidence 63 %"
    lines = {
        word.value_of_css_property("text-decoration-style")
        for word in page.browser.find_elements(By.CSS_SELECTOR, ".word > span")
    }
    assert lines == {"solid", "dotted", "wavy"}
    assert not page("unplayable").is_displayed()


def test_a_click_on_a_word_plays_from_there(page, talk):
    page.upload(talk)
    page.words[2].click()
    page.until(lambda: page.time_s > 2.05)
    assert page.time_s < 3.2
    assert "playing" in page.words[2].get_attribute("class")
    page.words[0].click()
    assert 0.1 <= page.time_s < 1.5
    page.press(Keys.ESCAPE)
    assert page.run("return audio.paused")


def test_keys(page, talk):
    page.upload(talk)
    assert page.browser.switch_to.active_element == page.words[0]
    page.press(Keys.TAB)
    assert page.browser.switch_to.active_element == page.words[1]
    page.press(Keys.ARROW_RIGHT)
    page.press(Keys.ENTER)
    assert 2.0 <= page.time_s < 3.2
    assert page.browser.switch_to.active_element == page.words[2]
    page.press(Keys.ARROW_LEFT)
    assert page.browser.switch_to.active_element == page.words[1]


def test_downloads(page, talk):
    page.upload(talk)
    links = page("downloads").find_elements(By.TAG_NAME, "a")
    assert [link.text for link in links] == [".txt", ".srt", ".vtt", ".json"]
    for link in links:
        link.click()
    stem = page.run("return document.querySelector('#downloads a').download").removesuffix(".txt")
    assert stem == "a <b>talk"
    paths = [page.browser.downloads / f"a _b_talk.{suffix}" for suffix in ("txt", "srt", "vtt", "json")]
    page.until(lambda: all(path.exists() for path in paths))
    *texts, answer = [path.read_text(encoding="utf-8") for path in paths]
    assert texts == [render(HEARD, name) for name in ("txt", "srt", "vtt")]
    assert [word["word"] for word in json.loads(answer)["words"]] == ["so", "it", "goes"]
    assert "renderings" not in json.loads(answer)


@pytest.mark.parametrize("clipboard", ["saved", "undefined"])
def test_copying(page, talk, clipboard):
    page.upload(talk)
    allowed = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    page.browser.execute_cdp_cmd("Browser.grantPermissions", allowed)
    page.run("window.saved = navigator.clipboard; return saved.writeText('')")
    page.run(f"Object.defineProperty(navigator, 'clipboard', {{value: {clipboard}}})")
    page("copy").click()
    page.until(lambda: page("copy").text == "Copied")
    assert page.run("return saved.readText()") == "so it goes"


def test_complaints(page, talk, tmp_path):
    (tmp_path / "noise.wav").write_bytes(b"noise")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "large.wav").write_bytes(bytes(1_000_001))
    page.upload(tmp_path / "noise.wav")
    assert page.complaint == "noise.wav: no sound found in it"
    assert page("drop").is_displayed()
    page.press(Keys.ESCAPE)
    assert not page("error").is_displayed()
    page.upload(tmp_path / "empty.wav")
    assert page.complaint == "empty.wav: the file is empty"
    page("error").find_element(By.TAG_NAME, "button").click()
    assert not page("error").is_displayed()
    page.upload(tmp_path / "large.wav")
    assert page.complaint == "large.wav: larger than 1 MB"
    page.upload(talk)
    assert not page("error").is_displayed()
    assert len(page.words) == 3


def test_the_server_has_the_last_word_on_what_is_too_large(page, tmp_path):
    (tmp_path / "large.wav").write_bytes(bytes(3_000_000))
    page.run("limit = Infinity")
    page.upload(tmp_path / "large.wav")
    assert page.complaint == "the upload is larger than 1 MB"


def test_a_recording_from_the_microphone(page, recognizer, tmp_path):
    page("record").click()
    page.until(lambda: page("seconds").text == "0:01")
    assert page("doing").text == "Recording"
    page("finish").click()
    page.until(lambda: page("name").text == "recording.webm")
    (tmp_path / "heard").write_bytes(recognizer.heard[-1])
    waveform = read(tmp_path / "heard", 16000)
    assert 0.8 < len(waveform) / 16000 < 4
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    assert spectrum.argmax() * 16000 / len(waveform) == pytest.approx(440, abs=5)
    page.until(lambda: page.run("return isFinite(audio.duration)"))
    page.words[1].click()
    assert 0.4 <= page.time_s < 1.0


def test_a_recording_that_is_given_up(page, recognizer):
    before = len(recognizer.heard)
    page("record").click()
    page.until(lambda: page("finish").is_displayed())
    page.press(Keys.ESCAPE)
    page.until(lambda: page("drop").is_displayed())
    time.sleep(0.3)
    assert len(recognizer.heard) == before
    assert not page("result").is_displayed()


def test_work_that_is_given_up(page, recognizer, talk):
    recognizer.go.clear()
    try:
        page("file").send_keys(str(talk))
        page.until(lambda: page("doing").text == "Transcribing a <b>talk.wav")
        assert not page("drop").is_displayed()
        assert page("bar").get_property("position") == -1
        page("cancel").click()
        assert page("drop").is_displayed()
    finally:
        recognizer.go.set()
    page.until(lambda: page.server.app.state.jobs.free == 8)
    assert not page("error").is_displayed()
    assert not page("result").is_displayed()


HAND_OVER = """
const data = new DataTransfer();
for (const name of arguments[1]) data.items.add(new File(["speech"], name));
const event = new Event(arguments[0], {bubbles: true, cancelable: true});
event[arguments[0] === "drop" ? "dataTransfer" : "clipboardData"] = data;
document.body.dispatchEvent(event);
"""


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_files_that_are_dropped_or_pasted(page, way):
    page.run(HAND_OVER, way, ["one.wav", "two.wav"])
    assert page.complaint == "One recording at a time, please; these were 2."
    page.run(HAND_OVER, way, ["one.wav"])
    page.until(lambda: page("name").text == "one.wav")
    assert len(page.words) == 3
    page.until(lambda: page("unplayable").is_displayed())


def test_no_words(page, recognizer, monkeypatch, talk):
    monkeypatch.setattr(recognizer, "transcribe", lambda audio, advance: Transcript("", "", 3.21))
    page.upload(talk)
    assert page("text").text == "Nothing was heard."
    assert page("facts").text == "0:03 · 0 words"


COLOURS = """
return [...document.querySelectorAll("h1, #model, .lead, #choose, #record, #facts, .word, .at, .legend li, .quiet")]
    .filter(each => each.checkVisibility())
    .map(each => {
        let behind = each;
        while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
        return [getComputedStyle(each).color, getComputedStyle(behind).backgroundColor];
    });
"""


@pytest.mark.parametrize("width", [360, 1200])
def test_it_can_be_read_on_any_screen_by_day_and_by_night(page, talk, width):
    command = page.browser.execute_cdp_cmd
    command(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    )
    page.upload(talk)
    grounds = []
    for scheme in ("light", "dark"):
        command("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        colours = page.run(COLOURS)
        assert len(colours) > 10
        for ink, ground in colours:
            darker, lighter = sorted((luminance(ink), luminance(ground)))
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (scheme, ink, ground)
        grounds.append(luminance(page.run("return getComputedStyle(document.body).backgroundColor")))
        assert page.run("return document.documentElement.scrollWidth") <= width
    assert grounds[0] > 0.8
    assert grounds[1] < 0.05
    command("Emulation.clearDeviceMetricsOverride", {})
