import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from asr.augment import Augmentation, AugmentationConfig
from asr.checkpoint import create
from asr.dataset import collate
from asr.features import FeatureConfig
from asr.learner import Learner, dropout_share
from asr.model import ModelConfig
from asr.optimizer import OptimizerConfig
from asr.speech import SpeechTask, TrainingConfig
from asr.task import Tally
from asr.text import Vocabulary

RATE_HZ = 8000
ALL = AugmentationConfig(
    speeds=(0.9, 1.0, 1.1),
    tempo=0.2,
    warp=0.1,
    gain_db=6.0,
    noise_share=0.5,
    reverberation_share=0.5,
    frequency_masks=1,
    frequency_mask_bins=4,
    time_masks=2,
    time_masks_per_s=2.0,
)
PLAIN = AugmentationConfig()
DRAWS = [(4, 0.9), (0, 1.0), (7, 1.1), (2, 1.0), (1, 0.9), (11, 1.1)]


@cache
def augmenter(config):
    """Made once: it takes a second to make noise."""
    return Augmentation(config, RATE_HZ)


def made(augmentation=PLAIN, dropout=0.0, seed=1, normalisation="utterance", **optimizer):
    torch.manual_seed(5)
    features = FeatureConfig(RATE_HZ, 16, normalisation=normalisation)
    model = ModelConfig(subsampling=2, channels=2, layers=2, hidden=8, dropout=dropout)
    checkpoint = create(features, model, Vocabulary.of_characters("abc"), {})
    checkpoint.features.fit(torch.randn(100, 16, generator=torch.Generator().manual_seed(1)) - 5)
    config = OptimizerConfig(**{"learning_rate": 1e-2, "warmup_share": 0.0, **optimizer})
    task = SpeechTask(checkpoint, [], [], TrainingConfig(seed=seed), augmenter(augmentation), torch.device("cpu"))
    return Learner(task, config, "float32", seed)


@pytest.fixture(scope="module")
def items():
    """Six utterances of 0.2 to 0.5 s."""
    chance = np.random.default_rng(1)
    lengths = chance.integers(1600, 4000, 6)
    return [
        (
            f"u{number}",
            (3000 * chance.standard_normal(length)).astype(np.int16),
            (chance.integers(1, 4, 1 + number % 4),),
        )
        for number, length in enumerate(lengths)
    ]


def values(learner):
    return {name: value.clone() for name, value in learner.checkpoint.weights().items()}


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(value, right[name]) for name, value in left.items())


def learn(learner, items, updates=1, epoch=0):
    for number in range(updates):
        batch = collate(items)
        learner.add(batch, DRAWS[: len(items)], int(batch.targets[0][1].sum()), epoch, number)
        tally = learner.update(number / 10)
    return tally


@pytest.mark.parametrize("augmentation", [PLAIN, ALL])
@pytest.mark.parametrize("normalisation", ["utterance", "level"])
def test_a_batch_loses_what_its_utterances_lose_one_by_one(items, augmentation, normalisation):
    learner = made(augmentation, normalisation=normalisation)
    draws = DRAWS if augmentation is ALL else [(place, 1.0) for place, _ in DRAWS]
    losses, tally = learner.losses(collate(items), draws, epoch=2)
    parts = [learner.losses(collate([item]), [draw], epoch=2) for item, draw in zip(items, draws, strict=True)]
    torch.testing.assert_close(losses, torch.cat([loss for loss, _ in parts]), atol=1e-4, rtol=0)
    assert losses.min() > 1
    added = Tally()
    for _, part in parts:
        added.add(part)
    assert vars(tally) == pytest.approx(vars(added), abs=1e-3)


def test_the_epoch_the_place_and_the_seed_decide_what_augmentation_does(items):
    def losses(draw=(4, 1.0), epoch=2, seed=1):
        return made(ALL, seed=seed).losses(collate(items[:1]), [draw], epoch)[0].item()

    assert losses() == losses()
    assert len({losses(), losses(draw=(5, 1.0)), losses(epoch=3), losses(seed=2), losses(draw=(4, 1.1))}) == 5


def test_blanks_and_utterances_without_room_counted_by_hand(items):
    """Three utterances of up to four frames; the likeliest token of each frame is written down, - behind the end."""
    learner = made()
    likeliest = [[0, 1, 0, 2], [0, 0, 0, 0], [3, 0, 0, 0]]
    frames = torch.tensor([4, 3, 1])  # 2 + 3 + 0 blanks in 8 frames
    scores = torch.nn.functional.one_hot(torch.tensor(likeliest), 4).float() * 5
    learner.model = lambda *_: (scores.log_softmax(2).requires_grad_(), frames)
    tokens = [[1, 1, 2], [1, 1, 1], [3, 2]]  # need 4, 5 and 2 frames
    batch = collate([(name, sound, (ids,)) for (name, sound, _), ids in zip(items, tokens, strict=False)])
    losses, tally = learner.losses(batch, DRAWS[:3], epoch=0)
    assert (tally.blanks, tally.frames, tally.tokens, tally.infeasible) == (5, 8, 8, 2)
    assert tally.figures()["blank_share"] == 0.625
    assert losses[0] > 0
    assert losses[1:].tolist() == [0, 0]
    assert tally.loss == pytest.approx(losses[0].item())


def test_audio_is_counted_as_it_is_played(items):
    sound = (np.ones(RATE_HZ, np.int16), ([1],))
    batch = collate([("slow", *sound), ("fast", *sound)])
    assert made(ALL).losses(batch, [(0, 0.5), (1, 2.0)], epoch=0)[1].audio_s == 2.5


def test_a_rehearsal_leaves_no_trace(items):
    ready, plain = made(ALL, dropout=0.3), made(ALL, dropout=0.3)
    before = values(ready)
    ready.rehearse(collate(items), DRAWS)
    assert same(values(ready), before)
    assert all(parameter.grad is None for parameter in ready.checkpoint.model.parameters())
    assert ready.optimizer.state()["adamw"]["state"] == {}
    assert (ready.pending, ready.pending_ids, ready.suspects) == (Tally(), [], [])
    assert learn(ready, items, 2) == learn(plain, items, 2)
    assert same(values(ready), values(plain))
    assert not same(values(ready), before)


def with_a_hole(batch, name):
    """The batch, with one sample of one utterance not a number."""
    waveforms = batch.waveforms.float() / 32768
    waveforms[batch.ids.index(name), 100] = math.nan
    return replace(batch, waveforms=waveforms)


@pytest.mark.parametrize("normalisation", ["utterance", "level"])
def test_an_utterance_that_is_not_finite_skips_the_update_and_is_named(items, normalisation):
    learner = made(normalisation=normalisation, average_decay=0.9)
    learn(learner, items)
    before, average = values(learner), [value.clone() for value in learner.optimizer.average]
    learner.add(collate(items[:2]), DRAWS[:2], 20, 0, 1, last=False)
    learner.add(with_a_hole(collate(items[2:]), "u4"), DRAWS[2:], 20, 0, 2)
    tally = learner.update(0.1)
    assert learner.suspects == ["u4"]
    assert same(values(learner), before)
    assert all(map(torch.equal, learner.optimizer.average, average))
    assert (tally.updates, tally.skipped, tally.loss, tally.tokens) == (1, 1, 0, 0)
    assert all(parameter.grad is None for parameter in learner.checkpoint.model.parameters())

    tally = learn(learner, items)
    assert (tally.updates, tally.skipped) == (1, 0)
    assert tally.gradient_norm > 0
    assert learner.suspects == []
    assert not same(values(learner), before)


def test_where_only_the_gradient_is_not_finite_all_are_named(items):
    learner = made()
    before = values(learner)
    learner.add(collate(items[:3]), DRAWS[:3], 20, 0, 0)
    learner.checkpoint.model.head.bias.grad[1] = math.inf
    learner.update(0.0)
    assert learner.suspects == ["u0", "u1", "u2"]
    assert same(values(learner), before)


def test_each_skipped_update_names_its_own(items):
    learner = made()
    for name in ("u1", "u4"):
        learner.add(with_a_hole(collate(items), name), DRAWS, 20, 0, 0)
        learner.update(0.0)
        assert learner.suspects == [name]
    learner.add(collate(items[:2]), DRAWS[:2], 20, 0, 0)
    learner.checkpoint.model.head.bias.grad[1] = math.inf
    learner.update(0.0)
    assert learner.suspects == ["u0", "u1"]


def test_the_same_seed_gives_the_same_weights(items):
    learners = [made(ALL, dropout=0.2, seed=seed) for seed in (1, 1, 2)]
    before = values(learners[0])
    assert same(before, values(learners[2]))  # the first weights are not the learner's to draw
    tallies = [learn(learner, items, 3) for learner in learners]
    one, again, other = map(values, learners)
    assert same(one, again)
    assert tallies[0] == tallies[1]
    assert not same(one, other)
    assert not same(one, before)


def test_dropout_depends_on_the_place_in_training_alone(items):
    def loss(epoch, number, seed=1):
        learner = made(dropout=0.5, seed=seed)
        torch.manual_seed(99)
        learner.add(collate(items), DRAWS, 20, epoch, number)
        return learner.pending.loss

    assert loss(3, 4) == loss(3, 4)
    assert len({loss(3, 4), loss(3, 5), loss(4, 4), loss(4, 3), loss(3, 4, seed=2)}) == 5


def test_without_a_share_there_is_nothing_to_add(items):
    learner = made()
    learner.add(collate(items[:1]), [], 20, 0, 0)
    assert (learner.pending, learner.pending_ids) == (Tally(), [])
    assert not any(parameter.grad.any() for parameter in learner.checkpoint.model.parameters())


def test_the_gradient_is_that_of_the_mean_over_tokens(items):
    learner, batch = made(), collate(items)
    parameters = list(learner.checkpoint.model.parameters())
    losses, _ = learner.losses(batch, DRAWS, epoch=0)
    tokens = int(batch.targets[0][1].sum())
    expected = torch.autograd.grad(losses.sum() / tokens, parameters)
    learner.add(batch, DRAWS, tokens, 0, 0)
    for parameter, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    norm = math.sqrt(sum(float(gradient.square().sum()) for gradient in expected))
    assert learner.update(0.0).gradient_norm == pytest.approx(norm, rel=1e-5)  # before it is clipped


@pytest.mark.parametrize(("precision", "there", "dtype"), [("float32", True, 32), ("bfloat16", False, 16)])
def test_the_precision_is_the_one_asked_for(monkeypatch, precision, there, dtype):
    monkeypatch.setattr("asr.device.has_bfloat16", lambda device: there)
    learner = made()
    chosen = replace(learner, precision=precision).dtype
    assert chosen == (torch.float32 if dtype == 32 else torch.bfloat16)
    assert replace(learner, precision="auto").dtype == (torch.bfloat16 if there else torch.float32)


def test_dropout_rises_and_falls():
    shares = [dropout_share(done, "rise-and-fall") for done in (0.0, 0.2, 0.35, 0.5, 0.75, 1.0)]
    assert shares == pytest.approx([0.0, 0.0, 0.5, 1.0, 0.5, 0.0])
    assert dropout_share(0.0, "constant") == dropout_share(0.9, "constant") == 1.0


def test_without_its_share_dropout_is_none(items):
    def loss(dropout, share):
        learner = made(dropout=dropout)
        learner.drop(share)
        learner.add(collate(items), DRAWS, 10, 0, 0)
        return learner.pending.loss

    assert loss(0.5, 0.0) == loss(0.0, 1.0)
    assert loss(0.5, 0.4) == loss(0.2, 1.0) != loss(0.5, 1.0)
