"""The models at hand."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

WeightFormat = Literal["int8", "float16", "float32"]
"""As `asr.quantise`'s, which takes PyTorch."""


def models(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """List the models: those that come with the package, then those below exp/.

    A name is what --model takes. The remark tells which one is meant where none is named, and what is broken.
    """
    import json
    import shutil

    from asr.catalogue import entries, shown

    found = entries()
    if as_json:
        print(json.dumps([each.record() for each in found], indent=2, ensure_ascii=False))
        return
    print(shown(found, shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else None), end="")


def join(
    parts: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Model folders, or NAMEs of 'asr models'.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The joined model's folder.")],
    average: Annotated[
        bool,
        typer.Option("--average", help="One network, of averaged weights: for trainings that began with the same."),
    ] = False,
    weights: Annotated[
        WeightFormat | None,
        typer.Option(help="What the weights are in the file; without, the smallest that holds those of all parts."),
    ] = None,
) -> None:
    """Make one model of several that were trained apart: all are heard, and the mean of what they hear is put out.

    They have networks of the same settings, and the same tokens. Trainings that began with the same weights
    (--init-from) can also become one network, no larger than each (--average). The search is tuned anew (asr tune), and
    no figure of the parts holds for the whole.
    """
    from asr.joining import join
    from asr.progress import say
    from asr.shipped import find_model

    joined = join([find_model(part) for part in parts], out, average, weights)
    say(f"join: {len(parts)} models in {joined.config['model']['members']} networks: {out}")
