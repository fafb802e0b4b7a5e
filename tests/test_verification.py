import shutil
from dataclasses import replace

import pytest
from conftest import status_of
from test_scoring_figures import figures, results

from asr.card import card_of
from asr.errors import DataError, ModelError
from asr.files import read_json_lines, write_json_lines
from asr.manifest import read_manifest, write_manifest
from asr.scoring.figures import digest_of_references, read_results, write_results
from asr.verification import Comparison, Verification, card_complaints, choose_claims, verify

TEST, BEAM, DEV = figures(), figures(decoding="beam"), figures(split="dev", references="ef" * 32)
CLAIMED = results(TEST, BEAM, DEV)


@pytest.fixture
def exp(tones, tmp_path):
    """The toy recipe's experiment, to be changed."""
    for name in ("model", "data"):
        shutil.copytree(tones / name, tmp_path / name)
    return tmp_path


def with_longer_references(exp):
    """Appends a word to each reference of dev, which the model never hears, and claims to have been scored so."""
    manifest = exp / "data" / "dev.jsonl"
    utterances = [replace(each, text=f"{each.text} a") for each in read_manifest(manifest)]
    write_manifest(manifest, utterances)
    words = sum(len(each.text.split()) for each in utterances)
    claim_anew(exp, references=digest_of_references((each.id, each.text) for each in utterances), words=words)


def claim_anew(exp, card=True, **changes):
    """Changes the first claim, and the card with it."""
    path = exp / "model" / "results.json"
    found = read_results(path)
    found = replace(found, scores=(replace(found.scores[0], **changes), *found.scores[1:]))
    write_results(path, found)
    if card:
        (exp / "model" / "README.md").write_text(card_of(found))


def test_a_model_does_what_its_card_says(exp, capsys):
    assert status_of("verify", exp / "model", exp / "data" / "test.jsonl", "--device", "cpu") == 0
    first, verdict = capsys.readouterr().out.splitlines()
    assert first.startswith("test, greedy: claimed ")
    assert first.endswith(": the same errors")
    assert verdict == "verified: every count is as claimed"


def test_a_model_is_verified_by_its_name(exp, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("asr.shipped.SHIPPED", tmp_path / "models")
    shutil.move(exp / "model", tmp_path / "models" / "english-small")
    monkeypatch.chdir(exp)
    assert status_of("verify", "english-small", "data/test.jsonl", "--device", "cpu") == 0
    assert capsys.readouterr().out.endswith("verified: every count is as claimed\n")


def test_the_split_is_known_by_its_references(exp):
    shutil.move(exp / "data" / "dev.jsonl", exp / "data" / "renamed.jsonl")
    lines = read_json_lines(exp / "data" / "renamed.jsonl")
    raw = [{**line, "text": f" {line['text'].upper()}  "} for line in reversed(lines)]  # as before data-prep
    write_json_lines(exp / "data" / "renamed.jsonl", raw)
    found = verify(exp / "model", exp / "data" / "renamed.jsonl", device="cpu")
    assert [each.claimed.split for each in found.comparisons] == ["dev"]
    assert found.holds


def test_a_claim_that_is_too_good_is_found_out(exp, capsys):
    with_longer_references(exp)
    claim_anew(exp, substitutions=0, deletions=0, insertions=0, wrong_sentences=0)
    assert read_results(exp / "model" / "results.json").scores[0].split == "dev"
    found = verify(exp / "model", exp / "data" / "dev.jsonl", device="cpu")
    (comparison,) = found.comparisons
    assert not found.holds
    assert f"claimed 0.00% ({comparison.claimed.interval_in_words}), 0 errors in " in str(comparison)
    assert comparison.change.startswith("+")
    assert comparison.change.endswith(f" points, {comparison.found.errors.word_errors:+d} errors")
    assert found.verdict == "not as claimed: dev, greedy: off by more than 0.1 points"
    assert status_of("verify", exp / "model", exp / "data" / "dev.jsonl", "--device", "cpu") == 1


def test_other_data_is_not_compared_unless_named(exp, capsys):
    manifest = exp / "data" / "test.jsonl"
    write_manifest(manifest, read_manifest(manifest)[:5])
    message = (
        f"{manifest}: its texts are not those that test was scored with; there are claims for dev, test; "
        "--split test compares all the same"
    )
    with pytest.raises(DataError) as raised:
        verify(exp / "model", manifest)
    assert str(raised.value) == message
    assert status_of("verify", exp / "model", manifest, "--split", "test", "--device", "cpu") == 1
    complaint, comparison, _ = capsys.readouterr().out.splitlines()
    assert complaint.startswith(f"{manifest}: other utterances or texts than test was scored with (5 utterances here")
    assert comparison.startswith("test, greedy: claimed ")


def test_a_word_more_in_a_reference_is_other_data(exp):
    manifest = exp / "data" / "test.jsonl"
    first, *others = read_manifest(manifest)
    write_manifest(manifest, [replace(first, text=f"{first.text} z"), *others])  # beyond the alphabet, too
    found = verify(exp / "model", manifest, split="test", device="cpu")
    assert not found.holds
    assert "other utterances or texts" in found.complaints[0]
    assert found.comparisons[0].found.words == found.comparisons[0].claimed.words + 1


def test_an_edited_card_is_found_out(exp, capsys):
    card = exp / "model" / "README.md"
    text = card.read_text()
    wer = read_results(exp / "model" / "results.json").scores[0].wer_in_words
    card.write_text(text.replace(f"| WER on dev, greedy | {wer} |", "| WER on dev, greedy | 0.01% |"))
    assert status_of("verify", exp / "model", exp / "data" / "dev.jsonl", "--device", "cpu") == 1
    complaint, _, verdict = capsys.readouterr().out.splitlines()
    assert complaint == f"{card}: says 0.01% for the WER on dev, greedy, results.json {wer}"
    assert verdict == "not verified: see above"


def test_other_weights_are_found_out(exp):
    found = read_results(exp / "model" / "results.json")
    write_results(exp / "model" / "results.json", replace(found, weights="00" * 32))
    found = verify(exp / "model", exp / "data" / "dev.jsonl", device="cpu")
    weights = exp / "model" / "weights.safetensors"
    assert found.complaints == [f"{weights}: other weights than those that results.json tells of"]
    assert not found.holds


def test_a_decoding_that_is_claimed_and_cannot_be_done(exp):
    path = exp / "model" / "results.json"
    found = read_results(path)
    write_results(path, replace(found, scores=(*found.scores, replace(found.scores[0], decoding="beam"))))
    with pytest.raises(DataError, match="beam decoding is claimed, and the folder is not set up for it"):
        verify(exp / "model", exp / "data" / "dev.jsonl", device="cpu")
    assert verify(exp / "model", exp / "data" / "dev.jsonl", "dev", "greedy", "cpu").comparisons[0].holds


def test_no_model_and_no_claims(exp, tmp_path):
    with pytest.raises(ModelError, match="no such model folder"):
        verify(tmp_path / "none", exp / "data" / "dev.jsonl")
    (exp / "model" / "results.json").unlink()
    with pytest.raises(DataError, match=r"no results\.json, and so no claim"):
        verify(exp / "model", exp / "data" / "dev.jsonl")


def chosen(tmp_path, name="test.jsonl", references=TEST.references, split="", decoding="all"):
    return choose_claims(CLAIMED, tmp_path / name, references, split, decoding)


def test_claims_are_chosen(tmp_path):
    assert chosen(tmp_path) == [TEST, BEAM]
    assert chosen(tmp_path, "renamed.jsonl", DEV.references) == [DEV]
    assert chosen(tmp_path, decoding="beam") == [BEAM]
    assert chosen(tmp_path, split="dev") == [DEV]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "tset"}, "--split tset: no claim for it; there are claims for test, dev"),
        ({"split": "dev", "decoding": "beam"}, "--decoding beam: no claim for it on dev; there are claims for greedy"),
        (
            {"name": "talk.jsonl", "references": "00"},
            r"talk\.jsonl: no claim for this data; there are claims for test, dev",
        ),
    ],
)
def test_no_claim(tmp_path, arguments, message):
    with pytest.raises(DataError, match=f"{message}$"):
        chosen(tmp_path, **arguments)


@pytest.mark.parametrize(
    ("errors", "holds", "change"),
    [
        (40, True, "the same errors"),
        (41, True, "+0.10 points, +1 errors"),
        (39, True, "-0.10 points, -1 errors"),
        (42, False, "+0.20 points, +2 errors"),
        (38, False, "-0.20 points, -2 errors"),
    ],
)
def test_what_other_hardware_may_change(errors, holds, change):
    claimed = figures(words=1000, substitutions=40, deletions=0, insertions=0)
    found = Comparison(claimed, replace(claimed, substitutions=errors))
    assert (found.holds, found.change) == (holds, change)
    assert Verification([found], []).holds == holds
    assert not Verification([found], ["edited"]).holds


def test_rounding_is_called_so():
    claimed = figures(words=1000, substitutions=40, deletions=0, insertions=0)
    found = Verification([Comparison(claimed, replace(claimed, substitutions=41))], [])
    assert found.verdict == "verified: within 0.1 points, which is what other hardware's rounding can make"


def test_infinite_rates_are_compared_by_their_counts():
    claimed = figures(words=0)
    assert Comparison(claimed, claimed).holds
    assert not Comparison(claimed, replace(claimed, insertions=2)).holds


def test_what_a_card_lacks(tmp_path):
    card = tmp_path / "README.md"
    assert list(card_complaints(card, CLAIMED)) == [f"{card}: there is no card"]
    card.write_text(card_of(CLAIMED))
    assert list(card_complaints(card, CLAIMED)) == []
    card.write_text(card_of(CLAIMED).replace("value: 20.0", "value: 2.0", 1))
    assert list(card_complaints(card, CLAIMED)) == [
        f"{card}: the error rates in its metadata are not those of results.json"
    ]
    card.write_text(card_of(results(TEST, DEV)))
    missing, outdated = card_complaints(card, CLAIMED)
    assert outdated.startswith(f"{card}: the error rates in its metadata")
    assert missing == f"{card}: says nothing of the WER on test, beam, results.json {BEAM.wer_in_words}"
