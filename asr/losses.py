"""What recognizers are trained to make small: the CTC loss, and that of CTC-CRF.

CTC raises the right sequence of tokens frame by frame, as if no token told anything of the next. CTC-CRF raises it
against all other sequences together, the denominator, each as likely as a language model makes it: what the language
model knows, the frames need not learn, and their scores are made to be added to its own.

Shapes: B utterances, T frames, V tokens of a head, the blank among them.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import ctc_loss, pad

from asr.dataset import Padded
from asr.device import one_thread
from asr.features import length_mask

MOST_TOKENS = 100
"""Of a head, as the trigram has the third power of them in its table."""
STRENGTH = 5.0
"""How many times the shorter history counts as seen, beside what was counted after the longer one."""
SPOKEN, BLANK = 0, 1


def ctc(log_probabilities: Tensor, frames: Tensor, target: Padded) -> Tensor:
    """The CTC loss of each utterance, (B,), in float32; zero for one with fewer frames than it needs.

    Args:
        log_probabilities: (B, T, V) of one head.
        frames: (B,) how many of T count.
        target: The tokens that are to be heard.
    """
    if log_probabilities.device.type == "mps":  # PyTorch has no CTC there
        log_probabilities = log_probabilities.cpu()
    by_time = log_probabilities.float().transpose(0, 1)
    frames, tokens, token_lengths = (each.to(by_time.device) for each in (frames, *target))
    return ctc_loss(by_time, tokens, frames, token_lengths, reduction="none", zero_infinity=True)


def ctc_crf(log_probabilities: Tensor, frames: Tensor, target: Padded, language: Tensor, weight: float) -> Tensor:
    """The CTC loss and the loss of CTC-CRF, weighed, of each utterance, (B,); zero for one with too few frames.

    Args:
        log_probabilities: (B, T, V) of one head.
        frames: (B,) how many of T count.
        target: The tokens that are to be heard.
        language: (V, V, V), see `trigram`.
        weight: 0 for CTC alone, 1 for CTC-CRF alone.

    Source: Xiang and Ou 2019, "CRF-based single-stage acoustic modeling with CTC topology"; a weight of 0.91 is its
    0.1 for CTC beside 1 for CTC-CRF.
    """
    losses = ctc(log_probabilities, frames, target)
    language = language.to(losses.device)
    tokens, token_lengths = (each.to(losses.device) for each in target)
    padded = pad(tokens, (2, 1))
    likely = language[padded[:, 1:-1], padded[:, :-2], padded[:, 2:]].log()
    likely = likely.where(length_mask(token_lengths + 1, likely.shape[1]), 0).sum(1)
    against = log_denominator(log_probabilities.to(losses.device), frames, language)
    return (losses + weight * (against - likely)).where(losses != 0, 0)  # what is not a number stays so


def trigram(sequences: Iterable[Sequence[int]], tokens: int) -> Tensor:
    """How likely each token follows two others, (V, V, V) of b, a, c for p(c | a, b); 0 stands for the boundary.

    Args:
        sequences: Token ids without blanks.
        tokens: V.

    Source: MacKay and Peto 1995, "A hierarchical Dirichlet language model".
    """
    counts = torch.zeros(tokens, tokens, tokens, dtype=torch.float64)
    for sequence in sequences:
        padded = torch.tensor([0, 0, *sequence, 0])
        one = counts.new_ones(len(padded) - 2)
        counts.index_put_((padded[1:-1], padded[:-2], padded[2:]), one, accumulate=True)
    pairs = counts.sum(1)
    alone = pairs.sum(0) + 1
    shorter = (pairs + STRENGTH * alone / alone.sum()) / (pairs.sum(1, keepdim=True) + STRENGTH)
    longer = (counts + STRENGTH * shorter[:, None]) / (counts.sum(2, keepdim=True) + STRENGTH)
    return longer.float()


def log_denominator(log_probabilities: Tensor, frames: Tensor, language: Tensor) -> Tensor:
    """The natural logarithm of what all sequences score together, (B,), in float32.

    Args:
        log_probabilities: (B, T, V) of one head.
        frames: (B,) how many of T count.
        language: (V, V, V), see `trigram`.

    Source: Povey et al. 2016, "Purely sequence-trained neural networks for ASR based on lattice-free MMI", section 3:
    sums over frames without logarithms.
    """
    sums: Tensor = _LogDenominator.apply(log_probabilities.float(), frames, language)  # type: ignore[no-untyped-call]
    return sums


class _LogDenominator(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, scores: Tensor, frames: Tensor, language: Tensor) -> Tensor:
        context.moves = _moves(language)
        with one_thread():
            sums, context.passed = _forwards(scores, frames.to(scores.device), *context.moves)
        return sums

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        with one_thread():
            shares = _backwards(*context.passed, *context.moves)
        return shares * gradient[:, None, None], None, None


def _forwards(scores: Tensor, frames: Tensor, onward: Tensor, end: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The logarithms of the sums, (B,), and what the way back needs.

    A state is the last two tokens, a before b, and whether the last frame was b's or blank. They lie as (b, B, 2, a),
    so that one product of matrices for each b takes all states a frame on. They are kept at a sum of 1.
    """
    batch, count, tokens = scores.shape
    highest = scores.amax(2)
    likely = (scores - highest[..., None]).exp().permute(1, 2, 0)  # (T, V, B)
    states = scores.new_zeros(count + 1, tokens, batch, 2, tokens)
    states[0, 0, :, BLANK, 0] = 1
    shortest, total = int(frames.min()), scores.new_zeros(batch)
    for t in range(count):
        old, new = states[t], states[t + 1]
        begun = torch.bmm(old.view(tokens, batch, -1), onward).permute(2, 1, 0)
        torch.mul(old[:, :, SPOKEN] + begun, likely[t, :, :, None], out=new[:, :, SPOKEN])
        torch.mul(old.sum(2), likely[t, 0, :, None], out=new[:, :, BLANK])
        mass = new.sum((0, 2, 3))
        new /= mass[:, None, None]
        gained = mass.log() + highest[:, t]
        if t >= shortest:
            on = t < frames
            new.copy_(torch.where(on[:, None, None], new, old))
            gained = gained.where(on, 0)
        total += gained
    return total + (states[-1].sum(2) * end).sum((0, 2)).log(), (states, likely, frames)


def _backwards(states: Tensor, likely: Tensor, frames: Tensor, onward: Tensor, end: Tensor) -> Tensor:
    """The gradient of the sums, (B, T, V): the share of each token in all that goes through a frame."""
    count, tokens, batch = likely.shape
    backward, shortest = onward.transpose(1, 2).contiguous(), int(frames.min())
    ahead = end[:, :, None].expand(tokens, batch, 2, tokens)
    shares = likely.new_empty(batch, count, tokens)
    for t in reversed(range(count)):
        passing = states[t + 1] * ahead
        shares[:, t] = passing[:, :, SPOKEN].sum(2).T
        shares[:, t, 0] = passing[:, :, BLANK].sum((0, 2))
        stays = ahead[:, :, SPOKEN] * likely[t, :, :, None]
        blank = ahead[:, :, BLANK] * likely[t, 0, :, None]
        before = torch.bmm(stays.permute(2, 1, 0).contiguous(), backward).view(tokens, batch, 2, tokens)
        before += blank[:, :, None]
        before[:, :, SPOKEN] += stays
        before /= before.sum((0, 2, 3))[:, None, None]
        ahead = before if t < shortest else torch.where((t < frames)[:, None, None], before, ahead)
    return shares * (length_mask(frames, count)[..., None] / shares.sum(2, keepdim=True))


def _moves(language: Tensor) -> tuple[Tensor, Tensor]:
    """How likely each state goes on with a token, (V of b, 2V of state and a, V), and how likely it ends, (V, 1, V).

    Without a blank between them, two of a token are one.
    """
    tokens = len(language)
    begun = language.clone()
    begun[:, :, 0] = 0
    changed = begun * ~torch.eye(tokens, dtype=torch.bool, device=language.device)[:, None]
    return torch.cat([changed, begun], 1), language[:, None, :, 0]
