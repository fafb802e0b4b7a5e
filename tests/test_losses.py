"""CTC against torch's, its denominator against the sum over all paths, the trigram in it against counts by hand."""

from itertools import product

import numpy as np
import pytest
import torch
from torch.nn.functional import ctc_loss

from asr.dataset import collate
from asr.losses import ctc, ctc_crf, log_denominator, trigram

V = 3


def test_ctc_is_torchs_one_by_one_and_zero_where_frames_are_too_few():
    tokens = [[1, 2], [3, 3, 1], [2, 2], [1]]
    frames = [9, 4, 2, 5]  # `b b` needs 3 of the 2
    batch = collate([(str(row), np.zeros(1, np.int16), (ids,)) for row, ids in enumerate(tokens)])
    scores = torch.randn(4, 9, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    losses = ctc(scores.log_softmax(2), torch.tensor(frames), batch.targets[0])
    alone = [
        ctc_loss(scores[row, :count].log_softmax(1), torch.tensor(ids), (count,), (len(ids),), reduction="sum")
        for row, (ids, count) in enumerate(zip(tokens, frames, strict=True))
    ]
    assert alone[2].isinf()
    torch.testing.assert_close(losses, torch.stack([alone[0], alone[1], torch.tensor(0.0), alone[3]]))
    losses.sum().backward()
    taught = scores.grad.abs().sum(2) > 0
    assert [row.tolist() for row in taught] == [[t < count for t in range(9)] for count in (9, 4, 0, 5)]


def test_ctc_is_in_float32_whatever_comes_in():
    (target,) = collate([("a", np.zeros(1, np.int16), ([1, 2],))]).targets
    scores = torch.randn(1, 6, 4).log_softmax(2).bfloat16()
    losses = ctc(scores, torch.tensor([6]), target)
    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses, ctc(scores.float(), torch.tensor([6]), target))


def some_language(seed=0):
    return torch.rand(V, V, V, generator=torch.Generator().manual_seed(seed)).softmax(2)


def some_scores(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).log_softmax(-1)


def collapsed(path):
    return [token for token, before in zip(path, (0, *path), strict=False) if token and token != before]


def over_all_paths(scores, language):
    """(T, V) -> the logarithm of the sum, path by path."""
    logs = []
    for path in product(range(V), repeat=len(scores)):
        tokens = [0, 0, *collapsed(path), 0]
        triples = zip(tokens, tokens[1:], tokens[2:], strict=False)
        logs.append(sum(language[b, a, c].log() for a, b, c in triples) + sum(scores[t, k] for t, k in enumerate(path)))
    return torch.stack(logs).logsumexp(0)


def test_the_oracle_by_hand():
    """One frame: blank, or either token, each in its place between two boundaries."""
    language, scores = some_language(), some_scores(1, V)
    p, frame = language, scores[0].exp()
    expected = frame[0] * p[0, 0, 0] + frame[1] * p[0, 0, 1] * p[1, 0, 0] + frame[2] * p[0, 0, 2] * p[2, 0, 0]
    torch.testing.assert_close(over_all_paths(scores, language), expected.log())
    assert collapsed((1, 1, 0, 1, 2, 0)) == [1, 1, 2]


@pytest.mark.parametrize("seed", range(3))
def test_the_sum_and_its_gradient_are_those_over_all_paths(seed):
    language = some_language(seed)
    scores = some_scores(3, 5, V, seed=seed).requires_grad_()
    frames = [5, 3, 1]
    ours = log_denominator(scores, torch.tensor(frames), language)
    theirs = torch.stack([over_all_paths(row[:count], language) for row, count in zip(scores, frames, strict=True)])
    torch.testing.assert_close(ours, theirs)
    weights = torch.tensor([1.0, -2.0, 0.5])
    gradients = [torch.autograd.grad((sums * weights).sum(), scores)[0] for sums in (ours, theirs)]
    torch.testing.assert_close(*gradients)
    assert not gradients[0][1, 3:].any()


def test_an_hour_of_frames_neither_vanishes_nor_overflows():
    scores = (5 * some_scores(1, 2000, V) - 30).requires_grad_()
    sums = log_denominator(scores, torch.tensor([2000]), some_language())
    sums.sum().backward()
    assert sums.isfinite().all()
    torch.testing.assert_close(scores.grad.sum(2), torch.ones(1, 2000))


def test_what_lies_behind_the_end_does_not_matter():
    scores, language = some_scores(2, 6, V), some_language()
    scores[1, 4:] = 100.0
    alone = log_denominator(scores[1:, :4], torch.tensor([4]), language)
    torch.testing.assert_close(log_denominator(scores, torch.tensor([6, 4]), language)[1:], alone)


def test_a_trigram_by_hand():
    """Of `1 2` and `1`, after the boundary came 1 both times; after `boundary 1` the end and 2."""
    language = trigram([[1, 2], [1]], V)
    torch.testing.assert_close(language.sum(2), torch.ones(V, V))
    alone = torch.tensor([3.0, 3.0, 2.0]) / 8  # the end twice, 1 twice, 2 once; each once more
    after_1 = (torch.tensor([1.0, 0.0, 1.0]) + 5 * alone) / 7
    torch.testing.assert_close(language[1, 0], (torch.tensor([1.0, 0.0, 1.0]) + 5 * after_1) / 7)
    torch.testing.assert_close(language[1, 2], after_1)  # never seen: as after 1 alone
    assert language[0, 0].argmax() == 1


def test_the_loss_is_what_the_target_lacks_of_all_sequences_together():
    """With a weight of 1 its exponent is a probability: over all targets that fit into three frames they sum to 1."""
    language, scores = some_language(), some_scores(1, 3, V)
    fitting = {tuple(collapsed(path)) for path in product(range(V), repeat=3)}
    assert len(fitting) == 9
    batch = collate([("u", np.zeros(1, np.int16), (list(ids),)) for ids in fitting])
    frames = torch.full((9,), 3)
    repeated = scores.expand(9, -1, -1)
    whole = ctc_crf(repeated, frames, batch.targets[0], language, 1.0)
    torch.testing.assert_close((-whole).exp().sum(), torch.tensor(1.0))
    half = ctc_crf(repeated, frames, batch.targets[0], language, 0.5)
    torch.testing.assert_close(half, 0.5 * whole + 0.5 * ctc(repeated, frames, batch.targets[0]))


def test_what_does_not_fit_teaches_nothing():
    (target,) = collate([("u", np.zeros(1, np.int16), ([1, 1, 2],))]).targets
    scores = some_scores(1, 3, V).requires_grad_()
    losses = ctc_crf(scores, torch.tensor([3]), target, some_language(), 0.5)
    losses.sum().backward()
    assert losses.tolist() == [0]
    assert not scores.grad.any()


def test_what_is_no_number_shows():
    (target,) = collate([("u", np.zeros(1, np.int16), ([1, 2],))]).targets
    scores = some_scores(1, 4, V)
    scores[0, 2] = torch.nan
    assert ctc_crf(scores, torch.tensor([4]), target, some_language(), 0.5).isnan().all()
