import pytest
import torch

from asr.config import build
from asr.errors import ConfigError
from asr.model import CTCModel, ModelConfig, output_frames, parameter_count


def small(**changes) -> CTCModel:
    torch.manual_seed(0)
    return CTCModel(20, 7, ModelConfig(**{"channels": 3, "layers": 2, "hidden": 8, **changes})).eval()


@pytest.mark.parametrize("subsampling", [1, 2, 4])
def test_a_batch_equals_its_parts(subsampling):
    model = small(subsampling=subsampling)
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
    ("frames", "subsampling", "expected"), [(1, 4, 1), (4, 4, 1), (5, 4, 2), (9, 4, 3), (7, 1, 7), (7, 2, 4)]
)
def test_output_frames(frames, subsampling, expected):
    assert output_frames(frames, subsampling) == expected


def test_every_weight_learns():
    model = small(dropout=0.0)
    log_probabilities, _ = model(torch.randn(2, 30, 20), torch.tensor([30, 22]))
    (log_probabilities * torch.randn_like(log_probabilities)).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())
    assert parameter_count(model) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(("key", "value"), [("subsampling", 3), ("layers", 0), ("hidden", -1), ("dropout", 1.0)])
def test_settings_out_of_range(key, value):
    with pytest.raises(ConfigError, match=f"m.toml: {key} = {value}"):
        build(ModelConfig, {key: value}, "m.toml")
