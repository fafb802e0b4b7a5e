import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from asr.lag.tasks import NOTHING, ORDER_SYMBOLS, REBER_SYMBOLS, TASKS, Batch

LAGS = [8, 10, 23, 60]


def drawn(name, lag, count=200, seed=0):
    return TASKS[name].draw(count, lag, np.random.default_rng(seed))


def words(batch, symbols):
    """What each sequence spells."""
    assert torch.isin(batch.inputs.sum(2), torch.tensor([0.0, 1.0])).all()
    inside = batch.inputs.any(2)
    return [
        "".join(symbols[int(step.argmax())] for step in row[: int(length)])
        for row, length in zip(batch.inputs, inside.sum(1), strict=True)
    ]


@pytest.mark.parametrize("lag", LAGS)
def test_the_sum_of_the_marked_numbers(lag):
    batch = drawn("adding", lag)
    first_places, lengths = set(), set()
    for numbers, marks, targets in zip(*batch.inputs.unbind(2), batch.targets, strict=True):
        (end,) = (~targets.isnan()).nonzero().flatten().tolist()
        first, second = (marks == 1).nonzero().flatten().tolist()
        assert targets[end] == pytest.approx(0.5 + (numbers[first].item() + numbers[second].item()) / 4)
        assert (marks == -1).nonzero().flatten().tolist() == [0, end]
        assert not numbers[end + 1 :].any()
        assert not marks[end + 1 :].any()
        assert numbers.abs().max() <= 1
        assert 1 <= first <= max(lag // 10, 1)
        assert first < second <= max(lag // 2, 2)
        assert end - first >= lag
        first_places.add(first)
        lengths.add(end + 1)
    assert len(lengths) == max(lag // 10, 1) + 1
    assert first_places == set(range(1, max(lag // 10, 1) + 1))
    assert batch.targets[~batch.targets.isnan()].min() < 0.2
    assert batch.targets[~batch.targets.isnan()].max() > 0.8


@pytest.mark.parametrize("lag", LAGS)
def test_the_order_of_two_symbols(lag):
    batch = drawn("order", lag)
    seen = set()
    for word, targets, legal in zip(words(batch, ORDER_SYMBOLS), batch.targets.tolist(), batch.legal, strict=True):
        assert word[0] == "E"
        assert word.index("B") == len(word) - 1
        places = [place for place, symbol in enumerate(word) if symbol in "XY"]
        kind = ["XX", "XY", "YX", "YY"].index("".join(word[place] for place in places))
        assert len(places) == 2
        assert len(word) - 1 - places[0] >= lag
        expected = [NOTHING] * len(targets)
        expected[len(word) - 1] = kind
        assert targets == expected
        assert legal[len(word) - 1].tolist() == [number == kind for number in range(4)]
        assert legal.sum() == 4 * len(targets) - 3
        seen.add(kind)
    assert seen == {0, 1, 2, 3}


def nodes_after(prefix):
    """The nodes of Reber's grammar that a prefix may lead to, from the drawing in the paper, arc by arc."""
    arcs = ["0B1", "1T2", "1P3", "2S2", "2X4", "3T3", "3V5", "4X3", "4S6", "5P4", "5V6", "6E7"]
    nodes = {"0"}
    for symbol in prefix:
        nodes = {arc[2] for arc in arcs if arc[0] in nodes and arc[1] == symbol}
    return nodes, {arc[1] for arc in arcs if arc[0] in nodes}


def legal_after(prefix):
    """What may follow the beginning of an embedded string."""
    if len(prefix) == 1:
        return {"T", "P"}
    inner = prefix[2:]
    if "E" not in inner:
        return nodes_after(inner)[1]
    return {prefix[1]} if inner.endswith("E") else {"E"}


def test_the_slow_grammar_knows_the_strings_of_the_paper():
    assert legal_after("BT") == {"B"}
    assert legal_after("BTB") == {"T", "P"}
    assert legal_after("BTBPVV") == {"E"}
    assert legal_after("BPBTSX") == {"X", "S"}
    assert legal_after("BPBTSXSE") == {"P"}
    assert legal_after("BPBTSXSEP") == {"E"}
    assert nodes_after("BTSSXXTTVPXVVE") == ({"7"}, set())
    assert nodes_after("BTT") == (set(), set())


@pytest.mark.parametrize("lag", LAGS)
def test_strings_of_the_embedded_grammar(lag):
    batch = drawn("reber", lag)
    seen, lags = set(), set()
    for word, targets, legal in zip(words(batch, REBER_SYMBOLS), batch.targets.tolist(), batch.legal, strict=True):
        whole = word + REBER_SYMBOLS[targets[len(word) - 1]]
        assert whole[0] == "B"
        assert whole[1] == whole[-2]
        assert whole[-1] == "E"
        assert nodes_after(whole[2:-2])[0] == {"7"}
        for step, target in enumerate(targets):
            may_come = {symbol for symbol, right in zip(REBER_SYMBOLS, legal[step], strict=True) if right}
            if step < len(word):
                assert REBER_SYMBOLS[target] == whole[step + 1]
                assert may_come == legal_after(whole[: step + 1]), whole[: step + 1]
            else:
                assert target == NOTHING
                assert len(may_come) == 7
        seen |= set(whole[1])
        lags.add(len(whole) - 4)
    assert seen == {"T", "P"}
    assert min(lags) == lag
    assert len(lags) > 3


@pytest.mark.parametrize("name", TASKS)
def test_the_same_seed_gives_the_same_sequences(name):
    one, same, other = drawn(name, 20), drawn(name, 20), drawn(name, 20, seed=1)
    assert torch.equal(one.inputs, same.inputs)
    assert torch.equal(one.legal, same.legal)
    assert torch.equal(one.targets.nan_to_num(9), same.targets.nan_to_num(9))
    assert one.inputs.shape != other.inputs.shape or not torch.equal(one.inputs, other.inputs)
    assert one.inputs.shape[2] == TASKS[name].inputs
    assert one.legal.shape[2] == TASKS[name].outputs


def test_a_sum_is_right_within_0_04():
    targets = torch.tensor([[torch.nan, 0.5], [torch.nan, 0.5], [0.5, torch.nan], [0.5, torch.nan]])
    outputs = torch.tensor([[9.0, 0.53], [9.0, 0.55], [0.47, torch.nan], [torch.nan, 9.0]])[..., None]
    batch = Batch(torch.zeros(4, 2, 2), targets, torch.ones(4, 2, 1).bool())
    assert TASKS["adding"].right(outputs, batch).tolist() == [True, False, True, False]
    assert TASKS["adding"].loss(outputs[:2], Batch(batch.inputs[:2], targets[:2], batch.legal[:2])).item() == (
        pytest.approx((0.03**2 + 0.05**2) / 2)
    )


@pytest.mark.parametrize("name", ["order", "reber"])
def test_a_sequence_is_right_when_every_symbol_is(name):
    batch = drawn(name, 10, count=50)
    told = one_hot(batch.targets.clamp(min=0), TASKS[name].outputs).float()
    assert TASKS[name].right(told, batch).all()
    assert TASKS[name].loss(100 * told, batch) < 1e-6
    asked = batch.targets != NOTHING
    last = asked.shape[1] - 1 - asked.flip(1).int().argmax(1)
    rows = torch.arange(50)
    told[rows, last] = 1 - batch.legal[rows, last].float()
    assert not TASKS[name].right(told, batch).any()
