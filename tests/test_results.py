import csv
import io
import json

import pytest
from conftest import status_of
from test_architecture import modules_loaded_by
from test_scoring_figures import figures, results

from asr.errors import DataError
from asr.files import digest, write_json, write_json_lines
from asr.results import Row, collect, shown
from asr.scoring.figures import write_results

FACTS = {
    "Seed": "1",
    "Training time": "7 min",
    "Hardware": "cpu",
    "Commit": "f00",
    "Language model": "lm.arpa.gz",
    "Scored on": "2026-01-31",
}


def experiment(folder, *scores, weights=b"weights", **changes):
    """An experiment that was scored."""
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "weights.safetensors").write_bytes(weights)
    made_with = digest(folder / "model" / "weights.safetensors")
    write_results(folder / "results.json", results(*scores, weights=made_with, facts=FACTS, **changes))
    return folder


@pytest.fixture
def exp(tmp_path):
    """Two experiments, one within the other's folder as variants are, and what looks like one and is none."""
    family = experiment(tmp_path / "fsdd", figures(), figures(decoding="beam", deletions=0, wer_high=None))
    experiment(family / "small", figures(insertions=0), figures(split="dev", words=40))
    write_results(family / "model" / "results.json", results(figures()))
    write_results(family / "model.previous" / "results.json", results(figures()))
    (tmp_path / ".hidden").mkdir()
    write_results(tmp_path / ".hidden" / "results.json", results(figures()))
    return tmp_path


def test_all_experiments_by_split_and_wer(exp):
    rows, errors = collect([exp])
    assert not errors
    assert [(row.experiment, row.split, row.decoding, row.wer) for row in rows] == [
        ("fsdd/small", "dev", "greedy", 0.1),
        ("fsdd", "test", "beam", 0.1),
        ("fsdd/small", "test", "greedy", 0.15),
        ("fsdd", "test", "greedy", 0.2),
    ]
    beam, greedy = rows[1], rows[3]
    assert (beam.language_model, greedy.language_model) == ("lm.arpa.gz", "none")
    assert (greedy.low, greedy.high, greedy.cer, greedy.errors, greedy.words) == (0.1, 0.305, 0.1, 4, 20)
    assert (greedy.training_hours, greedy.parameters) == (1.5, 866765)
    assert (greedy.training_time, greedy.hardware) == ("7 min", "cpu")
    assert (greedy.seed, greedy.commit, greedy.scored_on, greedy.remark) == ("1", "f00", "2026-01-31", "")


def test_one_split(exp):
    rows, _ = collect([exp], "dev")
    assert [row.experiment for row in rows] == ["fsdd/small"]
    with pytest.raises(
        DataError, match="--split tset: no experiment has results of it; there are results of dev, test"
    ):
        collect([exp], "tset")


def test_names_when_folders_are_named(exp):
    assert {row.experiment for row in collect([exp / "fsdd" / "small"])[0]} == {"small"}
    twice, _ = collect([exp / "fsdd", exp / "fsdd" / "small"])
    assert {row.experiment for row in twice} == {str(exp / "fsdd"), str(exp / "fsdd" / "small")}
    assert len(twice) == 4
    assert {row.experiment for row in collect([exp / "fsdd" / "model"])[0]} == {"model"}


def test_links_are_followed_once(exp):
    (exp / "link").symlink_to(exp / "fsdd")
    (exp / "fsdd" / "loop").symlink_to(exp)
    assert len(collect([exp])[0]) == 4


def test_an_experiment_without_results_says_how_far_it_has_come(tmp_path):
    for name in ("prepared", "trained", "older"):
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / "stages.json", {})
    epochs = [{"epoch": 1, "dev_wer": 0.5}, {"epoch": 2, "dev_wer": 0.25, "kept": True}, {"epoch": 3, "dev_wer": 0.75}]
    write_json_lines(tmp_path / "trained" / "training" / "history.jsonl", epochs)
    write_json_lines(tmp_path / "trained-before" / "training" / "history.jsonl", [{"epoch": 1, "dev_wer": 0.5}])
    write_json(tmp_path / "trained-before" / "stages.json", {})
    write_json(tmp_path / "older" / "score" / "test.json", {"wer": 0.5})
    rows, errors = collect([tmp_path])
    assert not errors
    assert rows == [
        Row("older", remark="scored by an earlier version: score again with --force"),
        Row("prepared", remark="not trained yet"),
        Row("trained", remark="not scored yet; WER on dev 25.00%, epoch 2"),
        Row("trained-before", remark="not scored yet"),
    ]


def test_results_of_another_model_are_told(exp):
    (exp / "fsdd" / "model" / "weights.safetensors").write_bytes(b"trained again")
    rows, _ = collect([exp])
    assert {row.experiment for row in rows if row.remark == "the model has changed since: score again"} == {"fsdd"}


def test_a_damaged_one_does_not_hide_the_others(exp, capsys):
    (exp / "fsdd" / "results.json").write_text('{"scores": [')
    rows, (error,) = collect([exp])
    assert str(error).startswith(f"{exp / 'fsdd' / 'results.json'}: ")
    assert len(rows) == 2
    assert status_of("results", exp) == 1
    out, err = capsys.readouterr()
    assert err.startswith(f"asr: {exp / 'fsdd' / 'results.json'}: ")
    assert err.count("\n") == 1
    assert out.count("fsdd/small") == 2


def test_no_folder_and_no_experiment(tmp_path):
    with pytest.raises(DataError, match=f"{tmp_path}/none: no such folder"):
        collect([tmp_path / "none"])
    with pytest.raises(DataError, match=f"{tmp_path}: no experiments"):
        collect([tmp_path])


def test_markdown(exp, capsys):
    assert status_of("results", exp, "--split", "test") == 0  # not a terminal: Markdown
    lines = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert cells[0][:6] == ["experiment", "split", "decoding", "WER", "95 % interval", "CER"]
    assert len(set(map(len, lines))) == len(set(map(len, cells))) == 1
    assert " ".join(cells[2]) == (
        "fsdd test beam 10.00% 10.00% to inf% 10.00% 20 1.50 0.87 M lm.arpa.gz 1 7 min cpu f00 2026-01-31 "
    )


def test_csv_has_every_figure_unrounded(exp):
    rows, _ = collect([exp])
    table = list(csv.DictReader(io.StringIO(shown(rows, "csv"))))
    assert [float(line["wer"]) for line in table] == [row.wer for row in rows]
    assert table[1]["high"] == "inf"
    assert table[0]["parameters"] == "866765"


def test_json_has_every_figure_and_no_infinity(exp, capsys):
    assert status_of("results", exp, "--format", "json") == 0
    table = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert [line["wer"] for line in table] == [0.1, 0.1, 0.15, 0.2]
    assert (table[1]["high"], table[1]["errors"], table[1]["remark"]) == (None, 2, None)


@pytest.mark.parametrize("width", [66, 80, 100, 200])
def test_a_table_fits_its_terminal(exp, width):
    (exp / "new").mkdir()
    write_json(exp / "new" / "stages.json", {})
    lines = shown(collect([exp])[0], "table", width).splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0].split()[:4] == ["experiment", "split", "decoding", "WER"]
    assert len(lines) == 6
    assert lines[2].split()[:4] == ["fsdd", "test", "beam", "10.00%"]
    assert lines[-1] == "new: not trained yet"
    assert ("commit" in lines[0]) == (width == 200)
    assert ("language model" in lines[0]) == (width >= 80)


def test_a_table_of_remarks_alone():
    assert shown([Row("new", remark="not trained yet")], "table", 80) == "new: not trained yet\n"


def test_the_command_is_quick_to_start(exp):
    code = f"import cli\ntry: cli.main(['results', {str(exp)!r}])\nexcept SystemExit: pass"
    loaded = modules_loaded_by(code)
    assert "asr.results" in loaded
    assert "torch" not in loaded
