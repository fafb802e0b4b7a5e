"""Results: those of many experiments side by side, and whether a model does what its card says."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from asr.commands.options import Device, complain

Form = Literal["table", "md", "csv", "json"]
Claimed = Literal["greedy", "beam", "all"]


def results(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="FOLDER...", help="With experiments in or below (default: exp).")
    ] = None,
    split: Annotated[str, typer.Option(metavar="NAME", help="Only this split, such as dev-clean.")] = "",
    form: Annotated[
        Form | None, typer.Option("--format", help="Default: table on a terminal, as wide as it is; else md.")
    ] = None,
) -> None:
    """Print the results of all experiments in one table, by split and then WER."""
    import shutil

    from asr.results import collect, shown

    rows, errors = collect(folders or [Path("exp")], split)
    terminal = sys.stdout.isatty()
    print(shown(rows, form or ("table" if terminal else "md"), shutil.get_terminal_size((120, 24)).columns), end="")
    for error in errors:
        complain(error)
    if errors:
        raise typer.Exit(1)


def verify(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model folder, with its results.json; or its NAME.")],
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="The data that a claim is about, such as data/test.jsonl.")
    ],
    split: Annotated[
        str, typer.Option(metavar="NAME", help="Whose claim to take (default: that for the same references).")
    ] = "",
    decoding: Annotated[Claimed, typer.Option(help="What to decode by (default: all that is claimed).")] = "all",
    device: Device = "auto",
) -> None:
    """Decode and score data anew, and compare with what the model's card claims.

    Ends with status 0 when the WER is within 0.1 points of the claim: other hardware rounds otherwise.
    """
    from asr.shipped import find_model
    from asr.verification import verify

    found = verify(find_model(model), manifest, split, decoding, device)
    for line in (*found.complaints, *found.comparisons, found.verdict):
        print(line)
    if not found.holds:
        raise typer.Exit(1)
