"""Trains a pronunciation model on a dictionary, and holds it against words that it has not seen.

`OUT/model`, its weights in float16, and, beside it, `OUT/training` to go on from. `asr.g2p.families` tells which words
are for training, which for choosing the best model and which for the test.
"""

import re
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import torch

from asr.card import FILE, model_card
from asr.checkpoint import save_model
from asr.config import Table, build, merge, settings, to_table
from asr.device import choose, describe
from asr.distributed import Processes
from asr.errors import DataError
from asr.files import digest, digest_of, locked, sweep, writing
from asr.g2p.checkpoint import PronunciationModel, create
from asr.g2p.families import Part, Split, share_out
from asr.g2p.network import G2PConfig
from asr.g2p.pronouncer import Pronouncer
from asr.g2p.scoring import score
from asr.g2p.task import CONVENIENCES, PronunciationTask, PronunciationTrainingConfig
from asr.g2p.vocabulary import PronunciationVocabulary
from asr.lexicon.entries import Lexicon, read_lexicon
from asr.model import parameter_count
from asr.optimizer import OptimizerConfig
from asr.progress import say
from asr.report import commit
from asr.scoring.figures import LICENCE
from asr.state import Progress
from asr.training import Trainer

SPELLED = re.compile(r"[a-z']*[a-z][a-z']*")
"""The words that are learned; digits, dots and hyphens follow no rule of spelling."""

SPLITS: Mapping[Split, str] = {
    "family": "by family: all forms of a word go together to training, dev or test",
    "word": "by word: forms of words in the test, such as their plurals, may be in training",
}


@settings
class PronunciationSettings:
    """What `--set` changes, by section."""

    model: G2PConfig = G2PConfig()
    optimizer: OptimizerConfig = OptimizerConfig(learning_rate=3e-3, warmup_share=0.02, average_decay=0.999)
    training: PronunciationTrainingConfig = PronunciationTrainingConfig()


def settings_of(changes: Table) -> PronunciationSettings:
    """The settings with some changed.

    Raises:
        ConfigError: An unknown key, a wrong type or a value out of range.
    """
    return build(PronunciationSettings, merge(to_table(PronunciationSettings()), changes), "--set")


def train(
    dictionary: Path,
    out: Path,
    config: PronunciationSettings,
    command: str,
    split: Split = "family",
    licence: str = "",
    device: str = "auto",
    processes: Processes | None = None,
) -> Path:
    """Trains, or goes on with what was broken off with the same dictionary and settings; then scores the test.

    Args:
        dictionary: In any of the formats of `asr.lexicon.entries`; stress is passed over.
        out: Gets `model/` and `training/`.
        command: For the model card, as is `licence`, that of the dictionary.

    Returns:
        The model folder.

    Raises:
        Interrupted: Ctrl-C or SIGTERM; the state is saved.
        AsrError: The dictionary cannot be used, another run is at work in the folder, or as `Trainer.run`.
    """
    processes, chosen = processes or Processes(), choose(device)
    with locked(out) if processes.first else nullcontext():
        if processes.first:
            sweep(out)
        parts = read_parts(dictionary, split)
        task = _task(parts, config, chosen, processes)
        facts = {
            "Command": f"`{command}`",
            "Commit": commit(),
            "Dictionary": f"{dictionary.name}: {_shares(task, parts)}",
            LICENCE: licence,
            "Split": SPLITS[split],
            "Phones": " ".join(task.checkpoint.vocabulary.phones),
            "Parameters": f"{parameter_count(task.checkpoint.model) / 1e6:.2f} M",
            "Seed": str(config.training.seed),
            "Hardware": describe(chosen),
        }
        key = processes.from_first(lambda: _run_key(dictionary, config, split))
        trainer, model = Trainer(task, config.training, config.optimizer), out / "model"
        progress = trainer.run(
            out / "training" / "state.pt", model, key, lambda progress: _card(out.name, facts | _found(progress))
        )
        if processes.first:
            _finish(out, parts["test"], facts | _found(progress), device)
    return model


def read_parts(dictionary: Path, split: Split) -> dict[Part, Lexicon]:
    """The words of a dictionary that can be learned, by part; what is left out is told on stderr.

    Raises:
        DataError: The file cannot be read, or a part has no words.
    """
    lexicon = read_lexicon(dictionary)
    spelled = lexicon.only(filter(SPELLED.fullmatch, lexicon.entries))
    if odd := [word for word in lexicon.entries if word not in spelled]:
        said = f"{len(odd)} of {len(lexicon)} words left out, with more in them than a-z and '"
        say(f"warning: {dictionary}: {said}, such as {odd[0]!r}")
    parts = share_out(spelled, split)
    if empty := [part for part, words in parts.items() if not len(words)]:
        raise DataError(f"{dictionary}: {len(spelled)} words, too few: there is none for {empty[0]}")
    return parts


def measure(model: Path, test: Lexicon, device: str = "auto") -> dict[str, str]:
    """What comes of a test in the words of a model card: the likeliest pronunciation, held against the nearest.

    Raises:
        AsrError: The model cannot be loaded.
    """
    pronouncer, words = Pronouncer.load(model, device), list(test.entries)
    began = time.monotonic()
    found = pronouncer.pronounce(words)
    words_per_s = len(words) / (time.monotonic() - began)
    errors = score(test, {word: best.phones for word, (best, *_) in zip(words, found, strict=True)})
    return {
        "Test": f"{errors}, by a beam of {pronouncer.beam}",
        "Speed": f"{words_per_s:.0f} words/s on {describe(pronouncer.device)}",
    }


def _task(
    parts: Mapping[Part, Lexicon], config: PronunciationSettings, device: torch.device, processes: Processes
) -> PronunciationTask:
    vocabulary = PronunciationVocabulary.of(parts["train"])
    for part, lexicon in parts.items():
        other = PronunciationVocabulary.of(lexicon)
        if unknown := {*other.letters} - {*vocabulary.letters} or {*other.phones} - {*vocabulary.phones}:
            raise DataError(f"{min(unknown)!r} stands in words for {part} and in none for training: too few words")
    torch.manual_seed(config.training.seed)
    table = {name: to_table(getattr(config, name)) for name in ("optimizer", "training")}
    checkpoint = create(config.model, vocabulary, table)
    return PronunciationTask(checkpoint, parts["train"], parts["dev"], config.training, device, processes)


def _shares(task: PronunciationTask, parts: Mapping[Part, Lexicon]) -> str:
    dev, test = (f"{len(parts[part])} words" for part in ("dev", "test"))
    return f"{task.amount()} for training, {dev} to choose the best epoch by, {test} for the test"


def _finish(out: Path, test: Lexicon, facts: Mapping[str, str], device: str) -> None:
    """Halves the best model, scores the test with it as it now is, and completes its card."""
    model = out / "model"
    save_model(PronunciationModel.load(model), model, _card(out.name, facts), form="float16")
    figures = measure(model, test, device)
    with writing(model / FILE) as stream:
        stream.write(_card(out.name, {**facts, **figures}))
    for name, figure in figures.items():
        say(f"{name.lower()}: {figure}")


def _found(progress: Progress) -> dict[str, str]:
    """What is known when an epoch has ended, for the model card."""
    minutes = sum(record["seconds"] + record["dev_seconds"] for record in progress.history) / 60
    rates = f"phone errors {progress.best_per:.2%}, wrong words {progress.best_wer:.2%}"
    found = f"{rates}, greedily (epoch {progress.best_epoch} of {len(progress.history)})"
    return {"Dev": found, "Training time": f"{minutes:.0f} min"}


def _card(name: str, facts: Mapping[str, str]) -> str:
    return model_card(name, facts, "pronunciation model", "`asr lexicon pronounce WORD --model FOLDER`.")


def _run_key(dictionary: Path, config: PronunciationSettings, split: Split) -> str:
    table = to_table(config)
    for name in CONVENIENCES:
        del table["training"][name]
    return digest_of([table, digest(dictionary), split])
