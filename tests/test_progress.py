import io

import pytest
from rich.console import Console

from asr import progress
from asr.progress import bar, say, track


@pytest.fixture
def terminal(monkeypatch):
    """What a user at a terminal sees."""
    stream = io.StringIO()
    screen = Console(file=stream, force_terminal=True, width=100, highlight=False)
    monkeypatch.setattr(progress, "console", lambda: screen)
    return stream


@pytest.mark.parametrize("items", [[], [1], range(100), "abc", {"a": 1}, iter([1, 2, 3]), (x for x in "ab")])
def test_every_item_comes_through(items, capsys):
    kept = list(items)
    items = iter(kept) if iter(items) is items else items
    assert list(track(items, "counting")) == kept
    assert capsys.readouterr() == ("", "")  # stderr is no terminal here


def test_a_bar_is_quiet_when_nobody_watches(capsys):
    with bar("loading", 10) as advance:
        advance(3)
        advance(0.5, "still loading")
    with bar("of unknown length", None) as advance:
        advance()
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_a_bar_and_clears_it(terminal):
    assert list(track(range(3), "counting")) == [0, 1, 2]
    assert "counting" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()
    assert terminal.getvalue().rstrip().endswith("\x1b[2K")  # the line is erased


def test_the_words_before_a_bar_change(terminal):
    with bar("first", 2) as advance:
        advance(1, "second")
        advance(1)
    assert "second" in terminal.getvalue()


def test_an_error_within_a_bar_passes_and_the_bar_ends(terminal):
    with pytest.raises(ValueError, match="halfway"):
        for item in track(range(3), "counting"):
            if item == 1:
                raise ValueError("halfway")
    assert list(track(range(2), "again")) == [0, 1]


@pytest.mark.parametrize(
    "message",
    [
        "train: a line",
        "brackets [bold]stay[/bold] and [1, 2] and [/]",
        "data-prep: /tmp/:dog:/a.wav",
        "long " * 100 + "line",
        "letters é ß 日本",
        "backslash \\[x]",
    ],
)
def test_a_line_is_said_as_it_is(message, capsys):
    say(message)
    assert capsys.readouterr() == ("", f"{message}\n")


def test_a_line_is_said_above_a_running_bar(terminal):
    for item in track(range(2), "counting"):
        say(f"item {item}")
    assert all(f"item {item}\n" in terminal.getvalue() for item in range(2))
