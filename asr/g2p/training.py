"""Trains a pronunciation model on a dictionary, and holds it against the words that it has not seen.

`OUT/model`, its weights in float16, and, beside it, `OUT/training` to go on from. A tenth of the words are for the test,
by which families of words go as a whole: see `asr.g2p.families`.
"""

import time
from contextlib import nullcontext
from pathlib import Path

import torch

from asr.card import model_card
from asr.checkpoint import save_model
from asr.config import Table, build, merge, settings, to_table
from asr.device import choose, describe
from asr.distributed import Processes
from asr.errors import DataError
from asr.files import digest, digest_of, locked, sweep, writing
from asr.g2p.checkpoint import PronunciationModel, create
from asr.g2p.families import Split, share_out
from asr.g2p.network import G2PConfig
from asr.g2p.pronouncer import Pronouncer
from asr.g2p.scoring import PronunciationErrors, score
from asr.g2p.task import CONVENIENCES, PronunciationTask, PronunciationTrainingConfig
from asr.g2p.vocabulary import PronunciationVocabulary
from asr.lexicon.entries import Lexicon, read_lexicon
from asr.model import parameter_count
from asr.optimizer import OptimizerConfig
from asr.progress import say
from asr.report import commit
from asr.state import Progress
from asr.training import Trainer

LETTERS = "'abcdefghijklmnopqrstuvwxyz"
"""Words with other characters, such as digits, dots and hyphens, are not learned."""


@settings
class PronunciationSettings:
    """What `--set` changes, by section."""

    model: G2PConfig = G2PConfig()
    optimizer: OptimizerConfig = OptimizerConfig(learning_rate=3e-3, warmup_share=0.02, average_decay=0.999)
    training: PronunciationTrainingConfig = PronunciationTrainingConfig()


@settings
class Held:
    """What came of the words that were held out."""


def settings_of(changes: Table) -> PronunciationSettings:
    """The settings with some changed.

    Raises:
        ConfigError: An unknown key, a wrong type or a value out of range.
    """
    return build(PronunciationSettings, merge(to_table(PronunciationSettings()), changes), "--set")
