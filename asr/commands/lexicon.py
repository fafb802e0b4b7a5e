"""Pronunciation lexicons: built for a list of words, and checked; and how words are said that are in none."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.commands.g2p import pronounce, train_g2p
from asr.commands.options import Model, complain

if TYPE_CHECKING:
    from asr.lexicon.build import Built

app = typer.Typer(no_args_is_help=True, help="Pronunciations: lexicons built and checked, words spelled in phones.")
app.command("train-g2p")(train_g2p)
app.command("pronounce")(pronounce)

WORDS = "A word a line, a dictionary, or an ARPA file; - for stdin; as often as need be."


@app.command("build")
def build(
    words: Annotated[list[Path], typer.Option(metavar="LIST", help=WORDS)],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The lexicon, in the form of Kaldi's lexiconp.txt.")],
    dictionary: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where words are looked up first (default: CMUdict).")
    ] = None,
    g2p: Annotated[
        str | None,
        typer.Option(metavar="NAME|DIR", help="The model that says the others (default: the one for English)."),
    ] = None,
    nbest: Annotated[int, typer.Option(min=1, help="Pronunciations that the model gives a word, at most.")] = 1,
    stress: Annotated[
        bool,
        typer.Option("--stress", help="Keep the stress of the dictionary's vowels; the model, without, is not asked."),
    ] = False,
) -> None:
    """Write how words are said: as the dictionary has it, and the others as a model says them.

    Words that cannot be said, for they have digits or letters of another script, are named on stderr and left out.
    """
    if out.is_dir():
        raise typer.BadParameter(f"--out {out}: a folder; name a file, such as {out / 'lexicon.txt'}")
    if stress and (g2p or nbest > 1):
        raise typer.BadParameter(f"{'--g2p' if g2p else '--nbest'} is for the model, which has no --stress")
    from asr.lexicon.build import build_lexicon
    from asr.lexicon.dictionary import find_dictionary
    from asr.lexicon.entries import read_lexicon, write_lexicon
    from asr.lexicon.words import read_words

    wanted = [word for path in dict.fromkeys(words) for word in read_words(path)]
    known = read_lexicon(find_dictionary(dictionary), stress)
    speller = None
    if not stress:
        from asr.g2p.pronouncer import Pronouncer, shipped
        from asr.shipped import find_model

        speller = Pronouncer.load(find_model(g2p) if g2p else shipped())
    built = build_lexicon(wanted, known, speller, nbest)
    _complain_of(built)
    if built.lexicon:
        write_lexicon(out, built.lexicon)
        print(f"{out}: {_told(built)}")
    if built.left_out:
        raise typer.Exit(1)


@app.command("check")
def check(
    lexicon: Annotated[Path, typer.Argument(metavar="LEXICON", help="As CMUdict or Kaldi write them.")],
    texts: Annotated[
        list[Path] | None,
        typer.Option("--text", metavar="TEXT", help="How much of it is covered; any that asr lm train takes."),
    ] = None,
    words: Annotated[list[Path] | None, typer.Option(metavar="LIST", help=WORDS)] = None,
    model: Model = None,
    phones: Annotated[
        str | None,
        typer.Option(metavar='"AA AE ..."', help="The known ones (default: those of --model, else CMUdict's)."),
    ] = None,
    most: Annotated[int, typer.Option(min=0, help="Examples of each kind.")] = 5,
) -> None:
    """Tell what is in a lexicon, and which words of texts or lists it lacks.

    Phones that are not known and lines that stand twice are mistakes: the exit status is 1.
    """
    if phones is not None and (model or not phones.split()):
        raise typer.BadParameter("--phones takes phones, separated by spaces, in place of those of --model")
    from asr.lexicon.check import check_lexicon, coverage, told, told_coverage
    from asr.lexicon.entries import STRESSED, read_with_repeated
    from asr.lexicon.words import read_words
    from asr.lm.corpus import read_sentences
    from asr.text import normalise

    known = phones.split() if phones else _phones_of(model)
    stress = any(STRESSED.fullmatch(phone) for phone in known)
    found, repeated = read_with_repeated(lexicon, stress)
    report = check_lexicon(found, known, repeated)
    blocks = [told(report, most)]
    if texts:
        said = (word for sentence in read_sentences(texts) for word in sentence.split())
        blocks.append(told_coverage(coverage(found, said), "texts", most))
    if words:
        listed = {normalise(word): None for path in words for word in read_words(path)}
        blocks.append(told_coverage(coverage(found, listed), "lists", most))
    print("\n\n".join(blocks))
    if report.wrong:
        raise typer.Exit(1)


def _phones_of(model: str | None) -> tuple[str, ...]:
    if model is None:
        from asr.lexicon.dictionary import PHONES

        return tuple(PHONES)
    from asr.errors import ModelError
    from asr.shipped import find_model
    from asr.text import Vocabulary

    folder = find_model(model)
    if not (phones := Vocabulary.load(folder / "vocabulary.json").phones):
        raise ModelError(f"{folder}: the model hears no phones")
    return phones[1:]


def _complain_of(built: "Built") -> None:
    from asr.errors import DataError

    for reason in built.left_out.values():
        complain(DataError(reason))
    if not built.lexicon:
        complain(DataError(f"none of {len(built.left_out)} words can be said; no lexicon is written"))


def _told(built: "Built") -> str:
    known, derived, guessed = (f"{built.counts[source]:,}" for source in ("dictionary", "possessive", "model"))
    return (
        f"{len(built.lexicon):,} words: {known} from the dictionary, {derived} as possessives, {guessed} by the model"
    )
