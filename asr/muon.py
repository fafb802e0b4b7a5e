"""Muon: each weight matrix moves by its momentum made orthogonal, as far in every direction of its rows and columns.

Adam's steps are as long for each weight; those of a matrix then point, most of all, where a few of its directions do.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from asr.device import has_bfloat16

MOMENTUM = 0.95
ITERATIONS = 4
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the polynomial that raises small singular values fastest; they end between 0.7 and 1.2, not at 1."""
ADAMW_STEP = 0.2
"""The root of the mean square of AdamW's usual step, which one of Muon's gets too: the same learning rates fit."""


@runtime_checkable
class Mixing(Protocol):
    """A layer that says which of its weights are matrices from units to units."""

    def matrices(self) -> Iterable[tuple[Tensor, int]]:
        """Each with the number of blocks that its rows fall into, which do different things, such as gates."""


def matrices(model: nn.Module) -> Iterator[tuple[Tensor, int]]:
    """The matrices of all layers of a model that have some, with their blocks.

    Convolutions, embeddings and heads, whose rows or columns are not units but samples or tokens, are not among them,
    nor are biases, norms and peepholes, which are vectors.
    """
    for module in model.modules():
        if isinstance(module, Mixing):
            yield from module.matrices()


class Muon(torch.optim.Optimizer):
    """Nesterov's momentum, made orthogonal block by block; weight decay apart from it, as AdamW's.

    `torch.optim.Muon` takes whole matrices, one after the other: with it, the gates of an LSTM would share their
    directions, and a GPU would wait for a thousand small operations. Here all blocks of a shape are one batch.

    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; the length of a step from Liu
    et al. 2025, "Muon is scalable for LLM training".
    """

    def __init__(self, weights: Iterable[tuple[Tensor, int]], weight_decay: float) -> None:
        alike = defaultdict(list)
        for weight, blocks in weights:
            alike[blocks, weight.shape].append(weight)
        groups = [{"params": group, "blocks": blocks} for (blocks, _), group in alike.items()]
        super().__init__(groups, {"lr": 0.0, "weight_decay": weight_decay})
        for weight in chain(*alike.values()):
            self.state[weight]["momentum"] = torch.zeros_like(weight)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Takes the gradients that lie at the weights."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            gradients = [weight.grad for weight in weights]
            momenta = [self.state[weight]["momentum"] for weight in weights]
            torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
            ahead = torch.stack(torch._foreach_lerp(gradients, momenta, MOMENTUM))
            blocks = ahead.view(-1, ahead.shape[1] // group["blocks"], ahead.shape[2])
            steps = orthogonal(blocks).reshape(ahead.shape)
            length = group["lr"] * ADAMW_STEP * max(blocks.shape[1:]) ** 0.5
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(weights, steps.unbind(), alpha=-length)


def orthogonal(matrices: Tensor) -> Tensor:
    """(N, rows, columns) to the nearest matrices with orthogonal rows or columns, about: U V' of U S V'.

    Newton-Schulz iteration; in bfloat16 where the device computes in it, which is near enough.
    """
    x = matrices.to(torch.bfloat16 if has_bfloat16(matrices.device) else torch.float32)
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    first, third, fifth = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=third, alpha=fifth), x, beta=first)
    return x.mT if tall else x
