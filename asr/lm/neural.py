"""A trained recurrent language model at work: how likely sentences are, and sentences of its own."""

import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from asr.device import choose
from asr.errors import ConfigError
from asr.lm.checkpoint import LanguageModel
from asr.lm.sentences import Sentences, plan
from asr.lm.vocabulary import BOUNDARY, UNKNOWN, split
from asr.text import normalise

BATCH_TOKENS = 4096
"""Scored at a time, padding included: bounds the memory; each has as many log-probabilities as there are tokens."""

TEXTS_AT_ONCE = 10_000
"""Of a long text, held in memory."""


@dataclass(frozen=True)
class Perplexity:
    """How likely a text is; sums over its sentences, each of which has an end to predict as well."""

    sentences: int = 0
    words: int = 0
    unknown_words: int = 0
    """Those that the vocabulary lacks, in whole or in part; they count as `<unk>`."""
    tokens: int = 0
    log_probability: float = 0.0
    """Natural."""

    def __add__(self, other: "Perplexity") -> "Perplexity":
        return Perplexity(*map(operator.add, vars(self).values(), vars(other).values()))

    @property
    def per_token(self) -> float:
        return math.exp(-self.log_probability / max(self.tokens + self.sentences, 1))

    @property
    def per_word(self) -> float:
        """The ends of sentences are words too: as for any other language model of the same text."""
        return math.exp(-self.log_probability / max(self.words + self.sentences, 1))

    @property
    def oov_rate(self) -> float:
        """The share of words that are not known, 0..1."""
        return self.unknown_words / max(self.words, 1)

    def __str__(self) -> str:
        return (
            f"perplexity {self.per_word:.2f} per word, {self.per_token:.2f} per token; {self.sentences} sentences, "
            f"{self.words} words, {self.oov_rate:.2%} of them out of vocabulary"
        )


class NeuralModel:
    """A recurrent language model on its device."""

    def __init__(self, checkpoint: LanguageModel, device: torch.device) -> None:
        self.checkpoint = checkpoint
        self.vocabulary = checkpoint.vocabulary
        self.network = checkpoint.model.to(device)
        self.device = device

    @classmethod
    def load(cls, folder: Path, device: str = "auto") -> "NeuralModel":
        """The model in a folder, on the device called `auto`, `cpu`, `cuda` or `mps`.

        Raises:
            AsrError: The folder is not whole or holds no language model, or the device is not there.
        """
        return cls(LanguageModel.load(folder), choose(device))

    @torch.inference_mode()
    def score_sentences(self, texts: Sequence[str]) -> list[float]:
        """The natural log-probability of each text as a whole sentence, its end included; `<unk>` counts as a token.

        Made for the hypotheses of utterances: sentences that begin alike share the work on that.
        """
        if not texts:
            return []
        self.network.eval()
        batch = self._sentences(texts).batch(range(len(texts)))
        following, lengths = batch.tokens[:, 1:].numpy(), batch.lengths.numpy()
        scores, beginnings = np.zeros(len(texts)), np.zeros(len(texts), np.int64)
        read, states = torch.full((1,), BOUNDARY, device=self.device), None
        for place in range(following.shape[1]):
            going = lengths > place
            branches = beginnings[going] * len(self.vocabulary) + following[going, place]
            branches, beginnings[going] = np.unique(branches, return_inverse=True)
            parts = np.divmod(branches, len(self.vocabulary))
            parents, tokens = (torch.from_numpy(part).to(self.device) for part in parts)
            found, states = self.network.branch(read, states, parents, tokens)
            scores[going] += found.cpu().numpy()[beginnings[going]]
            read = tokens
        return [float(score) for score in scores]

    @torch.inference_mode()
    def score(self, sentences: Sentences, batch_tokens: int = BATCH_TOKENS) -> list[float]:
        """As `score_sentences`, of any sentences, in the ids of the vocabulary."""
        self.network.eval()
        scores = [0.0] * len(sentences)
        for places in plan(sentences.lengths, batch_tokens):
            batch = sentences.batch(places).to(self.device)
            found = self.network(batch.tokens, batch.lengths).tolist()
            for place, score in zip(places, found, strict=True):
                scores[place] = score
        return scores

    def perplexity(self, texts: Iterable[str]) -> Perplexity:
        """How likely sentences are, all together; only a part of them is held in memory at any time."""
        left, found = map(normalise, texts), Perplexity()
        while part := list(islice(left, TEXTS_AT_ONCE)):
            found += self._perplexity(part)
        return found

    def _perplexity(self, texts: Sequence[str]) -> Perplexity:
        words = [word for text in texts for word in text.split()]
        unknown = sum(UNKNOWN in self.vocabulary.encode(word) for word in words)
        tokens = sum(len(split(text, self.vocabulary.units)) for text in texts)
        return Perplexity(len(texts), len(words), unknown, tokens, math.fsum(self.score(self._sentences(texts))))

    def _sentences(self, texts: Iterable[str]) -> Sentences:
        return Sentences.of(self.vocabulary.encode(normalise(text)) for text in texts)

    @torch.inference_mode()
    def generate(self, prompt: str = "", temperature: float = 1.0, seed: int = 0, length: int = 200) -> str:
        """A sentence drawn from the model, never with `<unk>` in it but for the prompt's sake.

        Args:
            prompt: How the sentence begins.
            temperature: 1 draws tokens as often as the model expects them; less prefers the likely ones, and 0 always
                takes the likeliest.
            seed: The same gives the same sentence.
            length: Tokens after which the sentence is broken off, those of the prompt counted.

        Raises:
            ConfigError: The temperature is below 0.
        """
        if not temperature >= 0:
            raise ConfigError(f"temperature = {temperature:g}: 0 or more is needed")
        self.network.eval()
        chance = torch.Generator().manual_seed(seed)
        ids = self.vocabulary.encode(normalise(prompt))
        given, states = [BOUNDARY, *ids], None
        while len(ids) < length:
            log_probabilities, states = self.network.step(torch.tensor([given], device=self.device), states)
            token = _draw(log_probabilities[0, -1].double().cpu(), temperature, chance)
            if token == BOUNDARY:
                break
            ids.append(token)
            given = [token]
        return self.vocabulary.decode(ids)


def _draw(log_probabilities: torch.Tensor, temperature: float, chance: torch.Generator) -> int:
    log_probabilities[UNKNOWN] = -math.inf
    if temperature == 0:
        return int(log_probabilities.argmax())
    shares = (log_probabilities / temperature).softmax(0)
    return int(torch.multinomial(shares, 1, generator=chance))
