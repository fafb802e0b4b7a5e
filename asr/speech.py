"""Speech as a training task: utterances with their transcripts, augmentation, the CTC losses, errors on dev.

Everything random follows from the seed, the epoch and the utterance. Shapes: B utterances, N samples, T frames,
V tokens.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Lt
from rapidfuzz.distance import Levenshtein
from torch import Tensor

from asr import preflight
from asr.augment import Augmentation, chances
from asr.checkpoint import Checkpoint
from asr.config import settings
from asr.dataset import Batch, Draw, Padded, SpeechDataset, load, plan
from asr.decoding import greedy
from asr.distributed import Processes
from asr.errors import ConfigError, ModelError
from asr.features import length_mask
from asr.lexicon.entries import Lexicon
from asr.losses import MOST_TOKENS, ctc, ctc_crf, trigram
from asr.manifest import Utterance, hours
from asr.metrics import score, total
from asr.progress import track
from asr.recognizer import Recognizer
from asr.targets import Targets
from asr.task import Score, Tally
from asr.training import RunConfig

CONVENIENCES = ("workers", "keep_hours", "save_every_s")
"""The settings that the weights do not depend on: a broken-off run may go on with others."""


@settings
class TrainingConfig(RunConfig):
    batch_s: Annotated[float, Gt(0)] = 120.0
    """Seconds of audio in a batch, padding included; shared out where several processes train together."""
    workers: Annotated[int, Ge(0)] = 0
    """Processes that read recordings; 0 reads in the training process."""
    keep_hours: Annotated[float, Ge(0)] = 20.0
    """Training data up to this much is read once and kept in memory (115 MB an hour at 16 kHz)."""
    phone_weight: Annotated[float, Gt(0), Lt(1)] = 0.5
    """With two heads: what the loss of the phones counts; that of the text counts the rest."""
    crf_weight: Annotated[float, Ge(0), Lt(1)] = 0.0
    """What the loss of CTC-CRF counts, beside CTC's, for the last head: that of the phones if there is one."""
    crf_from: Annotated[float, Ge(0), Lt(1)] = 0.0
    """The share of the epochs that are over when `crf_weight` begins to count."""
    choose_every: Annotated[int, Ge(0)] = 5
    """With phones: epochs after which, again and again, words with several pronunciations are aligned, and each is
    taught as it was said; 0: always the likeliest.
    """


@dataclass
class SpeechTask:
    """A recognizer that learns from utterances; see `asr.task.Task`."""

    checkpoint: Checkpoint
    train: Sequence[Utterance]
    dev: Sequence[Utterance]
    config: TrainingConfig
    augmentation: Augmentation
    device: torch.device
    processes: Processes = field(default_factory=Processes)
    lexicon: Lexicon | None = None
    """With phones: the pronunciations of all words."""
    idle: Draw = (0, 1.0)

    def __post_init__(self) -> None:
        features, vocabulary = self.checkpoint.features.config, self.checkpoint.vocabulary
        self.goal = "WER" if vocabulary.spells else "PER"
        if self.config.crf_weight and vocabulary.heads[-1] > MOST_TOKENS:
            most = f"at most {MOST_TOKENS} tokens can be told apart so, not {vocabulary.heads[-1]}"
            raise ConfigError(f"training.crf_weight = {self.config.crf_weight:g}: {most}; use 0")
        self.targets, dev_targets = self._targets(self.train), self._targets(self.dev)
        self.train_set = SpeechDataset(self.train, features.sample_rate_hz, self.targets)
        self.dev_set = SpeechDataset(self.dev, features.sample_rate_hz, dev_targets)
        self.recognizer = Recognizer(self.checkpoint, self.device)
        self.augmentation.to(self.device)
        self.frames_per_s = features.sample_rate_hz / features.hop_samples

    def amount(self) -> str:
        return f"{hours(self.train):.2f} h of speech"

    def check(self) -> Iterator[preflight.Finding]:
        vocabulary, features = self.checkpoint.vocabulary, self.checkpoint.features.config
        augmentation, subsampling = self.augmentation.config, self.checkpoint.model.config.subsampling
        yield preflight.manifests({"train": self.train, "dev": self.dev})
        yield preflight.alphabet(vocabulary, self.targets)
        yield preflight.ctc(self.train, self.targets, features, subsampling, augmentation.speeds, augmentation.tempo)

    def try_longest(self, rehearse: Callable[[Batch, Sequence[Draw]], None], later_bytes: int) -> preflight.Memory:
        slowest = (min(self.augmentation.config.speeds),)
        batches = plan(self.train, self.config.batch_s, slowest, self.config.seed)
        draws = max(batches, key=lambda draws: len(draws) * max(self.train_set.seconds(draw) for draw in draws))
        draws = list(self.processes.share(draws)) or draws[:1]
        batch = next(load(self.train_set, [draws]))
        trial = preflight.Trial(batch, max(map(self.train_set.seconds, draws)), self.config.batch_s, self.device)
        if self.device.type == "cpu":  # a GPU has a memory of its own, and recordings are not kept there
            for data_set in (self.train_set, self.dev_set):
                later_bytes += data_set.bytes_to_keep(self.config.keep_hours)
        with self.augmentation.slowly():
            return trial.run(lambda part: rehearse(part, draws[: len(part.ids)]), later_bytes)

    def begin(self, resumed: bool) -> None:
        self.train_set.keep(self.config.keep_hours)
        self.dev_set.keep(self.config.keep_hours)
        if not resumed:
            self._fit_normalisation()

    def begin_epoch(self, epoch: int) -> None:
        """Now and then hears which of their pronunciations words were given."""
        every = self.config.choose_every
        if not (self.checkpoint.vocabulary.phones and every and epoch and epoch % every == 0):
            return
        places = list(self.targets.open)
        utterances = [self.train[place] for place in places]
        batches = self.processes.share(plan(utterances, self.config.batch_s))
        dataset = SpeechDataset(utterances, self.train_set.sample_rate_hz)
        dataset.kept = [self.train_set.kept[place] for place in places] if self.train_set.kept else []
        heard = load(dataset, batches, self.config.workers)
        chosen: dict[int, list[int]] = {}
        for draws, batch in zip(track(batches, "choosing pronunciations"), heard, strict=True):
            for (number, _), matrix in zip(draws, self.recognizer.matrices(batch), strict=True):
                chosen[places[number]] = self.targets.heard(places[number], matrix)
        for part in self.processes.gather(chosen):
            self.targets.take(part)

    def state(self) -> dict[str, Any]:
        return self.targets.state()

    def load_state(self, state: dict[str, Any]) -> None:
        self.targets.load_state(state)

    def plan(self, epoch: int) -> list[list[Draw]]:
        return plan(self.train, self.config.batch_s, self.augmentation.config.speeds, self.config.seed, epoch)

    def load(self, batches: Sequence[list[Draw]]) -> Iterator[Batch]:
        return load(self.train_set, batches, self.config.workers)

    def tokens(self, draw: Draw) -> int:
        return len(self.targets[draw[0]][0])

    def losses(
        self, forward: Callable[..., Any], batch: Batch, draws: Sequence[Draw], epoch: int
    ) -> tuple[Tensor, Tally]:
        chance = chances(self.config.seed, epoch, [place for place, _ in draws])
        speeds = [speed for _, speed in draws]
        waveforms, samples = self.augmentation.waveforms(batch.waveforms, batch.waveform_lengths, speeds, chance)
        log_mel, lengths = self.augmentation.voices(*self.checkpoint.features.log_mel(waveforms, samples), chance)
        features = self.checkpoint.features.normalised(log_mel, lengths)
        features = self.augmentation.features(features, lengths, chance, self.frames_per_s)
        log_probabilities, frames = forward(features, lengths)
        crf = epoch >= round(self.config.crf_from * self.config.epochs)
        of_members = log_probabilities.chunk(self.checkpoint.model.config.members, dim=2)
        losses = torch.stack([self._losses(each, frames, batch.targets, crf) for each in of_members]).mean(0)
        with torch.no_grad():
            (tokens, token_lengths), inside = batch.targets[0], length_mask(frames, log_probabilities.shape[1])
            text = self.checkpoint.vocabulary.heads[0]
            blanks = ((log_probabilities[..., :text].argmax(2) == 0) & inside).sum()
            repeats = (tokens[:, 1:] == tokens[:, :-1]) & (tokens[:, 1:] > 0)
            infeasible = (frames < token_lengths + repeats.sum(1)).sum()
            sums = (losses.sum(), token_lengths.sum(), frames.sum(), blanks, samples.sum(), infeasible)
            loss, learned, count, blank, heard, short = torch.stack([value.to(losses) for value in sums]).tolist()
        rate = self.checkpoint.features.config.sample_rate_hz
        return losses, Tally(loss, learned, count, blank, heard / rate, short)

    def _losses(self, outputs: Tensor, frames: Tensor, targets: Sequence[Padded], crf: bool) -> Tensor:
        """(B,), of what one network put out: (B, T, V) log-probabilities."""
        heads = torch.split(outputs, [*self.checkpoint.vocabulary.heads], dim=2)
        weights = [0.0] * (len(heads) - 1) + [self.config.crf_weight * crf]
        of_heads = [
            ctc_crf(head, frames, target, self._language, weight) if weight else ctc(head, frames, target)
            for head, target, weight in zip(heads, targets, weights, strict=True)
        ]
        return of_heads[0] if len(of_heads) == 1 else of_heads[0].lerp(of_heads[1], self.config.phone_weight)

    def memory_trouble(self, batch: Batch, when: str) -> AbstractContextManager[None]:
        longest_s = batch.waveforms.shape[1] / self.train_set.sample_rate_hz
        return preflight.memory_trouble(batch, longest_s, self.config.batch_s, when)

    def evaluate(self, tally: Tally) -> Score:
        """The error rates of greedy decoding: of words and characters, of phones."""
        vocabulary, batches = self.checkpoint.vocabulary, self.processes.share(plan(self.dev, self.config.batch_s))
        texts: dict[str, str] = {}
        phones: dict[int, list[int]] = {}
        for draws, batch in zip(batches, load(self.dev_set, batches, self.config.workers), strict=True):
            for name, (place, _), matrix in zip(batch.ids, draws, self.recognizer.matrices(batch), strict=True):
                if vocabulary.spells:
                    texts[name] = vocabulary.decode(greedy(vocabulary.of_text(matrix)))
                if vocabulary.phones:
                    phones[place] = greedy(vocabulary.of_phones(matrix))
        texts = {name: text for part in self.processes.gather(texts) for name, text in part.items()}
        phones = {place: said for part in self.processes.gather(phones) for place, said in part.items()}
        figures = {}
        if vocabulary.spells:
            errors = total(score({u.id: u.text for u in self.dev}, texts).values())
            figures = {"wer": errors.wer, "cer": errors.cer}
        if vocabulary.phones:
            figures["per"] = self._phone_error_rate(phones)
        heard = any(texts.values()) or any(phones.values())
        return Score(figures, "" if heard else self._silence(tally.figures()["blank_share"]))

    def prove(self, saved: Checkpoint) -> None:
        """By what both hear in the first batch of dev."""
        (batch,) = load(self.dev_set, plan(self.dev, self.config.batch_s)[:1])
        theirs, ours = (map(greedy, each.matrices(batch)) for each in (Recognizer(saved, self.device), self.recognizer))
        if list(theirs) != list(ours):
            raise ModelError("what was saved decodes differently from what was trained; the last good model is kept")

    def _targets(self, part: Sequence[Utterance]) -> Targets:
        return Targets(self.checkpoint.vocabulary, [(each.id, each.text) for each in part], self.lexicon)

    @cached_property
    def _language(self) -> Tensor:
        """Of the last head's tokens in the training transcripts, each word said in its likeliest way."""
        targets = self._targets(self.train)
        said = (targets[place][-1] for place in range(len(targets)))
        return trigram(said, self.checkpoint.vocabulary.heads[-1]).to(self.device)

    def _fit_normalisation(self) -> None:
        features = self.checkpoint.features
        if features.config.normalisation == "level" and not features.fitted:
            sample = plan(self.train, self.config.batch_s, seed=self.config.seed, epoch=1)[:10]
            batches = [batch.to(self.device) for batch in load(self.train_set, sample)]
            parts = [features.log_mel(batch.waveforms, batch.waveform_lengths) for batch in batches]
            inside = torch.cat([frames[length_mask(lengths, frames.shape[1])] for frames, lengths in parts])
            features.fit(inside)

    def _phone_error_rate(self, heard: Mapping[int, Sequence[int]]) -> float:
        """Against the likeliest pronunciation of each word, which is not always what was said."""
        assert self.dev_set.targets is not None
        references = {place: self.dev_set.targets[place][-1] for place in heard}
        errors = sum(Levenshtein.distance(heard[place], references[place]) for place in heard)
        return errors / max(1, sum(map(len, references.values())))

    def _silence(self, blank_share: float) -> str:
        return (
            f"nothing at all has been heard in dev, and {blank_share:.0%} of the frames are blank. The usual causes: "
            f"too few updates an epoch (training.batch_s = {self.config.batch_s:g}); transcripts that are not what is "
            "said"
        )
