"""The words of an utterance in columns: what was said, and what each of two systems heard."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from rich.cells import cell_len, set_cell_size

from asr.metrics import GAP, MARKS, Column
from asr.scoring.significance import places

WIDTH = 100
"""Of the terminal that texts are laid out for."""

LABELS = ("REF:", "  A:", "", "  B:", "")

Cells = tuple[str, str, str, str, str]
"""Of one column, from the top; a row for the marks is below each system."""


def side_by_side(a: Sequence[Column], b: Sequence[Column], width: int = WIDTH) -> str:
    """Two alignments to one reference, for a monospaced terminal: reference, A and B, and S, D or I under an error.

    ```text
    REF: the cat sat on ***
      A: *** cat sad on it
         D       S      I
      B: the cat sat in ***
                     S
    ```

    Args:
        width: What is longer goes on below; only a word that is longer still stands out.

    Raises:
        ValueError: The columns are not those of one reference.
    """
    blocks, used = [[LABELS]], cell_len(LABELS[0])
    for cells in _cells(a, b):
        needed = 1 + max(map(cell_len, cells))
        if used + needed > width and len(blocks[-1]) > 1:
            blocks.append([LABELS])
            used = cell_len(LABELS[0])
        blocks[-1].append(cells)
        used += needed
    return "\n\n".join(map(_lay_out, blocks))


def _cells(a: Sequence[Column], b: Sequence[Column]) -> Iterator[Cells]:
    """What A and B insert at the same place shares columns."""
    for in_a, in_b in zip(places(a), places(b), strict=True):
        for one, other in zip_longest(in_a, in_b):
            yield (one or other).said or GAP, *_heard(one), *_heard(other)


def _heard(column: Column | None) -> tuple[str, str]:
    """A word and its mark; a gap without a mark where only the other system inserts a word."""
    return (column.heard or GAP, MARKS[column.kind]) if column else (GAP, "")


def _lay_out(block: Sequence[Cells]) -> str:
    widths = [max(map(cell_len, cells)) for cells in block]
    rows = (" ".join(map(set_cell_size, row, widths)).rstrip() for row in zip(*block, strict=True))
    return "\n".join(filter(None, rows))
