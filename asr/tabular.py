"""Tables of texts with columns of even width, for Markdown and for a terminal."""

from collections.abc import Iterable, Sequence
from io import StringIO

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; columns of numbers are set right, but for the first."""
    cells = [list(header), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    widths, right = _widths(cells), _numbers(cells)
    widths = [max(3, width) for width in widths]
    rules = ["-" * (width - to_right) + ":" * to_right for width, to_right in zip(widths, right, strict=True)]
    return "".join(f"| {' | '.join(map(_set, row, widths, right))} |\n" for row in (cells[0], rules, *cells[1:]))


def plain(rows: Sequence[Sequence[str]]) -> str:
    """Columns below each other; those of numbers are set right, but for the first, and the first row names them.

    >>> print(plain([["part", "size"], ["a", "10"], ["bc", "5"]]))
    part  size
    a       10
    bc       5
    """
    widths, right = _widths(rows), _numbers(rows)
    return "\n".join("  ".join(map(_set, row, widths, right)).rstrip() for row in rows)


def fitted(rows: Sequence[Sequence[str]], width: int) -> str:
    """A table for a terminal of that width: as `plain`, but that texts which are too wide go on in the next line."""
    console = Console(file=StringIO(), width=width, force_terminal=False)
    table = Table(box=None, pad_edge=False)
    for name, right in zip(rows[0], _numbers(rows), strict=True):
        table.add_column(Text(name), justify="right" if right else "left")
    for row in rows[1:]:
        table.add_row(*map(Text, row))
    with console.capture() as capture:
        console.print(table)
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(cell_len, column)) for column in zip(*rows, strict=True)]


def _numbers(rows: Sequence[Sequence[str]]) -> list[bool]:
    """Which columns hold nothing but numbers below their names."""
    columns = zip(*rows, strict=True)
    return [place > 0 and all(map(_is_number, column[1:])) for place, column in enumerate(columns)]


def _set(cell: str, width: int, right: bool) -> str:
    space = " " * (width - cell_len(cell))
    return space + cell if right else cell + space


def _is_number(cell: str) -> bool:
    """
    >>> [_is_number(cell) for cell in ("1,200", "-3.50%", "inf%", "2 of 3", "")]
    [True, True, True, False, False]
    """
    try:
        float(cell.replace(",", "").removesuffix("%"))
    except ValueError:
        return False
    return True
