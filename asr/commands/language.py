"""Language models: trained on text, and at work on it."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from asr.commands.options import Device, Overrides, command_line

app = typer.Typer(no_args_is_help=True, help="Language models: train them on text, score text with them.")

Texts = Annotated[
    list[Path],
    typer.Argument(metavar="TEXT...", help="A sentence a line, also in .gz and .xz; *.trans.txt; manifests (.jsonl)."),
]
LanguageModelFolder = Annotated[Path, typer.Argument(metavar="LM", help="The model folder of an LSTM.")]
Kind = Literal["ngram", "lstm"]
LanguageModelUnits = Literal["words", "characters"]


@app.command("train")
def train(
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


@app.command("perplexity")
def perplexity(
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

    found = NeuralModel.load(model, device)
    for number in range(count):
        print(found.generate(prompt, temperature, seed + number, length), flush=True)


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
