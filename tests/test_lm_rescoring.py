import random
from itertools import product

import pytest

from asr.errors import DataError
from asr.lm.rescoring import Scored, Weights, rescore, tune
from asr.metrics import count_errors

LIST = [Scored("the cat sad", -1.0, -0.5), Scored("the cat sat", -1.5, -1.0), Scored("cat sat", -1.5, -1.5)]
NEURAL = [-9.0, -6.0, -5.0]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (Weights(), [("the cat sad", -1.0), ("the cat sat", -1.5), ("cat sat", -1.5)]),
        (Weights(0.5), [("cat sat", -4.0), ("the cat sat", -4.5), ("the cat sad", -5.5)]),
        (Weights(0.5, 1.0), [("the cat sat", -1.5), ("cat sat", -2.0), ("the cat sad", -2.5)]),
        (Weights(0.5, 1.0, 0.5), [("the cat sat", -1.0), ("cat sat", -1.25), ("the cat sad", -2.25)]),
    ],
)
def test_a_list_worked_by_hand(weights, expected):
    assert rescore(LIST, NEURAL, weights) == expected


def test_without_a_weight_everything_stays_as_it_was():
    assert rescore(LIST, NEURAL, Weights(0.0, 1.0, 0.5)) == rescore(LIST, NEURAL, Weights())
    assert tune([LIST], [NEURAL], ["the cat sat"], (0.0,), (0.0, 1.0), (1.0, 0.0)) == (Weights(), 1)


def test_equals_stay_in_their_order():
    assert rescore([Scored("b", 1.0), Scored("a", 1.0)], [0.0, 0.0], Weights(1.0)) == [("b", 1.0), ("a", 1.0)]


def test_tuning_worked_by_hand():
    """Weight 0 hears `sad` (1 error); 0.5 without a word score loses `the` (1); with one it is right."""
    assert tune([LIST], [NEURAL], ["the cat sat"], (0.0, 0.5), (0.0,)) == (Weights(0.0, 0.0), 1)
    assert tune([LIST], [NEURAL], ["the cat sat"], (0.0, 0.5), (0.0, 1.0)) == (Weights(0.5, 1.0), 0)


def test_a_first_language_model_that_misleads_loses_its_share():
    misled = [Scored("the cat sad", -1.0, 0.0), Scored("the cat sat", -1.5, -1.0)]
    assert tune([misled], [[-1.0, -1.0]], ["the cat sat"], (0.5,), (0.0,), (1.0, 0.6)) == (Weights(0.5, 0.0, 1.0), 1)
    assert tune([misled], [[-1.0, -1.0]], ["the cat sat"], (0.5,), (0.0,), (1.0, 0.4)) == (Weights(0.5, 0.0, 0.4), 0)


def test_of_equals_the_smallest_weights_are_taken():
    one = [[Scored("a", 0.0, -1.0)]], [[0.0]], ["a"]
    assert tune(*one, (2.0, 0.5, 1.0), (3.0, -1.0, 1.0))[0] == Weights(0.5, -1.0)
    assert tune(*one)[0] == Weights(0.0, 0.0)


def random_lists(seed, utterances=12):
    chance = random.Random(seed)

    def text():
        return " ".join(chance.choices("abc", k=chance.randint(0, 4)))

    lists = [
        [Scored(text(), chance.uniform(-5, 0), chance.uniform(-3, 0)) for _ in range(chance.randint(1, 5))]
        for _ in range(utterances)
    ]
    neural = [[chance.uniform(-9, 0) for _ in hypotheses] for hypotheses in lists]
    return lists, neural, [text() for _ in range(utterances)]


@pytest.mark.parametrize("seed", range(5))
def test_tuning_finds_what_trying_all_finds(seed):
    lists, neural, references = random_lists(seed)
    grid = (0.0, 0.3, 1.0), (-1.0, 0.0, 1.0), (1.0, 0.5, 0.0)
    weights, fewest = tune(lists, neural, references, *grid)

    def errors(weights):
        best = [rescore(*pair, weights)[0][0] for pair in zip(lists, neural, strict=True)]
        return sum(count_errors(*pair).word_errors for pair in zip(references, best, strict=True))

    assert errors(weights) == fewest == min(errors(Weights(*values)) for values in product(*grid))


def test_each_hypothesis_is_compared_once(monkeypatch):
    compared = []

    def count(reference, hypothesis):
        compared.append(hypothesis)
        return count_errors(reference, hypothesis)

    monkeypatch.setattr("asr.lm.rescoring.count_errors", count)
    lists, neural, references = random_lists(1)
    tune(lists, neural, references)
    assert len(compared) == sum(map(len, lists))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([LIST], [NEURAL], []), "0 references where 1 were expected"),
        (([LIST], [], ["a"]), "0 lists of log-probabilities where 1 were expected"),
        (([LIST], [NEURAL[:2]], ["a"]), "2 log-probabilities of utterance 1 where 3 were expected"),
        (([LIST, []], [NEURAL, []], ["a", "b c"]), "utterance 2, 'b c': no hypothesis"),
    ],
)
def test_what_does_not_belong_together_is_refused(arguments, message):
    with pytest.raises(DataError, match=f"^{message}$"):
        tune(*arguments)


def test_a_list_without_its_scores_is_refused():
    with pytest.raises(DataError, match="2 log-probabilities where 3 were expected"):
        rescore(LIST, NEURAL[:2], Weights())
