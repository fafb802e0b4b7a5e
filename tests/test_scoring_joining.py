import json
import random
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from asr.alignment import Word
from asr.errors import DataError
from asr.metrics import total
from asr.scoring.joining import Joined, join, join_all


def file(folder: Path, name: str, *lines: str) -> Path:
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def heard(joined: Joined) -> dict[str, str]:
    return {each.id: each.hypothesis for each in joined.scored}


def manifest_line(name: str, text: str, **more: object) -> str:
    return json.dumps({"audio_filepath": f"{name}.wav", "duration": 2, "text": text, **more})


def decoded_line(name: str, *words: str, **more: object) -> str:
    timed = [{"word": word, "start": i, "end": i + 0.5, "confidence": 0.5} for i, word in enumerate(words)]
    return json.dumps({"id": name, "text": " ".join(words), "words": timed, **more})


def test_the_order_is_that_of_the_references(tmp_path):
    reference = file(tmp_path, "r", "u2 so it", "u3 goes", "u1 so")
    joined = join(reference, file(tmp_path, "h", "so x (u1)", "goes (u3)", "so it (u2)"), str.upper)
    assert heard(joined) == {"u2": "SO IT", "u3": "GOES", "u1": "SO X"}
    assert list(heard(joined)) == ["u2", "u3", "u1"]
    assert [each.reference for each in joined.scored] == ["SO IT", "GOES", "SO"]
    assert total(each.errors for each in joined.scored).insertions == 1
    assert joined.remarks == (
        f"reference: {tmp_path}/r (Kaldi text, 3 utterances with ids such as 'u2')",
        f"hypothesis: {tmp_path}/h (trn, 3 utterances with ids such as 'u1')",
        "no speakers are known",
    )


def test_facts_come_from_the_side_that_tells_them_the_reference_first(tmp_path):
    manifest = file(
        tmp_path, "m", manifest_line("u1", "so", speaker="ann", offset=1.5, id="u1"), manifest_line("u2", "it")
    )
    decoded = file(
        tmp_path, "d", decoded_line("u1", "so", speaker="x", duration_s=9), decoded_line("u2", "it", speaker="bert")
    )
    first, second = join(manifest, decoded, str).scored
    assert (first.speaker, first.duration_s, first.audio, first.offset_s) == ("ann", 2, tmp_path / "u1.wav", 1.5)
    assert (second.speaker, second.duration_s, second.offset_s) == ("bert", 2, 0)
    assert second.words == (Word("it", 0, 0.5, 0.5),)
    first, second = join(file(tmp_path, "t", "so (u1)", "it (u2)"), manifest, str, speakers={"u2": "carl"}).scored
    assert (first.speaker, first.duration_s, first.audio, first.offset_s) == ("ann", 2, tmp_path / "u1.wav", 1.5)
    assert (second.speaker, second.audio) == ("carl", tmp_path / "u2.wav")


def no_points(text: str) -> str:
    return text.replace(".", "").replace("'", " ").replace("gonna", "going to")


def test_times_are_kept_while_the_words_are_the_same(tmp_path):
    reference = file(tmp_path, "r", "u1 so it", "u2 it s", "u3 going to")
    decoded = file(
        tmp_path, "d", decoded_line("u1", "so.", "...", "it"), decoded_line("u2", "it's"), decoded_line("u3", "gonna")
    )
    joined = join(reference, decoded, no_points)
    assert heard(joined) == {"u1": "so  it", "u2": "it s", "u3": "going to"}
    assert [each.words for each in joined.scored] == [(Word("so", 0, 0.5, 0.5), Word("it", 2, 2.5, 0.5)), (), ()]
    assert "the times of the words are not known in 2 of 3 utterances" in joined.remarks


def test_several_systems_have_the_same_ids_in_the_same_order(tmp_path):
    reference = file(tmp_path, "r", "u2 so it", "u1 goes")
    a, b = file(tmp_path, "a", "u1 go", "u2 so"), file(tmp_path, "b", "id,text", "u2,it")
    with pytest.raises(DataError, match=re.escape("b, for ") + r".*r: no hypothesis for 1 of 2 references \('u1'\)"):
        join_all(reference, [a, b], str)
    joined = join_all(reference, [a, b], str, allow_missing=True)
    assert [list(heard(each).items()) for each in joined] == [
        [("u2", "so"), ("u1", "go")],
        [("u2", "it"), ("u1", "")],
    ]


def test_what_is_on_one_side_only(tmp_path):
    reference = file(tmp_path, "r", *(f"u{i} so it" for i in range(10)))
    hypothesis = file(tmp_path, "h", *(f"u{i} so it" for i in range(5, 12)))
    with pytest.raises(DataError) as caught:
        join(reference, hypothesis, str)
    assert str(caught.value) == (
        f"{hypothesis}, for {reference}: no hypothesis for 5 of 10 references ('u0', 'u1', 'u2', ...); "
        "no reference for 2 of 7 hypotheses ('u10', 'u11') (--allow-missing counts what is missing as deletions)"
    )
    joined = join(reference, hypothesis, str, allow_missing=True)
    errors = total(each.errors for each in joined.scored)
    assert (errors.words, errors.deletions, errors.word_errors) == (20, 10, 10)
    assert joined.remarks[2:4] == (
        "5 of 10 hypotheses are missing: deletions ('u0', 'u1', 'u2', ...)",
        "2 of 7 hypotheses have no reference: left out ('u10', 'u11')",
    )
    nothing = file(tmp_path, "n", "so it (v1)")
    with pytest.raises(DataError, match="no hypothesis for 10 of 10 references"):  # allowed or not
        join(file(tmp_path, "r.trn", *(f"so it (u{i})" for i in range(10))), nothing, str, allow_missing=True)


def test_empty_texts_are_told(tmp_path):
    joined = join(file(tmp_path, "r", "u1", "u2 so", "u3 it"), file(tmp_path, "h", "u1 so", "u2", "u3"), str)
    assert "1 of 3 references are empty: words heard there count as insertions" in joined.remarks
    assert "2 of 3 hypotheses are empty: words said there count as deletions" in joined.remarks
    assert total(each.errors for each in joined.scored).word_errors == 3


def test_one_file_on_both_sides_is_told(tmp_path):
    path = file(tmp_path, "m", manifest_line("u1", "so", pred_text="no"))
    joined = join(path, path, str)
    assert (joined.scored[0].reference, joined.scored[0].hypothesis) == ("so", "no")
    assert "reference and hypothesis are the same file" in joined.remarks


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["84-1-0 x", "84-1-1 x", "85-2-0 x", "85-2-1 x"], ["84", "84", "85", "85"]),
        (["84-1-0 x", "84-1-1 x", "84-2-0 x", "84-2-1 x"], None),  # one speaker or the corpus's name
        (["84-1-0 x", "84-1-1 x", "85-2-0 x"], None),  # two ids each in the mean are asked for
        (["84-0 x", "84-1 x", "85-0 x", "85-1 x"], None),
        (["x (ann-b_0)", "x (ann-b_1)", "x (carl_0)", "x (carl_1)"], ["ann", "ann", "carl", "carl"]),
        (["x (ann-0)", "x (ann-1)", "x (carl-0)", "x (carl1)"], None),
    ],
)
def test_speakers_from_ids(lines, expected, tmp_path):
    path = file(tmp_path, "r", *lines)
    joined = join(path, path, str)
    assert [each.speaker for each in joined.scored] == (expected or [""] * len(lines))
    (told,) = joined.remarks[3:]
    known = f"2 speakers are known from the ids, such as {joined.scored[0].speaker!r} of {joined.scored[0].id!r}"
    assert told == (known if expected else "no speakers are known")


def test_speakers_that_are_told_are_not_guessed(tmp_path):
    path = file(tmp_path, "r", "84-1-0 x", "84-1-1 x", "85-2-0 x", "85-2-1 x")
    joined = join(path, path, str, speakers={"84-1-0": "ann"})
    assert [each.speaker for each in joined.scored] == ["ann", "", "", ""]
    assert "the speakers of 3 of 4 utterances are not known" in joined.remarks


STM = (
    "a 1 ann 1.0 2.0 so it goes",
    "a 1 - 2.0 3.0 IGNORE_TIME_SEGMENT_IN_SCORING",
    "a 1 bert 4.0 6.0 on it",
    "b 1 ann 0.0 2.0 so",
)


def test_a_ctm_is_laid_on_the_segments_of_an_stm(tmp_path):
    words = [
        "a 1 0.25 0.5 before",
        "a 1 1.0 0.5 so",
        "a 1 1.5 0.5 it",
        "a 1 1.75 0.5 ends",  # its middle is the end of the segment: the next one's
        "a 1 2.25 0.5 ignored",
        "a 1 3.25 0.5 between",
        "a 1 4.5 0.5 on",
        "a 1 6.5 0.5 after",
        "b 1 0.5 0.5 so",
    ]
    joined = join(file(tmp_path, "r", *STM), file(tmp_path, "h", *words), str)
    assert list(heard(joined).items()) == [
        ("a-1-1.000-2.000", "before so it"),
        ("a-1-4.000-6.000", "between on after"),
        ("b-1-0.000-2.000", "so"),
    ]
    assert [each.speaker for each in joined.scored] == ["ann", "bert", "ann"]
    assert [(each.offset_s, each.duration_s) for each in joined.scored] == [(1, 1), (4, 2), (0, 2)]
    assert [word.start_s for word in joined.scored[1].words] == [-0.75, 0.5, 2.5]
    assert joined.remarks[2:4] == (
        "words left out, heard in segments that are not to be scored: 2",
        "words heard outside all segments, scored in the next one or the last: 3",
    )


def test_recordings_that_only_the_ctm_or_only_the_stm_has(tmp_path):
    stm = file(tmp_path, "r", *STM)
    ctm = file(tmp_path, "h", "a 1 1.5 0.25 so", "a 2 1.5 0.25 so", "c 1 1.5 0.25 so")
    with pytest.raises(DataError, match=r"'b-1-0.000-2.000'\); no reference for 2 of 3 hypotheses \('a-2', 'c'\) .*"):
        join(stm, ctm, str)
    assert list(heard(join(stm, ctm, str, allow_missing=True)).values()) == ["so", "", ""]


def test_a_ctm_against_ids(tmp_path):
    joined = join(
        file(tmp_path, "r", "so it (u1)", "so (u2)"), file(tmp_path, "h", "u2 1 0.5 0.5 so", "u1 A 0 1 so"), str
    )
    assert heard(joined) == {"u1": "so", "u2": "so"}
    with pytest.raises(DataError, match="a ctm has no lines where nothing was heard"):
        join(file(tmp_path, "r", "so it (u1)", "so (u2)"), file(tmp_path, "h", "u2 1 0.5 0.5 so"), str)


def test_a_hundred_thousand_lines_are_joined_in_seconds(tmp_path):
    lines = [f"{i % 40}-{i // 1000}-{i:06} so it goes on and on" for i in range(100_000)]
    path, other = file(tmp_path, "r", *lines), file(tmp_path, "h", *reversed(lines))
    start_s = time.process_time()
    joined = join(path, other, str)
    assert time.process_time() - start_s < 10  # about 1 on an idle core
    assert (len(joined.scored), len({each.speaker for each in joined.scored})) == (100_000, 40)


def by_sclite(*arguments: str | Path) -> dict[str, tuple[int, int, int, list[str]]]:
    """Words, errors, how many utterances and what was heard, by speaker; an utterance's words in lower case."""
    command = ["sctk", "sclite", "-s", *map(str, arguments), "-o", "pralign", "stdout"]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, tuple[int, int, int, list[str]]] = {}
    for block in report.split("\nid: (")[1:]:
        counts = re.search(r"#I\) (\d+) (\d+) (\d+) (\d+)", block)
        line = re.search(r"^HYP: +(.*)", block, re.MULTILINE)
        assert counts
        right, substituted, deleted, inserted = map(int, counts.groups())
        words, errors, utterances, text = found.get(speaker := re.split("[-_]", block)[0], (0, 0, 0, []))
        said = [word.lower() for word in (line[1].split() if line else []) if not word.startswith("*")]
        found[speaker] = (
            words + right + substituted + deleted,
            errors + substituted + deleted + inserted,
            utterances + 1,
            text + said,
        )
    return found


def by_speaker(joined: Joined) -> dict[str, tuple[int, int, int, list[str]]]:
    found = {}
    for speaker in {each.speaker for each in joined.scored}:
        theirs = [each for each in joined.scored if each.speaker == speaker]
        errors = total(each.errors for each in theirs)
        text = [word for each in theirs for word in each.hypothesis.split()]
        found[speaker] = errors.words, errors.word_errors, len(theirs), text
    return found


needs_sclite = pytest.mark.skipif(not shutil.which("sctk"), reason="sclite is not here")


def random_times(rng: random.Random) -> tuple[list[str], list[str]]:
    """An stm, each segment with a speaker of its own, and a ctm whose words were never said: however they are aligned,
    the fewest errors are then as many as the longer text has words.
    """
    stm, ctm = [], []
    for recording in "ab":
        now_s = 0.0
        for _ in range(rng.randint(1, 5)):
            begin_s = now_s + rng.choice([0, 0.01, 0.5, 1, 2.25])
            now_s = begin_s + rng.choice([0.01, 0.5, 0.75, 1, 2])
            ignored = len(stm) and rng.random() < 0.2
            text = "IGNORE_TIME_SEGMENT_IN_SCORING" if ignored else " ".join(["said"] * rng.randint(1, 3))
            end_s = now_s + rng.choice([0, 0, 0.5, 3])
            stm.append(f"{recording} 1 s{len(stm)} {begin_s:.2f} {end_s:.2f} <o> {text}")
        now_s = 0.0
        for _ in range(rng.randint(1, 12)):
            now_s += rng.choice([0, 0.01, 0.1, 0.25, 0.5, 1])
            ctm.append(f"{recording} 1 {now_s:.2f} {rng.choice([0.01, 0.1, 0.25, 1, 3]):.2f} w{len(ctm)}")
    return stm, ctm


@needs_sclite
def test_ctm_and_stm_are_read_as_sclite_does(tmp_path):
    rng = random.Random(7)
    for _ in range(25):
        stm, ctm = random_times(rng)
        reference, hypothesis = file(tmp_path, "r", *stm), file(tmp_path, "h", *ctm)
        joined = join(reference, hypothesis, str)
        assert by_speaker(joined) == by_sclite("-r", reference, "stm", "-h", hypothesis, "ctm")


@needs_sclite
def test_trn_is_read_as_sclite_does(tmp_path):
    rng = random.Random(7)
    ids = [
        f"{speaker}{mark}{i:02}" for speaker, mark in (("ann", "-"), ("bert", "_"), ("carl", "-x_")) for i in range(9)
    ]
    said = [["abcdef"[rng.randrange(6)] for _ in range(rng.randint(1, 6))] for _ in ids]
    wrong = [[word if rng.random() < 0.8 else "x" for word in words] for words in said]
    reference, hypothesis = (
        file(tmp_path, name, ";; so", *(f"{' '.join(words)} ({i})" for words, i in zip(texts, ids, strict=True)))
        for name, texts in (("r", said), ("h", wrong))
    )
    arguments = ("-r", reference, "trn", "-h", hypothesis, "trn", "-i", "spu_id")
    assert by_speaker(join(reference, hypothesis, str)) == by_sclite(*arguments)
