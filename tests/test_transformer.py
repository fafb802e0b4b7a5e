import math

import pytest
import torch
from torch import nn

from asr.transformer import Transformer, TransformerLayer, positions


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return Transformer(8, 2, 2, 16, dropout=0.1).eval()


def test_a_batch_equals_its_parts(encoder):
    lengths = torch.tensor([9, 1, 6, 9])
    frames = torch.randn(4, 9, 8)
    outputs = encoder(frames, lengths)
    assert outputs.shape == (4, 9, 8)
    for row, length in enumerate(lengths.tolist()):
        alone = encoder(frames[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(outputs[row, :length], alone[0], atol=1e-5, rtol=0)


def test_what_is_padding_changes_nothing(encoder):
    frames, lengths = torch.randn(2, 9, 8), torch.tensor([9, 5])
    before = encoder(frames, lengths)
    frames[1, 5:] = 1000 * torch.randn(4, 8)
    after = encoder(frames, lengths)
    assert torch.equal(before[0], after[0])
    torch.testing.assert_close(before[1, :5], after[1, :5], atol=1e-6, rtol=0)


def test_every_frame_hears_every_other_and_where_it_stands(encoder):
    frames, lengths = torch.randn(1, 9, 8), torch.tensor([9])
    before = encoder(frames, lengths)
    changed = frames.clone()
    changed[0, 4, 0] += 1
    assert ((encoder(changed, lengths) - before).abs().amax(2) > 1e-6).all()
    turned = encoder(frames.flip(1), lengths).flip(1)  # without positions, this would be the same
    assert not torch.allclose(turned, before, atol=1e-2)


def test_attention_is_pytorchs():
    torch.manual_seed(0)
    layer, oracle = TransformerLayer(8, 2, 16, 0.0), nn.MultiheadAttention(8, 2, batch_first=True)
    names = {"in_proj_weight": layer.attention.weight, "in_proj_bias": layer.attention.bias}
    own = {f"out_proj.{name}": value for name, value in layer.projection.state_dict().items()}
    oracle.load_state_dict({**names, **own})
    frames, inside = torch.randn(3, 9, 8), torch.arange(9) < torch.tensor([[9], [1], [6]])
    expected, _ = oracle(frames, frames, frames, key_padding_mask=~inside)
    torch.testing.assert_close(layer.attend(frames, inside[:, None, None]), expected, atol=1e-6, rtol=0)


def test_every_weight_learns(encoder):
    outputs = encoder.train()(torch.randn(2, 9, 8), torch.tensor([9, 5]))
    (outputs * torch.randn_like(outputs)).sum().backward()
    for name, weight in encoder.named_parameters():
        assert weight.grad.any(), name


def test_positions_by_hand():
    angles = [3, 3 / 10_000 ** (1 / 2)]
    expected = [math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles]
    assert positions(5, 4, torch.device("cpu"))[3].tolist() == pytest.approx(expected)


def test_a_long_window_goes_through_at_once(encoder):
    """A minute at 50 frames a second, in half precision too."""
    frames, lengths = torch.randn(1, 3000, 8), torch.tensor([3000])
    with torch.inference_mode():
        whole = encoder(frames, lengths)
        with torch.autocast("cpu", torch.bfloat16):
            half = encoder(frames, lengths)
    assert whole.isfinite().all()
    torch.testing.assert_close(half.float(), whole, atol=0.2, rtol=0)
