import pytest
import torch

from asr.lm.tokens import TokenVectors

TOKENS, WIDTH = 9, 8


def vectors(*bands):
    torch.manual_seed(0)
    made = TokenVectors(TOKENS, WIDTH, bands)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_()
    return made


def test_with_one_band_it_is_a_softmax():
    plain, outputs = vectors(), torch.randn(5, WIDTH)
    expected = (outputs @ plain.vectors[0].T + plain.bias).log_softmax(1)
    torch.testing.assert_close(plain.log_probabilities(outputs), expected)
    assert torch.equal(plain.read(torch.tensor([[2, 4]])), plain.vectors[0][None, [2, 4]])
    assert sum(parameter.numel() for parameter in plain.parameters()) == TOKENS * (WIDTH + 1)


def test_a_rare_token_is_its_band_and_itself_within_it():
    ours, outputs = vectors(4, 6), torch.randn(1, WIDTH)
    first = (outputs @ torch.cat([ours.vectors[0], ours.bands]).T + ours.bias[[0, 1, 2, 3, 9, 10]]).softmax(1)[0]
    rare = (outputs @ ours.widening[1].T @ ours.vectors[2].T + ours.bias[6:9]).softmax(1)[0]
    found = ours.log_probabilities(outputs)[0].exp()
    torch.testing.assert_close(found[:4], first[:4])
    torch.testing.assert_close(found[4:6].sum(), first[4])
    torch.testing.assert_close(found[6:], first[5] * rare)


@pytest.mark.parametrize("bands", [(), (4,), (4, 6), (1, 2, 3), (4, 100)])
def test_a_token_alone_is_as_likely_as_among_all(bands):
    ours, outputs, following = vectors(*bands), torch.randn(TOKENS, WIDTH), torch.randperm(TOKENS)
    everything = ours.log_probabilities(outputs)
    torch.testing.assert_close(everything.exp().sum(1), torch.ones(TOKENS))
    torch.testing.assert_close(ours.log_probability(outputs, following), everything.gather(1, following[:, None])[:, 0])


def test_narrow_vectors_are_widened():
    ours = vectors(4, 6)
    assert [tuple(each.shape) for each in ours.vectors] == [(4, 8), (2, 2), (3, 1)]
    read = ours.read(torch.tensor([[3, 5], [6, 0]]))
    torch.testing.assert_close(read[0, 0], ours.vectors[0][3])
    torch.testing.assert_close(read[0, 1], ours.vectors[1][1] @ ours.widening[0])
    torch.testing.assert_close(read[1, 0], ours.vectors[2][0] @ ours.widening[1])


@pytest.mark.parametrize("following", [[0, 1, 3], [4, 7, 8]])
def test_all_weights_learn_from_what_is_read_and_predicted(following):
    """A band that does not occur gets a gradient of zero, not none: processes that learn together wait for each."""
    ours = vectors(4, 6)
    ours.log_probability(ours.read(torch.tensor(following)), torch.tensor(following)).sum().backward()
    assert all(parameter.grad is not None for parameter in ours.parameters())
    assert ours.bias.grad[following].abs().min() > 0
