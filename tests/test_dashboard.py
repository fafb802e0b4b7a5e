import io
import re
import sys
import time

import pytest
from rich.console import Console
from rich.errors import LiveError

from asr import dashboard, progress
from asr.dashboard import Dashboard, epoch_line, kept_epoch, step_line
from asr.progress import bar, say

FIGURES = {
    "epoch": 3,
    "epochs": 30,
    "step": 17,
    "steps": 120,
    "loss": 1.2341,
    "learning_rate": 9.8e-4,
    "gradient_norm": 1.3,
    "blank_share": 0.83,
    "hours_per_s": 0.0317,
    "times_real_time": 114.1,
    "waiting_share": 0.02,
    "left_s": 720.0,
}


def record(epoch: int, wer: float = 0.213, **others: float) -> dict[str, float]:
    some = {"steps": 120, "loss": 1.234, "learning_rate": 9.8e-4, "gradient_norm": 1.3, "blank_share": 0.83}
    rates = {"dev_wer": wer, "dev_cer": wer / 2, "infeasible": 0, "skipped": 0, "seconds": 62.1, "memory_gb": 1.9}
    speed = {"hours_per_s": 0.0317, "times_real_time": 114.1, "waiting_share": 0.02}
    return {"epoch": epoch, **some, **rates, **speed, **others}


def seen(output: str) -> list[str]:
    """The lines on a terminal after this output: what was erased or written over is gone."""
    lines, row, column = [""], 0, 0
    for code, end, letters in re.findall(r"\x1b\[([?\d;]*)([A-Za-z])|([^\x1b])", output):
        if letters == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif letters == "\r":
            column = 0
        elif letters:
            lines[row] = lines[row][:column].ljust(column) + letters + lines[row][column + 1 :]
            column += 1
        elif end == "A":
            row -= int(code)
            assert row >= 0
        elif end == "K":
            lines[row] = ""
    return "\n".join(line.rstrip() for line in lines).rstrip("\n").split("\n")


def test_the_screen_of_these_tests_has_a_test():
    assert seen("one\ntwo\x1b[1mbold\x1b[0m\n") == ["one", "twobold"]
    assert seen("one\ntwo\nthree\r\x1b[2K\x1b[1A\x1b[2Knew\nx") == ["one", "new", "x"]
    assert seen("long line\rshort") == ["shortline"]


@pytest.fixture
def make_terminal(monkeypatch):
    """Puts a terminal of some size before the user; returns what it shows, line by line."""

    def make(width: int = 100, height: int = 24):
        stream = io.StringIO()
        screen = Console(file=stream, force_terminal=True, width=width, height=height, highlight=False)
        monkeypatch.setattr(progress, "console", lambda: screen)
        monkeypatch.setattr(dashboard, "console", lambda: screen)
        return lambda: seen(stream.getvalue())

    return make


def drawn(board: Dashboard, width: int, height: int = 24) -> list[str]:
    """What the board shows at this moment."""
    screen = Console(file=io.StringIO(), force_terminal=True, width=width, height=height, highlight=False)
    screen.print(board)
    return seen(screen.file.getvalue())


# plain lines


def test_a_line_about_the_steps():
    assert step_line({**FIGURES, "seconds": 31.2}) == (
        "epoch 3/30, step 17/120: loss 1.234, learning rate 9.8e-04, gradient 1.30, blank 83 %, "
        "114x real time (0.0317 h/s), waiting for data 2 %, 12 min left"
    )
    assert step_line({"epoch": 1, "epochs": 2, "step": 3, "steps": 4, "loss": 5, "left_s": None}) == (
        "epoch 1/2, step 3/4: loss 5.000"
    )


def test_a_line_about_an_epoch():
    line = (
        "epoch 3/30: loss 1.234, dev WER 21.30%, CER 10.65%, learning rate 9.8e-04, gradient 1.30, blank 83 %, 62 s, "
        "114x real time (0.0317 h/s), waiting for data 2 %"
    )
    assert epoch_line(record(3), 30) == line
    assert epoch_line(record(3, skipped=2), 30) == f"{line}, 2 steps skipped"
    assert epoch_line(record(3, skipped=1, infeasible=4), 30) == (
        f"{line}, 1 step skipped, 4 utterances too short for CTC"
    )
    old = {"epoch": 3, "loss": float("nan"), "dev_wer": 1.256, "seconds": 0.4, "times_real_time": 0.83}
    assert epoch_line(old, 30) == ("epoch 3/30: loss nan, dev WER 125.60%, 0 s, 0.8x real time (0.000231 h/s)")


@pytest.mark.parametrize(
    ("left_s", "words"),
    [(0, "0 s"), (45.4, "45 s"), (99, "99 s"), (100, "2 min"), (720, "12 min"), (5939, "99 min"), (11520, "3.2 h")],
)
def test_the_time_left_in_words(left_s, words):
    assert step_line({**FIGURES, "left_s": left_s}).endswith(f"waiting for data 2 %, {words} left")


def test_where_nobody_watches_there_is_a_line_an_epoch(capsys):
    with Dashboard(2) as board:
        for epoch in (1, 2):
            for step in range(1, 6):
                board.step({**FIGURES, "epoch": epoch, "step": step})
            board.epoch(record(epoch))
    assert capsys.readouterr() == ("", f"{epoch_line(record(1), 2)}\n{epoch_line(record(2), 2)}\n")


def test_and_a_line_now_and_then_about_the_steps(capsys, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with Dashboard(30, line_every_s=60) as board:
        for step in range(1, 8):
            now += 25
            board.step({**FIGURES, "step": step})
        board.epoch(record(3))
        now += 55
        board.step({**FIGURES, "epoch": 4, "step": 1})  # too early after the line about the epoch
    places = [line.split(":")[0] for line in capsys.readouterr().err.splitlines()]
    assert places == ["epoch 3/30, step 3/120", "epoch 3/30, step 6/120", "epoch 3/30"]


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(capsys, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    stream = io.StringIO()
    screen = Console(file=stream, force_terminal=True, width=100)
    monkeypatch.setattr(progress, "console", lambda: screen)
    monkeypatch.setattr(dashboard, "console", lambda: screen)
    with Dashboard(1) as board:
        board.step(FIGURES)
        board.epoch(record(1))
    assert stream.getvalue().startswith("epoch 1/1: loss 1.234,")
    assert stream.getvalue().count("\n") == 1


def test_a_process_told_to_be_quiet_is(make_terminal, capsys):
    screen = make_terminal()
    dashboard.console().quiet = True
    with Dashboard(1) as board:
        print("what others write stays", file=sys.stderr)
        board.step(FIGURES)
        board.epoch(record(1, waiting_share=0.9))
    assert screen() == [""]
    assert capsys.readouterr().err == "what others write stays\n"


# advice


ADVICE = (
    "advice: 45 % of the time went into waiting for data: raise training.workers, or training.keep_hours so that "
    "recordings stay in memory"
)


def test_waiting_much_brings_advice_once(capsys):
    with Dashboard(5) as board:
        board.step({**FIGURES, "waiting_share": 0.9})  # the first steps wait for what comes once
        board.epoch(record(1, waiting_share=0.30))
        assert "advice" not in capsys.readouterr().err
        board.epoch(record(2, waiting_share=0.45))
        assert capsys.readouterr().err.splitlines()[1:] == [ADVICE]
        board.epoch(record(3, waiting_share=0.5))
    assert "advice" not in capsys.readouterr().err


def test_a_training_that_goes_on_was_advised_before(capsys):
    with Dashboard(5, [record(1, waiting_share=0.45), {"epoch": 2}]) as board:
        board.epoch(record(3, waiting_share=0.45))
    assert "advice" not in capsys.readouterr().err


# at a terminal


def test_the_epoch_that_is_kept():
    first, worse, last = record(1, 0.3, kept=True), record(2, 0.4, kept=False), record(3, 0.3, kept=True)
    assert kept_epoch([]) is None
    assert kept_epoch([{"epoch": 1, "loss": 2.0}]) is None
    assert kept_epoch([first, worse]) is first
    assert kept_epoch([first, worse, last, {"epoch": 4}]) is last


def test_a_table_stays_on_the_terminal_at_the_end(make_terminal):
    screen = make_terminal()
    with Dashboard(3) as board:
        for epoch, wer in ((1, 1.25), (2, 0.5), (3, 0.75)):
            board.step({**FIGURES, "epoch": epoch, "step": 1})
            board.epoch(record(epoch, wer, skipped=2 * (epoch == 3), infeasible=4 * (epoch == 2), kept=epoch < 3))
    assert screen() == [
        "epoch   loss  dev WER     CER  learning rate  speed  time",
        "    1  1.234  125.00%  62.50%        9.8e-04   114x  1:02",
        "    2  1.234   50.00%  25.00%        9.8e-04   114x  1:02  kept, 4 too short",
        "    3  1.234   75.00%  37.50%        9.8e-04   114x  1:02  2 skipped",
    ]


def test_the_epoch_that_runs_is_the_last_row_and_has_a_bar(make_terminal, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    make_terminal()
    board = Dashboard(30, [record(1), record(2)])
    assert drawn(board, 100)[-1].startswith("epoch 3/30  ━")
    assert drawn(board, 100)[-1].endswith("━  waiting for the first batch")
    now += 4
    board.step({**FIGURES, "step": 20})
    assert drawn(board, 100)[-2].endswith("  20/120  left: training 12 min")
    now += 61
    board.step({**FIGURES, "step": 60})
    *_, row, empty, line, remarks = drawn(board, 100)
    assert row == "    3  1.234                         9.8e-04   114x  1:05"
    assert empty == ""
    assert re.fullmatch("epoch 3/30  ━+[╸╺]?━+  60/120  left: 92 s, training 12 min", line)
    assert remarks == "gradient 1.30, blank 83 %, 114x real time (0.0317 h/s), waiting for data 2 %"
    board.step({**FIGURES, "step": 120})
    assert drawn(board, 100)[-2].endswith("━  120/120  scoring dev")
    board.epoch(record(3))
    assert drawn(board, 100)[-1].startswith("epoch 4/30")


def test_a_broken_off_epoch_is_in_the_table_that_stays(make_terminal, monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    screen = make_terminal()
    with pytest.raises(KeyboardInterrupt), Dashboard(30, [record(1), record(2)]) as board:
        board.step(FIGURES)
        raise KeyboardInterrupt
    assert screen()[-1] == "    3  1.234                         9.8e-04   114x  0:00"
    assert len(screen()) == 4


def test_only_the_last_epochs_and_the_kept_while_it_runs_but_all_at_the_end(make_terminal):
    screen = make_terminal()
    history = [record(epoch, kept=epoch <= 2) for epoch in range(1, 30)]
    with Dashboard(30, history) as board:
        shown = [line.split()[0] for line in drawn(board, 100)[1:-2]]
        assert shown == ["2", *(str(epoch) for epoch in range(22, 30))]
        board.epoch(record(30))
    assert [line.split()[0] for line in screen()[1:]] == [str(epoch) for epoch in range(1, 31)]


@pytest.mark.parametrize("height", [10, 12, 16, 24, 60])
@pytest.mark.parametrize("width", [60, 80, 200])
def test_it_fits_the_terminal(make_terminal, width, height):
    make_terminal(width, height)
    board = Dashboard(300, [record(epoch, 9.0 / epoch, skipped=epoch % 2, kept=True) for epoch in range(1, 150)])
    board.step({**FIGURES, "epoch": 150, "epochs": 300, "step": 1700, "steps": 12000})
    time.sleep(0.01)
    board.step({**FIGURES, "epoch": 150, "epochs": 300, "step": 1701, "steps": 12000})
    lines = drawn(board, width, height)
    assert max(map(len, lines)) <= width
    assert len(lines) < height
    text = "\n".join(lines)
    assert "…" not in text
    assert "dev WER" in text
    assert "6.04%  3.02%" in text
    assert "kept, 1 skipped" in text
    assert ("learning rate" in text) == (width > 60)
    assert re.search("epoch 150/300  .*  1701/12000  left: .*, training 12 min", text)


def test_records_of_an_earlier_version_are_shown_as_far_as_they_go(make_terminal, monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    screen = make_terminal()
    with Dashboard(4, [{"epoch": 1}, {"epoch": 2, "loss": None, "dev_wer": 0.5}]) as board:
        board.epoch({"epoch": 3, "dev_wer": 0.25, "kept": True, "times_real_time": float("inf"), "seconds": 3723.4})
        board.step({"epoch": 4, "epochs": 4, "step": 1, "steps": 2})
    assert screen()[1:] == [
        "    1",
        "    2         50.00%",
        "    3         25.00%                       infx  1:02:03  kept",
        "    4                                               0:00",
    ]


def test_what_others_say_appears_above(make_terminal):
    screen = make_terminal()
    with Dashboard(2) as board:
        for epoch in (1, 2):
            for step in (1, 2):
                board.step({**FIGURES, "epoch": epoch, "step": step})
                say(f"warning: [1, 2] in step {step} " + "long " * 30)
            board.epoch(record(epoch, 1 / epoch, waiting_share=0.45))
    text = "\n".join(screen())
    said = [f"warning: [1, 2] in step {step} " + "long " * 29 + "long\n" for step in (1, 2)]
    assert text.startswith("".join(said) + ADVICE + "\n" + "".join(said) + "epoch   loss")
    assert text.count("epoch   loss") == 1
    assert len(screen()) == 8


def test_stdout_is_none_of_its_business(make_terminal, capsys):
    screen = make_terminal()
    with Dashboard(1):
        print("data")
    assert capsys.readouterr().out == "data\n"
    assert "data" not in "\n".join(screen())


@pytest.mark.parametrize("one_at_a_time", [False, True])
def test_a_bar_within_it_breaks_nothing(make_terminal, monkeypatch, one_at_a_time):
    screen = make_terminal()
    if one_at_a_time:  # as Rich before 14.1
        first = []
        set_live, clear_live = Console.set_live, Console.clear_live

        def only_one(console, live):
            if first:
                raise LiveError("Only one live display may be active at once")
            first.append(live)
            return set_live(console, live)

        monkeypatch.setattr(Console, "set_live", only_one)
        monkeypatch.setattr(Console, "clear_live", lambda console: (first.clear(), clear_live(console))[1])
    with Dashboard(2) as board:
        for epoch in (1, 2):
            board.step({**FIGURES, "epoch": epoch})
            with bar("reading recordings", 2) as advance:
                advance(1)
                say(f"line {epoch}")
                advance(1)
            board.epoch(record(epoch))
    assert [line.split("  ")[0] for line in screen()] == ["line 1", "line 2", "epoch", "", ""]
    assert len(screen()) == 5
    with bar("afterwards", 1) as advance:
        advance()
    assert len(screen()) == 5


def test_within_a_bar_it_falls_back_to_lines_where_rich_shows_one_thing(make_terminal, monkeypatch):
    screen = make_terminal(200)

    def refuse(console, live):
        raise LiveError("Only one live display may be active at once")

    monkeypatch.setattr(Console, "set_live", refuse)
    with Dashboard(2) as board:
        board.step(FIGURES)
        board.epoch(record(1))
    assert screen() == [epoch_line(record(1), 2)]


def test_a_step_is_cheap(make_terminal):
    """So cheap that nobody needs to think about when to call it: the steps of a small model take 10 ms."""
    make_terminal()
    with Dashboard(30) as board:
        began = time.process_time()
        for step in range(1, 1001):
            board.step({**FIGURES, "step": step})
        assert (time.process_time() - began) / 1000 < 1e-4


# text


def text_record(epoch: int, perplexity: float) -> dict[str, float]:
    figures = {"loss": 5.1, "learning_rate": 1e-3, "seconds": 62.1, "tokens_per_s": 3141.5, "waiting_share": 0.01}
    return {"epoch": epoch, "dev_perplexity": perplexity, **figures}


def test_a_language_model_has_lines_of_its_own():
    assert epoch_line(text_record(2, 151.234), 5) == (
        "epoch 2/5: loss 5.100, dev perplexity 151.23, learning rate 1.0e-03, 62 s, 3142 tokens/s, waiting for data 1 %"
    )


def test_a_language_model_has_a_table_of_its_own(make_terminal):
    screen = make_terminal()
    with Dashboard(2) as board:
        board.step({"epoch": 1, "epochs": 2, "step": 1, "steps": 9, "loss": 6.0, "tokens_per_s": 3000.0})
        assert drawn(board, 100)[0] == "epoch   loss  dev perplexity  learning rate  tokens/s  time"
        board.epoch({**text_record(1, 151.2), "kept": True})
        board.epoch({**text_record(2, 162.3), "kept": False})
    assert screen() == [
        "epoch   loss  dev perplexity  learning rate  tokens/s  time",
        "    1  5.100          151.20        1.0e-03      3142  1:02  kept",
        "    2  5.100          162.30        1.0e-03      3142  1:02",
    ]


def test_a_language_model_gets_no_advice_on_recordings(capsys):
    with Dashboard(2) as board:
        board.epoch({**text_record(1, 9.0), "waiting_share": 0.9})
    assert "advice" not in capsys.readouterr().err


def word_record(epoch: int, per: float, wer: float) -> dict[str, float]:
    rates = {"dev_per": per, "dev_wer": wer, "dev_seconds": 2.0}
    return {"epoch": epoch, "loss": 0.5, "learning_rate": 1e-3, **rates, "tokens_per_s": 3142.0, "seconds": 62.1}


def test_a_pronunciation_model_has_a_table_of_its_own(make_terminal):
    screen = make_terminal()
    with Dashboard(2) as board:
        board.epoch(word_record(1, 0.08, 0.31))
        board.epoch({**word_record(2, 0.07, 0.32), "kept": True})
    assert screen() == [
        "epoch   loss  dev WER    PER  learning rate  tokens/s  time",
        "    1  0.500   31.00%  8.00%        1.0e-03      3142  1:02",
        "    2  0.500   32.00%  7.00%        1.0e-03      3142  1:02  kept",
    ]
