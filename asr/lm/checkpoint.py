"""A recurrent language model with what belongs to it, and its model folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from asr import __version__
from asr.cells import unset
from asr.checkpoint import fill
from asr.config import Table, build, to_table
from asr.lm.network import LanguageModelConfig, LanguageNetwork
from asr.lm.vocabulary import LanguageVocabulary
from asr.model_folder import CONFIG, LANGUAGE, VOCABULARY, WEIGHTS, read_config


@dataclass
class LanguageModel:
    """A language model in memory; see `asr.checkpoint.Stored`."""

    kind: ClassVar[str] = LANGUAGE

    model: LanguageNetwork
    vocabulary: LanguageVocabulary
    config: Table
    """Every setting that the model was made with; `language_model` rebuilds it, the rest tells how it was made."""

    def weights(self) -> dict[str, Tensor]:
        return {f"model.{name}": value for name, value in self.model.state_dict().items()}

    @staticmethod
    def load(folder: Path) -> "LanguageModel":
        """The language model in a folder, on the CPU.

        Raises:
            ModelError: A file is missing, cut off, a pickle, or belongs to other settings; or it is no language model.
            ConfigError: `config.json` has settings that this version does not know.
        """
        table = read_config(folder, LanguageModel.kind)
        config = build(LanguageModelConfig, table["language_model"], f"{folder / CONFIG}: language_model")
        vocabulary = LanguageVocabulary.load(folder / VOCABULARY)
        with unset():
            checkpoint = create(config, vocabulary, table)
        fill(checkpoint, folder / WEIGHTS)
        return checkpoint


def create(config: LanguageModelConfig, vocabulary: LanguageVocabulary, table: Table) -> LanguageModel:
    """A language model with random weights, from torch's generator as it stands."""
    settings = {"asr_version": __version__, **table, "language_model": to_table(config)}
    return LanguageModel(LanguageNetwork(len(vocabulary), config), vocabulary, settings)
