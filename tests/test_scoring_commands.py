"""`asr wer` and `asr compare` from files to what they print and write."""

import json
import shutil
import subprocess

import pytest
from conftest import status_of

SAID = {"ann-1": "The cat sat on", "ann-2": "one two three", "bob-1": "colour me blue", "bob-2": "it's 21"}
A = {"ann-1": "the cat sad on it", "ann-2": "one two three", "bob-1": "color me", "bob-2": "it is twenty one"}
B = {"ann-1": "the cat sat on", "ann-2": "one too three", "bob-1": "color me blue", "bob-2": "it is twenty one"}


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ref.csv").write_text("id,text\n" + "".join(f"{name},{text}\n" for name, text in SAID.items()))
    (tmp_path / "a.trn").write_text("".join(f"{text} ({name})\n" for name, text in A.items()))
    lines = [{"id": name, "text": text, "words": []} for name, text in B.items()]
    (tmp_path / "b.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in reversed(lines)))
    return tmp_path


def figures_of(capsys, *arguments):
    assert status_of(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out, parse_constant=pytest.fail)


def test_files_of_different_kinds_are_scored(files, capsys):
    assert status_of("wer", "ref.csv", "a.trn") == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("WER 75.00%, with 95 % confidence")
    assert "9 errors in 12 words: 5 substituted, 1 deleted, 3 inserted" in printed.out
    assert "normalisation before scoring: none" in printed.out
    assert "ref.csv (CSV, 4 utterances" in printed.err


@pytest.mark.parametrize(("normalisation", "errors", "words"), [("none", 9, 12), ("basic", 8, 12), ("english", 3, 14)])
def test_normalisation_has_a_name(files, capsys, normalisation, errors, words):
    figures = figures_of(capsys, "wer", "ref.csv", "a.trn", "--normalise", normalisation)
    found = figures["substitutions"] + figures["deletions"] + figures["insertions"]
    assert (found, figures["words"], figures["normalisation"]) == (errors, words, normalisation)


def test_an_unknown_normalisation_is_refused(files, capsys):
    assert status_of("wer", "ref.csv", "a.trn", "--normalise", "englsh") == 1
    assert "'englsh'; did you mean 'english'?" in capsys.readouterr().err


def test_what_cannot_be_normalised_is_named_with_its_line(files, capsys):
    (files / "a.trn").write_text((files / "a.trn").read_text().replace("one two three", "日 two three"))
    assert status_of("wer", "ref.csv", "a.trn", "--normalise", "english") == 1
    assert "a.trn:2: normaliser 'english': '日' cannot be written in English" in capsys.readouterr().err


def test_a_missing_hypothesis(files, capsys):
    trn = (files / "a.trn").read_text().splitlines()
    (files / "a.trn").write_text("\n".join(trn[1:]))
    assert status_of("wer", "ref.csv", "a.trn") == 1
    assert "no hypothesis for 1 of 4 references ('ann-1')" in capsys.readouterr().err
    assert status_of("wer", "ref.csv", "a.trn", "--allow-missing") == 0
    printed = capsys.readouterr()
    assert "10 errors in 12 words" in printed.out
    assert "1 of 4 hypotheses" in printed.err


def test_tables_a_lexicon_and_the_worst(files, capsys):
    (files / "words.txt").write_text("The AH\nthe AH\ncat K AE T\nsat S AE T\n")
    assert status_of("wer", "ref.csv", "a.trn", "--lexicon", "words.txt", "--worst", "1") == 0
    printed = capsys.readouterr().out
    assert "| in the lexicon     |     3 |" in printed
    assert "| colour             | color" in printed
    assert printed.count("REF:") == 1
    (files / "bigram.arpa").write_text(
        "\\data\\\nngram 1=4\n\n\\1-grams:\n-1 <s>\n-1 </s>\n-1 <unk>\n-1 cat\n\n\\end\\\n"
    )
    assert status_of("wer", "ref.csv", "a.trn", "--lexicon", "bigram.arpa") == 0
    assert "| in the lexicon     |     1 |" in capsys.readouterr().out


def test_speakers_from_kaldis_list(files, capsys):
    (files / "utt2spk").write_text("ann-1 ann\nann-2 ann\nbob-1 bob\nbob-2 bob\n")
    assert status_of("wer", "ref.csv", "a.trn", "--utt2spk", "utt2spk", "--tables") == 0
    assert "| ann     |          2 |" in capsys.readouterr().out
    (files / "utt2spk").write_text("ann-1 ann\nann-2\n")
    assert status_of("wer", "ref.csv", "a.trn", "--utt2spk", "utt2spk") == 1
    assert "utt2spk:2: an id and a speaker were expected, found 'ann-2'" in capsys.readouterr().err


def test_the_page_and_the_exports(files, capsys):
    out = files / "nist"
    assert status_of("wer", "ref.csv", "a.trn", "--html", "report.html", "--export", "trn", "--out", out) == 0
    assert "asr wer ref.csv a.trn --html report.html" in (files / "report.html").read_text()
    assert (out / "hyp.trn").read_text().splitlines()[0].startswith("the cat sad on it (")
    assert str(out / "ref.trn") in capsys.readouterr().err
    if sctk := shutil.which("sctk"):
        command = [sctk, "sclite", "-r", out / "ref.trn", "trn", "-h", out / "hyp.trn", "trn", "-i", "spu_id", "-s"]
        report = subprocess.run([*command, "-o", "rsum", "stdout"], capture_output=True, text=True, check=True).stdout
        (line,) = [line for line in report.splitlines() if "Sum" in line]
        assert line.replace("|", " ").split()[1:3] + line.replace("|", " ").split()[7:8] == ["4", "12", "9"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["wer", "ref.csv", "a.trn", "--embed-audio"], "--embed-audio is for the page"),
        (["wer", "ref.csv", "a.trn", "--html", "."], "a folder; name a file"),
        (["wer", "ref.csv", "a.trn", "--worst", "-1"], "--worst"),
    ],
)
def test_misuse_is_told(files, capsys, arguments, message):
    assert status_of(*arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["wer", "ref.csv", "none.trn"], "none.trn: No such file"),
        (["wer", "ref.csv", "a.trn", "--export", "tnr"], "'tnr'; did you mean 'trn'?"),
        (["wer", "ref.csv", "a.trn", "--export", "ctm"], "export trn instead"),
        (["wer", "ref.csv", "a.trn", "--html", "a.trn/report.html"], "a.trn/report.html: cannot be written"),
        (["wer", "ref.csv", "a.trn", "--lexicon", "none.txt"], "none.txt: No such file"),
        (["compare", "ref.csv", "a.trn", "none.trn"], "none.trn: No such file"),
    ],
)
def test_mistakes_are_one_line(files, capsys, arguments, message):
    assert status_of(*arguments) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("asr: ")
    assert message in last


def test_two_systems_are_compared(files, capsys):
    assert status_of("compare", "ref.csv", "a.trn", "b.jsonl", "--normalise", "english", "--most", "1") == 0
    printed = capsys.readouterr().out
    assert "B - A:    -14.29 points" in printed
    assert "2 of 4 utterances have fewer errors in B than in A" in printed
    assert printed.count("REF:") == 2
    assert status_of("compare", "ref.csv", "a.trn", "b.jsonl", "--html", "both.html") == 0
    assert "a.trn" in (files / "both.html").read_text()
    capsys.readouterr()
    record = figures_of(capsys, "compare", "ref.csv", "a.trn", "a.trn")
    assert record["difference"]["value"] == 0
    assert record["verdict"] == "A and B heard the same words throughout."
