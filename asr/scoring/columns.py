"""The words of an utterance in columns: what was said, and below it what systems heard."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, zip_longest

from rich.cells import cell_len, set_cell_size

from asr.metrics import Column
from asr.scoring.significance import places

WIDTH = 100
"""Of the terminal that texts are laid out for."""

GAP = "***"
MARKS = {"equal": "", "substitute": "S", "delete": "D", "insert": "I"}


def in_columns(systems: Mapping[str, Sequence[Column]], width: int = WIDTH) -> str:
    """Alignments to one reference, for a monospaced terminal: reference, each system, and S, D or I under an error.

    ```text
    REF: the cat sat on ***
      A: *** cat sad on it
         D       S      I
      B: the cat sat in ***
                     S
    ```

    Args:
        systems: What each system is called, in three letters at most, and its alignment.
        width: What is longer goes on below; only a word that is longer still stands out.

    Raises:
        ValueError: The columns are not those of one reference.
    """
    labels = ["REF:", *chain.from_iterable((f"{name:>3}:", "") for name in systems)]
    blocks, used = [[labels]], cell_len(labels[0])
    for cells in _cells(list(systems.values())):
        needed = 1 + max(map(cell_len, cells))
        if used + needed > width and len(blocks[-1]) > 1:
            blocks.append([labels])
            used = cell_len(labels[0])
        blocks[-1].append(cells)
        used += needed
    return "\n\n".join(map(_lay_out, blocks))


def _cells(alignments: Sequence[Sequence[Column]]) -> Iterator[list[str]]:
    """From the top: a word that was said; what each system heard, and below it the mark.

    What systems insert at the same place shares columns.
    """
    for parts in zip(*map(places, alignments), strict=True):
        for columns in zip_longest(*parts):
            said = next(filter(None, columns)).said
            yield [said or GAP, *chain.from_iterable(map(_heard, columns))]


def _heard(column: Column | None) -> tuple[str, str]:
    """A word and its mark; a gap without a mark where only another system inserts a word."""
    return (column.heard or GAP, MARKS[column.kind]) if column else (GAP, "")


def _lay_out(block: Sequence[Sequence[str]]) -> str:
    widths = [max(map(cell_len, cells)) for cells in block]
    rows = (" ".join(map(set_cell_size, row, widths)).rstrip() for row in zip(*block, strict=True))
    return "\n".join(filter(None, rows))
