"""Experiments: a recipe's stages at work in a folder, each skipped when nothing that it reads has changed.

What a stage reads is settings and the content of files; `stages.json` holds what they were when it last ended well.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from asr import __version__
from asr.checkpoint import FILES as MODEL_FILES
from asr.checkpoint import create
from asr.config import Table, differences, nearest, to_table
from asr.corpus import Corpus, fetch, locate, require
from asr.dataset import SpeechDataset, load, plan
from asr.device import choose, describe
from asr.errors import ConfigError, DataError
from asr.files import (
    digest,
    digest_of,
    digest_of_listing,
    read_json,
    read_json_lines,
    write_json,
    write_json_lines,
    writing,
)
from asr.manifest import Utterance, hours, read_manifest
from asr.model import parameter_count
from asr.preparation import Checks, write_data
from asr.progress import say, track
from asr.recipe import Recipe
from asr.recognizer import load as load_recognizer
from asr.report import commit, draw_training, listing, model_card, results_page, score_split, summary, wer_with_interval
from asr.text import Vocabulary
from asr.training import Progress, Trainer

STAGES = ("data-prep", "train", "decode", "score")
"""In their order; each is a method of `Experiment`."""


@dataclass
class Experiment:
    """A recipe at work in its folder: `data/`, `model/`, `training/`, `decode/`, `score/`, `RESULTS.md`."""

    recipe: Recipe
    folder: Path
    command: str
    device: str = "auto"
    corpus: Path | None = None
    download: bool = False

    def run(self, first: str = STAGES[0], last: str = STAGES[-1], force: bool = False) -> None:
        """Runs the stages from `first` to `last`, except those whose inputs have not changed.

        Raises:
            AsrError: A stage cannot be done; the earlier ones stay done.
        """
        start, end = _stage(first), _stage(last)
        if start > end:
            raise ConfigError(f"--from {first} comes after --to {last}; the stages are {', '.join(STAGES)}")
        for name in STAGES[start : end + 1]:
            self._run_stage(name, force)

    def _run_stage(self, name: str, force: bool) -> None:
        inputs: Callable[[], Table] = getattr(self, f"_{name.replace('-', '_')}_inputs")
        work: Callable[[], list[Path]] = getattr(self, f"_{name.replace('-', '_')}")
        before, now = self._records().get(name), inputs()
        if before and not force:
            outputs = self._digests(before["outputs"])
            changes = differences(before["inputs"], now) + differences(before["outputs"], outputs)
            if not changes:
                say(f"{name}: up to date")
                return
            say(f"{name}: again, because {_changes_in_words(changes)}")
        if before or force:  # from here on the stage counts as not done, and what is left of it is not taken up
            write_json(self.folder / "stages.json", {**self._records(), name: None})
            if name == "train":
                self._state.unlink(missing_ok=True)
        names = [path.relative_to(self.folder).as_posix() for path in work()]
        origin = {"command": self.command, "commit": commit(), "hardware": describe(choose(self.device))}
        record = {"inputs": now, "outputs": self._digests(names), **origin}
        write_json(self.folder / "stages.json", {**self._records(), name: record})

    # data-prep

    def _data_prep_inputs(self) -> Table:
        config = self.recipe.config
        folder = self._corpus_folder
        return {
            "recipe": {path.name: digest(path) for path in self.recipe.prepare_files()},
            "corpus": str(folder) if folder else "",
            "recordings": digest_of_listing(folder) if folder else __version__,
            "splits": to_table(config.splits),
            "options": config.corpus.options,
            "text": to_table(config.text),
            "features": to_table(config.features),
            "model": {"subsampling": config.model.subsampling},
        }

    @cached_property
    def _corpus_folder(self) -> Path | None:
        """Where the corpus is; None for a recipe that makes its own speech."""
        config = self.recipe.config
        if not config.corpus.folder:
            if self.corpus or self.download:
                raise ConfigError(f"{self.recipe.name} makes its own speech: --corpus and --download are not for it")
            return None
        known = self._records().get("data-prep", {}).get("inputs", {}).get("corpus")
        folder = locate(config.corpus, self.corpus, Path(known) if known else None)
        if self.download:
            fetch(config.corpus, folder, [*config.splits.train, *config.splits.dev, *config.splits.test])
        return require(folder)

    def _data_prep(self) -> list[Path]:
        config = self.recipe.config
        made = self.folder / "data" / "audio"
        corpus = Corpus(self._corpus_folder or made, made)
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
        for stale in data.glob("*.jsonl"):
            stale.unlink()
        write_data(wanted, Checks(self._vocabulary, config.features, config.model.subsampling), data)
        return sorted(data.glob("*.jsonl"))

    # train

    def _train_inputs(self) -> Table:
        config = self.recipe.config
        names = ("text", "features", "model", "augmentation", "training")
        manifests = self._manifests(*config.splits.train, *config.splits.dev)
        return {"data": self._digests(manifests)} | {name: to_table(getattr(config, name)) for name in names}

    def _train(self) -> list[Path]:
        config, inputs = self.recipe.config, self._train_inputs()
        train = self._utterances(*config.splits.train)
        torch.manual_seed(config.training.seed)
        settings_in_force = {name: table for name, table in inputs.items() if name != "data"}
        checkpoint = create(
            config.features, config.model, self._vocabulary, {"recipe": self.recipe.name, **settings_in_force}
        )
        device = choose(self.device)
        facts = {
            **self._origin(train),
            "Parameters": f"{parameter_count(checkpoint.model) / 1e6:.2f} M",
            "Hardware": describe(device),
        }

        def card(progress: Progress) -> str:
            dev = f"{progress.best_wer:.2%} (greedy, epoch {progress.best_epoch} of {config.training.epochs})"
            return model_card(self.recipe.name, {**facts, f"WER on {', '.join(config.splits.dev)}": dev})

        trainer = Trainer(
            checkpoint, train, self._utterances(*config.splits.dev), config.training, config.augmentation, device
        )
        progress = trainer.run(self._state, self.folder / "model", digest_of(inputs), card)
        say(f"train: best on dev in epoch {progress.best_epoch}, WER {progress.best_wer:.2%}: {self.folder / 'model'}")
        # not the model card: the scores are written into it
        return [self.folder / "model" / name for name in MODEL_FILES]

    # decode

    def _decode_inputs(self) -> Table:
        splits = self._scored_splits()
        return {
            "data": self._digests(self._manifests(*splits)),
            "model": self._digests([f"model/{name}" for name in MODEL_FILES]),
        }

    def _decode(self) -> list[Path]:
        recognizer = load_recognizer(self.folder / "model", self.device)
        written = []
        for split in self._scored_splits():
            utterances = self._utterances(split)
            dataset = SpeechDataset(utterances, recognizer.checkpoint.vocabulary, recognizer.sample_rate_hz)
            batches = load(dataset, plan(utterances, self.recipe.config.training.batch_s))
            texts = dict(track(recognizer.decode(batches), f"decoding {split}", len(utterances)))
            path = self.folder / "decode" / f"{split}.jsonl"
            write_json_lines(path, ({"id": u.id, "text": texts[u.id]} for u in utterances))
            say(f"decode: {split}: {len(texts)} utterances")
            written.append(path)
        return written

    # score

    def _score_inputs(self) -> Table:
        splits = self._scored_splits()
        hypotheses = [f"decode/{split}.jsonl" for split in splits]
        return {"data": self._digests(self._manifests(*splits)), "hypotheses": self._digests(hypotheses)}

    def _score(self) -> list[Path]:
        scores, written = [], [self.folder / "RESULTS.md", self.folder / "model" / "README.md"]
        for split in self._scored_splits():
            utterances = self._utterances(split)
            lines = read_json_lines(self.folder / "decode" / f"{split}.jsonl")
            hypotheses = {line["id"]: line["text"] for line in lines}
            result = score_split(split, utterances, hypotheses)
            say(f"score: {summary(result)}")
            text, numbers = (self.folder / "score" / f"{split}.{kind}" for kind in ("txt", "json"))
            with writing(text) as stream:
                stream.write(listing(result, utterances, hypotheses))
            write_json(
                numbers, {"split": split, **vars(result.total), "wer": result.total.wer, "cer": result.total.cer}
            )
            scores.append(result)
            written += [text, numbers]
        history = read_json_lines(self.folder / "training" / "history.jsonl")
        picture = self.folder / "score" / "training.png"
        if draw_training(history, picture):
            written.append(picture)
        name = picture.relative_to(self.folder).as_posix() if picture in written else ""
        facts = self._result_facts(history)
        with writing(written[0]) as stream:
            stream.write(results_page(self.recipe.name, scores, facts, name))
        with writing(written[1]) as stream:
            wers = {f"WER on {result.split}": wer_with_interval(result) for result in scores}
            stream.write(model_card(self.recipe.name, {**facts, **wers}))
        say(f"score: {written[0]}")
        return written

    def _result_facts(self, history: list[dict[str, Any]]) -> dict[str, str]:
        train = self._records().get("train", {})
        minutes = sum(line["seconds"] for line in history) / 60
        return {
            **self._origin(self._utterances(*self.recipe.config.splits.train)),
            "Command": f"`{train.get('command', self.command)}`",
            "Commit": train.get("commit", commit()),
            "Decoding": "greedy, no language model",
            "Training time": f"{minutes:.1f} min, {len(history)} epochs",
            "Hardware": train.get("hardware", ""),
        }

    def _origin(self, train: list[Utterance]) -> dict[str, str]:
        config = self.recipe.config
        speakers = len({utterance.speaker for utterance in train})
        return {
            "Recipe": self.recipe.name,
            "Command": f"`{self.command}`",
            "Commit": commit(),
            "Training data": f"{', '.join(config.splits.train)}: {hours(train):.2f} h, {speakers} speakers",
            "Licence of the data": config.corpus.licence,
            "Seed": str(config.training.seed),
        }

    # what the stages share

    @property
    def _state(self) -> Path:
        return self.folder / "training" / "state.pt"

    @property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary.of_characters(self.recipe.config.text.alphabet)

    def _scored_splits(self) -> list[str]:
        splits, prepared = self.recipe.config.splits, self._records().get("data-prep", {}).get("outputs", {})
        return [split for split in (*splits.dev, *splits.test) if f"data/{split}.jsonl" in prepared]

    def _manifests(self, *splits: str) -> list[str]:
        """The manifests of the splits that data-prep found in the corpus."""
        prepared = self._records().get("data-prep", {}).get("outputs", {})
        names = [f"data/{split}.jsonl" for split in splits if f"data/{split}.jsonl" in prepared]
        if not names:
            raise DataError(f"{self.folder / 'data'}: no manifests; run: asr data-prep {self.recipe.name}")
        if missing := [name for name in names if not (self.folder / name).exists()]:
            raise DataError(f"{self.folder / missing[0]}: gone; run: asr data-prep {self.recipe.name}")
        return names

    def _utterances(self, *splits: str) -> list[Utterance]:
        return [u for name in self._manifests(*splits) for u in read_manifest(self.folder / name)]

    def _digests(self, names: Mapping[str, Any] | list[str]) -> Table:
        """The digest of each file of the experiment folder; None for one that is not there."""
        paths = {name: self.folder / name for name in names}
        return {name: digest(path) if path.is_file() else None for name, path in paths.items()}

    def _records(self) -> Table:
        path = self.folder / "stages.json"
        records: Table = read_json(path) if path.exists() else {}
        return {name: record for name, record in records.items() if record}


def _stage(name: str) -> int:
    if name not in STAGES:
        raise ConfigError(f"unknown stage {name!r}{nearest(name, STAGES)}")
    return STAGES.index(name)


def _changes_in_words(changes: list[str]) -> str:
    shown = [change if len(change) < 80 else f"{change.split()[0]} changed" for change in changes[:3]]
    return ", ".join(shown) + (f" and {len(changes) - 3} more" if len(changes) > 3 else "")
