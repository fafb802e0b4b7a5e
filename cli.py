"""The command line: thin commands over the package; what is heavy is imported inside them, so --help stays quick."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from asr import __version__
from asr.errors import AsrError, Interrupted

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Speech recognition with a bidirectional LSTM and CTC: prepare, train, decode, score, transcribe.",
)

given: list[str] = []
"""The arguments of this call, as results tell them."""

RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="Such as numbers or librispeech/mini: see 'asr recipes'.")
]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Changes one setting.")]
Folder = Annotated[
    Path | None, typer.Option("--exp", metavar="DIR", help="The experiment folder (default: exp/RECIPE).")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Force = Annotated[bool, typer.Option("--force", help="Do it again even when nothing has changed.")]
CorpusFolder = Annotated[
    Path | None,
    typer.Option("--corpus", metavar="DIR", help="Where the corpus is (default: its folder below $ASR_CORPORA)."),
]
Download = Annotated[bool, typer.Option("--download", help="Fetch from the publisher what is not there.")]


@app.callback(invoke_without_command=True)
def asr(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(f"asr {__version__}")
        raise typer.Exit


@app.command()
def recipes() -> None:
    """List the recipes."""
    from asr.recipe import read_recipe, recipe_names

    names = recipe_names()
    for name in names:
        print(f"{name:{max(map(len, names))}}  {read_recipe(name).config.description}")


@app.command()
def run(
    recipe: RecipeName,
    first: Annotated[str, typer.Option("--from", metavar="STAGE", help="The first stage to run.")] = "data-prep",
    last: Annotated[str, typer.Option("--to", metavar="STAGE", help="The last stage to run.")] = "score",
    overrides: Overrides = None,
    exp: Folder = None,
    corpus: CorpusFolder = None,
    download: Download = False,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """Run a recipe: data-prep, train, decode, score. Stages whose inputs have not changed are skipped."""
    _run(recipe, first, last, overrides, exp, device, force, corpus, download)


@app.command("data-prep")
def data_prep(
    recipe: RecipeName,
    overrides: Overrides = None,
    exp: Folder = None,
    corpus: CorpusFolder = None,
    download: Download = False,
    force: Force = False,
) -> None:
    """Check every utterance and write the manifests; what cannot be used is listed with its reason."""
    _run(recipe, "data-prep", "data-prep", overrides, exp, "auto", force, corpus, download)


@app.command()
def train(
    recipe: RecipeName, overrides: Overrides = None, exp: Folder = None, device: Device = "auto", force: Force = False
) -> None:
    """Train; a broken-off training goes on where it was."""
    _run(recipe, "train", "train", overrides, exp, device, force)


@app.command()
def decode(
    recipe: RecipeName, overrides: Overrides = None, exp: Folder = None, device: Device = "auto", force: Force = False
) -> None:
    """Write what the model hears in the dev and test splits."""
    _run(recipe, "decode", "decode", overrides, exp, device, force)


@app.command()
def score(recipe: RecipeName, overrides: Overrides = None, exp: Folder = None, force: Force = False) -> None:
    """Score the decoded splits and write RESULTS.md."""
    _run(recipe, "score", "score", overrides, exp, "auto", force)


@app.command()
def transcribe(
    audio: Annotated[list[Path], typer.Argument(metavar="AUDIO", help="Recordings of any format and rate.")],
    model: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A model folder (default: $ASR_MODEL, else the one below exp/)."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Print the words said in recordings; of several, each line begins with the file and a tab."""
    from asr.progress import track
    from asr.recognizer import find_model, load

    recognizer = load(model or find_model(), device)
    failed = False
    transcripts = recognizer.transcribe_many(audio)
    if not sys.stdout.isatty():  # where the lines themselves show how far it is, a bar would only be in their way
        transcripts = track(transcripts, "transcribing", len(audio))
    for transcript in transcripts:
        if transcript.error:
            _complain(transcript.error)
            failed = True
        else:
            print(transcript.text if len(audio) == 1 else f"{transcript.source}\t{transcript.text}", flush=True)
    if failed:
        raise typer.Exit(1)


def main(arguments: list[str] | None = None) -> None:
    """Runs a command; a user's mistake is one line on stderr and exit status 1, a bug keeps its traceback."""
    given[:] = sys.argv[1:] if arguments is None else arguments
    try:
        app(given.copy())
    except AsrError as error:
        _complain(error)
        sys.exit(130 if isinstance(error, Interrupted) else 1)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone, and Python would complain about it at exit
        sys.exit(1)


def _run(
    recipe: str,
    first: str,
    last: str,
    overrides: list[str] | None,
    exp: Path | None,
    device: str,
    force: bool,
    corpus: Path | None = None,
    download: bool = False,
) -> None:
    from asr.config import parse_overrides
    from asr.experiment import Experiment
    from asr.recipe import read_recipe

    found = read_recipe(recipe, parse_overrides(overrides or []))
    command = shlex.join(["asr", *given])
    Experiment(found, exp or Path("exp") / found.name, command, device, corpus, download).run(first, last, force)


def _complain(error: AsrError) -> None:
    print(f"asr: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
