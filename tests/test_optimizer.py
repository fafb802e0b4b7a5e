import copy
import math
from collections.abc import Iterable

import pytest
import torch
from torch import nn

from asr.optimizer import Optimizer, OptimizerConfig, learning_rate, momentum
from asr.recurrent import Bidirectional


def one_weight(config: OptimizerConfig, value: float = 0.0) -> tuple[nn.Parameter, Optimizer]:
    weight = nn.Parameter(torch.tensor([value]))
    return weight, Optimizer(nn.ParameterList([weight]), config)


def test_cosine_rises_and_falls():
    config = OptimizerConfig(learning_rate=1.0, warmup_share=0.2)
    rates = [learning_rate(done / 100, config) for done in range(101)]
    assert rates.index(max(rates)) == 20
    assert rates[:21] == sorted(rates[:21])
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert (rates[0], rates[10], rates[20], rates[60], rates[100]) == pytest.approx((0.01, 0.5, 1.0, 0.5, 0.0))


def test_one_cycle_is_straight_and_lowers_the_momentum_while_the_rate_is_high():
    config = OptimizerConfig(learning_rate=2.0, warmup_share=0.4, schedule="one-cycle")
    rates = [learning_rate(done, config) for done in (0.2, 0.4, 0.55, 0.7, 1.0)]
    assert rates == pytest.approx([1.0, 2.0, 1.5, 1.0, 0.0])
    assert [momentum(done, config) for done in (0.2, 0.4, 1.0)] == pytest.approx([0.90, 0.85, 0.95])


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("schedule", ["cosine", "one-cycle"])
def test_schedules_without_warm_up_or_without_fall(share, schedule):
    config = OptimizerConfig(warmup_share=share, schedule=schedule)
    assert all(0 <= learning_rate(done / 10, config) <= config.learning_rate for done in range(11))


def test_gradients_are_clipped_and_their_own_norm_is_told():
    weight, optimizer = one_weight(OptimizerConfig(gradient_clip=1.0))
    weight.grad = torch.tensor([5.0])
    seen = []
    optimizer.adamw.register_step_pre_hook(lambda *_: seen.append(weight.grad.item()))
    assert optimizer.update(0.5) == 5.0
    assert seen == pytest.approx([1.0])
    assert weight.grad is None


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_changes_nothing(bad):
    weight, optimizer = one_weight(OptimizerConfig(average_decay=0.9), 3.0)
    weight.grad = torch.tensor([bad])
    assert not math.isfinite(optimizer.update(0.5))
    assert (weight.item(), optimizer.average[0].item(), optimizer.updates) == (3.0, 3.0, 0)


def test_the_average_by_hand():
    weight, optimizer = one_weight(OptimizerConfig(average_decay=0.5))
    expected = 0.0
    for update in range(1, 40):
        weight.grad = torch.tensor([-1.0])
        optimizer.update(0.1)
        decay = min(0.5, update / (update + 10))
        expected = decay * expected + (1 - decay) * weight.item()
        assert optimizer.average[0].item() == pytest.approx(expected, rel=1e-5)
    now = weight.item()
    with optimizer.averaged():
        assert weight.item() == optimizer.average[0].item() != now
    assert weight.item() == now


def test_weights_come_back_when_the_block_fails():
    weight, optimizer = one_weight(OptimizerConfig(average_decay=0.5), 2.0)
    optimizer.average[0].fill_(7.0)
    with pytest.raises(ZeroDivisionError), optimizer.averaged():
        1 / 0  # noqa: B018
    assert weight.item() == 2.0


def test_without_averaging_the_weights_are_themselves():
    weight, optimizer = one_weight(OptimizerConfig(), 2.0)
    with optimizer.averaged():
        assert weight.item() == 2.0


@pytest.mark.parametrize("config", [OptimizerConfig(average_decay=0.9), OptimizerConfig(schedule="one-cycle")])
def test_two_and_two_updates_are_four(config):
    def take(weight, optimizer, numbers):
        for number in numbers:
            weight.grad = torch.tensor([math.sin(number)])
            optimizer.update(number / 4)

    whole, optimizer = one_weight(config)
    take(whole, optimizer, range(4))
    first, before = one_weight(config)
    take(first, before, range(2))
    second, after = one_weight(config, first.item())
    after.load_state(before.state())
    take(second, after, range(2, 4))
    assert torch.equal(whole, second)
    assert all(torch.equal(a, b) for a, b in zip(optimizer.average, after.average, strict=True))
    assert after.updates == 4


class Small(nn.Module):
    """A recurrent layer and a head, with weights that depend on the seed."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layer, self.head = Bidirectional(6, 4), nn.Linear(8, 3)


def taught(model: nn.Module, optimizer: Optimizer, numbers: Iterable[int], of: int = 4) -> None:
    for number in numbers:
        chance = torch.Generator().manual_seed(number)
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=chance)
        optimizer.update(number / of)


def test_muon_takes_the_matrices_of_layers_and_adamw_the_rest():
    by_adamw, by_both = Small(), Small()
    before = {name: value.clone() for name, value in by_adamw.named_parameters()}
    for model, kind in ((by_adamw, "adamw"), (by_both, "muon")):
        taught(model, Optimizer(model, OptimizerConfig(kind=kind)), range(1, 3))
    alike = {name: torch.equal(value, by_both.get_parameter(name)) for name, value in by_adamw.named_parameters()}
    assert alike == {name: ".weight_" not in name for name in before}
    assert all(not torch.equal(value, before[name]) for name, value in by_both.named_parameters())


def test_muons_rate_follows_the_schedule_and_its_momentum_does_not():
    model = Small()
    config = OptimizerConfig(kind="muon", learning_rate=2.0, schedule="one-cycle", warmup_share=0.4, weight_decay=0.3)
    optimizer = Optimizer(model, config)
    taught(model, optimizer, [7], of=10)
    for group in optimizer.parts["muon"].param_groups:
        assert (group["lr"], group["weight_decay"]) == pytest.approx((1.0, 0.3))
        assert not {"betas", "momentum"} & group.keys()
    assert optimizer.adamw.param_groups[0]["betas"] == pytest.approx((0.9, 0.999))


def test_two_and_two_updates_are_four_with_muon():
    config = OptimizerConfig(kind="muon", average_decay=0.9)
    whole, first, second = Small(), Small(), Small(seed=1)
    taught(whole, Optimizer(whole, config), range(4))
    before, after = Optimizer(first, config), Optimizer(second, config)
    taught(first, before, range(2))
    second.load_state_dict(first.state_dict())
    after.load_state(copy.deepcopy(before.state()))
    taught(second, after, range(2, 4))
    assert all(map(torch.equal, whole.parameters(), second.parameters()))
    assert not any(map(torch.equal, whole.parameters(), first.parameters()))


def test_with_muon_a_gradient_that_is_not_finite_changes_nothing_and_none_stays():
    model = Small()
    optimizer = Optimizer(model, OptimizerConfig(kind="muon"))
    before = [parameter.clone() for parameter in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, math.inf)
    assert not math.isfinite(optimizer.update(0.5))
    assert all(map(torch.equal, before, model.parameters()))
    assert all(parameter.grad is None for parameter in model.parameters())
