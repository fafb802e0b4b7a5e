from typing import get_args

import pytest
import torch

from asr.cells import CELLS
from asr.config import build
from asr.errors import ConfigError
from asr.model import ENCODERS as KNOWN
from asr.model import CTCModel, Encoder, ModelConfig, output_frames, parameter_count

ENCODERS = get_args(Encoder)


def small(**changes) -> CTCModel:
    torch.manual_seed(0)
    return CTCModel(20, (7,), ModelConfig(**{"channels": 3, "layers": 2, "hidden": 8, **changes})).eval()


def test_every_cell_can_be_chosen():
    assert set(ENCODERS) == {*CELLS, "transformer"}


@pytest.mark.parametrize(
    ("subsampling", "encoder"), [*((steps, "lstm") for steps in (1, 2, 3)), *((4, name) for name in ENCODERS)]
)
def test_a_batch_equals_its_parts(subsampling, encoder):
    model = small(subsampling=subsampling, encoder=encoder)
    lengths = torch.tensor([37, 1, 20, 30])
    features = torch.randn(4, 37, 20)
    together, frames = model(features, lengths)
    assert together.shape == (4, output_frames(37, subsampling), 7)
    for row, length in enumerate(lengths.tolist()):
        alone, (count,) = model(features[row : row + 1, :length], torch.tensor([length]))
        assert count == frames[row] == output_frames(length, subsampling) == alone.shape[1]
        torch.testing.assert_close(together[row, :count], alone[0], atol=1e-5, rtol=0)


def test_outputs_are_log_probabilities_in_float32():
    log_probabilities, _ = small()(torch.randn(2, 30, 20), torch.tensor([30, 30]))
    assert log_probabilities.dtype == torch.float32
    torch.testing.assert_close(log_probabilities.exp().sum(2), torch.ones(2, 8))


@pytest.mark.parametrize(
    ("frames", "subsampling", "expected"),
    [(1, 4, 1), (4, 4, 1), (5, 4, 2), (9, 4, 3), (7, 1, 7), (7, 2, 4), (7, 3, 3), (9, 3, 3)],
)
def test_output_frames(frames, subsampling, expected):
    assert output_frames(frames, subsampling) == expected


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_weight_learns(encoder):
    model = small(dropout=0.0, encoder=encoder)
    log_probabilities, _ = model(torch.randn(2, 30, 20), torch.tensor([30, 22]))
    (log_probabilities * torch.randn_like(log_probabilities)).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())
    assert parameter_count(model) == sum(p.numel() for p in model.parameters())


def test_a_padded_minute_goes_through_any_encoder():
    """At 100 feature frames a second; what stands in the padding has no effect."""
    for encoder in ENCODERS:
        model = small(encoder=encoder)
        features, lengths = torch.randn(2, 6000, 20), torch.tensor([6000, 4000])
        with torch.inference_mode():
            expected, _ = model(features, lengths)
            features[1, 4000:] = 1e6
            found, frames = model(features, lengths)
        assert frames.tolist() == [1500, 1000]
        torch.testing.assert_close(found[1, :1000], expected[1, :1000], atol=1e-4, rtol=0)
        assert found[0].isfinite().all()


def test_where_every_encoder_comes_from_is_told():
    assert set(KNOWN) == set(ENCODERS)
    years = [info.year for info in KNOWN.values()]
    assert years == sorted(years)
    for info in KNOWN.values():
        assert str(info.year) in info.source
        assert info.mechanism


def test_an_encoder_that_is_not_known():
    choices = ", ".join(f"'{name}'" for name in ENCODERS[:-1]) + " or 'transformer'"
    with pytest.raises(ConfigError, match=f"m.toml: encoder = 'lstm1997': input should be {choices}"):
        build(ModelConfig, {"encoder": "lstm1997"}, "m.toml")


def test_heads_that_do_not_divide_the_width():
    assert build(ModelConfig, {"heads": 3, "hidden": 8}, "m.toml").heads == 3  # an LSTM has none
    assert build(ModelConfig, {"encoder": "transformer", "heads": 3, "hidden": 6}, "m.toml").hidden == 6
    with pytest.raises(ConfigError, match="m.toml: heads = 3 must divide twice hidden = 8"):
        build(ModelConfig, {"encoder": "transformer", "heads": 3, "hidden": 8}, "m.toml")


@pytest.mark.parametrize(("key", "value"), [("subsampling", 5), ("layers", 0), ("hidden", -1), ("dropout", 1.0)])
def test_settings_out_of_range(key, value):
    with pytest.raises(ConfigError, match=f"m.toml: {key} = {value}"):
        build(ModelConfig, {key: value}, "m.toml")
