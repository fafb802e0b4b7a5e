"""What the page of a scoring holds; the tests in a browser tell what a person sees of it."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import write_tone

from asr.alignment import Word
from asr.errors import DataError
from asr.scoring.comparison import Comparison
from asr.scoring.page import write_comparison, write_report
from asr.scoring.result import Result, Scored

TEXTS = {
    "a-1": ("the cat sat on the mat", "the cat sad on mat", "one"),
    "a-2": ("a dog", "a dog", "one"),
    "b-1": ("the cat ran", "cat ran far", "two"),
    "b-2": ("well then", "well den", "two"),
    "c-10": ("no", "no", "three"),
    "c-9": ("no no no no", "yes", "three"),
}
"""Reference, hypothesis and speaker of each utterance."""


def scored(name: str, reference: str, hypothesis: str, speaker: str = "", audio: Path | None = None) -> Scored:
    words = tuple(Word(word, 0.5 * place, 0.5 * place + 0.4, 0.9) for place, word in enumerate(hypothesis.split()))
    return Scored(name, reference, hypothesis, speaker, 3.0, audio, 1.0 if audio else 0.0, words if audio else ())


def result(audio: Path | None = None) -> Result:
    utterances = [scored(name, *texts, audio=audio) for name, texts in TEXTS.items()]
    return Result("toys, greedy", utterances, "basic", ("Two remarks.", "This is the second."))


def other() -> Result:
    """Better in b-1, worse in a-2, otherwise as the first."""
    heard = {"b-1": "the cat ran", "a-2": "a dogs"}
    utterances = [replace(each, hypothesis=heard.get(each.id, each.hypothesis)) for each in result().utterances]
    return Result("toys, beam", utterances[::-1], "basic")


def content(path: Path) -> dict:
    return json.loads(re.search('id="data">(.*)</script>', path.read_text())[1])


def test_what_the_page_holds_is_worked_out_by_hand(tmp_path):
    write_report(
        result(tmp_path / "sound #1.wav"), tmp_path / "pages" / "page.html", {"commit": "abc"}, lexicon={"the"}
    )
    data = content(tmp_path / "pages" / "page.html")
    first = data["utterances"][0]
    assert first["heard"][0]["columns"] == ["the", "cat", ["sat", "sad"], "on", ["the", ""], "mat"]
    assert first["heard"][0]["times"] == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert (first["audio"], first["offset"], first["duration"]) == ("../sound%20%231.wav", 1.0, 3.0)
    system = data["systems"][0]
    counted = [system[name] for name in ("words", "substitutions", "deletions", "insertions", "wrong_sentences")]
    assert counted == [18, 3, 5, 1, 4]
    assert data["facts"] == [["commit", "abc"]]
    assert data["unknown"] == ["a", "cat", "dog", "mat", "no", "on", "ran", "sat", "then", "well"]


def test_words_that_normalisation_made_keep_their_times(tmp_path):
    words = tuple(Word(text, start, start + 0.1, 1.0) for text, start in [("It's", 1.0), ("um,", 2.0), ("Fine", 3.0)])
    write_report(Result("", [Scored("u", "it is fine", "it is fine", words=words)]), tmp_path / "page.html")
    times = content(tmp_path / "page.html")["utterances"][0]["heard"][0]["times"]
    assert len(times) == 3
    assert times == sorted(times)
    assert times[-1] == 3.0
    half = Scored("u", "fine", "fine", words=words)
    write_report(Result("", [half]), tmp_path / "page.html")
    assert content(tmp_path / "page.html")["utterances"][0]["heard"][0]["times"] == [3.0]


def test_rates_without_words_are_no_numbers_of_json(tmp_path):
    write_report(Result("", [Scored("u", "", "noise")]), tmp_path / "page.html")
    assert content(tmp_path / "page.html")["systems"][0]["high"] is None


def test_text_that_is_not_unicode_is_written_all_the_same(tmp_path):
    write_report(Result("\udcff", [Scored("u", "a", "a")]), tmp_path / "page.html")
    assert content(tmp_path / "page.html")["systems"][0]["title"] == "?"


def test_nothing_to_show_is_refused(tmp_path):
    with pytest.raises(DataError, match="no utterances"):
        write_report(Result("", []), tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


def test_a_comparison_takes_the_recording_from_whoever_knows_it(tmp_path):
    a, b = result(), result(tmp_path / "tone.wav")
    write_comparison(Comparison(a, b), tmp_path / "page.html")
    data = content(tmp_path / "page.html")
    assert {utterance["audio"] for utterance in data["utterances"]} == {"tone.wav"}
    assert [system["title"] for system in data["systems"]] == ["toys, greedy"] * 2
    assert data["difference"]["value"] == 0.0
    assert data["summary"] == [["MAPSSWE", "p = 1"], ["McNemar", "p = 1"]]
    assert data["verdict"] == "A and B heard the same words throughout."


def test_a_recording_that_cannot_be_read_is_told_of_once(tmp_path, capsys):
    tone = write_tone(tmp_path / "tone.wav", duration_s=4.0)
    lost = [replace(result(tone).utterances[0], id=str(number), audio=tmp_path / "lost.wav") for number in range(3)]
    write_report(Result("", [*lost, result(tone).utterances[0]]), tmp_path / "page.html", embed_audio=True)
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith("3 of 4 recordings are not in the page, the first: ")
    assert "lost.wav" in said
    text = (tmp_path / "page.html").read_text()
    assert re.findall('id="(audio-[0-9]+)"', text) == ["audio-3"]
    assert "tone.wav" not in text
