"""The page of a scoring in a real browser, opened as a file: what a person sees, clicks, types and hears."""

from pathlib import Path

import pytest
from conftest import write_tone
from test_scoring_page import other, result, scored

from asr.scoring.comparison import Comparison, probability, verdict
from asr.scoring.page import write_comparison, write_report
from asr.scoring.result import Result, Scored

from browsing import Page, needs_browser, started  # isort: skip  (skips where there is none)

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

pytestmark = needs_browser

HOSTILE = "</script><img src=x onerror=document.title='broken'>"


class Report(Page):
    """The page of a scoring."""

    def __call__(self, selector: str):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def open(self, path: Path, view: str = "") -> "Report":
        self.browser.get("about:blank")
        self.browser.get(path.as_uri() + view)
        return self

    def button(self, table: str, label: str):
        rows = self.all(f"table[aria-label='{table}'] td > button")
        return next(button for button in rows if button.text == label)

    @property
    def ids(self) -> list[str]:
        return [each.text for each in self.all(".utterance strong")]

    @property
    def view(self) -> str:
        return self.run("return location.hash")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with started(tmp_path_factory.mktemp("browser"), "--autoplay-policy=no-user-gesture-required") as browser:
        yield browser


@pytest.fixture
def page(browser):
    browser.get("about:blank")
    browser.get_log("performance")
    page = Report(browser)
    page.emulate("setDeviceMetricsOverride", width=1200, height=900, deviceScaleFactor=1, mobile=False)
    yield page
    assert browser.get_log("browser") == []
    assert not [url for url in page.asked() if not url.startswith(("file:", "blob:", "data:"))]


@pytest.fixture
def report(page, tmp_path):
    write_report(result(), tmp_path / "page.html", {"command": "asr wer <a> & b"})
    return page.open(tmp_path / "page.html")


@pytest.fixture
def with_sound(page, tmp_path):
    write_report(result(write_tone(tmp_path / "a tone.wav", duration_s=5.0)), tmp_path / "page.html")
    return page.open(tmp_path / "page.html")


def test_the_head_tells_the_result(report):
    assert report("#rate").text == "50.00 % WER"
    assert "95 % interval" in report("#interval").text
    assert report("#interval").text.endswith("drawn over 6 utterances")
    tiles = dict(each.text.split("\n") for each in report.all(".tiles > div"))
    assert tiles["Substitutions"] == "3 16.7 %"
    assert (tiles["Words"], tiles["Normalisation"], tiles["Sentence errors"]) == ("18", "basic", "4 66.7 %")
    assert report("#remarks").text == "Two remarks.\nThis is the second."
    assert report("#facts").text == "command\nasr wer <a> & b"
    assert report.browser.title == "50.00\u00a0% · toys, greedy"


def test_the_pictures_have_axes_and_a_bar_for_each_group(report):
    captions = [each.text for each in report.all("figcaption")]
    assert captions == [
        "How the errors are spread",
        "WER by speaker",
        "WER by duration",
        "WER by length",
    ]
    by_speaker = report.all("figure")[1]
    assert len(by_speaker.find_elements(By.CSS_SELECTOR, ".bar")) == 3
    assert "three" in [each.text for each in by_speaker.find_elements(By.TAG_NAME, "text")]
    assert report.run("return document.querySelectorAll('figure')[0].querySelector('.target title').textContent") == (
        "WER: no error: 2 utterances"
    )
    report.all("figure")[0].find_elements(By.CSS_SELECTOR, ".target")[0].send_keys(Keys.ENTER)
    assert sorted(report.ids) == ["a-2", "c-10"]


def test_text_kind_speaker_and_confusion_filter(report):
    assert report.ids[0] == "c-9"
    report("#text").send_keys("THE cat")
    assert report.ids == ["a-1", "b-1"]
    assert report("#count").text == "2 of 6 utterances · 9 words · WER 44.4 %"
    Select(report("#kind")).select_by_visible_text("with insertions")
    assert report.ids == ["b-1"]
    report.until(lambda: report.view == "#text=THE+cat&kind=inserted")
    report.press(Keys.ESCAPE)
    assert len(report.ids) == 6
    button = report.button("Deletions", "the")
    assert button.find_element(By.XPATH, "../../td[2]").text == "2"
    button.send_keys(Keys.ENTER)
    assert sorted(report.ids) == ["a-1", "b-1"]
    report.button("WER by speaker", "two").click()
    assert report.ids == ["b-1"]
    assert [chip.text for chip in report.all(".chip")] == ["deleted: the ✕", "speaker two ✕"]
    report.all(".chip")[0].click()
    assert report.ids == ["b-1", "b-2"]
    report.all(".chip")[0].click()
    assert len(report.ids) == 6


def test_the_list_is_sorted_both_ways(report):
    def sort(name: str) -> list[str]:
        report(f"[data-sort={name}]").click()
        return report.ids

    assert sort("id") == ["a-1", "a-2", "b-1", "b-2", "c-9", "c-10"]
    assert sort("id") == ["c-10", "c-9", "b-2", "b-1", "a-2", "a-1"]
    assert sort("words")[:2] == ["a-1", "c-9"]
    assert sort("wer")[:2] == ["c-9", "b-1"]
    assert report("[data-sort=wer]").text == "WER ▼"
    assert report("[data-sort=wer]").get_attribute("aria-pressed") == "true"


def test_a_view_can_be_shared(page, tmp_path):
    write_report(result(), tmp_path / "page.html")
    page.open(tmp_path / "page.html", "#speaker=two&sort=id&up=0")
    assert page.ids == ["b-2", "b-1"]
    page.open(tmp_path / "page.html", "#kind=toString&sort=x&pair=none&length=5")
    assert len(page.ids) == 5


def test_errors_are_told_by_more_than_their_colour(report):
    report("[data-sort=id]").click()
    first = report(".utterance .alignment")
    assert first.text.split() == ["the", "cat", "sat", "sad", "on", "the", "mat"]
    substituted, deleted = (first.find_element(By.CSS_SELECTOR, name) for name in (".substituted", ".deleted > del"))
    assert [each.text for each in substituted.find_elements(By.CSS_SELECTOR, "*")] == ["sat", "sad"]
    assert "line-through" in deleted.value_of_css_property("text-decoration-line")
    inserted = report(".utterance .inserted > ins")
    assert inserted.text == "far"
    assert "underline" in inserted.value_of_css_property("text-decoration-line")


def test_a_word_plays_from_its_time_and_the_utterance_ends(with_sound, tmp_path):
    page = with_sound
    page("[data-sort=id]").click()
    page.run("document.querySelectorAll('.utterance [data-at]')[3].click()")
    page.until(lambda: page.run("return audio.currentTime") > 2.5)
    assert page.run("return audio.currentTime") < 3.5
    assert page.run("return audio.src") == (tmp_path / "a tone.wav").as_uri()
    page.until(lambda: [word.text for word in page.all(".playing")] == ["on"])
    page.run("audio.currentTime = 3.9")
    page.until(lambda: page.run("return audio.paused"))
    assert 4.0 <= page.run("return audio.currentTime") < 4.5


def test_keys_move_play_filter_and_help(with_sound):
    page = with_sound
    page.press("jj")
    assert page(".current strong").text == page.ids[1]
    page.press(Keys.ARROW_DOWN, "k", "k")
    assert page(".current strong").text == page.ids[0]
    page.press(" ")
    page.until(lambda: page.run("return audio.currentTime") > 1.0)
    assert page("#now").text == page.ids[0]
    page.press(" ")
    assert page.run("return audio.paused")
    page.press("/", "dog")
    assert page.ids == ["a-2"]
    page.press(Keys.ESCAPE)
    assert len(page.ids) == 6
    assert not page("#player").is_displayed()
    page.press("j", Keys.ARROW_RIGHT)
    assert "word" in page.run("return document.activeElement.className")
    page.press("?")
    assert page("#help").is_displayed()
    page.press(Keys.ESCAPE)
    assert not page("#help").is_displayed()


def test_embedded_sound_plays_without_the_recording(page, tmp_path):
    tone = write_tone(tmp_path / "tone.wav", duration_s=5.0)
    write_report(result(tone), tmp_path / "page.html", embed_audio=True)
    tone.unlink()
    page.open(tmp_path / "page.html")
    page("[data-sort=id]").click()
    page(".play").click()
    page.until(lambda: page.run("return audio.currentTime") > 0.1)
    assert page.run("return audio.duration") == pytest.approx(3.0)
    assert not page("#unplayable").is_displayed()


def test_a_recording_that_is_gone_is_told(page, tmp_path):
    write_report(result(tmp_path / "gone.wav"), tmp_path / "page.html")
    page.open(tmp_path / "page.html")
    page(".play").click()
    page.until(lambda: page("#unplayable").text.endswith("gone.wav"))
    page.browser.get_log("browser")  # the browser itself complains of the missing file


def test_a_transcript_cannot_break_out(page, tmp_path):
    utterance = Scored(HOSTILE, HOSTILE, f"{HOSTILE} <!--", HOSTILE)
    write_report(Result(HOSTILE, [utterance], HOSTILE, (HOSTILE,)), tmp_path / "page.html", {HOSTILE: HOSTILE})
    page.open(tmp_path / "page.html")
    assert page("h1").text == HOSTILE
    assert page.ids == [HOSTILE]
    assert page.all("img") == []
    assert "broken" not in page.browser.title.split("'")[0]


def test_narrow_and_dark(page, tmp_path):
    long = Result("x" * 100, [*result().utterances, scored("y" * 100, "z" * 100, "w" * 100)])
    write_report(long, tmp_path / "page.html", {"command": "c" * 100})
    write_comparison(Comparison(long, long), tmp_path / "comparison.html")
    page.emulate("setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=False)
    for name in ("page.html", "comparison.html"):
        page.open(tmp_path / name)
        assert page.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
        words = "[...document.querySelectorAll('.word > *')].map(word => word.getBoundingClientRect().right)"
        assert 0 < page.run(f"return Math.max(...{words})") < 360
    light = page("body").value_of_css_property("background-color")
    page.emulate("setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert page("body").value_of_css_property("background-color") != light
    page.emulate("setEmulatedMedia", features=[])


def test_two_systems_are_compared(page, tmp_path):
    comparison = Comparison(result(), other())
    write_comparison(comparison, tmp_path / "page.html")
    page.open(tmp_path / "page.html")
    assert page("h1").text == "toys, greedy against toys, beam"
    assert page("#rate").text == "\N{MINUS SIGN}5.56 points of WER, B \N{MINUS SIGN} A"
    table = [[cell.text for cell in row.find_elements(By.XPATH, "*")] for row in page.all(".headline tr")]
    assert table[1] == ["WER", "50.00 %", "44.44 %"]
    assert f"MAPSSWE\n{probability(comparison.mapsswe.p)}" in [each.text for each in page.all(".tiles > div")]
    assert page("#remarks li").text == verdict(comparison)
    assert (page.ids[0], page.ids[-1]) == ("a-2", "b-1")
    Select(page("#kind")).select_by_visible_text("B better than A")
    assert page.ids == ["b-1"]
    assert [line.text.split("\n") for line in page.all(".alignment")] == [
        ["A", "the", "cat", "ran", "far"],
        ["B", "the", "cat", "ran"],
    ]
    Select(page("#kind")).select_by_visible_text("both wrong")
    assert sorted(page.ids) == ["a-1", "b-2", "c-9"]
    page("#text").send_keys(Keys.ESCAPE)
    page.button("Right in A, wrong in B", "dog → dogs").click()
    assert page.ids == ["a-2"]
    page.button("Right in B, wrong in A", "the → nothing").click()
    assert page.ids == ["b-1"]


def test_a_long_list_grows_as_it_is_read(page, tmp_path):
    long = [scored(f"u-{number}", "one two three", "one too three", f"s{number % 7}") for number in range(2626)]
    write_report(Result("long", long), tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size < 1_000_000
    page.open(tmp_path / "page.html")
    assert len(page.ids) < 200
    page.press("j")
    listed = len(page.ids)
    page.run("for (let press = 0; press < 300; press++) move(1)")
    assert page(".current strong").text == "u-300"
    assert listed < len(page.ids) < 400
    page("#text").send_keys("u-2625")
    assert page.ids == ["u-2625"]
