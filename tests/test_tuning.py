from dataclasses import replace

import pytest

from asr.decoder import DecodingConfig
from asr.tuning import SKETCH, STEPS, WIDTHS, Tuning

START = DecodingConfig(beam=50, lm_weight=0.6, word_score=0.5)


def decoder(best_weight, best_score, smallest_beam=25):
    """Texts of ten words each, the more of them wrong the further the settings are from the best ones."""
    asked = []

    def decode(config, matrices):
        asked.append((config, len(matrices)))
        distance = abs(config.lm_weight - best_weight) + abs(config.word_score - best_score)
        wrong = min(10, round(4 * distance + (config.beam < smallest_beam)))
        return [" ".join(["no"] * wrong + ["yes"] * (10 - wrong))] * len(matrices)

    return decode, asked


def tuning(decode, utterances=3):
    return Tuning(decode, [None] * utterances, [" ".join(["yes"] * 10)] * utterances)


@pytest.mark.parametrize(("weight", "score"), [(0.6, 0.5), (1.6, 2.5), (0.0, -1.5)])
def test_it_walks_to_the_best_weights(weight, score):
    tried = tuning(decoder(weight, score)[0])
    found = tried.run(START)
    assert found.lm_weight == pytest.approx(weight, abs=STEPS[-1]["lm_weight"])
    assert found.word_score == pytest.approx(score, abs=STEPS[-1]["word_score"])
    assert tried.trial(found).wer == 0


@pytest.mark.parametrize("best", [0.0, 0.35, 0.9])
def test_it_finds_what_the_priors_count(best):
    def decode(config, matrices):
        wrong = min(10, round(10 * abs(config.prior_weight - best)))
        return [" ".join(["no"] * wrong + ["yes"] * (10 - wrong))] * len(matrices)

    assert tuning(decode).run(START).prior_weight == pytest.approx(best, abs=STEPS[-1]["prior_weight"])


def test_the_smallest_beam_that_is_as_good_is_taken():
    assert tuning(decoder(0.6, 0.5, smallest_beam=25)[0]).run(START).beam == 25
    assert tuning(decoder(0.6, 0.5, smallest_beam=0)[0]).run(START).beam == min(WIDTHS["beam"])
    decode, asked = decoder(0.6, 0.5)
    assert tuning(decode).run(replace(START, beam=7)).beam == 25
    assert 7 in {config.beam for config, _ in asked}


def test_the_weights_alone_keep_the_beam():
    decode, asked = decoder(1.0, 0.5)
    assert tuning(decode).weights(START).beam == 50
    assert {config.beam for config, _ in asked} == {50}


def test_a_weight_below_zero_is_never_tried():
    decode, asked = decoder(-0.2, 0.5)
    assert tuning(decode).run(START).lm_weight == 0
    assert min(config.lm_weight for config, _ in asked) == 0


def test_nothing_is_decoded_twice_and_first_only_a_part():
    decode, asked = decoder(1.6, 2.5)
    tuning(decode, utterances=4 * SKETCH).run(START)
    assert len(asked) == len(set(asked))
    assert {count for _, count in asked} == {SKETCH, 4 * SKETCH}
    assert asked[0][1] == SKETCH


def test_where_all_settings_are_alike_the_search_stays():
    found = Tuning(lambda config, matrices: ["yes"], [None], ["yes"]).run(START)
    assert (found.lm_weight, found.word_score) == (START.lm_weight, START.word_score)


def test_each_trial_is_told(capsys):
    tuning(decoder(0.6, 0.5)[0]).run(START)
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith(
        "tune: lm_weight 0.6, word_score 0.5, prior_weight 0, tokens_per_frame 8, beam 50, score_threshold 15: "
        "WER 0.00% on 3 utterances, "
    )


def test_the_narrowest_threshold_that_is_as_good_is_taken():
    def decode(config, matrices):
        return ["yes" if config.score_threshold >= 8 else "no"] * len(matrices)

    assert Tuning(decode, [None], ["yes"]).run(START).score_threshold == 8


def test_the_fewest_tokens_that_are_as_good_are_taken_if_any_may_be():
    def decode(config, matrices):
        return ["yes" if config.tokens_per_frame >= 4 else "no"] * len(matrices)

    assert Tuning(decode, [None], ["yes"]).run(START).tokens_per_frame == 4
    assert Tuning(decode, [None], ["yes"], widths={}).run(START) == START


def test_a_narrower_search_may_cost_an_error_in_a_hundred():
    def decode(config, matrices):
        return [" ".join(["no"] * (100 if config.beam >= 50 else 101) + ["yes"] * 99)] * len(matrices)

    assert Tuning(decode, [None], [" ".join(["yes"] * 199)]).run(START).beam == min(WIDTHS["beam"])
