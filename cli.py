"""The command line: the commands of the package put together."""

import errno
import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from asr import __version__
from asr.commands import inspection, language, lexicon, models, recipes, results, scoring, speech
from asr.commands.options import complain, given
from asr.errors import AsrError, Interrupted

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Speech recognition with a bidirectional LSTM and CTC: prepare, train, decode, score, transcribe.",
)
COMMANDS = (
    recipes.recipes,
    recipes.run,
    recipes.data_prep,
    recipes.check,
    recipes.train,
    recipes.decode,
    recipes.score,
    recipes.plot,
    scoring.wer,
    scoring.compare,
    results.results,
    results.verify,
    models.models,
    models.join,
    speech.tune,
    speech.transcribe,
    speech.listen,
    speech.serve,
    speech.align,
    speech.export,
    inspection.inspect,
)
for command in COMMANDS:
    app.command()(command)
app.add_typer(language.app, name="lm")
app.add_typer(lexicon.app, name="lexicon")


@app.callback(invoke_without_command=True)
def asr(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(f"asr {__version__}")
        raise typer.Exit


def main(arguments: list[str] | None = None) -> None:
    """Runs a command; a user's mistake is one line on stderr and exit status 1, a bug keeps its traceback."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # the name of a file may hold any bytes
    given[:] = sys.argv[1:] if arguments is None else arguments
    try:
        app(given.copy())
    except AsrError as error:
        complain(error)
        sys.exit(130 if isinstance(error, Interrupted) else 1)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone, and Python would complain about it at exit
        sys.exit(1)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        complain(AsrError(f"{error.filename or 'stdout'}: {error.strerror}"))
        sys.exit(1)


if __name__ == "__main__":
    main()
