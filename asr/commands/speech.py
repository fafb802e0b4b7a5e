"""A model at work: on recordings, on a microphone, behind a server; tuned, and written in another form."""

import math
import sys
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from asr.commands.options import Device, LanguageModel, Model, Overrides, complain, decoding_settings
from asr.errors import AsrError

if TYPE_CHECKING:
    from asr.alignment import Word
    from asr.transcript import Transcript

Engine = Literal["torch", "onnx"]


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
    lexicon: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The only words allowed, one a line; for a model of phones, said how."),
    ] = None,
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
    """Print the words said in recordings of any length, or write them to files.

    Of several recordings, each line begins with the recording and a tab. A model that was tuned with a language model
    uses it; --lm, --hotword, --nbest or --set decoding.beam=50 ask for a beam search of one's own. A batch that was
    broken off goes on where it was: files that are there are kept.
    """
    from asr.progress import say
    from asr.transcription import Tally, prepare, transcribe
    from asr.tuned import Search

    if nbest > 1 and (word_times or print_confidence):
        raise typer.BadParameter("--word-times and --print-confidence tell of the best text only; take them or --nbest")
    search = Search(lm, lexicon, hotword or (), hotwords, nbest, decoding_settings(overrides))
    if greedy and search != Search():
        raise typer.BadParameter("--greedy is without a beam search, and without its options")
    wanted = list(dict.fromkeys(formats.lower().replace(",", " ").split())) or (["txt"] if out else [])
    started_s = time.monotonic()
    batch = prepare(inputs, wanted, out, overwrite, raw_rate, shard)
    tally = Tally(batch.kept, len(batch.errors))
    for error in batch.errors:
        complain(error)
    if batch.jobs:
        from asr.head_start import begin
        from asr.shipped import find_model

        folder, asked = find_model(model), search if search != Search() else None
        with nullcontext() if greedy else begin(folder, asked) as decoder:
            from asr.recognizer import load  # and with it PyTorch

            recognizer = load(folder, device, greedy, asked, engine, jobs, decoder)
            for transcript in transcribe(recognizer, batch):
                tally.count(transcript)
                if transcript.error:
                    complain(transcript.error)
                elif batch.prints:
                    _print(transcript, batch.label(transcript), word_times, print_confidence, nbest)
    if not batch.single:
        say(tally.told(time.monotonic() - started_s))
    if tally.failed:
        raise typer.Exit(1)


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
    from asr.recognizer import load
    from asr.shipped import find_model
    from asr.tuned import Search

    recognizer = load(find_model(model), device, greedy, Search(lm) if lm else None)
    tell = None if sys.stdout.isatty() else partial(print, flush=True)
    with stop_requests() as stopping:
        print(session(recognizer, source, out, stopping, seconds or math.inf, tell).text)


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
    from asr.recognizer import load
    from asr.server.launch import listening, serve
    from asr.server.uploads import Limits
    from asr.shipped import find_model
    from asr.tuned import Search

    limits = Limits(int(max_upload_mb * 1e6), timeout_s, queue)
    with listening(host, port) as opened:
        folder = find_model(model).resolve()
        recognizer = load(folder, device, search=Search(lm) if lm else None)
        recognizer.reader.check(str(folder))
        serve(recognizer, opened, host, limits, folder.parent.name if folder.name == "model" else folder.name)


def align(
    audio: Annotated[Path, typer.Argument(metavar="AUDIO", help="A recording of any format, rate and length.")],
    text: Annotated[str, typer.Argument(metavar="TEXT|FILE", help="What is said in it, or a text file that tells.")],
    model: Model = None,
    phones: Annotated[
        bool, typer.Option("--phones", help="Also when each phone is said, by a model that hears phones.")
    ] = False,
    lexicon: Annotated[
        Path | None, typer.Option(metavar="FILE", help="How the words are said (default: the model's own, CMUdict).")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="NAME", help="Print a file: ctm, json, textgrid or another.")
    ] = "",
    device: Device = "auto",
) -> None:
    """Print when each word of a text is said: start and end in seconds, confidence, word, with tabs between.

    With --phones, a line is a phone, and its word stands behind it. Of a word's pronunciations, that which is heard is
    taken.
    """
    from asr.aligner import align_recording, read_text
    from asr.formats import format_named, render
    from asr.progress import say
    from asr.recognizer import load
    from asr.shipped import find_model
    from asr.transcript import Transcript

    if form:
        format_named(form)
    said = read_text(text)
    recognizer = load(find_model(model), device, greedy=True)  # no search is needed
    alignment = align_recording(recognizer, audio, said, phones, lexicon)
    if form:
        heard = " ".join(word.text for word in alignment.words)
        words = tuple(alignment.words)
        transcript = Transcript(str(audio), heard, alignment.duration_s, words=words, model=recognizer.name)
        print(render(transcript, form), end="")
    else:
        for word in alignment.words:
            print("\n".join(_phone_lines(word) if phones else [_word_line(word)]))
    say(f"fit {alignment.fit:.2f}")
    if not alignment.fits:
        say(f"warning: the text does not seem to fit {audio}: its times mean little")


def tune(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model folder or its NAME; gets the settings.")],
    dev: Annotated[Path, typer.Argument(metavar="DEV_MANIFEST", help="Such as exp/RECIPE/data/dev-clean.jsonl.")],
    lm: LanguageModel = None,
    rescore: Annotated[
        str | None,
        typer.Option(metavar="NAME|DIR", help="A recurrent language model, to go over the best hypotheses."),
    ] = None,
    overrides: Overrides = None,
    device: Device = "auto",
    force: Annotated[bool, typer.Option("--force", help="Tune on what is called a test set, too.")] = False,
    lexicon: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="How words are said, for a model of phones (default: its own, CMUdict)."),
    ] = None,
) -> None:
    """Find decoding settings on dev, calibrate confidence there, and write both into the model folder."""
    from asr.config import build
    from asr.decoder import DecodingConfig
    from asr.shipped import find_model
    from asr.tuner import tune

    start = build(DecodingConfig, decoding_settings(overrides), "--set decoding")
    second = find_model(rescore) if rescore else None
    tune(find_model(model), dev, lm, second, start, device, force, lexicon)


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model folder or its NAME; gets the files.")],
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
    from asr.shipped import find_model

    if not onnx:
        raise typer.BadParameter("ONNX is the only form there is: add --onnx")
    if utterances and not manifest:
        raise typer.BadParameter("--utterances are those of a manifest: add --manifest")
    for figures in export(find_model(model), int8, manifest, utterances):
        print(figures)


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


def _phone_lines(word: "Word") -> list[str]:
    return [
        f"{phone.start_s:.2f}\t{phone.end_s:.2f}\t{phone.confidence:.2f}\t{phone.name}\t{word.text}"
        for phone in word.phones
    ]


def _word_line(word: "Word") -> str:
    return f"{word.start_s:.2f}\t{word.end_s:.2f}\t{word.confidence:.2f}\t{word.text}"
