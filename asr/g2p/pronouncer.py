"""A trained pronunciation model at work: how words are said.

Shapes: B words, K hypotheses of each, V phones and the boundary.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from asr.device import choose
from asr.g2p.checkpoint import PronunciationModel
from asr.g2p.network import Read
from asr.g2p.vocabulary import BOUNDARY
from asr.g2p.words import padded
from asr.lexicon.entries import Pronunciation
from asr.progress import bar
from asr.recurrent import State
from asr.shipped import SHIPPED

BATCH_WORDS = 256
"""Words at a time; more were no faster on a CPU."""

MOST_PHONES = (6, 2)
"""So many phones, and so many more for each letter, are the most that a word is given."""

Ranked = list[tuple[list[int], float]]
"""The ids of pronunciations, between boundaries, with their natural log-probabilities, the likeliest first."""


def shipped() -> Path:
    """The folder of the model for English that comes with the package."""
    return SHIPPED / "g2p-en"


class Pronouncer:
    """A pronunciation model on a device, with a beam search."""

    def __init__(self, checkpoint: PronunciationModel, device: torch.device, beam: int = 4) -> None:
        self.vocabulary = checkpoint.vocabulary
        self.network = checkpoint.model.to(device)
        self.device = device
        self.beam = beam

    @classmethod
    def load(cls, folder: Path, device: str = "cpu", beam: int = 4) -> "Pronouncer":
        """The model in a folder, on the device called `auto`, `cpu`, `cuda` or `mps`.

        Args:
            beam: Hypotheses kept of each word; with 1, the search is greedy.

        Raises:
            AsrError: The folder is not whole or holds no pronunciation model, or the device is not there.
        """
        return cls(PronunciationModel.load(folder), choose(device), beam)

    def pronounce(self, words: Sequence[str], nbest: int = 1, threshold: float = 0.0) -> list[list[Pronunciation]]:
        """How each word is said, the likeliest pronunciation first.

        Args:
            words: In any order, normalised or not.
            nbest: The most pronunciations of a word; the search keeps at least so many hypotheses.
            threshold: Those whose probability, against that of the likeliest, is lower are left out.

        Raises:
            DataError: A word is empty or has characters that are no letters to the model; names them.
        """
        spelled = [self.vocabulary.encode(word) for word in words]
        order = sorted(range(len(words)), key=lambda place: len(spelled[place]))
        found: list[list[Pronunciation]] = [[] for _ in words]
        with bar("pronouncing", len(words)) as advance:
            for start in range(0, len(order), BATCH_WORDS):
                places = order[start : start + BATCH_WORDS]
                all_ranked = self._search([spelled[place] for place in places], nbest)
                for place, ranked in zip(places, all_ranked, strict=True):
                    found[place] = self._pronunciations(ranked, threshold)
                advance(len(places))
        return found

    def _pronunciations(self, ranked: Ranked, threshold: float) -> list[Pronunciation]:
        best = ranked[0][1]
        shares = [(ids, math.exp(score - best)) for ids, score in ranked]
        return [Pronunciation(self.vocabulary.decode(ids), share) for ids, share in shares if share >= threshold]

    @torch.inference_mode()
    def _search(self, spelled: Sequence[Sequence[int]], nbest: int) -> list[Ranked]:
        """The likeliest ids of each word, in one batch.

        A hypothesis that has ended goes on with boundaries at no cost, and so competes with those that go on. As scores
        only fall, all is known when the first `nbest` have ended.
        """
        self.network.eval()
        letters, lengths = (tensor.to(self.device) for tensor in padded(spelled))
        most = MOST_PHONES[0] + MOST_PHONES[1] * lengths
        words, state = self.network.read(letters, lengths)
        count, beam = len(spelled), max(self.beam, nbest)
        state = _of_each(state, torch.arange(count, device=self.device).repeat_interleave(beam))
        scores = torch.full((count, beam), -torch.inf, device=self.device)
        scores[:, 0] = 0.0  # all begin alike, and one of a kind is enough
        ids = torch.full((count, beam, 1), BOUNDARY, device=self.device)
        for said in range(int(most.max()) + 1):
            following, state = self._following(words, ids[..., -1], state)
            _restrict(following, ids, said >= most)
            scores, chosen = (scores[..., None] + following).flatten(1).topk(beam)
            parents, tokens = chosen // following.shape[2], chosen % following.shape[2]
            ids = torch.cat([ids.gather(1, parents[..., None].expand(ids.shape)), tokens[..., None]], dim=2)
            if (tokens[:, :nbest] == BOUNDARY).all():
                break
            first = torch.arange(count, device=self.device)[:, None] * beam
            state = _of_each(state, (first + parents).flatten())
        ranked = zip(ids[:, :nbest].tolist(), scores[:, :nbest].tolist(), strict=True)
        return [[pair for pair in zip(*both, strict=True) if pair[1] > -math.inf] for both in ranked]

    def _following(self, words: Read, last: Tensor, state: State) -> tuple[Tensor, State]:
        """The log-probabilities of what follows each hypothesis, (B, K, V), by its last token, (B, K)."""
        outputs, state = self.network.decoder(self.network.phones(last.flatten())[:, None], state)
        return self.network.foretell(words, outputs.view(*last.shape, -1)), state


def _of_each(state: State, places: Tensor) -> State:
    return state[0][:, places], state[1][:, places]


def _restrict(following: Tensor, ids: Tensor, enough: Tensor) -> None:
    """Takes from the log-probabilities, (B, K, V), what may not follow.

    Args:
        ids: (B, K, T), the boundary at the beginning and what each hypothesis holds so far.
        enough: (B,) whether a word has all the phones that it may have.
    """
    if ids.shape[2] == 1:
        following[..., BOUNDARY] = -torch.inf  # some phone there must be
        return
    over = ids[..., -1] == BOUNDARY
    following[over] = -torch.inf
    following[..., BOUNDARY].masked_fill_(over, 0.0)
    following[..., BOUNDARY + 1 :].masked_fill_(enough[:, None, None], -torch.inf)
