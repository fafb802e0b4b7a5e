"""Weights in fewer bytes than they are computed with: as float16, or in 8 bits, with a scale for each row."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from asr.errors import ModelError

WeightFormat = Literal["float32", "float16", "int8"]
"""What weights are in a file. `int8` is so for the matrices of networks; the rest, which is little, is float16 then."""

FORMS: tuple[WeightFormat, ...] = ("int8", "float16", "float32")
"""The smallest first."""

NETWORK = "model."
"""What the names of a network's weights begin with; the features' are as exact as can be."""

SCALE = ".scale"
"""What the name of a matrix's scales ends with: (rows, 1, ...)."""


def pack(weights: Mapping[str, Tensor], form: WeightFormat) -> dict[str, Tensor]:
    """The tensors that go into a file; what is packed, unpacked and packed again stays the same, bit for bit."""
    packed = {}
    for name, value in weights.items():
        if form == "float32" or not value.is_floating_point():
            packed[name] = value
        elif form == "float16" or value.dim() < 2 or not name.startswith(NETWORK):
            packed[name] = value.half()
        else:
            largest = value.abs().amax(tuple(range(1, value.dim())), keepdim=True)
            # so few digits that 127 times the scale is exact, and gives the same scale again
            scale = (largest / 127).bfloat16()
            steps = value / torch.where(scale == 0, 1, scale.to(value.dtype))
            packed[name], packed[name + SCALE] = steps.round().clamp(-127, 127).to(torch.int8), scale
    return packed


def unpack(packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights to compute with, from those of a file.

    Raises:
        ModelError: A matrix of 8 bits has no scale, or one of another shape.
    """
    weights = {}
    for name, value in packed.items():
        if value.dtype == torch.int8:
            scale = packed.get(name + SCALE)
            if scale is None or scale.shape != (len(value), *[1] * (value.dim() - 1)):
                raise ModelError(f"{name} has no scale for each of its rows")
            weights[name] = value.float() * scale.float()
        elif not name.endswith(SCALE) or packed.get(name.removesuffix(SCALE), value).dtype != torch.int8:
            weights[name] = value
    return weights


def exact(weights: Mapping[str, Tensor], form: WeightFormat) -> bool:
    """Whether weights lose nothing in that form."""
    again = unpack(pack(weights, form))
    return all(torch.equal(again[name].to(value.dtype), value) for name, value in weights.items())
