import pytest
import torch

from asr.config import build
from asr.errors import ConfigError
from asr.lm.network import LanguageModelConfig, LanguageNetwork

TOKENS = 7
SHAPES = [{}, {"hidden": 4}, {"bands": (3, 5)}]


def network(**settings):
    torch.manual_seed(0)
    config = LanguageModelConfig(**{"embedding": 6, "hidden": 6, "layers": 2, **settings})
    return LanguageNetwork(TOKENS, config).eval()


@pytest.mark.parametrize("settings", SHAPES)
def test_probabilities_sum_to_one(settings):
    log_probabilities, states = network(**settings).step(torch.randint(0, TOKENS, (3, 5)))
    assert log_probabilities.shape == (3, 5, TOKENS)
    torch.testing.assert_close(log_probabilities.exp().sum(2), torch.ones(3, 5))
    assert [tuple(cells.shape) for _, cells in states] == [(1, 3, settings.get("hidden", 6))] * 2


def test_step_by_step_equals_all_at_once():
    ours, tokens = network(), torch.randint(0, TOKENS, (3, 5))
    whole, states = ours.step(tokens)[0], None
    for place in range(5):
        step, states = ours.step(tokens[:, place : place + 1], states)
        torch.testing.assert_close(step[:, 0], whole[:, place], atol=1e-6, rtol=0)


def test_no_token_sees_what_follows():
    ours, tokens = network(), torch.randint(0, TOKENS, (1, 5))
    before, _ = ours.step(tokens)
    tokens[0, 3] = (tokens[0, 3] + 1) % TOKENS
    after, _ = ours.step(tokens)
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.equal(before[:, 3], after[:, 3])


@pytest.mark.parametrize("settings", SHAPES)
def test_a_sentence_is_as_likely_as_each_of_its_tokens_and_its_end(settings):
    ours, lengths = network(**settings), torch.tensor([4, 2, 1])
    tokens = torch.tensor([[0, 1, 6, 4, 0], [0, 5, 0, 0, 0], [0, 0, 3, 3, 3]])
    steps, _ = ours.step(tokens[:, :-1])
    expected = [
        sum(steps[row, place, tokens[row, place + 1]] for place in range(length))
        for row, length in enumerate(lengths.tolist())
    ]
    torch.testing.assert_close(ours(tokens, lengths), torch.stack(expected))


def test_bands_come_in_order():
    with pytest.raises(ConfigError, match=r"^lm: bands = \[5, 5\]: each must begin behind the one before$"):
        build(LanguageModelConfig, {"bands": [5, 5]}, "lm")
