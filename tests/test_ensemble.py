import pytest
import torch

from asr.ensemble import Ensemble, Revoiced, acoustic_model, members
from asr.model import CTCModel, ModelConfig, parameter_count
from asr.voices import warped

SMALL = {"channels": 2, "layers": 1, "hidden": 4}
HEADS = (5, 3)


def batch():
    return torch.randn(2, 20, 16, generator=torch.Generator().manual_seed(1)), torch.tensor([20, 13])


def made(count: int):
    torch.manual_seed(0)
    return acoustic_model(16, HEADS, ModelConfig(**SMALL, members=count)).eval()


def test_a_model_of_one_is_no_ensemble():
    alone = made(1)
    assert isinstance(alone, CTCModel)
    assert members(alone) == [alone]


def test_what_is_heard_is_the_mean_of_what_the_members_hear():
    three = made(3)
    assert isinstance(three, Ensemble)
    assert parameter_count(three) == 3 * parameter_count(made(1))
    apart = [member(*batch()) for member in members(three)]
    assert not torch.allclose(apart[0][0], apart[1][0], atol=0.01)
    heard, frames = three(*batch())
    assert frames.tolist() == [5, 4]
    torch.testing.assert_close(heard.exp(), sum(each.exp() for each, _ in apart) / 3)
    for head in heard.split(HEADS, 2):
        torch.testing.assert_close(head.exp().sum(2), torch.ones(2, 5))


def test_a_batch_gives_what_its_utterances_give_one_by_one():
    pair, (features, lengths) = made(2), batch()
    together, frames = pair(features, lengths)
    for row, (length, count) in enumerate(zip(lengths, frames, strict=True)):
        alone, _ = pair(features[row : row + 1, :length], length[None])
        torch.testing.assert_close(together[row, :count], alone[0])


def test_each_member_learns_from_what_it_puts_out_itself():
    """Dropout is 0, so training hears what is heard otherwise; the loss of one member leaves the other alone."""
    torch.manual_seed(0)
    pair = acoustic_model(16, HEADS, ModelConfig(**SMALL, members=2, dropout=0)).train()
    outputs, _ = pair(*batch())
    assert outputs.shape == (2, 5, 2 * sum(HEADS))
    for found, member in zip(outputs.chunk(2, dim=2), members(pair), strict=True):
        torch.testing.assert_close(found, member(*batch())[0])
    outputs[..., : sum(HEADS)].sum().backward()
    first, second = members(pair)
    assert first.head.bias.grad is not None
    assert second.head.bias.grad is None or not second.head.bias.grad.any()


def test_two_voices_are_the_mean_of_what_is_heard_in_each():
    model, (features, lengths) = made(1), batch()
    alone = []
    for factor in (0.9, 1.2):
        heard, frames = model(warped(features, torch.full((2,), factor)), lengths)
        alone.append(heard.exp())
        for ours, theirs in zip(Revoiced(model, (factor,))(features, lengths), (heard, frames), strict=True):
            torch.testing.assert_close(ours, theirs)
    both, frames = Revoiced(model, (0.9, 1.2))(features, lengths)
    assert frames.tolist() == [5, 4]
    torch.testing.assert_close(both.exp(), (alone[0] + alone[1]) / 2)
    for head in both.split(HEADS, 2):
        torch.testing.assert_close(head.exp().sum(2), torch.ones(2, 5))


@pytest.mark.parametrize("count", [1, 2])
def test_in_bfloat16_nearly_the_same_is_heard(count):
    model, inputs = made(count), batch()
    exact, frames = Revoiced(model, (1.0,))(*inputs)
    rounded, counts = Revoiced(model, (1.0,), torch.bfloat16)(*inputs)
    assert (rounded.dtype, counts.tolist()) == (torch.float32, frames.tolist())
    difference = (rounded.exp() - exact.exp()).abs().max()
    assert 0 < difference < 0.02
