"""The command line: thin commands over the package; what is heavy is imported inside them, so --help stays quick."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from asr import __version__
from asr.errors import AsrError, Interrupted

if TYPE_CHECKING:
    from asr.experiment import Experiment

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Speech recognition with a bidirectional LSTM and CTC: prepare, train, decode, score, transcribe.",
)

lm = typer.Typer(no_args_is_help=True, help="Language models: train them on texts, and measure them.")
app.add_typer(lm, name="lm")

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
InitFrom = Annotated[
    Path | None, typer.Option("--init-from", metavar="DIR", help="Begin with the weights of this model folder.")
]
Noise = Annotated[Path | None, typer.Option(metavar="DIR", help="Recordings to mix in as noise (default: made noise).")]
LanguageModel = Literal["ngram"]
LanguageModelUnits = Literal["words", "characters"]
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
    init_from: InitFrom = None,
    noise: Noise = None,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """Run a recipe: data-prep, train, decode, score. Stages whose inputs have not changed are skipped."""
    more = {"corpus": corpus, "download": download, "init_from": init_from, "noise": noise}
    _run(recipe, overrides, exp, first, last, force, device=device, **more)


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
    _run(recipe, overrides, exp, "data-prep", "data-prep", force, corpus=corpus, download=download)


@app.command()
def check(
    recipe: RecipeName,
    overrides: Overrides = None,
    exp: Folder = None,
    init_from: InitFrom = None,
    noise: Noise = None,
    device: Device = "auto",
) -> None:
    """Look at all that training needs, and try its longest batch; 'asr train' does so by itself."""
    from asr.distributed import Processes

    more = {"device": device, "init_from": init_from, "noise": noise}
    _experiment(recipe, overrides, exp, processes=Processes(), **more).check()


@app.command()
def train(
    recipe: RecipeName,
    overrides: Overrides = None,
    exp: Folder = None,
    init_from: InitFrom = None,
    noise: Noise = None,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """Train; a broken-off training goes on where it was."""
    _run(recipe, overrides, exp, "train", "train", force, device=device, init_from=init_from, noise=noise)


@app.command()
def decode(
    recipe: RecipeName, overrides: Overrides = None, exp: Folder = None, device: Device = "auto", force: Force = False
) -> None:
    """Write what the model hears in the dev and test splits."""
    _run(recipe, overrides, exp, "decode", "decode", force, device=device)


@app.command()
def score(recipe: RecipeName, overrides: Overrides = None, exp: Folder = None, force: Force = False) -> None:
    """Score the decoded splits and write RESULTS.md."""
    _run(recipe, overrides, exp, "score", "score", force)


@app.command()
def plot(
    exp: Annotated[Path, typer.Argument(metavar="EXP", help="An experiment folder, such as exp/numbers.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="The picture (default: EXP/training/training.png).")
    ] = None,
) -> None:
    """Draw loss, WER on dev and learning rate by epoch, also while training goes on."""
    from asr.errors import DataError
    from asr.files import read_json_lines
    from asr.report import draw_training

    history, picture = exp / "training" / "history.jsonl", out or exp / "training" / "training.png"
    records = read_json_lines(history)
    if not records:
        raise DataError(f"{history}: no epoch has ended yet")
    if not draw_training(records, picture):
        raise AsrError("a picture needs matplotlib: pip install 'asr[plot]'")
    print(picture)


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


Texts = Annotated[
    list[Path],
    typer.Argument(metavar="TEXT...", help="A sentence a line, also in .gz and .xz; *.trans.txt; manifests (.jsonl)."),
]


@lm.command("train")
def lm_train(
    texts: Texts,
    out: Annotated[Path, typer.Option(metavar="FILE.arpa.gz", help="The model; without .gz it is not compressed.")],
    kind: Annotated[LanguageModel, typer.Option(help="ngram: counted n-grams, modified Kneser-Ney.")] = "ngram",
    units: Annotated[LanguageModelUnits, typer.Option(help="What the model puts one after the other.")] = "words",
    order: Annotated[int, typer.Option(min=1, help="The longest n-gram, in units.")] = 3,
    vocabulary_size: Annotated[
        int | None, typer.Option(min=1, help="Keep the most frequent words, this many (default: all).")
    ] = None,
    prune: Annotated[
        str, typer.Option(metavar='"0 0 1"', help="By order: n-grams that occur no more often than this are left out.")
    ] = "0",
    memory_gb: Annotated[float, typer.Option(min=0.001, help="For sorting; beyond it, on disk.")] = 2.0,
) -> None:
    """Train a language model on texts, which are written as they would be said."""
    from asr.files import make_folder
    from asr.lm.arpa import write_arpa
    from asr.lm.corpus import read_sentences
    from asr.lm.counts import count_ngrams
    from asr.lm.kneser_ney import estimate, parse_prune

    thresholds = parse_prune(prune, order)
    make_folder(out.parent)
    counts = count_ngrams(read_sentences(texts), order, units, vocabulary_size, int(memory_gb * 1e9))
    model = estimate(counts, thresholds)
    write_arpa(model, out)
    print(f"{out}: " + ", ".join(f"{count} {order}-grams" for order, count in enumerate(model.counts, start=1)))


@lm.command("perplexity")
def lm_perplexity(
    model: Annotated[Path, typer.Argument(metavar="LM", help="An ARPA file, also in .gz.")], texts: Texts
) -> None:
    """Print how well a language model foretells texts, which are written as they would be said."""
    from asr.lm.arpa import read_arpa
    from asr.lm.corpus import read_sentences

    found = read_arpa(model)
    result = found.perplexity(read_sentences(texts))
    print(f"perplexity {result.perplexity:.2f} ({result.perplexity_without_unknown:.2f} without unknown {found.units})")
    if found.units == "characters":
        print(f"perplexity per word {result.perplexity_per_word:.2f}")
    print(f"out of vocabulary {result.unknown_rate:.2%} ({result.unknown} of {result.tokens} {found.units})")


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
    recipe: str, overrides: list[str] | None, exp: Path | None, first: str, last: str, force: bool, **more: Any
) -> None:
    from asr.distributed import together

    with together() as processes:
        _experiment(recipe, overrides, exp, processes=processes, **more).run(first, last, force)


def _experiment(recipe: str, overrides: list[str] | None, exp: Path | None, **more: Any) -> "Experiment":
    from asr.config import parse_overrides
    from asr.experiment import Experiment
    from asr.recipe import read_recipe

    found = read_recipe(recipe, parse_overrides(overrides or []))
    return Experiment(found, exp or Path("exp") / found.name, shlex.join(["asr", *given]), **more)


def _complain(error: AsrError) -> None:
    print(f"asr: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
