"""The optimiser: AdamW or Muon with a schedule, clipped gradients and a running average of the weights."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from asr.config import settings
from asr.muon import Muon, matrices


@settings
class OptimizerConfig:
    kind: Literal["adamw", "muon"] = "adamw"
    """`muon`: the matrices of recurrent layers and of a Transformer by Muon (`asr.muon`), all else by AdamW."""
    learning_rate: Annotated[float, Gt(0)] = 1e-3
    """The highest of the schedule."""
    schedule: Literal["cosine", "one-cycle"] = "cosine"
    """After the warm-up the rate falls to zero, as half a cosine or in a straight line; `one-cycle` also lowers AdamW's
    momentum while the rate is high.
    """
    warmup_share: Annotated[float, Ge(0), Le(1)] = 0.1
    """The share of training in which the learning rate rises."""
    weight_decay: Annotated[float, Ge(0)] = 0.01
    gradient_clip: Annotated[float, Gt(0)] = 1.0
    """The longest gradient, as the norm over all weights; a longer one is shortened to it."""
    accumulate: Annotated[int, Gt(0)] = 1
    """Batches whose gradients are added up for one update: a batch that many times as large, in the memory of one."""
    average_decay: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Dev is scored with, and the model folder gets, a running average of the weights: of the old average this much is
    kept at every update, less at first. 0 means no averaging; 0.999 averages over about 1000 updates.
    """


class Optimizer:
    """Gradients in, new weights out."""

    def __init__(self, model: nn.Module, config: OptimizerConfig) -> None:
        self.config = config
        self.parameters: list[Tensor] = list(model.parameters())
        by_muon = dict(matrices(model)) if config.kind == "muon" else {}
        others = [parameter for parameter in self.parameters if parameter not in by_muon]
        self.adamw = torch.optim.AdamW(others, weight_decay=config.weight_decay, fused=True)
        self.parts: dict[str, torch.optim.Optimizer] = {"adamw": self.adamw}
        if config.kind == "muon":
            self.parts["muon"] = Muon(by_muon.items(), config.weight_decay)
        self.updates = 0
        self.average: list[Tensor] = []
        if config.average_decay:
            self.average = [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def update(self, done: float) -> float:
        """Takes the gradients that lie at the weights, and clears them.

        Args:
            done: The share of training that is over, 0 to 1.

        Returns:
            The norm of the gradient before clipping; where it is not finite, nothing has changed.
        """
        norm = float(clip_grad_norm_(self.parameters, self.config.gradient_clip))
        if math.isfinite(norm):
            for group in self.adamw.param_groups:
                group["betas"] = (momentum(done, self.config), group["betas"][1])
            for part in self.parts.values():
                for group in part.param_groups:
                    group["lr"] = learning_rate(done, self.config)
                part.step()
            self.updates += 1
            if self.average:
                # the bound: an average over all updates so far, until there are enough of them
                decay = min(self.config.average_decay, self.updates / (self.updates + 10))
                torch._foreach_lerp_(self.average, self.parameters, 1 - decay)
        self.clear()
        return norm

    def clear(self) -> None:
        """Forgets the gradients."""
        for part in self.parts.values():
            part.zero_grad()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within the block the weights are their running average, where one is kept."""
        own = [parameter.detach().clone() for parameter in self.parameters] if self.average else []
        self._put(self.average)
        try:
            yield
        finally:
            self._put(own)

    def state(self) -> dict[str, Any]:
        """All that the next update depends on, but for the weights."""
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        return {**parts, "updates": self.updates, "average": self.average}

    def load_state(self, state: dict[str, Any]) -> None:
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        self.updates = state["updates"]
        self.average = [value.to(own.device) for value, own in zip(state["average"], self.parameters, strict=False)]

    @torch.no_grad()
    def _put(self, values: list[Tensor]) -> None:
        for parameter, value in zip(self.parameters, values, strict=False):
            parameter.copy_(value)


def learning_rate(done: float, config: OptimizerConfig) -> float:
    """The learning rate when the share `done` of training is over: a rise in a straight line, then a fall to zero.

    Source: Loshchilov and Hutter 2017 (cosine, without restarts); Smith 2018 (one-cycle, without the last, slow phase).
    """
    if done < config.warmup_share:
        return config.learning_rate * max(done / config.warmup_share, 0.01)
    fallen = _fallen(done, config)
    remaining = 1 - fallen if config.schedule == "one-cycle" else 0.5 * (1 + math.cos(math.pi * fallen))
    return config.learning_rate * remaining


def momentum(done: float, config: OptimizerConfig) -> float:
    """AdamW's first beta: constant, or with one-cycle from 0.95 down to 0.85 and up again as the rate goes."""
    if config.schedule != "one-cycle":
        return 0.9
    rate = learning_rate(done, config) / config.learning_rate
    return 0.95 - 0.1 * rate


def _fallen(done: float, config: OptimizerConfig) -> float:
    return min((done - config.warmup_share) / max(1 - config.warmup_share, 1e-9), 1.0)
