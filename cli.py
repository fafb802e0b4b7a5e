"""The command line: thin commands over the package; what is heavy is imported inside them, so --help stays quick."""

import errno
import math
import shlex
import sys
import time
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from asr import __version__
from asr.errors import AsrError, Interrupted

if TYPE_CHECKING:
    from asr.alignment import Word
    from asr.experiment import Experiment
    from asr.transcript import Transcript

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Speech recognition with a bidirectional LSTM and CTC: prepare, train, decode, score, transcribe.",
)

lm = typer.Typer(no_args_is_help=True, help="Language models: train them on text, score text with them.")
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
Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|DIR",
        help="A model folder, or NAME for exp/NAME/model (default: $ASR_MODEL, else the one below exp/).",
    ),
]
LanguageModel = Annotated[Path | None, typer.Option("--lm", metavar="ARPA", help="An n-gram language model.")]
Force = Annotated[bool, typer.Option("--force", help="Do it again even when nothing has changed.")]
CorpusFolder = Annotated[
    Path | None,
    typer.Option("--corpus", metavar="DIR", help="Where the corpus is (default: its folder below $ASR_CORPORA)."),
]
InitFrom = Annotated[
    Path | None, typer.Option("--init-from", metavar="DIR", help="Begin with the weights of this model folder.")
]
Noise = Annotated[Path | None, typer.Option(metavar="DIR", help="Recordings to mix in as noise (default: made noise).")]
Texts = Annotated[
    list[Path],
    typer.Argument(metavar="TEXT...", help="A sentence a line, also in .gz and .xz; *.trans.txt; manifests (.jsonl)."),
]
LanguageModelFolder = Annotated[Path, typer.Argument(metavar="LM", help="The model folder of an LSTM.")]
Kind = Literal["ngram", "lstm"]
Engine = Literal["torch", "onnx"]
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
def tune(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model folder; gets the settings.")],
    dev: Annotated[Path, typer.Argument(metavar="DEV_MANIFEST", help="Such as exp/RECIPE/data/dev-clean.jsonl.")],
    lm: LanguageModel = None,
    rescore: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A recurrent language model, to go over the best hypotheses.")
    ] = None,
    overrides: Overrides = None,
    device: Device = "auto",
    force: Annotated[bool, typer.Option("--force", help="Tune on what is called a test set, too.")] = False,
) -> None:
    """Find decoding settings on dev, calibrate confidence there, and write both into the model folder."""
    from asr.config import build
    from asr.decoder import DecodingConfig
    from asr.tuner import tune

    start = build(DecodingConfig, _decoding_settings(overrides), "--set decoding")
    tune(model, dev, lm, rescore, start, device, force)


@app.command()
def transcribe(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Recordings and videos of any format, folders, patterns, manifests, lists; -: stdin.",
        ),
    ],
    model: Model = None,
    formats: Annotated[
        str,
        typer.Option(
            "--format", metavar="txt,srt,...", help="Files to write: txt, srt, vtt, tsv, json, ctm, stm, textgrid."
        ),
    ] = "",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to write them (default: beside the recordings).")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Also those that are there already.")] = False,
    lm: LanguageModel = None,
    lexicon: Annotated[Path | None, typer.Option(metavar="FILE", help="The only words allowed, one a line.")] = None,
    hotword: Annotated[
        list[str] | None, typer.Option(metavar="WORDS=BONUS", help="Words to expect; may be given again.")
    ] = None,
    hotwords: Annotated[Path | None, typer.Option(metavar="FILE", help="Hotwords, one a line.")] = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="No beam search, even where one was tuned.")] = False,
    overrides: Overrides = None,
    nbest: Annotated[int, typer.Option(min=1, help="Print so many texts, best first, each with its score.")] = 1,
    word_times: Annotated[
        bool, typer.Option("--word-times", help="Print start, end, confidence and word, a line each.")
    ] = False,
    print_confidence: Annotated[
        bool, typer.Option("--print-confidence", help="Colour the words by how sure the model is of them.")
    ] = False,
    device: Device = "auto",
    engine: Annotated[Engine, typer.Option(help="onnx runs what 'asr export' has written.")] = "torch",
    jobs: Annotated[int | None, typer.Option(min=1, help="Processor cores to use (default: all).")] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="3/16", help="Only this share of the inputs, even by duration.")
    ] = None,
    raw_rate: Annotated[
        int | None, typer.Option(metavar="HZ", help="What comes on stdin are bare 16-bit samples, mono, at this rate.")
    ] = None,
) -> None:
    """Print the words said in recordings of any length, or write them to files; of several, each line begins with the
    recording and a tab.

    A model that was tuned with a language model uses it; --lm, --hotword, --nbest or --set decoding.beam=50 ask for a
    beam search of one's own. A batch that was broken off goes on where it was: files that are there are kept.
    """
    from asr.progress import say
    from asr.transcription import Tally, prepare, transcribe
    from asr.tuned import Search

    if nbest > 1 and (word_times or print_confidence):
        raise typer.BadParameter("--word-times and --print-confidence tell of the best text only; take them or --nbest")
    search = Search(lm, lexicon, hotword or (), hotwords, nbest, _decoding_settings(overrides))
    if greedy and search != Search():
        raise typer.BadParameter("--greedy is without a beam search, and without its options")
    wanted = list(dict.fromkeys(formats.lower().replace(",", " ").split())) or (["txt"] if out else [])
    started_s = time.monotonic()
    batch = prepare(inputs, wanted, out, overwrite, raw_rate, shard)
    tally = Tally(batch.kept, len(batch.errors))
    for error in batch.errors:
        _complain(error)
    if batch.jobs:
        from asr.recognizer import find_model, load

        recognizer = load(find_model(model), device, greedy, search if search != Search() else None, engine, jobs)
        for transcript in transcribe(recognizer, batch):
            tally.count(transcript)
            if transcript.error:
                _complain(transcript.error)
            elif batch.prints:
                _print(transcript, batch.label(transcript), word_times, print_confidence, nbest)
    if not batch.single:
        say(tally.told(time.monotonic() - started_s))
    if tally.failed:
        raise typer.Exit(1)


@app.command()
def listen(
    model: Model = None,
    device_name: Annotated[
        str | None, typer.Option("--input", metavar="NAME|NUMBER", help="A microphone (default: the system's choice).")
    ] = None,
    recording: Annotated[
        Path | None, typer.Option("--from", metavar="AUDIO", help="Play a recording in the microphone's place.")
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="With --from: as fast as it can be heard.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE.wav", help="Keep the sound.")] = None,
    seconds: Annotated[float | None, typer.Option(min=1, help="Stop by itself (default: at Ctrl-C).")] = None,
    lm: LanguageModel = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="No beam search, even where one was tuned.")] = False,
    device: Device = "auto",
) -> None:
    """Print what is said into a microphone, while it is said; Ctrl-C ends it.

    A terminal shows the words as they come, and dim those that may still change. Elsewhere each stretch of speech is a
    line, and an empty line follows the last. At the end comes what a pass over the whole recording hears.
    """
    from asr.listening import session
    from asr.microphone import Microphone, Playback

    if fast and not recording:
        raise typer.BadParameter("--fast is for a recording: name one with --from")
    if greedy and lm:
        raise typer.BadParameter("--greedy is without a beam search, and without its options")
    if out and out.suffix.lower() != ".wav":
        raise typer.BadParameter(f"--out {out}: only WAV is written; name a file such as {out.with_suffix('.wav')}")
    source = Playback(recording, real_time=not fast) if recording else Microphone(device_name)

    from asr.distributed import stop_requests
    from asr.recognizer import find_model, load
    from asr.tuned import Search

    recognizer = load(find_model(model), device, greedy, Search(lm) if lm else None)
    tell = None if sys.stdout.isatty() else partial(print, flush=True)
    with stop_requests() as stopping:
        print(session(recognizer, source, out, stopping, seconds or math.inf, tell).text)


@app.command()
def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model folder; gets the files.")],
    onnx: Annotated[bool, typer.Option("--onnx", help="In ONNX's form: model.onnx.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="With weights of 8 bits, too: model.int8.onnx.")] = False,
    manifest: Annotated[
        Path | None, typer.Option(metavar="DEV_MANIFEST", help="Compare WER and CER on these recordings.")
    ] = None,
    utterances: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many of the manifest (default: all).")
    ] = None,
) -> None:
    """Write a model in another form into its folder, when that does what PyTorch does, and print how it did."""
    from asr.export import export

    if not onnx:
        raise typer.BadParameter("ONNX is the only form there is: add --onnx")
    if utterances and not manifest:
        raise typer.BadParameter("--utterances are those of a manifest: add --manifest")
    for figures in export(model, int8, manifest, utterances):
        print(figures)


@app.command()
def align(
    audio: Annotated[Path, typer.Argument(metavar="AUDIO", help="A recording of any format, rate and length.")],
    text: Annotated[str, typer.Argument(metavar="TEXT|FILE", help="What is said in it, or a text file that tells.")],
    model: Model = None,
    device: Device = "auto",
) -> None:
    """Print when each word of a text is said: start and end in seconds, confidence, word, with tabs between."""
    from asr.aligner import align_recording, read_text
    from asr.progress import say
    from asr.recognizer import find_model, load

    said = read_text(text)
    alignment = align_recording(load(find_model(model), device), audio, said)
    for word in alignment.words:
        print(_word_line(word))
    say(f"fit {alignment.fit:.2f}")
    if not alignment.fits:
        say(f"warning: the text does not seem to fit {audio}: its times mean little")


@app.command()
def serve(
    model: Model = None,
    host: Annotated[str, typer.Option(help="Where to listen; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
    device: Device = "auto",
    max_upload_mb: Annotated[float, typer.Option(min=0.001, help="The largest upload, in 10^6 bytes.")] = 200.0,
    timeout_s: Annotated[
        float, typer.Option(min=0.001, help="For an upload, and again for its transcription.")
    ] = 600.0,
    queue: Annotated[int, typer.Option(min=1, help="Requests at once, those that wait included.")] = 8,
    lm: LanguageModel = None,
) -> None:
    """Serve a model over HTTP: a page to drop recordings on, and OpenAI's transcription API under /v1."""
    from importlib.util import find_spec

    for name in ("fastapi", "uvicorn", "python_multipart"):
        if find_spec(name) is None:
            raise AsrError(f"serving needs {name}: pip install 'asr[serve]'")
    from asr.recognizer import find_model, load
    from asr.server.launch import listening, serve
    from asr.server.uploads import Limits
    from asr.tuned import Search

    limits = Limits(int(max_upload_mb * 1e6), timeout_s, queue)
    with listening(host, port) as opened:
        folder = find_model(model).resolve()
        recognizer = load(folder, device, search=Search(lm) if lm else None)
        serve(recognizer, opened, host, limits, folder.parent.name if folder.name == "model" else folder.name)


@lm.command("train")
def lm_train(
    texts: Texts,
    out: Annotated[Path, typer.Option(metavar="FILE.arpa.gz|DIR", help="An ARPA file; of an LSTM a folder.")],
    kind: Annotated[Kind, typer.Option(help="ngram: counted n-grams, modified Kneser-Ney; lstm: a network.")] = "ngram",
    units: Annotated[LanguageModelUnits, typer.Option(help="What the model puts one after the other.")] = "words",
    order: Annotated[int, typer.Option(min=1, help="The longest n-gram, in units.")] = 3,
    vocabulary_size: Annotated[
        int | None, typer.Option(min=1, help="Keep the most frequent words, this many (default: all; lstm 20000).")
    ] = None,
    prune: Annotated[
        str, typer.Option(metavar='"0 0 1"', help="By order: n-grams that occur no more often than this are left out.")
    ] = "0",
    memory_gb: Annotated[float, typer.Option(min=0.001, help="For sorting n-grams; beyond it, on disk.")] = 2.0,
    dev: Annotated[
        Path | None, typer.Option(metavar="TEXT", help="lstm: to choose the best by (default: some of the sentences).")
    ] = None,
    overrides: Overrides = None,
    device: Device = "auto",
) -> None:
    """Train a language model on texts, which are read as they would be said.

    The training of an LSTM that was broken off goes on where it was; its settings are changed with --set.
    """
    if kind == "lstm":
        if (order, prune) != (3, "0"):
            raise typer.BadParameter("--order and --prune are for --kind ngram")
        if out.suffix in (".arpa", ".gz"):
            raise typer.BadParameter(f"--out {out}: an LSTM is a folder, not an ARPA file")
        _train_lstm(texts, out, units, vocabulary_size, dev, overrides, device)
        return
    if dev or overrides:
        raise typer.BadParameter("--dev and --set are for --kind lstm")
    if out.is_dir():
        raise typer.BadParameter(f"--out {out}: a folder; name a file, such as {out / 'lm.arpa.gz'}")
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
    model: Annotated[Path, typer.Argument(metavar="LM", help="An ARPA file, also in .gz; or an LSTM's folder.")],
    texts: Texts,
    device: Device = "auto",
) -> None:
    """Print how well a language model foretells texts, which are read as they would be said."""
    from asr.lm.corpus import read_sentences

    if model.is_dir():
        from asr.lm.neural import NeuralModel

        network = NeuralModel.load(model, device)
        print(network.perplexity(read_sentences(texts, network.network.config.alphabet)))
        return
    from asr.lm.arpa import read_arpa

    found = read_arpa(model)
    result = found.perplexity(read_sentences(texts))
    print(f"perplexity {result.perplexity:.2f} ({result.perplexity_without_unknown:.2f} without unknown {found.units})")
    if found.units == "characters":
        print(f"perplexity per word {result.perplexity_per_word:.2f}")
    print(f"out of vocabulary {result.unknown_rate:.2%} ({result.unknown} of {result.tokens} {found.units})")


@lm.command("generate")
def lm_generate(
    model: LanguageModelFolder,
    prompt: Annotated[str, typer.Option(metavar="TEXT", help="How each sentence begins.")] = "",
    count: Annotated[int, typer.Option(min=1, help="Sentences.")] = 5,
    length: Annotated[int, typer.Option(min=1, help="The most tokens in each.")] = 200,
    temperature: Annotated[float, typer.Option(help="1: as the model expects; less: likelier words.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the first sentence; each of the others has the next one.")] = 0,
    device: Device = "auto",
) -> None:
    """Print sentences drawn from a language model."""
    from asr.lm.neural import NeuralModel

    found = NeuralModel.load(model, device)
    for number in range(count):
        print(found.generate(prompt, temperature, seed + number, length), flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Runs a command; a user's mistake is one line on stderr and exit status 1, a bug keeps its traceback."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # the name of a file may hold any bytes
    given[:] = sys.argv[1:] if arguments is None else arguments
    try:
        app(given.copy())
    except AsrError as error:
        _complain(error)
        sys.exit(130 if isinstance(error, Interrupted) else 1)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone, and Python would complain about it at exit
        sys.exit(1)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _complain(AsrError(f"{error.filename or 'stdout'}: {error.strerror}"))
        sys.exit(1)


def _train_lstm(
    texts: list[Path],
    out: Path,
    units: str,
    vocabulary_size: int | None,
    dev: Path | None,
    overrides: list[str] | None,
    device: str,
) -> None:
    from asr.config import merge, parse_overrides
    from asr.distributed import together
    from asr.lm.training import settings_of, train

    chosen = {"units": units} | ({"words": vocabulary_size} if vocabulary_size else {})
    settings = settings_of(merge({"model": chosen}, parse_overrides(overrides or [])))
    with together() as processes:
        print(train(texts, out, settings, shlex.join(["asr", *given]), dev, device, processes))


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


def _decoding_settings(overrides: list[str] | None) -> dict[str, Any]:
    """What `--set decoding.KEY=VALUE` sets."""
    from asr.config import parse_overrides
    from asr.errors import ConfigError

    table = parse_overrides(overrides or [])
    if other := table.keys() - {"decoding"}:
        raise ConfigError(f"--set {sorted(other)[0]}: only decoding.KEY can be set here, such as decoding.beam=50")
    settings: dict[str, Any] = table.get("decoding", {})
    return settings


def _print(transcript: "Transcript", label: str, word_times: bool, confidence: bool, nbest: int) -> None:
    if confidence and not word_times:
        _print_confidence(transcript, label)
        return
    lines = [transcript.text]
    if word_times:
        lines = [_word_line(word) for word in transcript.words]
    elif nbest > 1:
        lines = [f"{each.score:.2f}\t{each.text}" for each in transcript.alternatives]
    for line in lines:
        print(label + line, flush=True)


def _print_confidence(transcript: "Transcript", label: str) -> None:
    """The words, coloured where stdout is a terminal; elsewhere each with its confidence behind it."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        print(label + " ".join(f"{word.text}/{word.confidence:.2f}" for word in transcript.words), flush=True)
        return
    styles = ((0.9, "green"), (0.7, "yellow"), (0.4, "dark_orange"), (0.0, "red underline"))
    words = [
        Text(word.text, next(style for least, style in styles if word.confidence >= least)) for word in transcript.words
    ]
    console.print(Text.assemble(label, Text(" ").join(words)))


def _word_line(word: "Word") -> str:
    return f"{word.start_s:.2f}\t{word.end_s:.2f}\t{word.confidence:.2f}\t{word.text}"


def _complain(error: AsrError) -> None:
    print(f"asr: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
