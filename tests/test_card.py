import pytest
from test_scoring_figures import figures, results

from asr import __version__
from asr.card import card_of, claimed_in, claims, licence_id, metadata, model_card

BEAM = figures(decoding="beam", substitutions=0, deletions=0, insertions=1, wer_low=0.0, wer_high=0.1)


def test_the_model_card():
    page = model_card("fsdd", {"Seed": "1", "Commit": "", "WER on dev": "3.00%"})
    assert page == (
        "# fsdd\n"
        "\n"
        f"A speech recognition model made by asr {__version__}. "
        '`asr transcribe AUDIO --model FOLDER`, or `asr.load("FOLDER").transcribe("AUDIO").text`.\n'
        "\n"
        "| | |\n"
        "|---|---|\n"
        "| Seed | 1 |\n"
        "| WER on dev | 3.00% |\n"
    )


def test_a_bar_in_a_value_does_not_break_the_table():
    row = model_card("x", {"Command": "`asr run x --set 'text.alphabet=|ab'`"}).splitlines()[-1]
    assert row.replace("\\|", "").count("|") == 3


def test_the_card_shows_the_scores():
    page = card_of(results(figures(), BEAM, asr_version="0.0.7", facts={"Seed": "1"}))
    assert page.endswith(
        "| Seed | 1 |\n"
        "| WER on test, greedy | 20.00% (10.00% to 30.50%) |\n"
        "| WER on test, beam | 5.00% (0.00% to 10.00%) |\n"
    )
    assert "\n# tones\n" in page
    assert "made by asr 0.0.7. " in page


def test_what_a_card_claims_is_read_back(tmp_path):
    found = results(figures(), BEAM, facts={"Seed": "1"})
    (tmp_path / "README.md").write_text(card_of(found))
    assert claimed_in(tmp_path / "README.md") == {"Seed": "1", **claims(found)}


def parsed(block: str) -> object:
    yaml = pytest.importorskip("yaml")
    head, text, rest = block.split("---\n")
    assert (head, rest) == ("", "")
    return yaml.safe_load(text)


def test_metadata():
    facts = {
        "Language": "en",
        "Licence of the data": "LibriSpeech, (c) 2014 Vassil Panayotov, CC BY 4.0",
        "Encoder": "gru",
    }
    table = parsed(metadata(results(figures(split="dev"), figures(), BEAM, facts=facts)))
    assert (table["language"], table["license"]) == ("en", "cc-by-4.0")
    assert "license_name" not in table
    assert table["pipeline_tag"] == "automatic-speech-recognition"
    assert table["tags"] == ["automatic-speech-recognition", "ctc", "gru"]
    (model,) = table["model-index"]
    assert model["name"] == "tones"
    dev, test = model["results"]
    assert (dev["dataset"]["split"], test["dataset"]["split"]) == ("dev", "test")
    assert test["task"] == {"type": "automatic-speech-recognition"}
    assert test["metrics"] == [
        {"type": "wer", "name": "WER, greedy", "value": 20.0},
        {"type": "cer", "name": "CER, greedy", "value": 10.0},
        {"type": "wer", "name": "WER, beam", "value": 5.0},
        {"type": "cer", "name": "CER, beam", "value": 10.0},
    ]


def test_metadata_before_there_are_scores():
    table = parsed(metadata(results()))
    assert table.keys() == {"library_name", "pipeline_tag", "tags"}


def test_an_infinite_rate_is_a_number_in_yaml():
    table = parsed(metadata(results(figures(words=0))))
    assert table["model-index"][0]["results"][0]["metrics"][0]["value"] == float("inf")


@pytest.mark.parametrize(
    "text",
    [
        "no",
        "a: b # c",
        'she said "yes" \\ no',
        "- x\n--- y\n",
        "tab\tbell\x07 delete\x7f next\x85 line\u2028 mark\ufeff",
        "Grüße, 日本語, 😀",
        "'{[*&!|>%@`",
    ],
)
def test_any_text_is_safe_in_metadata(text):
    table = parsed(metadata(results(figures(split=text), recipe=text, facts={"Licence of the data": text})))
    assert (table["license"], table["license_name"]) == ("other", text)
    assert table["model-index"][0]["name"] == text
    assert table["model-index"][0]["results"][0]["dataset"]["split"] == text


@pytest.mark.parametrize(
    ("licence", "name"),
    [
        ("Free Spoken Digit Dataset, Zohar Jackson and contributors, CC BY-SA 4.0", "cc-by-sa-4.0"),
        ("cc-by-nc-nd-3.0", "cc-by-nc-nd-3.0"),
        ("CC0", "cc0-1.0"),
        ("Apache License 2.0", "apache-2.0"),
        ("MIT", "mit"),
        ("synthetic speech by espeak-ng, free of rights", ""),
        ("Submitted, all rights reserved", ""),
        ("CC BY", ""),
        ("", ""),
    ],
)
def test_licences_that_hubs_know(licence, name):
    assert licence_id(licence) == name
