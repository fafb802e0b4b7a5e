"""Figures of models worked out by hand."""

import dataclasses
import json
import math

import pytest
import torch

from asr.cells import CELLS
from asr.checkpoint import Checkpoint, create
from asr.ensemble import members
from asr.features import FeatureConfig
from asr.inspection.anatomy import anatomy, noise, span_frames, told
from asr.model import ModelConfig
from asr.text import Vocabulary


def checkpoint(encoder: str = "lstm", **settings) -> Checkpoint:
    torch.manual_seed(1)
    model = ModelConfig(
        **{"channels": 2, "layers": 2, "hidden": 4, "heads": 2, "subsampling": 4, **settings}, encoder=encoder
    )
    return create(FeatureConfig(16000, 20), model, Vocabulary.of_characters(" abc"), {})


def test_shapes_and_sizes_worked_by_hand():
    found = anatomy(checkpoint())
    assert [(part.name, part.shapes, part.parameters) for part in found.parts] == [
        ("log-mel", ((101, 20), (1001, 20)), 0),
        ("convolution 1", ((2, 51, 10), (2, 501, 10)), 2 * 9 + 2),
        ("convolution 2", ((2, 26, 5), (2, 251, 5)), 2 * 2 * 9 + 2),
        ("projection", ((26, 8), (251, 8)), 10 * 8 + 8 + 16),
        ("lstm 1, both ways", ((26, 8), (251, 8)), 2 * (16 * 8 + 16 * 4 + 32)),
        ("lstm 2, both ways", ((26, 8), (251, 8)), 2 * (16 * 8 + 16 * 4 + 32)),
        ("CTC head", ((26, 5), (251, 5)), 8 * 5 + 5),
    ]
    assert (found.frame_s, found.receptive_field_s) == (0.04, pytest.approx(0.06 + 0.025))


@pytest.mark.parametrize("encoder", [*CELLS, "transformer"])
@pytest.mark.parametrize("subsampling", [1, 4])
def test_parts_add_up_to_the_whole(encoder, subsampling):
    whole = checkpoint(encoder, subsampling=subsampling)
    found = anatomy(whole, torch.randn(60, 20), "noise")
    assert sum(part.parameters for part in found.parts) == found.parameters
    assert found.bytes == 4 * found.parameters == 4 * sum(each.numel() for each in whole.model.parameters())
    assert f"{found.parameters:,}" in told(found)


def test_of_networks_that_hear_as_one_the_first_is_looked_into(capsys):
    both = checkpoint(members=2)
    first, _ = members(both.model)
    found = anatomy(both)
    assert capsys.readouterr().err == "inspect: looks into the first of 2 networks that hear as one\n"
    assert found.parameters == sum(each.numel() for each in first.parameters())
    assert [keeper.mean for keeper in found.keepers] == [
        float(sum(side[2:4]).detach().chunk(4)[1].mean()) for layer in first.layers for side in layer.sides()
    ]


@pytest.mark.parametrize(("subsampling", "frames"), [(1, 5), (2, 7), (3, 9), (4, 7)])
def test_the_receptive_field_is_what_the_convolutions_hear(subsampling, frames):
    whole = checkpoint(subsampling=subsampling)
    features = torch.randn(1, 41, 20, requires_grad=True)
    outputs, _ = whole.model.subsampling(features, torch.tensor([41]))
    (gradient,) = torch.autograd.grad(outputs[0, 20 // subsampling].square().sum(), features)
    heard = gradient[0].abs().sum(1).nonzero().flatten()
    assert int(heard[-1] - heard[0]) + 1 == frames
    assert anatomy(whole, features[0].detach()).receptive_field_s == pytest.approx((frames - 1) * 0.01 + 0.025)


def test_the_bias_that_keeps_the_past():
    whole = checkpoint()
    weights = dict(whole.model.layers[1].named_parameters())
    with torch.no_grad():
        weights["lstm.bias_ih_l0_reverse"][4:8] = torch.tensor([1.0, 2.0, 3.0, 4.0])
        weights["lstm.bias_hh_l0_reverse"][4:8] = 0.5
    first, *_, last = anatomy(whole).keepers
    assert (first.layer, first.direction, first.mean, first.least, first.most) == (1, "forward", 1, 1, 1)
    assert (last.layer, last.direction, last.mean, last.least, last.most) == (2, "backward", 3, 1.5, 4.5)
    assert last.span_frames == pytest.approx(-1 / math.log(1 / (1 + math.exp(-3))))
    assert last.span_s == pytest.approx(0.04 * last.span_frames)
    assert span_frames(0) == pytest.approx(1 / math.log(2))


@pytest.mark.parametrize(
    ("encoder", "keeper", "gates"),
    [
        ("lstm_1997", None, ["input gate", "output gate"]),
        ("lstm_peephole", "forget gate", ["input gate", "forget gate", "output gate"]),
        ("gru", "update gate", ["reset gate", "update gate"]),
        ("rnn", None, []),
        ("transformer", None, []),
    ],
)
def test_every_encoder_has_its_own_gates(encoder, keeper, gates):
    found = anatomy(checkpoint(encoder), torch.randn(40, 20))
    assert {each.gate for each in found.keepers} == ({keeper} if keeper else set())
    assert [each.gate for each in found.activities] == 4 * gates


def test_gates_that_are_open_and_shut():
    whole = checkpoint("gru", layers=1)
    with torch.no_grad():
        for weight in whole.model.layers.parameters():
            weight.zero_()
        bias = dict(whole.model.layers[0].named_parameters())["gru.bias_ih_l0"]
        bias[:4] = torch.tensor([50.0, 50.0, 50.0, -50.0])
    reset, update, *_ = anatomy(whole, torch.randn(40, 20)).activities
    assert (reset.mean, reset.open, reset.shut) == (0.75, 0.75, 0.25)
    assert (update.mean, update.open, update.shut) == (0.5, 0, 0)


def test_noise_is_like_features():
    drawn = noise(FeatureConfig(16000, 20))
    assert drawn.shape == (3000, 20)
    assert torch.allclose(drawn.mean(0), torch.zeros(20), atol=1e-5)
    assert torch.allclose(drawn.std(0), torch.ones(20), atol=1e-5)
    assert 0.8 < (drawn[1:] * drawn[:-1]).mean() < 0.98
    assert abs((drawn[30:] * drawn[:-30]).mean()) < 0.1


def test_what_it_was_measured_on_is_told():
    features = torch.randn(50, 20)
    assert "memory, on 30 s of random features" in told(anatomy(checkpoint()))
    assert "gates, on talk.wav" in told(anatomy(checkpoint(), features, "talk.wav"))
    assert (
        json.loads(json.dumps(dataclasses.asdict(anatomy(checkpoint(), features, "talk.wav"))))["measured_on"]
        == "talk.wav"
    )
