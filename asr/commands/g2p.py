"""Pronunciation models: trained on a dictionary, and at work on words that it lacks."""

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from asr.commands.options import Device, Overrides, command_line, complain
from asr.errors import DataError

if TYPE_CHECKING:
    from asr.lexicon.entries import Pronunciation

AT_ONCE = 2048
"""Words from stdin that are pronounced together."""


def train_g2p(
    dictionary: Annotated[Path, typer.Argument(metavar="DICTIONARY", help="CMUdict's format, or Kaldi's.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Gets model/ and training/.")],
    split: Annotated[
        Literal["family", "word"], typer.Option(help="What goes to the test: all forms of a word together, or words.")
    ] = "family",
    licence: Annotated[str, typer.Option(help="Of the dictionary, for the model card.")] = "",
    overrides: Overrides = None,
    device: Device = "auto",
) -> None:
    """Train a model that pronounces words, and test it on a tenth of the dictionary, which it has not seen.

    A training that was broken off goes on where it was, with the same command.
    """
    from asr.config import parse_overrides
    from asr.distributed import together
    from asr.g2p.training import settings_of, train

    settings = settings_of(parse_overrides(overrides or []))
    with together() as processes:
        print(train(dictionary, out, settings, command_line(), split, licence, device, processes))


def pronounce(
    words: Annotated[list[str], typer.Argument(metavar="WORD...", help="Words; - for those on stdin.")],
    model: Annotated[
        str | None, typer.Option(metavar="NAME|DIR", help="A pronunciation model (default: the one for English).")
    ] = None,
    dictionary: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What it says of a word goes before the model.")
    ] = None,
    nbest: Annotated[int, typer.Option(min=1, help="The most pronunciations of a word, with their probabilities.")] = 1,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Leave out what is less probable, against the likeliest.")
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a word.")] = False,
    device: Device = "cpu",
) -> None:
    """Print how words are said, in phones."""
    from asr.g2p.pronouncer import Pronouncer, shipped
    from asr.lexicon.entries import Lexicon, read_lexicon
    from asr.shipped import find_model
    from asr.text import normalise

    pronouncer = Pronouncer.load(find_model(model) if model else shipped(), device)
    known = read_lexicon(dictionary) if dictionary else Lexicon({})
    given, failed = _given(words), False
    while part := list(islice(given, AT_ONCE)):
        said = {word: list(known[normalise(word)]) for word in part if normalise(word) in known}
        spelled = []
        for word in part:
            try:
                if word not in said:
                    pronouncer.vocabulary.encode(word)
                    spelled.append(word)
            except DataError as error:
                complain(error)
                failed = True
        said |= zip(spelled, pronouncer.pronounce(spelled, nbest), strict=True)
        for word in part:
            if word in said:
                likely = [each for each in said[word][:nbest] if each.probability >= threshold]
                _print(word, likely, nbest > 1, as_json)
    if failed:
        raise typer.Exit(1)


def _given(words: Iterable[str]) -> Iterator[str]:
    """The words of the command line, those of stdin in the place of `-`."""
    for word in words:
        if word == "-":
            for line in sys.stdin:
                yield from line.split()
        else:
            yield word


def _print(word: str, pronunciations: "list[Pronunciation]", probabilities: bool, as_json: bool) -> None:
    if as_json:
        rows = [{"phones": each.phones, "probability": round(each.probability, 4)} for each in pronunciations]
        print(json.dumps({"word": word, "pronunciations": rows}, ensure_ascii=False))
        return
    for each in pronunciations:
        print(word, *([f"{each.probability:.4g}"] if probabilities else []), " ".join(each.phones), sep="\t")
