"""The loss of speech; how it is learned from is for test_learner and test_training to show."""

from pathlib import Path

import numpy as np
import pytest
import torch

from asr import preflight
from asr.augment import Augmentation, AugmentationConfig
from asr.checkpoint import create
from asr.dataset import collate
from asr.errors import ConfigError
from asr.features import FeatureConfig
from asr.lexicon.entries import lexicon_of
from asr.losses import ctc, ctc_crf, trigram
from asr.manifest import Utterance
from asr.model import ModelConfig
from asr.speech import SpeechTask, TrainingConfig
from asr.task import Tally
from asr.text import BLANK, Vocabulary

LETTERS = Vocabulary.of_characters(" abc")
BOTH = Vocabulary(LETTERS.tokens, phones=(BLANK, "A", "B", "K"))
LEXICON = lexicon_of([("a", ("A",), 1.0), ("b", ("B",), 1.0), ("c", ("K", "A"), 1.0)])


def heads(ids_of_heads):
    """A matrix in which each head hears its tokens, one a frame."""
    frames = max(map(len, ids_of_heads))
    paths = [[*ids, *[0] * (frames - len(ids))] for ids in ids_of_heads]
    return np.concatenate([np.eye(size)[path] for size, path in zip((5, 4), paths, strict=False)], axis=1)


def task(heard, vocabulary=LETTERS, phones=(), config=None, members=1):
    """Four utterances of dev, of which a recognizer hears what it is told."""
    checkpoint = create(FeatureConfig(8000, 16), ModelConfig(hidden=4, members=members), vocabulary, {})
    texts = ("a b", "c", "a", "b c a")
    dev = [Utterance(f"u{n}", Path("gone.wav"), text, duration_s=1.0) for n, text in enumerate(texts)]
    augmentation = Augmentation(AugmentationConfig(), 8000)
    made = SpeechTask(
        checkpoint, dev, dev, config or TrainingConfig(), augmentation, torch.device("cpu"), lexicon=LEXICON
    )
    made.dev_set.kept = [np.zeros(8000, np.int16)] * len(dev)
    ids = {each.id: [vocabulary.encode(text)] for each, text in zip(dev, heard, strict=True)}
    for each, said in zip(dev, phones, strict=False):
        ids[each.id].append(said)
    made.recognizer.matrices = lambda batch: [heads(ids[name]) for name in batch.ids]
    return made


def test_dev_scored_by_hand():
    """3 of 7 words: a substitution, a deletion, an insertion; 4 of 10 characters."""
    score = task(["a c", "c c", "", "b c a"]).evaluate(Tally())
    assert list(score.figures) == ["wer", "cer"]
    assert score.figures["wer"] == pytest.approx(3 / 7)
    assert score.figures["cer"] == pytest.approx(4 / 10)
    assert score.advice == ""


def test_phones_scored_by_hand():
    """1 of 9 phones is wrong: a deletion."""
    score = task(["a b", "c", "a", "b c a"], BOTH, [[1, 2], [3, 1], [1], [2, 3, 1]]).evaluate(Tally())
    assert score.figures == {"wer": 0, "cer": 0, "per": pytest.approx(1 / 9)}


def test_the_losses_of_two_heads_are_weighed():
    made = task(["", "", "", ""], BOTH)
    batch = collate([("u0", np.zeros(1, np.int16), made.targets[0])])
    scores = torch.randn(1, 6, 9, generator=torch.Generator().manual_seed(0))
    both = torch.cat([part.log_softmax(2) for part in scores.split((5, 4), 2)], 2)
    made.checkpoint.features.log_mel = lambda waveforms, lengths: (torch.zeros(1, 6, 16), torch.tensor([6]))
    losses, tally = made.losses(lambda *_: (both, torch.tensor([6])), batch.to(torch.device("cpu")), [(0, 1.0)], 0)
    text, phones = (ctc(both.split((5, 4), 2)[head], torch.tensor([6]), batch.targets[head]) for head in (0, 1))
    torch.testing.assert_close(losses, 0.5 * text + 0.5 * phones)
    assert tally.tokens == 3


def losses_of(made, scores, epoch=0):
    """Of the first utterance, for which the model puts out the scores."""
    batch = collate([("u0", np.zeros(1, np.int16), made.targets[0])])
    made.checkpoint.features.log_mel = lambda waveforms, lengths: (torch.zeros(1, 6, 16), torch.tensor([6]))
    forward = lambda *_: (scores, torch.tensor([6]))  # noqa: E731
    return made.losses(forward, batch.to(torch.device("cpu")), [(0, 1.0)], epoch)[0], batch.targets


def test_the_phones_are_held_against_all_others():
    """The letters are not; dev is train here, so what follows what is known: A B, K A, A, and B K A A."""
    made = task(["", "", "", ""], BOTH, config=TrainingConfig(crf_weight=0.8))
    scores = torch.randn(1, 6, 9, generator=torch.Generator().manual_seed(0))
    both = torch.cat([part.log_softmax(2) for part in scores.split((5, 4), 2)], 2)
    losses, targets = losses_of(made, both)
    letters, phones = both.split((5, 4), 2)
    language = trigram([[1, 2], [3, 1], [1], [2, 3, 1, 1]], 4)
    frames = torch.tensor([6])
    text, said = ctc(letters, frames, targets[0]), ctc_crf(phones, frames, targets[1], language, 0.8)
    torch.testing.assert_close(losses, 0.5 * text + 0.5 * said)


def test_the_losses_of_networks_that_hear_as_one_are_averaged():
    made = task(["", "", "", ""], config=TrainingConfig(), members=2)
    scores = torch.randn(1, 6, 10, generator=torch.Generator().manual_seed(0))
    apart = [part.log_softmax(2) for part in scores.split(5, 2)]
    losses, targets = losses_of(made, torch.cat(apart, 2))
    torch.testing.assert_close(losses, sum(ctc(each, torch.tensor([6]), targets[0]) for each in apart) / 2)


def test_they_are_from_some_epoch_on():
    late = task(["", "", "", ""], BOTH, config=TrainingConfig(crf_weight=0.8, crf_from=0.75, epochs=10))
    scores = torch.randn(1, 6, 9, generator=torch.Generator().manual_seed(0))
    both = torch.cat([part.log_softmax(2) for part in scores.split((5, 4), 2)], 2)
    always, never = (
        losses_of(task(["", "", "", ""], BOTH, config=TrainingConfig(crf_weight=weight)), both)[0]
        for weight in (0.8, 0)
    )
    found = [losses_of(late, both, epoch)[0] for epoch in range(10)]
    assert found[:8] == [never] * 8
    assert found[8:] == [always] * 2


def test_too_many_tokens_are_not_held_against_all_others():
    many = Vocabulary((BLANK, *map(str, range(200))))
    with pytest.raises(ConfigError, match="training.crf_weight = 0.5: at most 100 tokens .* not 201; use 0"):
        task([], many, config=TrainingConfig(crf_weight=0.5))


def test_where_nothing_is_heard_the_usual_causes_are_named():
    score = task(["", "", "", ""]).evaluate(Tally(frames=100.0, blanks=97.0))
    assert score.figures["wer"] == 1
    assert score.advice.startswith("nothing at all has been heard in dev, and 97% of the frames are blank. The usual")
    assert "training.batch_s = 120" in score.advice


@pytest.mark.parametrize(("device", "kept_bytes"), [("cpu", 2 * 4 * 16000), ("cuda", 0)])
def test_recordings_are_kept_in_the_memory_of_the_processor(monkeypatch, device, kept_bytes):
    """Four utterances of a second each, in train as in dev, 16 bits a sample at 8 kHz."""
    later = []
    monkeypatch.setattr(preflight.Trial, "run", lambda trial, rehearse, later_bytes: later.append(later_bytes))
    made = task(["", "", "", ""])
    made.train_set.kept, made.device = made.dev_set.kept, torch.device(device)
    made.try_longest(lambda batch, draws: None, 7)
    assert later == [7 + kept_bytes]
