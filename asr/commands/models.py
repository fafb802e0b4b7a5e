"""The models at hand."""

import sys
from typing import Annotated

import typer


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
