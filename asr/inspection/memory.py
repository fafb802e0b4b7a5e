"""How far a model remembers: from how far away a change of what it hears still moves what it puts out.

Shapes: T feature frames, F mel bins, M moments.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

SHARES = (0.5, 0.9, 0.99)

MOMENTS = 12
"""At which the outputs are looked at, ..."""

AT_ONCE = 4
"""... so many in one pass through the model."""

Network = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""As `asr.model.CTCModel`."""


@dataclass(frozen=True)
class Memory:
    """From how far away the output of a moment is moved, before that moment and after it."""

    shares: tuple[float, ...]
    before_s: tuple[float, ...]
    """The distances that hold such a share of the gradient's norm, summed over the frames up to the moment; the mean
    over the moments."""
    after_s: tuple[float, ...]
    """The same from the moment on."""
    moments: int
    seen_s: float
    """As far could be seen to either side of every moment; memory that goes further would look shorter than it is."""


def memory(network: Network, features: Tensor, subsampling: int, hop_s: float) -> Memory:
    """How far a network remembers while it hears something.

    Moments lie in the middle third. Of each, the gradient of the log-probabilities of all tokens, added up with random
    signs, is taken with respect to the features; the mean square of such a gradient is that of all the derivatives.

    Args:
        features: (T, F).
        subsampling: Feature frames for one output frame.
        hop_s: From feature frame to feature frame.
    """
    outputs = -(-len(features) // subsampling)
    moments = sorted(
        {round(place) for place in torch.linspace((outputs - 1) / 3, (outputs - 1) * 2 / 3, MOMENTS).tolist()}
    )
    norms = influence(network, features, moments)
    seen = min(moments[0], outputs - 1 - moments[-1]) * subsampling
    before, after = [], []
    for centre, row in zip((moment * subsampling for moment in moments), norms, strict=True):
        before.append([reach(row[centre - seen : centre + 1].flip(0), share) for share in SHARES])
        after.append([reach(row[centre : centre + seen + 1], share) for share in SHARES])
    before_s, after_s = (tuple((torch.tensor(each).double().mean(0) * hop_s).tolist()) for each in (before, after))
    return Memory(SHARES, before_s, after_s, len(moments), seen * hop_s)


def influence(network: Network, features: Tensor, moments: Sequence[int]) -> Tensor:
    """(M, T): the norm of the gradient at each feature frame, of the outputs at each moment (an output frame)."""
    signs = torch.Generator().manual_seed(1)
    rows = []
    for part in torch.tensor(moments).chunk(-(-len(moments) // AT_ONCE)):
        copies = features.repeat(len(part), 1, 1).requires_grad_()
        outputs, _ = network(copies, torch.full((len(part),), len(features)))
        chosen = outputs[torch.arange(len(part)), part]
        signed = chosen * (2 * torch.randint(2, chosen.shape, generator=signs) - 1)
        (gradient,) = torch.autograd.grad(signed.sum(), copies)
        rows.append(gradient.norm(dim=2))
    return torch.cat(rows)


def reach(norms: Tensor, share: float) -> int:
    """How many frames after the first it takes to hold a share of the sum of norms, which go from near to far.

    >>> reach(torch.tensor([4.0, 3.0, 2.0, 1.0]), 0.7)
    1
    """
    held = norms.double().cumsum(0)
    return int((held < share * held[-1] * (1 - 1e-9)).sum())
