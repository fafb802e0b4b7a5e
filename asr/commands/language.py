"""Language models: trained on text, and at work on it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from asr.commands.options import Device, Overrides, command_line

if TYPE_CHECKING:
    from asr.lm.ngram import NGramModel

app = typer.Typer(no_args_is_help=True, help="Language models: train them on text, score text with them.")

Texts = Annotated[
    list[Path],
    typer.Argument(metavar="TEXT...", help="A sentence a line, also in .gz and .xz; *.trans.txt; manifests (.jsonl)."),
]
OptionalTexts = Annotated[
    list[Path] | None, typer.Argument(metavar="[TEXT...]", help="What the model is tried on, as of 'asr lm train'.")
]
NGramFile = Annotated[Path, typer.Argument(metavar="LM", help="An ARPA or compact file.")]
NGramOut = Annotated[Path, typer.Option("--out", metavar="FILE.ngram|FILE.arpa.gz", help="What is written.")]
LanguageModelFolder = Annotated[str, typer.Argument(metavar="LM", help="The model folder of an LSTM, or its NAME.")]
Kind = Literal["ngram", "lstm"]
LanguageModelUnits = Literal["words", "characters"]


@app.command("train")
def train(
    texts: Texts,
    out: Annotated[
        Path, typer.Option(metavar="FILE.arpa.gz|FILE.ngram|DIR", help="ARPA or compact; of an LSTM a folder.")
    ],
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
        if out.suffix in (".arpa", ".gz", ".ngram"):
            raise typer.BadParameter(f"--out {out}: an LSTM is a folder, not a file")
        _train_lstm(texts, out, units, vocabulary_size, dev, overrides, device)
        return
    if dev or overrides:
        raise typer.BadParameter("--dev and --set are for --kind lstm")
    if out.is_dir():
        raise typer.BadParameter(f"--out {out}: a folder; name a file, such as {out / 'lm.arpa.gz'}")
    from asr.config import build
    from asr.lm.from_texts import NGramConfig, in_words, train_ngrams

    table = {"units": units, "order": order, "prune": prune, "vocabulary_size": vocabulary_size or 0}
    config = build(NGramConfig, table, "asr lm train")
    model = train_ngrams(texts, out, config, memory_bytes=int(memory_gb * 1e9))
    print(f"{out}: {in_words(model.counts)}")


@app.command("perplexity")
def perplexity(
    model: Annotated[
        Path, typer.Argument(metavar="LM", help="An ARPA or compact file; or an LSTM's folder, or its NAME.")
    ],
    texts: Texts,
    device: Device = "auto",
) -> None:
    """Print how well a language model foretells texts, which are read as they would be said."""
    from asr.lm.corpus import read_sentences

    if model.is_dir() or not (model.is_file() or model.suffix):
        from asr.lm.neural import NeuralModel
        from asr.shipped import find_model

        network = NeuralModel.load(find_model(str(model)), device)
        print(network.perplexity(read_sentences(texts, network.network.config.alphabet)))
        return
    from asr.lm.stored import read_ngrams

    found = read_ngrams(model)
    result = found.perplexity(read_sentences(texts))
    print(f"perplexity {result.perplexity:.2f} ({result.perplexity_without_unknown:.2f} without unknown {found.units})")
    if found.units == "characters":
        print(f"perplexity per word {result.perplexity_per_word:.2f}")
    print(f"out of vocabulary {result.unknown_rate:.2%} ({result.unknown} of {result.tokens} {found.units})")


@app.command("prune")
def prune(
    model: NGramFile,
    out: NGramOut,
    texts: OptionalTexts = None,
    ngrams: Annotated[int | None, typer.Option(min=1, help="How many are left at most, words included.")] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Without an n-gram that goes, perplexity rises by this share at most, as 1e-8.")
    ] = None,
) -> None:
    """Leave out the n-grams that count least; with texts, tell what that does to the perplexity."""
    from asr.lm.pruning import prune
    from asr.lm.stored import read_ngrams

    if (ngrams is None) == (threshold is None):
        raise typer.BadParameter("either --ngrams or --threshold is needed")
    found = read_ngrams(model)
    _write_other(found, model, prune(found, threshold or 0.0, ngrams), out, texts)


@app.command("compact")
def compact(model: NGramFile, out: NGramOut, texts: OptionalTexts = None) -> None:
    """Write a model into a small file (.ngram) that loads in a fraction of a second; with texts, tell what that costs.

    Probabilities and backoffs are rounded, to one of 256 levels for each order.
    """
    from asr.lm.stored import COMPACT, read_ngrams

    if out.suffix != COMPACT:
        raise typer.BadParameter(f"--out {out}: a compact file's name ends in {COMPACT}")
    found = read_ngrams(model)
    _write_other(found, model, found, out, texts)


@app.command("generate")
def generate(
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
    from asr.shipped import find_model

    found = NeuralModel.load(find_model(model), device)
    for number in range(count):
        print(found.generate(prompt, temperature, seed + number, length), flush=True)


def _write_other(found: "NGramModel", model: Path, other: "NGramModel", out: Path, texts: list[Path] | None) -> None:
    from asr.lm.corpus import read_sentences
    from asr.lm.from_texts import in_words
    from asr.lm.stored import read_ngrams, write_ngrams

    size_mb = model.stat().st_size / 1e6  # before it is perhaps written over
    write_ngrams(other, out)
    print(f"{model}: {in_words(found.counts)}; {size_mb:.2f} MB")
    print(f"{out}: {in_words(other.counts)}; {out.stat().st_size / 1e6:.2f} MB")
    if texts:
        before, after = (each.perplexity(read_sentences(texts)).perplexity for each in (found, read_ngrams(out)))
        print(f"perplexity {before:.2f} before, {after:.2f} after ({after / before - 1:+.2%})")


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
        print(train(texts, out, settings, command_line(), dev, device, processes))
