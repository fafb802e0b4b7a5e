"""A scoring in words, for a terminal and for files: the rates, the tables, the worst utterances."""

from collections.abc import Container, Sequence

from asr.metrics import Kind, worst
from asr.scoring.columns import in_columns
from asr.scoring.result import Result
from asr.scoring.tables import Confusion, Group, by_duration, by_length, by_speaker, by_vocabulary, confusions
from asr.tabular import markdown

TITLES: dict[Kind, list[str]] = {"substitute": ["said", "heard"], "delete": ["left out"], "insert": ["put in"]}


def headline(result: Result) -> str:
    """The rates of a scoring with all that belongs to them, a few lines.

    Raises:
        DataError: There is no utterance.
    """
    errors, interval = result.total, result.interval
    speakers = len(set(filter(None, result.speakers.values())))
    drawn = f"{speakers} speakers" if interval.unit == "speaker" else f"{errors.sentences} utterances"
    known = [f"{speakers} speakers"] * (speakers > 0) + [f"{result.hours:.2f} hours"] * (result.hours > 0)
    return "\n".join(
        [
            f"WER {errors.wer:.2%}, with 95 % confidence {interval.low:.2%} to {interval.high:.2%} "
            f"(bootstrap over {drawn})",
            f"{errors.word_errors} errors in {errors.words} words: {errors.substitutions} substituted, "
            f"{errors.deletions} deleted, {errors.insertions} inserted",
            f"CER {errors.cer:.2%}; sentences wrong {errors.sentence_error_rate:.2%}, "
            f"{errors.wrong_sentences} of {errors.sentences}",
            "; ".join([*known, f"normalisation before scoring: {result.normalisation}"]),
        ]
    )


def tables(result: Result, lexicon: Container[str] | None = None, most: int = 20) -> str:
    """All of this in words, as Markdown that also reads well on a terminal.

    Args:
        lexicon: The words that the recogniser could have known, in the form in which they are scored.
        most: Rows of each table of words.
    """
    parts = [
        _group_table("speaker", by_speaker(result)),
        _group_table("duration", by_duration(result)),
        _group_table("reference", by_length(result)),
    ]
    found = confusions(result)
    parts += [
        _confusion_table(title, [each for each in found if each.kind == kind], most) for kind, title in TITLES.items()
    ]
    if lexicon is not None:
        missed = confusions(result, lambda column: bool(column.said) and column.said not in lexicon)
        parts += [
            _group_table("word", by_vocabulary(result, lexicon)),
            _confusion_table(["not in the lexicon", "heard"], missed, most),
        ]
    return "\n".join(parts)


def listing(result: Result, most: int) -> str:
    """The utterances with the most word errors, reference and hypothesis in columns; those without errors never."""
    utterances = {utterance.id: utterance for utterance in result.utterances}
    parts = []
    for utterance in (utterances[name] for name in worst(result.errors, most)):
        if (errors := utterance.errors).word_errors:
            heading = f"{utterance.id}: {errors.word_errors} errors in {errors.words} words"
            audio = f", {utterance.audio}" if utterance.audio else ""
            parts.append(f"{heading}{audio}\n{in_columns({'HYP': utterance.columns})}\n")
    return "\n".join(parts)


def _group_table(what: str, groups: Sequence[Group]) -> str:
    timed, sentences = any(group.hours for group in groups), any(group.errors.sentences for group in groups)
    header = [what, *["utterances"] * sentences, *["minutes"] * timed, "words", "WER", "S", "D", "I"]
    rows = [
        [
            group.name,
            *[str(errors.sentences)] * sentences,
            *[f"{60 * group.hours:.1f}"] * timed,
            str(errors.words),
            f"{errors.wer:.2%}",
            *map(str, (errors.substitutions, errors.deletions, errors.insertions)),
        ]
        for group in groups
        if (errors := group.errors)
    ]
    return markdown(header, rows)


def _confusion_table(title: Sequence[str], found: Sequence[Confusion], most: int) -> str:
    rows = [
        [*[each.said or each.heard, each.heard or "(left out)"][: len(title)], str(each.count), " ".join(each.examples)]
        for each in found[:most]
    ]
    return markdown([*title, "times", "such as in"], rows)
