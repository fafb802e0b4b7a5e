"""Language model, tuning, decoding and transcription, from the command line, with the toy recipe."""

import gzip
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import status_of

import asr
from asr.decoder import DecodingConfig
from asr.ensemble import Revoiced
from asr.errors import AsrError, ConfigError, DataError, ModelError
from asr.evaluation import decoding_facts
from asr.files import read_json, read_json_lines
from asr.manifest import read_manifest
from asr.recognizer import load
from asr.search import risk
from asr.tuned import FILE, Search, read_tuned
from asr.tuner import tune

TONES = str(Path(__file__).with_name("tones"))


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def exp(tmp_path_factory):
    """The toy trained, not to the end, and tuned with a language model of its own transcripts."""
    folder = tmp_path_factory.mktemp("tuner") / "exp"
    assert status_of("run", TONES, "--exp", folder, "--device", "cpu", "--set", "training.epochs=10") == 0
    texts = folder / "data" / "train.jsonl"
    assert status_of("lm", "train", texts, "--order", "2", "--out", folder / "lm.arpa.gz") == 0
    assert status_of("tune", folder / "model", folder / "data" / "dev.jsonl", "--lm", folder / "lm.arpa.gz") == 0
    assert status_of("decode", TONES, "--exp", folder, "--device", "cpu", "--set", "training.epochs=10") == 0
    assert status_of("score", TONES, "--exp", folder, "--set", "training.epochs=10") == 0
    return folder


@pytest.fixture
def model(exp, tmp_path):
    return Path(shutil.copytree(exp / "model", tmp_path / "model"))


@pytest.fixture
def recordings(exp):
    return [utterance.audio_filepath for utterance in read_manifest(exp / "data" / "test.jsonl")]


def decoded(exp, name):
    return {line["id"]: line for line in read_json_lines(exp / "decode" / f"{name}.jsonl")}


def test_what_was_found_lies_in_the_model_folder(exp):
    tuned = read_tuned(exp / "model")
    assert (exp / "model" / tuned.language_model).read_bytes() == (exp / "lm.arpa.gz").read_bytes()
    assert tuned.dev["dev"].startswith("dev, 24 utterances")
    assert tuned.dev["WER, beam"] != tuned.dev["WER, greedy"]


def test_the_language_model_helps_and_the_results_show_both(exp):
    greedy, beam = (read_json(exp / "score" / f"dev{suffix}.json") for suffix in ("", ".beam"))
    assert beam["wer"] <= greedy["wer"]
    page = (exp / "RESULTS.md").read_text()
    for split in ("dev", "test"):
        for decoding in ("greedy", "beam"):
            (row,) = [
                line for line in page.splitlines() if line.startswith(f"| {split} |") and f"| {decoding} |" in line
            ]
            assert "%" in row
    assert "| Decoding | greedy: no language model; beam search with lm.arpa.gz: lm_weight " in page
    assert "| confidence | words | mean confidence | right |" in (exp / "score" / "dev.beam.txt").read_text()
    assert (exp / "score" / "dev.beam.png").exists()
    assert "WER on dev, beam" in (exp / "model" / "README.md").read_text()


def test_the_words_of_the_decoded_have_times_and_confidence(exp):
    durations = {each.id: each.duration_s for each in read_manifest(exp / "data" / "test.jsonl")}
    for name in ("test", "test.beam"):
        for line in decoded(exp, name).values():
            assert " ".join(word["word"] for word in line["words"]) == line["text"]
            times = [time for word in line["words"] for time in (word["start"], word["end"])]
            assert times == sorted(times)
            assert all(0 <= time <= durations[line["id"]] + 1e-3 for time in times)
            assert all(0 <= word["confidence"] <= 1 for word in line["words"])


def test_transcription_decodes_as_was_tuned(exp, recordings, capsys):
    beam, greedy = (decoded(exp, name) for name in ("test.beam", "test"))
    for option, expected in ((), beam), (("--greedy",), greedy):
        assert status_of("transcribe", *recordings, "--model", exp / "model", "--device", "cpu", *option) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines == [f"{path}\t{expected[path.stem]['text']}" for path in recordings]
    assert decoded(exp, "dev") != decoded(exp, "dev.beam")
    assert asr.load(exp / "model", "cpu").transcribe(recordings[0]).text == beam[recordings[0].stem]["text"]


def test_words_and_alternatives(exp, recordings, capsys):
    arguments = ("transcribe", recordings[0], "--model", exp / "model", "--device", "cpu")
    assert status_of(*arguments, "--word-times") == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    line = decoded(exp, "test.beam")[recordings[0].stem]
    assert [row[3] for row in rows] == line["text"].split()
    assert float(rows[0][0]) == pytest.approx(line["words"][0]["start"], abs=0.01)
    assert float(rows[0][2]) == pytest.approx(line["words"][0]["confidence"], abs=0.01)

    assert status_of(*arguments, "--nbest", "3") == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 3
    assert rows[0][1] == line["text"]
    scores = [float(score) for score, _ in rows]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("with_model", [True, False])
def test_hotwords_are_heard(exp, recordings, with_model, tmp_path, capsys):
    lm = () if with_model else ("--lm", exp / "lm.arpa.gz")
    (tmp_path / "words.txt").write_text("cab=1000 # not said so often\n")
    for option in ("--hotword", "cab=1000"), ("--hotwords", tmp_path / "words.txt"):
        status = status_of("transcribe", recordings[0], "--model", exp / "model", *lm, *option, "--device", "cpu")
        assert status == 0
        assert "cab" in capsys.readouterr().out.split()


def test_settings_that_were_not_tuned_are_told(exp, recordings, model, capsys):
    (model / FILE).unlink()
    lm = exp / "lm.arpa.gz"
    assert status_of("transcribe", recordings[0], "--model", model, "--lm", lm, "--device", "cpu") == 0
    assert capsys.readouterr().err.splitlines()[0] == (
        f"warning: decoding settings were not tuned for {lm}; 'asr tune' finds them"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hotword", "naïve"], r"hotword 'naïve': characters outside the alphabet: 'e' 'n' 'v' 'ï'"),
        (["--hotword", "cab=much"], r"hotword 'cab': 'much' is not a finite number"),
        (["--set", "decoding.bean=3"], r"unknown key bean; did you mean 'beam'\?"),
        (["--set", "training.epochs=3"], r"only decoding.KEY can be set here"),
        (["--lm", "nowhere.arpa"], r"nowhere.arpa: No such file"),
        (["--lexicon", "nowhere.txt"], r"nowhere.txt: No such file"),
    ],
)
def test_what_cannot_be_is_one_line(exp, recordings, options, message, capsys):
    assert status_of("transcribe", recordings[0], "--model", exp / "model", "--device", "cpu", *options) == 1
    out, err = capsys.readouterr()
    assert not out
    (complaint,) = [line for line in err.splitlines() if not line.startswith("warning")]
    assert complaint.startswith("asr: ")
    assert re.search(message, complaint)


def test_greedy_takes_no_options_of_a_search(exp, recordings):
    assert status_of("transcribe", recordings[0], "--model", exp / "model", "--greedy", "--nbest", "3") == 2
    assert status_of("transcribe", recordings[0], "--model", exp / "model", "--word-times", "--nbest", "3") == 2


def test_a_lexicon_with_unknown_letters_is_refused(exp, recordings, tmp_path, capsys):
    (tmp_path / "words.txt").write_text("cab\ndog\n")
    options = ("--lexicon", tmp_path / "words.txt")
    assert status_of("transcribe", recordings[0], "--model", exp / "model", "--device", "cpu", *options) == 1
    assert f"{tmp_path}/words.txt:2: 'dog': characters outside the alphabet: 'd' 'g' 'o'" in capsys.readouterr().err


def test_a_test_set_is_not_for_tuning(exp, model, tmp_path):
    for name in ("test.jsonl", "test-clean.jsonl", "my_TEST.jsonl"):
        manifest = Path(shutil.copy(exp / "data" / "test.jsonl", tmp_path / name))
        with pytest.raises(ConfigError, match=f"{name}: a test set is not for tuning"):
            tune(model, manifest, device="cpu")
    before = (model / FILE).read_bytes()
    manifest = Path(shutil.copy(exp / "data" / "dev.jsonl", exp / "data" / "latest.jsonl"))  # "test" within a word
    tune(model, manifest, device="cpu")
    assert (model / FILE).read_bytes() != before
    assert tune(model, exp / "data" / "test.jsonl", device="cpu", force=True).dev["dev"].startswith("test, ")


def test_without_a_language_model_only_confidence_is_calibrated(exp, model, recordings):
    tuned = tune(model, exp / "data" / "dev.jsonl", device="cpu")
    assert not tuned.language_model
    assert asr.load(model, "cpu").reader.decoder is None


def test_a_language_model_of_other_words_is_refused(exp, model, tmp_path):
    (tmp_path / "text").write_text("aaaa bbbb\ncccc\n" * 50)
    assert status_of("lm", "train", tmp_path / "text", "--order", "2", "--out", tmp_path / "other.arpa") == 0
    before = (model / FILE).read_bytes()
    with pytest.raises(
        ModelError,
        match=r"other.arpa: lacks 100.0% of the words of dev, such as '[abc]+'; train it on texts of that kind",
    ):
        tune(model, exp / "data" / "dev.jsonl", tmp_path / "other.arpa", device="cpu")
    assert (model / FILE).read_bytes() == before


def test_a_manifest_without_words_is_refused(exp, model, tmp_path):
    lines = read_json_lines(exp / "data" / "dev.jsonl")
    silent = "".join(json.dumps({**line, "audio_filepath": "/gone.wav", "text": ""}) + "\n" for line in lines)
    (tmp_path / "dev.jsonl").write_text(silent)
    with pytest.raises(DataError, match=r"dev.jsonl: no transcripts to tune on"):
        tune(model, tmp_path / "dev.jsonl", device="cpu")


def test_what_was_tuned_for_other_weights_is_not_used(model, capsys):
    weights = model / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert read_tuned(model) is None
    assert capsys.readouterr().err == (
        f"warning: {model / FILE} was tuned for other weights and is not used; run 'asr tune' again\n"
    )


def test_a_language_model_that_is_gone_is_named(model):
    (model / "lm.arpa.gz").unlink()
    with pytest.raises(ModelError, match=r"decoding.json: the language model lm.arpa.gz is gone"):
        asr.load(model, "cpu")


def test_voices_are_those_of_the_settings_whoever_hears(exp, model, recordings):
    start = DecodingConfig(voices=(0.9, 1.1))
    tuned = tune(model, exp / "data" / "dev.jsonl", exp / "lm.arpa.gz", start=start, device="cpu")
    assert tuned.decoding.voices == (0.9, 1.1)
    plain = Search(settings={"voices": [1.0]})
    for greedy, search, expected in ((False, None, True), (True, None, True), (False, plain, False)):
        network = load(model, "cpu", greedy, search).model
        assert isinstance(network, Revoiced) == expected
    assert "2 voices (0.9, 1.1)" in decoding_facts(model)["Decoding"]
    with pytest.raises(ConfigError, match="voices"):
        load(model, "cpu", search=Search(settings={"voices": []}))


def test_what_only_flashlight_knows_is_tuned_with_it_alone(exp, model, capsys):
    told = {}
    for engine in ("flashlight", "python"):
        start = DecodingConfig(engine=engine, tokens_per_frame=7)
        tune(model, exp / "data" / "dev.jsonl", exp / "lm.arpa.gz", start=start, device="cpu")
        told[engine] = set(re.findall(r"tokens_per_frame (\d+)", capsys.readouterr().err))
    assert told == {"flashlight": {"3", "4", "5", "6", "7"}, "python": {"7"}}


def test_a_recurrent_language_model_goes_over_the_best(exp, model, tmp_path, recordings):
    data, out = exp / "data", tmp_path / "lstm"
    small = ("--set", "model.hidden=16", "--set", "model.embedding=8", "--set", "training.epochs=2")
    assert (
        status_of("lm", "train", data / "train.jsonl", "--kind", "lstm", "--out", out, *small, "--device", "cpu") == 0
    )
    tuned = tune(model, data / "dev.jsonl", exp / "lm.arpa.gz", out / "model", device="cpu")
    assert tuned.second == "second_lm"
    (tmp_path / "other").write_text("aaaa bbbb\ncccc\n" * 50)
    arguments = ("--kind", "lstm", "--out", tmp_path / "strange", *small, "--device", "cpu")
    assert status_of("lm", "train", tmp_path / "other", *arguments) == 0
    with pytest.raises(ModelError, match=r"strange/model: lacks 100.0% of the words of dev"):
        tune(model, data / "dev.jsonl", exp / "lm.arpa.gz", tmp_path / "strange" / "model", device="cpu")
    recognizer = asr.load(model, "cpu")
    assert recognizer.reader.second is not None
    heard = recognizer.transcribe(recordings[0])
    assert heard.alternatives[0].text == heard.text
    assert np.isfinite(heard.alternatives[0].score)


def test_the_least_risk_is_chosen_where_that_was_tuned(exp, model, recordings, monkeypatch):
    assert tune(model, exp / "data" / "dev.jsonl", exp / "lm.arpa.gz", device="cpu").decoding.mbr_scale == 0
    monkeypatch.setattr(risk, "SCALES", (0.5,))
    assert tune(model, exp / "data" / "dev.jsonl", exp / "lm.arpa.gz", device="cpu").decoding.mbr_scale == 0.5
    assert "minimum Bayes risk at scale 0.5" in decoding_facts(model)["Decoding"]
    heard = asr.load(model, "cpu", search=Search(nbest=5)).transcribe(recordings[0])
    scores = [each.score for each in heard.alternatives]
    assert heard.alternatives[0].text == heard.text
    assert scores == sorted(scores, reverse=True)
    assert -1 < scores[0] <= 0


def test_what_an_earlier_tuning_left_goes(exp, model, tmp_path):
    plain = tmp_path / "lm.arpa"
    plain.write_bytes(gzip.decompress((exp / "lm.arpa.gz").read_bytes()))
    (model / "second_lm").mkdir()
    assert tune(model, exp / "data" / "dev.jsonl", plain, device="cpu").language_model == "lm.arpa"
    assert not {"lm.arpa.gz", "second_lm"} & {path.name for path in model.iterdir()}
    compact = tmp_path / "small.ngram"
    assert status_of("lm", "compact", plain, "--out", compact) == 0
    assert tune(model, exp / "data" / "dev.jsonl", compact, device="cpu").language_model == "lm.ngram"
    assert (model / "lm.ngram").read_bytes() == compact.read_bytes()
    assert not (model / "lm.arpa").exists()


def test_a_tuning_that_is_cut_off_leaves_no_settings_for_another_model(exp, model, monkeypatch):
    def full_disk(*arguments):
        raise AsrError("no space left")

    monkeypatch.setattr("asr.tuned.write_json", full_disk)
    with pytest.raises(AsrError, match="no space left"):
        tune(model, exp / "data" / "dev.jsonl", exp / "lm.arpa.gz", device="cpu")
    assert read_tuned(model) is None


def test_other_weights_are_told_once(exp, model, capsys):
    table = json.loads((model / FILE).read_text())
    (model / FILE).write_text(json.dumps({**table, "weights": "0"}))
    assert asr.load(model, "cpu").reader.decoder is None
    assert capsys.readouterr().err.count("was tuned for other weights") == 1
