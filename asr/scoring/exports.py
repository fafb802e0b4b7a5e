"""A scoring as files for NIST's sclite, so that the errors can be counted again by the program that the field trusts.

```sh
sctk sclite -r ref.trn trn -h hyp.trn trn -i spu_id -s -o sum stdout    # by text
sctk sclite -r ref.stm stm -h hyp.ctm ctm -s -o sum stdout              # the same utterances, by time
```

`-s` counts a difference of case as an error, as asr does; without, sclite folds ASCII letters. `-i spu_id` takes what
stands before the first hyphen or underscore of an id for the speaker, and gives a row to each. Leave out `-F` and `-D`,
which forgive cut and optional words.

Both count the same words, but sclite may count more errors. It does not look for the fewest: a substitution costs it 4,
a deletion or an insertion 3, and the cheapest alignment counts. `a b c d e` against `d e f g h` has five substitutions
(20); sclite deletes three words and inserts three (18), and so counts six errors. As no error costs less than 3 or more
than 4, its total is never below the fewest edits and never above 4/3 of them; an utterance with at most two errors has
the same number by both, and one with three or four could have another only by a tie, which sclite broke in favour of
fewer errors wherever it was tried. At a WER of 80 % it counted one error in 7,000 more, below 60 % none.

Ids and words are written so that sclite takes none for a sign of its own: the characters of `SPECIAL`, blanks in ids
and control characters become their code as in a URL (`(` is `%28`). Different words stay different, equal ones equal.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from asr.config import nearest
from asr.errors import ConfigError, DataError
from asr.files import writing
from asr.progress import say
from asr.scoring.result import Result, Scored

SPECIAL = "%{}/@();<>*\\"
"""What means something to sclite within a word or an id, and the sign that stands for it."""
IGNORED = "IGNORE_TIME_SEGMENT_IN_SCORING"
"""As a segment's only word, sclite leaves it out, whatever its case."""
UNKNOWN_SPEAKER = "unknown"

_SPECIAL = re.compile(rf"[{re.escape(SPECIAL)}\s\x00-\x1f\x7f]")
_SEPARATOR = re.compile(r"[-_]")


def export(result: Result, folder: Path, kinds: Sequence[str]) -> list[Path]:
    """The files that were written: ref.trn and hyp.trn for `trn`, hyp.ctm for `ctm`, ref.stm for `stm`.

    In trn an id begins with its speaker. Where all do so anyway, as in LibriSpeech, they stay; else the speaker is put
    in front of every one, its own hyphens and underscores written as codes. In ctm and stm each utterance is a file of
    its own, named by its id, in channel 1 from time 0. Where the timed words are not as many as those that are scored,
    because no times are known or normalisation has split a word, the words are spread evenly over the utterance; a line
    on stderr and a comment in hyp.ctm say how often.

    Raises:
        ConfigError: There is no such kind.
        DataError: For ctm or stm, neither the duration of an utterance nor the times of its words are known; names it.
        AsrError: A file cannot be written.
    """
    for kind in kinds:
        if kind not in WRITERS:
            raise ConfigError(f"no export is called {kind!r}{nearest(kind, WRITERS)}")
    files = {name: list(lines) for kind in kinds for name, lines in WRITERS[kind](result.utterances).items()}
    for name, lines in files.items():
        with writing(folder / name) as stream:
            stream.writelines(f"{line}\n" for line in lines)
    return [folder / name for name in files]


def _trn(utterances: Sequence[Scored]) -> dict[str, Iterator[str]]:
    labels = _labels(utterances)
    return {
        "ref.trn": (f"{_words(each.reference)} ({label})" for each, label in zip(utterances, labels, strict=True)),
        "hyp.trn": (f"{_words(each.hypothesis)} ({label})" for each, label in zip(utterances, labels, strict=True)),
    }


def _stm(utterances: Sequence[Scored]) -> dict[str, Iterator[str]]:
    return {"ref.stm": (_segment(each) for each in _by_id(utterances))}


def _ctm(utterances: Sequence[Scored]) -> dict[str, Iterator[str]]:
    spread = sum(bool(each.hypothesis.split()) and not _timed(each) for each in utterances)
    note = f"hyp.ctm: {spread} of {len(utterances)} utterances have no times for their words, which are spread evenly"
    if spread:
        say(note)
    return {"hyp.ctm": _ctm_lines(utterances, f";; {note}" if spread else "")}


WRITERS: dict[str, Callable[[Sequence[Scored]], dict[str, Iterator[str]]]] = {"trn": _trn, "ctm": _ctm, "stm": _stm}
"""By kind: the lines of each file that it consists of."""


def _labels(utterances: Sequence[Scored]) -> list[str]:
    """For each utterance the id that begins with its speaker; distinct, as the ids are."""
    speakers = [_SEPARATOR.sub(_code, _escaped(each.speaker or UNKNOWN_SPEAKER)) for each in utterances]
    ids = [_escaped(each.id) for each in utterances]
    if all(_SEPARATOR.split(name, maxsplit=1)[0] == speaker for name, speaker in zip(ids, speakers, strict=True)):
        return ids
    return [f"{speaker}-{name}" for name, speaker in zip(ids, speakers, strict=True)]


def _segment(utterance: Scored) -> str:
    speaker = _escaped(utterance.speaker or UNKNOWN_SPEAKER)
    fields = [_escaped(utterance.id), "1", speaker, "0.000", f"{_end_s(utterance):.3f}", _words(utterance.reference)]
    return " ".join(fields).rstrip()


def _ctm_lines(utterances: Sequence[Scored], note: str) -> Iterator[str]:
    if note:
        yield note
    for utterance in _by_id(utterances):
        words = utterance.hypothesis.split()
        for word, (start_s, end_s) in zip(words, _times_s(utterance, len(words)), strict=True):
            yield f"{_escaped(utterance.id)} 1 {start_s:.3f} {max(0.0, end_s - start_s):.3f} {_word(word)}"


def _times_s(utterance: Scored, count: int) -> list[tuple[float, float]]:
    """When each of so many words begins and ends, never before the one in front of it."""
    if _timed(utterance):
        return sorted((word.start_s, word.end_s) for word in utterance.words)
    each_s = _end_s(utterance) / max(count, 1)
    return [(number * each_s, (number + 1) * each_s) for number in range(count)]


def _timed(utterance: Scored) -> bool:
    return len(utterance.words) == len(utterance.hypothesis.split()) > 0


def _end_s(utterance: Scored) -> float:
    """When the segment ends: with the utterance, or with a word that lasts longer, as sclite drops what lies outside.

    Raises:
        DataError: Neither is known.
    """
    if utterance.duration_s is None and not utterance.words:
        raise DataError(f"{utterance.id}: ctm and stm need its duration or the times of its words; export trn instead")
    return max([utterance.duration_s or 0.0, *(word.end_s for word in utterance.words)])


def _by_id(utterances: Sequence[Scored]) -> list[Scored]:
    """In the order that sclite asks of names of files."""
    return sorted(utterances, key=lambda each: _escaped(each.id).encode())


def _words(text: str) -> str:
    return " ".join(_word(word) for word in text.split())


def _word(word: str) -> str:
    return _code(word[0]) + word[1:] if word.upper() == IGNORED else _escaped(word)


def _escaped(text: str) -> str:
    return _SPECIAL.sub(_code, text)


def _code(character: str | re.Match[str]) -> str:
    """
    >>> _code("(")
    '%28'
    """
    letter = character if isinstance(character, str) else character[0]
    return "".join(f"%{byte:02X}" for byte in letter.encode())
