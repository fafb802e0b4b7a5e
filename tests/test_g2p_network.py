import pytest
import torch

from asr.g2p.network import G2PConfig, PronunciationNetwork, pronunciation_losses

LETTERS, PHONES = 5, 3


def network(**settings):
    torch.manual_seed(0)
    sizes = {"embedding": 4, "hidden": 5, "decoder_hidden": 6, "layers": 2}
    return PronunciationNetwork(LETTERS, PHONES, G2PConfig(**{**sizes, **settings})).eval()


def batch(lengths=(4, 1, 3), phones=5):
    torch.manual_seed(1)
    letters = torch.randint(0, LETTERS, (len(lengths), max(lengths)))
    return letters, torch.tensor(lengths), torch.randint(0, PHONES + 1, (len(lengths), phones))


def test_probabilities_sum_to_one():
    log_probabilities = network()(*batch())
    assert log_probabilities.shape == (3, 5, PHONES + 1)
    torch.testing.assert_close(log_probabilities.exp().sum(2), torch.ones(3, 5))


@pytest.mark.parametrize("layers", [1, 2])
def test_a_batch_gives_what_its_words_give_one_by_one(layers):
    ours, (letters, lengths, phones) = network(layers=layers), batch()
    together = ours(letters, lengths, phones)
    for number, length in enumerate(lengths.tolist()):
        alone = ours(letters[number, :length][None], lengths[number][None], phones[number][None])
        torch.testing.assert_close(together[number], alone[0], atol=1e-6, rtol=0)


def test_step_by_step_equals_all_at_once():
    ours, (letters, lengths, phones) = network(), batch()
    words, state = ours.read(letters, lengths)
    steps = []
    for place in range(phones.shape[1]):
        outputs, state = ours.decoder(ours.phones(phones[:, place])[:, None], state)
        steps.append(ours.foretell(words, outputs))
    torch.testing.assert_close(torch.cat(steps, dim=1), ours(letters, lengths, phones), atol=1e-6, rtol=0)


def test_what_follows_is_foretold_by_the_equations_of_the_paper():
    """Luong et al. 2015, equations 5 to 8 with the score "general", one phone of one word at a time."""
    ours, (letters, lengths, phones) = network(), batch()
    words, state = ours.read(letters, lengths)
    decoded, _ = ours.decoder(ours.phones(phones), state)
    found = ours.foretell(words, decoded)
    for number, length in enumerate(lengths.tolist()):
        for place in range(phones.shape[1]):
            state_now, letters_read = decoded[number, place], words.outputs[number, :length]
            scores = torch.stack([ours.query.weight @ state_now @ source for source in letters_read])
            weights = scores.exp() / scores.exp().sum()
            context = sum(weight * source for weight, source in zip(weights, letters_read, strict=True))
            seen = torch.tanh(ours.combine.weight @ torch.cat([context, state_now]) + ours.combine.bias)
            expected = (ours.head.weight @ seen + ours.head.bias).log_softmax(0)
            torch.testing.assert_close(found[number, place], expected, atol=1e-5, rtol=0)


def test_the_decoder_begins_with_the_whole_word():
    """Another last letter makes another first state, and padding makes none."""
    ours, (letters, lengths, _) = network(), batch()
    _, (first, cells) = ours.read(letters, lengths)
    changed = letters.clone()
    changed[0, 3] = (letters[0, 3] + 1) % LETTERS
    changed[1, 1:] = (letters[1, 1:] + 1) % LETTERS  # beyond its one letter
    _, (other, _) = ours.read(changed, lengths)
    assert (first[0, 0] - other[0, 0]).abs().max() > 1e-4
    torch.testing.assert_close(first[0, 1:], other[0, 1:], atol=1e-6, rtol=0)
    assert not cells.any()


def test_all_weights_learn():
    ours, (letters, lengths, phones) = network(), batch()
    ours(letters, lengths, phones)[..., 1].sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in ours.parameters())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_losses_are_the_cross_entropy_of_what_counts(smoothing):
    torch.manual_seed(2)
    log_probabilities, phones = torch.randn(3, 5, 4).log_softmax(2), torch.randint(0, 4, (3, 5))
    losses = pronunciation_losses(log_probabilities, phones, torch.tensor([5, 1, 3]), smoothing)
    for number, length in enumerate((5, 1, 3)):
        expected = torch.nn.functional.cross_entropy(
            log_probabilities[number, :length], phones[number, :length], reduction="sum", label_smoothing=smoothing
        )
        torch.testing.assert_close(losses[number], expected)


def test_dropout_is_for_training_alone():
    ours, words = network(dropout=0.5), batch()
    assert torch.equal(ours(*words), ours(*words))
    ours.train()
    assert not torch.equal(ours(*words), ours(*words))
