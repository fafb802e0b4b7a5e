import math

import pytest
import torch
from torch import nn

from asr.optimizer import Optimizer, OptimizerConfig, learning_rate, momentum


def one_weight(config: OptimizerConfig, value: float = 0.0) -> tuple[nn.Parameter, Optimizer]:
    weight = nn.Parameter(torch.tensor([value]))
    return weight, Optimizer([weight], config)


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
