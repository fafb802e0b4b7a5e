"""What is seen of a layer is what the layer does."""

import pytest
import torch

from asr.cells import CELLS
from asr.inspection.layers import attention_of, heard_by_layers, looks, trace_cells
from asr.model import CTCModel, ModelConfig
from asr.recurrent import Bidirectional
from asr.transformer import TransformerLayer

FRAMES, BINS = 30, 20


def model(encoder: str, layers: int = 2) -> tuple[CTCModel, torch.Tensor]:
    torch.manual_seed(3)
    config = ModelConfig(channels=2, layers=layers, hidden=6, heads=3, subsampling=2, encoder=encoder)
    network = CTCModel(BINS, (5,), config).eval()
    with torch.no_grad():
        for name, weight in network.layers.named_parameters():
            if "bias" in name or "peephole" in name:
                weight.copy_(torch.randn(weight.shape))
    return network, torch.randn(FRAMES, BINS)


@pytest.mark.parametrize("encoder", CELLS)
def test_traced_outputs_are_those_of_the_fast_layer(encoder):
    layer = model(encoder)[0].layers[1]
    frames = torch.randn(1, 17, 12)
    forward, backward = layer(frames, torch.tensor([17]))[0].chunk(2, dim=1)
    assert torch.allclose(trace_cells(layer, frames, "forward")["output"], forward, atol=1e-5)
    assert torch.allclose(trace_cells(layer, frames, "backward")["output"], backward, atol=1e-5)
    assert not torch.allclose(forward, backward, atol=0.1)


@pytest.mark.parametrize("encoder", [*CELLS, "transformer"])
def test_the_last_look_leads_to_the_log_probabilities(encoder):
    network, features = model(encoder)
    found = looks(network, features)
    tops = [look.trace["output"] for look in found if look.layer == 2]
    frames = network.layers[0].norm(tops[0]) if encoder == "transformer" else torch.cat(tops, dim=1)
    expected, _ = network(features[None], torch.tensor([FRAMES]))
    assert torch.allclose(network.head(frames).log_softmax(1), expected[0], atol=1e-5)


def test_which_layers_are_looked_at():
    network, features = model("lstm")
    assert [(look.layer, look.direction) for look in looks(network, features)] == [
        (1, "forward"),
        (1, "backward"),
        (2, "forward"),
        (2, "backward"),
    ]
    (look,) = looks(network, features, layer=1, direction="backward")
    assert (look.layer, look.direction) == (1, "backward")
    assert list(look.trace) == ["input gate", "forget gate", "candidate", "output gate", "cell", "output"]
    assert look.trace["cell"].shape == (15, 6)


def test_backward_cells_know_the_future_alone():
    network, features = model("lstm", layers=1)
    _, frames = next(heard_by_layers(network, features))
    changed = frames.clone()
    changed[:, :5] += 1
    layer = network.layers[0]
    assert isinstance(layer, Bidirectional)
    before, after = (trace_cells(layer, each, "backward")["output"] for each in (frames, changed))
    assert torch.equal(before[5:], after[5:])
    assert not torch.isclose(before[:5], after[:5]).all(1).any()


def test_attention_is_what_the_layer_attends_with():
    network, features = model("transformer")
    layer, frames = list(heard_by_layers(network, features))[1]
    assert isinstance(layer, TransformerLayer)
    by_head = attention_of(layer, frames)
    assert by_head.shape == (3, 15, 15)
    assert torch.allclose(by_head.sum(2), torch.ones(3, 15))
    normed = layer.attention_norm(frames)
    values = layer.attention(normed)[0].unflatten(1, (3, 3, -1))[:, 2]  # (T', N, D / N)
    projected = layer.projection(torch.einsum("nts,snd->tnd", by_head, values).flatten(1))
    assert torch.allclose(projected, layer.attend(normed, torch.ones(1, 1, 1, 15, dtype=torch.bool))[0], atol=1e-5)


def test_attention_of_one_head_or_of_all():
    network, features = model("transformer")
    heads = [looks(network, features, layer=2, head=head)[0].attention for head in (1, 2, 3)]
    (mean,) = looks(network, features, layer=2)
    assert mean.direction is None
    assert torch.allclose(torch.stack(heads).mean(0), mean.attention)
    assert not torch.allclose(heads[0], heads[1])
