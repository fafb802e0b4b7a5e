"""Transcripts against references: word error rates with their proof, and two systems compared."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.commands.options import command_line

if TYPE_CHECKING:
    from asr.scoring.joining import Joined
    from asr.scoring.result import Result

Reference = Annotated[
    Path,
    typer.Argument(
        metavar="REF",
        help="What was said: a manifest, Kaldi's text, trn, stm, CSV, TSV, or a sentence a line; - for stdin.",
    ),
]
HYPOTHESIS = "What was heard: any of these, decode/*.jsonl, ctm, or a JSON transcript."
Normalise = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Before comparing: none; basic (case, punctuation); english (also numbers, contractions, spelling).",
    ),
]
AllowMissing = Annotated[
    bool, typer.Option("--allow-missing", help="A hypothesis that is missing counts as all words deleted.")
]
Speakers = Annotated[
    Path | None,
    typer.Option("--utt2spk", metavar="FILE", help="Kaldi's list of ids and speakers, where REF names none."),
]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE.html", help="A page to look at and listen to.")]
EmbedAudio = Annotated[bool, typer.Option("--embed-audio", help="The page carries the recordings in itself.")]
Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]


def wer(
    reference: Reference,
    hypothesis: Annotated[Path, typer.Argument(metavar="HYP", help=HYPOTHESIS)],
    normalise: Normalise = "none",
    allow_missing: AllowMissing = False,
    speakers: Speakers = None,
    tables: Annotated[
        bool, typer.Option("--tables", help="By speaker, duration and length; the most frequent errors.")
    ] = False,
    lexicon: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Words that could be known (dictionary, list, ARPA, .ngram): the others apart."
        ),
    ] = None,
    worst: Annotated[int, typer.Option(min=0, help="Print so many utterances word by word, the worst first.")] = 0,
    html: Html = None,
    embed_audio: EmbedAudio = False,
    export: Annotated[
        str | None, typer.Option(metavar="trn,ctm,stm", help="Also write files for NIST's sclite, below --out.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where --export writes.")] = Path(),
    as_json: Json = False,
) -> None:
    """Print the word error rate of transcripts, with its 95 % interval.

    What the files are is seen by their content. Utterances are joined by id, two files of plain lines line by line.
    """
    import json

    from asr.lexicon.words import read_words
    from asr.normalisers import normaliser
    from asr.scoring.printing import headline, listing
    from asr.scoring.printing import tables as all_tables

    _check_page(html, embed_audio)
    known = {part for word in read_words(lexicon) for part in normaliser(normalise)(word).split()} if lexicon else None
    result = _results(reference, [hypothesis], normalise, allow_missing, speakers)[0]
    if as_json:
        print(json.dumps(result.to_record(), indent=2))
    else:
        print(headline(result))
        if tables or known is not None:
            print("\n" + all_tables(result, known), end="")
        if worst:
            print("\n" + listing(result, worst), end="")
    if html:
        from asr.scoring.page import write_report

        write_report(result, html, {"Command": command_line()}, embed_audio, known)
    if export:
        from asr.progress import say
        from asr.scoring.exports import export as write_exports

        say("\n".join(map(str, write_exports(result, out, export.split(",")))))


def compare(
    reference: Reference,
    a: Annotated[Path, typer.Argument(metavar="A", help=HYPOTHESIS)],
    b: Annotated[Path, typer.Argument(metavar="B", help="What another system heard in the same utterances.")],
    normalise: Normalise = "none",
    allow_missing: AllowMissing = False,
    speakers: Speakers = None,
    most: Annotated[int, typer.Option(min=0, help="Print so many utterances that changed most, either way.")] = 5,
    html: Html = None,
    embed_audio: EmbedAudio = False,
    as_json: Json = False,
) -> None:
    """Tell whether one system is better than another: B against A on the same utterances.

    The difference has a 95 % interval (paired bootstrap); MAPSSWE and McNemar's test tell it from chance.
    """
    import json

    from asr.scoring.comparison import Comparison, summary, to_record

    _check_page(html, embed_audio)
    comparison = Comparison(*_results(reference, [a, b], normalise, allow_missing, speakers))
    print(json.dumps(to_record(comparison), indent=2) if as_json else summary(comparison, most))
    if html:
        from asr.scoring.page import write_comparison

        write_comparison(comparison, html, {"Command": command_line()}, embed_audio)


def _check_page(html: Path | None, embed_audio: bool) -> None:
    if embed_audio and not html:
        raise typer.BadParameter("--embed-audio is for the page that --html writes")
    if html and html.is_dir():
        raise typer.BadParameter(f"--html {html}: a folder; name a file, such as {html / 'report.html'}")


def _results(
    reference: Path, hypotheses: list[Path], normalise: str, allow_missing: bool, utt2spk: Path | None
) -> "list[Result]":
    from asr.normalisers import normaliser
    from asr.progress import say
    from asr.scoring.joining import join_all
    from asr.scoring.result import Result
    from asr.scoring.texts import read_speakers

    speakers = read_speakers(utt2spk) if utt2spk else None
    joined: list[Joined] = join_all(reference, hypotheses, normaliser(normalise), allow_missing, speakers)
    for remark in dict.fromkeys(remark for found in joined for remark in found.remarks):
        say(remark)
    return [
        Result(str(path), found.scored, normalise, found.remarks)
        for path, found in zip(hypotheses, joined, strict=True)
    ]
