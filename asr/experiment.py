"""Experiments: a recipe's stages at work in a folder, each skipped when nothing that it reads has changed.

What a stage reads is settings and the content of files; `stages.json` holds what they were when it last ended well.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from asr import __version__
from asr.augment import Augmentation
from asr.card import FILE as CARD
from asr.card import card_of
from asr.checkpoint import create, load_model, start_from
from asr.config import Table, nearest, to_table
from asr.corpus import Corpus, fetch, locate, neighbours, require
from asr.device import choose, describe
from asr.distributed import Processes, restarted
from asr.errors import ConfigError, DataError
from asr.evaluation import (
    SUFFIXES,
    decoded_file,
    decoded_splits,
    decoding_facts,
    read_utterances,
    readers_for,
    score_decoded,
    scored_files,
    scoring_facts,
    to_lines,
)
from asr.files import (
    digest,
    digest_of,
    digest_of_listing,
    locked,
    read_json_lines,
    sweep,
    write_json_lines,
)
from asr.lexicon.corpus import dictionary_file, lexicon_of_texts
from asr.lexicon.entries import read_lexicon, write_lexicon
from asr.manifest import Utterance, hours
from asr.model import parameter_count
from asr.model_folder import FILES as MODEL_FILES
from asr.model_folder import require_model
from asr.noise import read_noise
from asr.preparation import Checks, write_data
from asr.progress import say
from asr.recipe import Recipe
from asr.recognizer import load as load_recognizer
from asr.records import Records
from asr.report import commit, publish
from asr.scoring.figures import COMMIT, ENCODER, LANGUAGE, LICENCE, SEED, Results
from asr.scoring.figures import FILE as RESULTS
from asr.speech import CONVENIENCES, SpeechTask
from asr.state import Progress
from asr.text import Vocabulary, normalise, vocabulary_of
from asr.training import Trainer
from asr.tuned import WEIGHTS

STAGES = ("data-prep", "train", "decode", "score")
"""In their order; each is a method of `Experiment`."""

SHARED_STAGES = ("train", "decode")
"""Those in which several processes work together; the others are the first one's."""

LEXICON = "lexicon.txt"
"""Among the data: the pronunciations of all words in the transcripts; beside a recipe: its own dictionary."""

TRAINING_SECTIONS = ("text", "features", "model", "augmentation", "optimizer", "training")
"""Of the recipe's settings, those that the model comes from."""


@dataclass
class Experiment:
    """A recipe at work in its folder: `data/`, `model/`, `training/`, `decode/`, `score/`, `RESULTS.md`."""

    recipe: Recipe
    folder: Path
    command: str
    device: str = "auto"
    corpus: Path | None = None
    download: bool = False
    init_from: Path | None = None
    """A model folder whose weights training begins with."""
    noise: Path | None = None
    """A folder of recordings that serve as noise in training, in place of made noise."""
    processes: Processes = field(default_factory=Processes)

    def __post_init__(self) -> None:
        self.records = Records(self.folder, self.recipe.name)

    def run(self, first: str = STAGES[0], last: str = STAGES[-1], force: bool = False) -> None:
        """Runs the stages from `first` to `last`, except those whose inputs have not changed.

        Raises:
            AsrError: A stage cannot be done, or another run is at work in the folder; the earlier stages stay done.
        """
        start, end = _stage(first), _stage(last)
        if start > end:
            raise ConfigError(f"--from {first} comes after --to {last}; the stages are {', '.join(STAGES)}")
        with locked(self.folder) if self.processes.first else nullcontext():
            if self.processes.first:
                sweep(self.folder)
            for name in STAGES[start : end + 1]:
                self._run_stage(name, force and not restarted())

    def check(self) -> None:
        """All that training looks at before its first step, and no step.

        Raises:
            AsrError: What is not right, and which setting helps.
        """
        self._check_what_is_given()
        for finding in self._trainer().check(self._state.parent):
            say(f"check: {finding}")

    def _run_stage(self, name: str, force: bool) -> None:
        now = self.processes.from_first(lambda: self._begin(name, force))
        if now is None:
            return
        work: Callable[[], list[Path]] = getattr(self, f"_{name.replace('-', '_')}")
        written = work() if name in SHARED_STAGES else self.processes.from_first(work)
        if self.processes.first:
            origin = {"command": self.command, "commit": commit(), "hardware": self._hardware}
            self.records.end(name, now, written, **origin)

    def _begin(self, name: str, force: bool) -> Table | None:
        """What the stage reads, when there is something to do; else None."""
        inputs: Callable[[], Table] = getattr(self, f"_{name.replace('-', '_')}_inputs")
        before, now = self.records.last(name), inputs()
        if before and not force:
            changes = self.records.changes(name, now)
            if not changes:
                say(f"{name}: up to date")
                return None
            say(f"{name}: again, because {_changes_in_words(changes)}")
        if before or force:
            self.records.begin(name)
            if name == "train":  # what is left of an earlier one is not taken up
                self._state.unlink(missing_ok=True)
        return now

    # data-prep

    def _data_prep_inputs(self) -> Table:
        config = self.recipe.config
        folder = self._corpus_folder
        return {
            "recipe": {path.name: digest(path) for path in self.recipe.prepare_files()},
            "corpus": str(folder) if folder else "",
            "recordings": digest_of_listing(folder) if folder else __version__,
            **(
                {"beside": {path.name: digest_of_listing(path) for path in self._beside}}
                if config.corpus.beside
                else {}
            ),
            "splits": to_table(config.splits),
            "options": config.corpus.options,
            "text": to_table(config.text),
            "features": to_table(config.features),
            "model": {"subsampling": config.model.subsampling},
            **({"dictionary": digest(self._dictionary)} if config.text.hears_phones else {}),
        }

    @property
    def _dictionary(self) -> Path:
        return dictionary_file(self.recipe.prepare_file.parent)

    @cached_property
    def _corpus_folder(self) -> Path | None:
        """Where the corpus is; None for a recipe that makes its own speech."""
        config = self.recipe.config
        if not config.corpus.folder:
            if self.corpus or self.download:
                raise ConfigError(f"{self.recipe.name} makes its own speech: --corpus and --download are not for it")
            return None
        known = self.records.last("data-prep").get("inputs", {}).get("corpus")
        folder = locate(config.corpus, self.corpus, Path(known) if known else None)
        if self.download:
            fetch(config.corpus, folder, [*config.splits.train, *config.splits.dev, *config.splits.test])
        return require(folder)

    @property
    def _beside(self) -> tuple[Path, ...]:
        """The further corpora next to it that are there."""
        return neighbours(self.recipe.config.corpus, self._corpus_folder) if self._corpus_folder else ()

    def _data_prep(self) -> list[Path]:
        config = self.recipe.config
        made = self.folder / "data" / "audio"
        corpus = Corpus(self._corpus_folder or made, made, self._beside)
        found = self.recipe.prepare(corpus)
        wanted: dict[str, list[Utterance]] = {}
        for use in ("train", "dev", "test"):
            names = getattr(config.splits, use)
            if missing := [name for name in names if name not in found]:
                there = ", ".join(found) or "nothing"
                say(f"data-prep: {', '.join(missing)} ({use}) not in the corpus, which has {there}")
            if use != "test" and len(missing) == len(names):
                purpose = "train on" if use == "train" else "tune on"
                raise DataError(f"{corpus.folder}: nothing to {purpose}: no {', '.join(names)}")
            wanted |= {name: found[name] for name in names if name in found}
        data = self.folder / "data"
        for stale in (*data.glob("*.jsonl"), *data.glob("vocabulary.json"), data / LEXICON):
            stale.unlink(missing_ok=True)
        lexicon, phones = None, tuple[str, ...]()
        if config.text.hears_phones:
            texts = (normalise(utterance.text) for utterances in wanted.values() for utterance in utterances)
            lexicon, phones = lexicon_of_texts(texts, self._dictionary, config.text.stress)
            write_lexicon(data / LEXICON, lexicon)
        transcripts = (u.text for name in config.splits.train for u in wanted.get(name, ()))
        vocabulary = vocabulary_of(config.text, transcripts, phones)
        write_data(wanted, Checks(vocabulary, config.features, config.model.subsampling, lexicon), data)
        vocabulary.save(data / "vocabulary.json")
        return [*sorted(data.glob("*.jsonl")), data / "vocabulary.json", *data.glob(LEXICON)]

    # train

    def _train_inputs(self) -> Table:
        config = self.recipe.config
        self._check_what_is_given()
        manifests = self.records.manifests([*config.splits.train, *config.splits.dev])
        settings = {name: to_table(getattr(config, name)) for name in TRAINING_SECTIONS}
        for name in CONVENIENCES:
            del settings["training"][name]
        read = [*manifests, "data/vocabulary.json", *([f"data/{LEXICON}"] if config.text.hears_phones else [])]
        inputs: Table = {"data": self.records.digests(read), **settings}
        if self.init_from:
            inputs["init_from"] = {name: digest(self.init_from / name) for name in MODEL_FILES}
        if self.noise:
            inputs["noise"] = digest_of_listing(self.noise)
        return inputs

    def _check_what_is_given(self) -> None:
        """Raises where training would be refused whatever the data: an earlier one stays as it is."""
        choose(self.device)
        if self.init_from:
            if self.init_from.resolve().is_relative_to(self.folder.resolve()):
                raise ConfigError(f"--init-from {self.init_from}: this run would write over it; name another --exp")
            require_model(self.init_from)
        if self.noise and not self.recipe.config.augmentation.noise_share:
            raise ConfigError(f"--noise {self.noise}: augmentation.noise_share is 0, so none of it would be heard")
        if self.noise and not self.noise.is_dir():
            raise DataError(f"{self.noise}: no such folder to take noise from")

    def _train(self) -> list[Path]:
        config, trainer = self.recipe.config, self._trainer()
        goal = trainer.task.goal
        results = self._results(trainer.checkpoint.model, {"Hardware": self._hardware})

        def card(progress: Progress) -> str:
            dev = f"{progress.best(goal):.2%} (greedy, epoch {progress.best_epoch} of {config.training.epochs})"
            return card_of(replace(results, facts={**results.facts, f"{goal} on {', '.join(config.splits.dev)}": dev}))

        run_key = self.processes.from_first(lambda: digest_of(self._train_inputs()))
        progress = trainer.run(self._state, self.folder / "model", run_key, card)
        best = f"{goal} {progress.best(goal):.2%}"
        say(f"train: best on dev in epoch {progress.best_epoch}, {best}: {self.folder / 'model'}")
        # not the model card: the scores are written into it
        return [self.folder / "model" / name for name in MODEL_FILES]

    def _trainer(self) -> Trainer:
        return Trainer(self.task(), self.recipe.config.training, self.recipe.config.optimizer)

    def task(self) -> SpeechTask:
        """A model with first weights, and the data that `data-prep` found to train it on."""
        config = self.recipe.config
        train, dev = self.records.utterances(*config.splits.train), self.records.utterances(*config.splits.dev)
        in_force = {name: to_table(getattr(config, name)) for name in TRAINING_SECTIONS}
        torch.manual_seed(config.training.seed)
        vocabulary = self._vocabulary
        checkpoint = create(config.features, config.model, vocabulary, {"recipe": self.recipe.name, **in_force})
        if self.init_from:
            known = start_from(checkpoint, self.init_from)
            say(f"train: begins with the weights of {self.init_from}, {known} of {len(vocabulary)} tokens known there")
        rate = config.features.sample_rate_hz
        noise = read_noise(self.noise, rate) if self.noise else []
        augmentation = Augmentation(config.augmentation, rate, noise)
        device = choose(self.device)
        lexicon = None
        if config.text.hears_phones:
            lexicon = read_lexicon(self.folder / "data" / LEXICON, config.text.stress)
        return SpeechTask(checkpoint, train, dev, config.training, augmentation, device, self.processes, lexicon)

    # decode

    def _decode_inputs(self) -> Table:
        splits = self._scored_splits()
        model = self.folder / "model"
        told = {CARD, RESULTS}  # made from what was decoded
        tuned = [path for path in model.rglob("*") if path.is_file() and path.name not in told]
        names = {f"model/{name}" for name in MODEL_FILES} | {path.relative_to(self.folder).as_posix() for path in tuned}
        return {
            "data": self.records.digests(self.records.manifests(splits)),
            "model": self.records.digests(sorted(names)),
        }

    def _decode(self) -> list[Path]:
        recognizer = load_recognizer(self.folder / "model", self.device, greedy=True)
        readers = readers_for(recognizer, self.folder / "model")
        written = []
        for split in self._scored_splits():
            utterances = self.records.utterances(split)
            batch_s = self.recipe.config.training.batch_s
            readings = read_utterances(recognizer, readers, utterances, batch_s, self.processes)
            for decoding in SUFFIXES:
                path = decoded_file(self.folder, split, decoding)
                if decoding in readings:
                    if self.processes.first:
                        write_json_lines(path, to_lines(readings[decoding]))
                    written.append(path)
                else:
                    path.unlink(missing_ok=True)
            say(f"decode: {split}: {len(utterances)} utterances, {' and '.join(readings)}")
        return written

    # score

    def _score_inputs(self) -> Table:
        splits = self._scored_splits()
        hypotheses = [decoded_file(self.folder, *pair) for pair in decoded_splits(self.folder, splits)]
        return {
            "data": self.records.digests(self.records.manifests(splits)),
            "hypotheses": self.records.digests(path.relative_to(self.folder).as_posix() for path in hypotheses),
        }

    def _score(self) -> list[Path]:
        model, decoded = self.folder / "model", decoded_splits(self.folder, self._scored_splits())
        history = read_json_lines(self.folder / "training" / "history.jsonl")
        train = self.records.last("train")
        facts = {
            "Command": f"`{train.get('command', self.command)}`",
            COMMIT: train.get("commit", commit()),
            **decoding_facts(model),
            "Training time": f"{sum(line['seconds'] for line in history) / 60:.1f} min, {len(history)} epochs",
            "Hardware": train.get("hardware", ""),
        }
        about = self._results(load_model(model).model, facts)
        scores = [score_decoded(self.folder, *pair, self.records.utterances(pair[0]), about.facts) for pair in decoded]
        heard_with = self.records.last("decode").get("inputs", {}).get("model", {})
        weights = heard_with.get(f"model/{WEIGHTS}") or ""  # another training may have come between
        facts = {**about.facts, **scoring_facts(scores, self.command)}
        results = replace(about, weights=weights, facts=facts, scores=tuple(scores))
        written = publish(self.folder, results, history)
        say(f"score: {written[0]}")
        return [*written, *(path for pair in decoded for path in scored_files(self.folder, *pair))]

    def _results(self, model: nn.Module, facts: dict[str, str]) -> Results:
        """What is known of a model before it is scored; facts that are given replace those from here."""
        config, train = self.recipe.config, self.records.utterances(*self.recipe.config.splits.train)
        speakers, parameters = len({utterance.speaker for utterance in train}), parameter_count(model)
        origin = {
            "Recipe": self.recipe.name,
            "Command": f"`{self.command}`",
            COMMIT: commit(),
            "Training data": f"{', '.join(config.splits.train)}: {hours(train):.2f} h, {speakers} speakers",
            LICENCE: config.corpus.licence,
            LANGUAGE: config.corpus.language,
            ENCODER: config.model.encoder,
            SEED: str(config.training.seed),
            "Parameters": f"{parameters / 1e6:.2f} M",
        }
        return Results(self.recipe.name, __version__, "", hours(train), parameters, {**origin, **facts})

    # what the stages share

    @property
    def _state(self) -> Path:
        return self.folder / "training" / "state.pt"

    @property
    def _vocabulary(self) -> Vocabulary:
        path = self.folder / "data" / "vocabulary.json"
        if not path.exists():
            raise DataError(f"{path}: gone; run: asr data-prep {self.recipe.name}")
        return Vocabulary.load(path)

    @property
    def _hardware(self) -> str:
        together = f"{self.processes.count} processes, each " if self.processes.count > 1 else ""
        return f"{together}{describe(choose(self.device))}"

    def _scored_splits(self) -> list[str]:
        splits = self.recipe.config.splits
        return self.records.prepared([*splits.dev, *splits.test])


def _stage(name: str) -> int:
    if name not in STAGES:
        raise ConfigError(f"unknown stage {name!r}{nearest(name, STAGES)}")
    return STAGES.index(name)


def _changes_in_words(changes: list[str]) -> str:
    shown = [change if len(change) < 80 else f"{change.split()[0]} changed" for change in changes[:3]]
    return ", ".join(shown) + (f" and {len(changes) - 3} more" if len(changes) > 3 else "")
