"""What several commands share: options, the arguments of the call, how a mistake is told."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from asr.errors import AsrError

given: list[str] = []
"""The arguments of this call, as results tell them."""

Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Changes one setting.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|DIR",
        help="A model folder, or a NAME that 'asr models' lists (default: $ASR_MODEL, else english-small).",
    ),
]
LanguageModel = Annotated[
    Path | None, typer.Option("--lm", metavar="FILE", help="An n-gram language model, ARPA or compact (.ngram).")
]


def command_line() -> str:
    """This call, as one would type it."""
    return shlex.join(["asr", *given])


def complain(error: AsrError) -> None:
    """Prints the one line about a mistake."""
    print(f"asr: {error}", file=sys.stderr)


def decoding_settings(overrides: list[str] | None) -> dict[str, Any]:
    """What `--set decoding.KEY=VALUE` sets."""
    from asr.config import parse_overrides
    from asr.errors import ConfigError

    table = parse_overrides(overrides or [])
    if other := table.keys() - {"decoding"}:
        raise ConfigError(f"--set {sorted(other)[0]}: only decoding.KEY can be set here, such as decoding.beam=50")
    settings: dict[str, Any] = table.get("decoding", {})
    return settings
