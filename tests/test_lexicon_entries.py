import pytest

from asr.errors import DataError
from asr.lexicon.entries import Lexicon, Pronunciation, lexicon_of, read_lexicon, write_lexicon


def lexicon_file(tmp_path, text):
    path = tmp_path / "lexicon.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_cmudicts_format(tmp_path):
    path = lexicon_file(tmp_path, ";;; old\nREAD  R EH1 D\nREAD(2)  R IY1 D\na AH0\na(2) EY1\naalborg AO1 L # danish\n")
    lexicon = read_lexicon(path)
    assert [each.phones for each in lexicon["read"]] == [("R", "EH", "D"), ("R", "IY", "D")]
    assert lexicon["aalborg"] == (Pronunciation(("AO", "L")),)
    assert lexicon.phones == ("AH", "AO", "D", "EH", "EY", "IY", "L", "R")
    assert read_lexicon(path, stress=True)["a"][1].phones == ("EY1",)


def test_pronunciations_that_differ_in_stress_alone_are_one(tmp_path):
    lexicon = read_lexicon(lexicon_file(tmp_path, "record R IH0 K AO1 R D\nrecord(2) R IH0 K AO2 R D\n"))
    assert len(lexicon["record"]) == 1


def test_kaldis_formats(tmp_path):
    assert read_lexicon(lexicon_file(tmp_path, "the dh ah\nthe dh iy\n"))["the"][1].phones == ("dh", "iy")
    weighted = read_lexicon(lexicon_file(tmp_path, "the 0.2 DH IY\nthe 0.8 DH AH\n"))
    assert weighted["the"] == (Pronunciation(("DH", "AH"), 1.0), Pronunciation(("DH", "IY"), 0.25))


def test_what_is_written_is_read_again(tmp_path):
    lexicon = lexicon_of([("the", ("DH", "AH"), 0.5), ("the", ("DH", "IY"), 0.125), ("caf\u00e9", ("K",), 1.0)])
    write_lexicon(tmp_path / "made.txt", lexicon)
    assert read_lexicon(tmp_path / "made.txt") == lexicon
    assert lexicon["the"][1].probability == 0.25


def test_a_part_and_a_union():
    one, two = lexicon_of([("a", ("X",), 1.0), ("b", ("Y",), 1.0)]), lexicon_of([("b", ("Z",), 1.0)])
    assert list((one | two).only(["b", "c", "a"]).entries.items()) == [
        ("b", (Pronunciation(("Z",)),)),
        ("a", (Pronunciation(("X",)),)),
    ]
    assert "b" in one
    assert len(Lexicon({})) == 0


def test_lines_that_stand_twice_are_told(tmp_path, capsys):
    lexicon = read_lexicon(lexicon_file(tmp_path, "a AH\nb B\na AH\n"))
    assert "1 lines stand more than once, such as 'a AH'" in capsys.readouterr().err
    assert len(lexicon["a"]) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lexicon.txt: no words"),
        ("a AH\nb\n", "lexicon.txt:2: 'b' has no phones"),
        ("a 0.5 AH\nb 0.5\n", "lexicon.txt:2: 'b' has no phones"),
        ("a AH\nb QQ\n", "lexicon.txt:2: 'b': unknown phone 'QQ'; known are AH B"),
        ("a 1.5 AH\n", "lexicon.txt:1: 'a': a probability of 1.5"),
        ("a nan AH\n", "lexicon.txt:1: 'a': a probability of nan"),
        (";;; nothing\n# else\n", "lexicon.txt: no words"),
        ("a AH\ncaf\u00e9 K AH\n".encode("latin-1"), "lexicon.txt:2: not UTF-8 .byte 0xe9.; is it Latin-1"),
        ("a AH\n".encode("utf-16"), "lexicon.txt: the file is UTF-16; save it as UTF-8"),
    ],
)
def test_what_is_no_lexicon_is_refused(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_lexicon(lexicon_file(tmp_path, text), phones=("AH", "B"))
