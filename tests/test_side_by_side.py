import pytest

from asr.costs import Costs
from asr.model import ENCODERS
from asr.scoring.figures import Figures, Results
from asr.side_by_side import Candidate, by_year, draw, page, table


def figures(split, errors, decoding="greedy"):
    """Of 50 words, so that an error is 2 %, and 200 characters; the interval goes 1 % down and 2 % up."""
    wer = errors / 50
    return Figures(
        split, decoding, 0.1, 2, 10, 50, errors, 0, 0, 200, errors, 1, wer - 0.01, wer + 0.02, "utterance", "", ""
    )


def candidate(name, parameters, costs, *scores, seed="1", **model):
    facts = {"Seed": seed, "Licence of the data": "mine", "Parameters": f"{parameters}"}
    settings = {"recipe": f"digits/{name}", "model": {"encoder": name, **model}, "training": {"epochs": 2}}
    return Candidate(name, name, Results("digits", "1.0", "", 1.0, parameters, facts, scores), costs, settings)


LSTM = candidate(
    "lstm", 800_000, Costs(3_200_000, 60.0, 400.0, 100_000_000), figures("a", 5), figures("b", 10), hidden=128
)
RNN = candidate(
    "rnn", 810_000, Costs(3_240_000, 90.0, 300.0, 50_000_000), figures("a", 20), figures("b", 30), hidden=248
)
GRU = candidate("gru", 790_000, Costs(3_160_000, 30.0, 400.0, 0), figures("a", 4), hidden=148)
THREE = [LSTM, RNN, GRU]


def cells(text):
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return {row[0].strip("`"): row[1:] for row in rows}


def test_the_table_worked_by_hand():
    found = cells(table(THREE, ["a", "b"]))
    assert list(found)[2:] == ["rnn", "lstm", "gru"]  # the oldest first
    assert found["variant"][-3:] == ["training speed, lstm = 1", "decoding speed, lstm = 1", "memory, lstm = 1"]
    assert found["rnn"] == [
        "1990",
        ENCODERS["rnn"].mechanism,
        "0.810 M",
        "40.00% (39.00% to 42.00%)",
        "60.00% (59.00% to 62.00%)",
        "12.50%",  # 50 of 400 characters
        "1.50",
        "0.75",
        "0.50",
    ]
    assert found["lstm"][-3:] == ["1.00", "1.00", "1.00"]
    assert found["gru"][3:] == ["8.00% (7.00% to 10.00%)", "", "2.00%", "0.50", "1.00", ""]  # no b, no memory known


def test_the_page_tells_what_differs_and_what_does_not():
    text = page("digits", THREE, ["a", "b"], {"Costs measured on": "a machine"}, "comparison.png")
    assert text.startswith("# Results of digits\n")
    assert "![WER and costs](comparison.png)" in text
    assert "* `rnn`: model.encoder lstm -> rnn; model.hidden 128 -> 248\n" in text
    assert "with 60 in training, 400 in decoding and 100 MB." in text
    assert "by bootstrap over utterances: " in text
    assert "| Licence of the data | mine |" in text
    assert "| Costs measured on | a machine |" in text
    assert "| Parameters |" not in text  # which are not the same
    assert "| Seed | 1 |" in text
    other_seed = candidate("gru", 790_000, GRU.costs, figures("a", 4), seed="2")
    assert "| Seed |" not in page("digits", [LSTM, other_seed], ["a"], {})


def test_a_page_of_one():
    text = page("digits", [LSTM], ["a"], {})
    assert "Settings that differ" not in text
    assert "](" not in text


def test_only_greedy_decoding_is_compared():
    tuned = candidate("lstm", 800_000, LSTM.costs, figures("a", 1, "tuned"), figures("a", 5))
    assert cells(table([tuned], ["a"]))["lstm"][3] == "10.00% (9.00% to 12.00%)"


def test_ratios_that_are_not_known():
    assert GRU.ratio("memory_bytes", LSTM) is None
    assert LSTM.ratio("memory_bytes", GRU) is None
    assert GRU.ratio("training_speed", LSTM) == 0.5


def test_the_same_year_keeps_the_order_of_the_recipe():
    peephole = candidate("lstm_peephole", 800_000, LSTM.costs, figures("a", 5))
    assert [each.name for each in by_year([LSTM, peephole, RNN])] == ["rnn", "lstm", "lstm_peephole"]
    assert [each.name for each in by_year([peephole, LSTM, RNN])] == ["rnn", "lstm_peephole", "lstm"]


def test_a_small_picture(tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "comparison.png"
    assert draw(THREE, ["a", "b"], path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size < 100_000
