"""Trains a recurrent language model on text files: `OUT/model` and, beside it, `OUT/training` to go on from."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch

from asr.card import model_card
from asr.config import Table, build, merge, settings, to_table
from asr.device import choose, describe
from asr.distributed import Processes
from asr.errors import DataError
from asr.files import digest, digest_of, locked, sweep
from asr.lm.checkpoint import create
from asr.lm.network import LanguageModelConfig
from asr.lm.sentences import counts, encode, read_text
from asr.lm.task import CONVENIENCES, TextTask, TextTrainingConfig
from asr.lm.vocabulary import LanguageVocabulary
from asr.model import parameter_count
from asr.optimizer import OptimizerConfig
from asr.progress import say
from asr.report import commit
from asr.state import Progress
from asr.training import Trainer


@settings
class LanguageModelSettings:
    """What `--set` changes, by section."""

    model: LanguageModelConfig = LanguageModelConfig()
    optimizer: OptimizerConfig = OptimizerConfig(learning_rate=3e-3, warmup_share=0.02)
    training: TextTrainingConfig = TextTrainingConfig()


def settings_of(changes: Table) -> LanguageModelSettings:
    """The settings with some changed.

    Raises:
        ConfigError: An unknown key, a wrong type or a value out of range.
    """
    return build(LanguageModelSettings, merge(to_table(LanguageModelSettings()), changes), "--set")


def train(
    texts: Sequence[Path],
    out: Path,
    config: LanguageModelSettings,
    command: str,
    dev: Path | None = None,
    device: str = "auto",
    processes: Processes | None = None,
) -> Path:
    """Trains, or goes on with what was broken off with the same texts and settings.

    Args:
        texts: Sentences, one a line.
        out: Gets `model/` and `training/`.
        command: For the model card.
        dev: Sentences to choose the best model by; without, some are held out of `texts`.

    Returns:
        The model folder.

    Raises:
        Interrupted: Ctrl-C or SIGTERM; the state is saved.
        AsrError: A text cannot be used, another run is at work in the folder, or as `Trainer.run`.
    """
    processes = processes or Processes()
    chosen = choose(device)
    with locked(out) if processes.first else nullcontext():
        if processes.first:
            sweep(out)
        task = _task(texts, config, dev, chosen, processes)
        facts = {
            "Command": f"`{command}`",
            "Commit": commit(),
            "Training text": f"{', '.join(path.name for path in texts)}: {task.amount()}",
            "Vocabulary": f"{len(task.checkpoint.vocabulary)} tokens, {config.model.units}",
            "Parameters": f"{parameter_count(task.checkpoint.model) / 1e6:.2f} M",
            "Seed": str(config.training.seed),
            "Hardware": describe(chosen),
        }

        def card(progress: Progress) -> str:
            measure = f"Perplexity per token on {dev.name if dev else 'sentences held out'}"
            found = f"{progress.best_perplexity:.2f} (epoch {progress.best_epoch} of {config.training.epochs})"
            use = "`asr lm perplexity FOLDER TEXT`, `asr lm generate FOLDER`."
            return model_card(out.name, {**facts, measure: found}, "language model", use)

        key = processes.from_first(lambda: _run_key(texts, config, dev))
        trainer = Trainer(task, config.training, config.optimizer)
        progress = trainer.run(out / "training" / "state.pt", out / "model", key, card)
    measure = f"perplexity {progress.best_perplexity:.2f} per token"
    say(f"train: kept epoch {progress.best_epoch}, {measure} on dev: {out / 'model'}")
    return out / "model"


def _task(
    texts: Sequence[Path], config: LanguageModelSettings, dev: Path | None, device: torch.device, processes: Processes
) -> TextTask:
    units, alphabet = config.model.units, config.model.alphabet
    found, names = read_text(texts, units, alphabet)
    if dev:
        train, (held_out, dev_names) = found, read_text([dev], units, alphabet)
    else:
        apart = np.arange(len(found)) % config.training.dev_every == 0
        train, held_out, dev_names = found.take(~apart), found.take(apart), names
    if not len(train):
        raise DataError(f"{texts[0]}: one sentence, which is too little to learn from and to hold out")
    vocabulary = (
        LanguageVocabulary.of_words(counts(train, names), config.model.words)
        if units == "words"
        else LanguageVocabulary.of_characters(alphabet)
    )
    torch.manual_seed(config.training.seed)
    checkpoint = create(
        config.model, vocabulary, {name: to_table(getattr(config, name)) for name in ("optimizer", "training")}
    )
    learned, held_out = encode(train, names, vocabulary), encode(held_out, dev_names, vocabulary)
    return TextTask(checkpoint, learned, held_out, config.training, device, processes)


def _run_key(texts: Sequence[Path], config: LanguageModelSettings, dev: Path | None) -> str:
    table = to_table(config)
    for name in CONVENIENCES:
        del table["training"][name]
    return digest_of([table, [digest(path) for path in texts], digest(dev) if dev else ""])
