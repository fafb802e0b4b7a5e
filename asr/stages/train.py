"""Training: the model that the settings and the manifests make."""

from dataclasses import replace
from pathlib import Path

import torch

from asr.augment import Augmentation
from asr.card import card_of
from asr.checkpoint import create, start_from
from asr.config import Table, to_table
from asr.device import choose
from asr.errors import ConfigError, DataError
from asr.files import digest, digest_of, digest_of_listing
from asr.lexicon.entries import read_lexicon
from asr.model_folder import FILES, require_model
from asr.noise import read_noise
from asr.progress import say
from asr.scoring.figures import HARDWARE
from asr.speech import CONVENIENCES, SpeechTask
from asr.stages.workplace import TRAINING_SECTIONS, Workplace
from asr.state import Progress
from asr.training import Trainer


def inputs(place: Workplace) -> Table:
    config = place.recipe.config
    _check_what_is_given(place)
    manifests = place.records.manifests([*config.splits.train, *config.splits.dev])
    settings = {name: to_table(getattr(config, name)) for name in TRAINING_SECTIONS}
    for name in CONVENIENCES:
        del settings["training"][name]
    read = [place.vocabulary_file, *([place.lexicon] if config.text.hears_phones else [])]
    table: Table = {"data": {**place.records.digests(manifests), **place.digests(*read)}, **settings}
    if place.init_from:
        table["init_from"] = {name: digest(place.init_from / name) for name in FILES}
    if place.noise:
        table["noise"] = digest_of_listing(place.noise)
    return table


def work(place: Workplace) -> list[Path]:
    config, trainer = place.recipe.config, trainer_of(place)
    goal = trainer.task.goal
    results = place.results(trainer.checkpoint.model, {HARDWARE: place.hardware})

    def card(progress: Progress) -> str:
        dev = f"{progress.best(goal):.2%} (greedy, epoch {progress.best_epoch} of {config.training.epochs})"
        return card_of(replace(results, facts={**results.facts, f"{goal} on {', '.join(config.splits.dev)}": dev}))

    run_key = place.processes.from_first(lambda: digest_of(inputs(place)))
    progress = trainer.run(place.state, place.model, run_key, card)
    say(f"train: kept epoch {progress.best_epoch}, {goal} {progress.best(goal):.2%} on dev: {place.model}")
    # not the model card: the scores are written into it
    return [place.model / name for name in FILES]


def check(place: Workplace) -> None:
    """All that training looks at before its first step, and no step.

    Raises:
        AsrError: What is not right, and which setting helps.
    """
    _check_what_is_given(place)
    for finding in trainer_of(place).check(place.state.parent):
        say(f"check: {finding}")


def trainer_of(place: Workplace) -> Trainer:
    return Trainer(task_of(place), place.recipe.config.training, place.recipe.config.optimizer)


def task_of(place: Workplace) -> SpeechTask:
    """A model with first weights, and the data that `data-prep` found to train it on."""
    config = place.recipe.config
    train, dev = place.records.utterances(*config.splits.train), place.records.utterances(*config.splits.dev)
    in_force = {name: to_table(getattr(config, name)) for name in TRAINING_SECTIONS}
    torch.manual_seed(config.training.seed)
    vocabulary = place.vocabulary
    checkpoint = create(config.features, config.model, vocabulary, {"recipe": place.recipe.name, **in_force})
    if place.init_from:
        known = start_from(checkpoint, place.init_from)
        say(f"train: begins with the weights of {place.init_from}, {known} of {len(vocabulary)} tokens known there")
    rate = config.features.sample_rate_hz
    noise = read_noise(place.noise, rate) if place.noise else []
    augmentation = Augmentation(config.augmentation, rate, noise)
    lexicon = read_lexicon(place.lexicon, config.text.stress) if config.text.hears_phones else None
    device = choose(place.device)
    return SpeechTask(checkpoint, train, dev, config.training, augmentation, device, place.processes, lexicon)


def _check_what_is_given(place: Workplace) -> None:
    """Raises where training would be refused whatever the data: an earlier one stays as it is."""
    choose(place.device)
    if place.init_from:
        if place.init_from.resolve().is_relative_to(place.folder.resolve()):
            raise ConfigError(f"--init-from {place.init_from}: this run would write over it; name another --exp")
        require_model(place.init_from)
    if place.noise and not place.recipe.config.augmentation.noise_share:
        raise ConfigError(f"--noise {place.noise}: augmentation.noise_share is 0, so none of it would be heard")
    if place.noise and not place.noise.is_dir():
        raise DataError(f"{place.noise}: no such folder to take noise from")
