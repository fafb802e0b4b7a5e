"""A recipe at work in its folder: what all its stages share."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from torch import nn

from asr import __version__
from asr.config import Table
from asr.corpus import fetch, locate, neighbours, require
from asr.device import choose, describe
from asr.distributed import Processes
from asr.errors import ConfigError, DataError
from asr.lexicon.corpus import dictionary_file
from asr.manifest import hours
from asr.model import parameter_count
from asr.recipe import Recipe
from asr.records import Records
from asr.report import commit
from asr.scoring.figures import COMMIT, ENCODER, LANGUAGE, LICENCE, SEED, TRAINING_DATA, Results
from asr.text import Vocabulary

TRAINING_SECTIONS = ("text", "features", "model", "augmentation", "optimizer", "training")
"""Of the recipe's settings, those that the model comes from."""


@dataclass
class Workplace:
    """A recipe in its folder: `data/`, `language_model/`, `model/`, `training/`, `decode/`, `score/`, `RESULTS.md`."""

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

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def language_model(self) -> Path:
        return self.folder / "language_model" / "lm.ngram"

    @property
    def second_language_model(self) -> Path:
        """The model folder of the LSTM that goes over the best hypotheses."""
        return self.language_model.parent / "lstm" / "model"

    @property
    def state(self) -> Path:
        """Where a broken-off training goes on from."""
        return self.folder / "training" / "state.pt"

    @property
    def lexicon(self) -> Path:
        """The pronunciations of all words in the transcripts."""
        return self.data / "lexicon.txt"

    @property
    def dictionary(self) -> Path:
        """Where pronunciations come from."""
        return dictionary_file(self.recipe.prepare_file.parent)

    @cached_property
    def corpus_folder(self) -> Path | None:
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
    def beside(self) -> tuple[Path, ...]:
        """The further corpora next to it that are there."""
        return neighbours(self.recipe.config.corpus, self.corpus_folder) if self.corpus_folder else ()

    @property
    def vocabulary_file(self) -> Path:
        return self.data / "vocabulary.json"

    @property
    def vocabulary(self) -> Vocabulary:
        if not self.vocabulary_file.exists():
            raise DataError(f"{self.vocabulary_file}: gone; run: asr data-prep {self.recipe.name}")
        return Vocabulary.load(self.vocabulary_file)

    @property
    def scored_splits(self) -> list[str]:
        splits = self.recipe.config.splits
        return self.records.prepared([*splits.dev, *splits.test])

    @property
    def hardware(self) -> str:
        together = f"{self.processes.count} processes, each " if self.processes.count > 1 else ""
        return f"{together}{describe(choose(self.device))}"

    def digests(self, *paths: Path) -> Table:
        """The digest of each file in the folder, by its name there; None for one that is not there."""
        return self.records.digests(path.relative_to(self.folder).as_posix() for path in paths)

    def results(self, model: nn.Module, facts: dict[str, str]) -> Results:
        """What is known of a model before it is scored; facts that are given replace those from here."""
        config, train = self.recipe.config, self.records.utterances(*self.recipe.config.splits.train)
        speakers, parameters = len({utterance.speaker for utterance in train}), parameter_count(model)
        origin = {
            "Recipe": self.recipe.name,
            "Command": f"`{self.command}`",
            COMMIT: commit(),
            TRAINING_DATA: f"{', '.join(config.splits.train)}: {hours(train):.2f} h, {speakers} speakers",
            LICENCE: config.corpus.licence,
            LANGUAGE: config.corpus.language,
            ENCODER: config.model.encoder,
            SEED: str(config.training.seed),
            "Parameters": f"{parameters / 1e6:.2f} M",
        }
        return Results(self.recipe.name, __version__, "", hours(train), parameters, {**origin, **facts})
