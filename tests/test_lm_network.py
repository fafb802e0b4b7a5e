import pytest
import torch

from asr.lm.network import LanguageModelConfig, LanguageNetwork, sentence_log_probabilities

TOKENS = 7


def network(**settings):
    torch.manual_seed(0)
    config = LanguageModelConfig(**{"embedding": 6, "hidden": 6, "layers": 2, **settings})
    return LanguageNetwork(TOKENS, config).eval()


def test_probabilities_sum_to_one():
    log_probabilities, states = network()(torch.randint(0, TOKENS, (3, 5)))
    assert log_probabilities.shape == (3, 5, TOKENS)
    torch.testing.assert_close(log_probabilities.exp().sum(2), torch.ones(3, 5))
    assert [tuple(cells.shape) for _, cells in states] == [(1, 3, 6)] * 2


def test_step_by_step_equals_all_at_once():
    ours, tokens = network(), torch.randint(0, TOKENS, (3, 5))
    whole, states = ours(tokens)[0], None
    for place in range(5):
        step, states = ours(tokens[:, place : place + 1], states)
        torch.testing.assert_close(step[:, 0], whole[:, place], atol=1e-6, rtol=0)


def test_no_token_sees_what_follows():
    ours, tokens = network(), torch.randint(0, TOKENS, (1, 5))
    before = ours(tokens)[0]
    tokens[0, 3] = (tokens[0, 3] + 1) % TOKENS
    after = ours(tokens)[0]
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.equal(before[:, 3], after[:, 3])


@pytest.mark.parametrize(
    ("settings", "matrices"),
    [({}, 1), ({"tie": False}, 2), ({"hidden": 4}, 2)],
)
def test_one_matrix_serves_both_ends_where_the_sizes_allow(settings, matrices):
    ours = network(**settings)
    assert sum(TOKENS in parameter.shape and parameter.dim() == 2 for parameter in ours.parameters()) == matrices
    names = set(ours.state_dict())
    assert ("head" in names) is (matrices == 2)
    log_probabilities, _ = ours(torch.zeros(1, 1, dtype=torch.long))
    assert log_probabilities.shape == (1, 1, TOKENS)


def test_sentences_scored_by_hand():
    """A model to which token t is followed by t + 1 with probability 1/2, and by each of the other four with 1/8."""

    def forward(tokens):
        following = torch.nn.functional.one_hot((tokens + 1) % 5, 5)
        return torch.where(following == 1, 0.5, 0.125).log(), None

    tokens = torch.tensor([[0, 1, 2, 0], [0, 4, 0, 0], [0, 0, 3, 3]])
    found = sentence_log_probabilities(forward, tokens, torch.tensor([3, 2, 1]))
    expected = torch.tensor([0.5 * 0.5 * 0.125, 0.125 * 0.5, 0.125]).log()
    torch.testing.assert_close(found, expected)
