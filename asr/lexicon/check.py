"""What can be wrong with a lexicon, and how much of a text it covers."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from asr.lexicon.entries import Lexicon, Phones
from asr.tabular import plain
from asr.text import normalise


@dataclass(frozen=True)
class Report:
    words: int
    pronunciations: int
    phones: int
    """Distinct ones, those that are not known among them."""
    several: Mapping[str, int]
    """The words with more than one pronunciation, and how many they have; the most first."""
    homophones: Sequence[Sequence[str]]
    """Words that share a pronunciation, the largest group first."""
    unknown: Mapping[str, Sequence[str]]
    """The phones that are not known, each with the words that have them."""
    repeated: Sequence[str]
    """Lines that stand in the file more than once."""

    @property
    def wrong(self) -> bool:
        return bool(self.unknown or self.repeated)


@dataclass(frozen=True)
class Coverage:
    """How much of a text, or of a list, has an entry."""

    words: Counter[str]
    """Those of the text, and how often each stands in it."""
    missing: Counter[str]
    """Those of them without an entry."""

    @property
    def running_share(self) -> float:
        return 1 - self.missing.total() / self.words.total()

    @property
    def distinct_share(self) -> float:
        return 1 - len(self.missing) / len(self.words)


def check_lexicon(lexicon: Lexicon, phones: Collection[str], repeated: Sequence[str] = ()) -> Report:
    """What there is to know of a lexicon by itself.

    Args:
        phones: The known ones, such as those of a model.
        repeated: The lines that its file has more than once.
    """
    known = frozenset(phones)
    alike: dict[Phones, list[str]] = {}
    unknown: dict[str, list[str]] = {}
    for word, pronunciations in lexicon.entries.items():
        for each in pronunciations:
            alike.setdefault(each.phones, []).append(word)
        for phone in sorted({phone for each in pronunciations for phone in each.phones} - known):
            unknown.setdefault(phone, []).append(word)
    numbers = Counter({word: len(said) for word, said in lexicon.entries.items() if len(said) > 1})
    return Report(
        words=len(lexicon),
        pronunciations=sum(map(len, lexicon.entries.values())),
        phones=len(lexicon.phones),
        several=dict(numbers.most_common()),
        homophones=sorted((words for words in alike.values() if len(words) > 1), key=len, reverse=True),
        unknown=unknown,
        repeated=repeated,
    )


def coverage(lexicon: Lexicon, words: Iterable[str]) -> Coverage:
    """The coverage of running words, each as often as it is said; they are normalised, as those of a lexicon are."""
    counts = Counter(map(normalise, words))
    return Coverage(counts, Counter({word: count for word, count in counts.items() if word not in lexicon}))


def told(report: Report, most: int) -> str:
    """A report as a table of two columns.

    Args:
        most: Examples of each kind; of homophones, the largest group.
    """
    several = [f"{word} ({count})" for word, count in report.several.items()]
    unknown = [f"{phone} (as in {words[0]!r})" for phone, words in report.unknown.items()]
    return plain(
        [
            ["words", f"{report.words:,}"],
            ["pronunciations", f"{report.pronunciations:,}"],
            ["phones", f"{report.phones:,}"],
            ["words with several pronunciations", _listed(several, most)],
            ["groups of homophones", _listed([" = ".join(words) for words in report.homophones], min(most, 1))],
            ["unknown phones", _listed(unknown, most)],
            ["lines more than once", _listed([repr(line) for line in report.repeated], most)],
        ]
    )


def told_coverage(found: Coverage, name: str, most: int) -> str:
    """A coverage as a table, and one of the words that are missing, the most frequent first.

    Args:
        name: What the words are from.
        most: Missing words, at most.
    """
    rows = [[name, "words", "with an entry"]]
    if found.words.total() > len(found.words):
        rows.append(["running", f"{found.words.total():,}", f"{found.running_share:.2%}"])
    rows.append(["distinct", f"{len(found.words):,}", f"{found.distinct_share:.2%}"])
    if not found.missing or not most:
        return plain(rows)
    missing = [["without an entry", "times"], *([word, f"{n:,}"] for word, n in found.missing.most_common(most))]
    return f"{plain(rows)}\n\n{plain(missing)}"


def _listed(examples: Sequence[str], most: int) -> str:
    """
    >>> _listed(["one", "two", "three"], 2)
    '3: one, two, ...'
    """
    if not examples or not most:
        return f"{len(examples):,}"
    return f"{len(examples):,}: {', '.join([*examples[:most], *['...'] * (len(examples) > most)])}"
