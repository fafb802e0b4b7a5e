"""A pronunciation model with what belongs to it, and its model folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from asr import __version__
from asr.cells import unset
from asr.checkpoint import fill
from asr.config import Table, build, to_table
from asr.g2p.network import G2PConfig, PronunciationNetwork
from asr.g2p.vocabulary import PronunciationVocabulary
from asr.model_folder import CONFIG, PRONUNCIATION, VOCABULARY, WEIGHTS, read_config


@dataclass
class PronunciationModel:
    """A pronunciation model in memory; see `asr.checkpoint.Stored`."""

    kind: ClassVar[str] = PRONUNCIATION

    model: PronunciationNetwork
    vocabulary: PronunciationVocabulary
    config: Table
    """Every setting that the model was made with; `pronunciation_model` rebuilds it, the rest tells how it was made."""

    def weights(self) -> dict[str, Tensor]:
        return {f"model.{name}": value for name, value in self.model.state_dict().items()}

    @staticmethod
    def load(folder: Path) -> "PronunciationModel":
        """The pronunciation model in a folder, on the CPU.

        Raises:
            ModelError: A file is missing, cut off, a pickle, or belongs to other settings; or it is another kind.
            ConfigError: `config.json` has settings that this version does not know.
        """
        table = read_config(folder, PronunciationModel.kind)
        config = build(G2PConfig, table["pronunciation_model"], f"{folder / CONFIG}: pronunciation_model")
        vocabulary = PronunciationVocabulary.load(folder / VOCABULARY)
        with unset():
            checkpoint = create(config, vocabulary, table)
        fill(checkpoint, folder / WEIGHTS)
        return checkpoint


def create(config: G2PConfig, vocabulary: PronunciationVocabulary, table: Table) -> PronunciationModel:
    """A pronunciation model with random weights, from torch's generator as it stands."""
    settings = {"asr_version": __version__, **table, "pronunciation_model": to_table(config)}
    network = PronunciationNetwork(len(vocabulary.letters), len(vocabulary.phones), config)
    return PronunciationModel(network, vocabulary, settings)
