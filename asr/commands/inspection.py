"""Looking inside a model, from the command line."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from asr.commands.options import Model
from asr.progress import say

if TYPE_CHECKING:
    from asr.audio import Waveform


def inspect(
    target: Annotated[
        str,
        typer.Argument(metavar="AUDIO|MODEL", help="A recording to hear, or a model folder (or its NAME) to tell of."),
    ],
    model: Model = None,
    layer: Annotated[int | None, typer.Option(help="Of the encoder, from 1 (default: the highest).")] = None,
    direction: Annotated[
        Literal["forward", "backward"] | None, typer.Option(help="Of recurrent layers (default: forward).")
    ] = None,
    head: Annotated[int | None, typer.Option(help="Of a Transformer, from 1 (default: the mean of all).")] = None,
    units: Annotated[
        str, typer.Option(metavar="0-31,40", help="Of the layer; auto: those that vary most, up to 64.")
    ] = "auto",
    start: Annotated[float | None, typer.Option(min=0, help="Seconds into the recording.")] = None,
    end: Annotated[float | None, typer.Option(min=0, help="Likewise (default: 20 s from the start).")] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="The picture (default: NAME.inspect.png, unless others are asked for)."),
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="A page to move about in and to listen to.")] = None,
    npz: Annotated[Path | None, typer.Option(metavar="FILE", help="The numbers, for NumPy.")] = None,
    audio: Annotated[
        Path | None,
        typer.Option(metavar="AUDIO", help="Of a MODEL: what to measure memory and gates on (default: noise)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Of a MODEL: as JSON.")] = False,
) -> None:
    """Draw what goes on inside a model while it hears a recording, or print how the model is built.

    A recording: sound, features, the gates and memory cells of a layer (of a Transformer, its attention), the
    probabilities of the tokens, the words. A model: shapes, sizes, how far it remembers, how open its gates are.
    """
    if _is_model(target):
        asked = {
            "--model": model,
            "--units": units if units != "auto" else None,
            "--layer": layer,
            "--direction": direction,
            "--head": head,
            "--out": out,
            "--html": html,
            "--npz": npz,
        }
        if option := next((name for name, value in asked.items() if value is not None), None):
            raise typer.BadParameter(f"{option} is for a recording: asr inspect AUDIO --model {target} {option} ...")
        _tell(target, audio, start or 0.0, end, as_json)
        return
    if audio or as_json:
        raise typer.BadParameter(f"{'--audio' if audio else '--json'} is for a model, and {target} is a recording")
    if out and out.suffix.lower() != ".png":
        raise typer.BadParameter(f"--out {out}: only PNG is drawn; name a file such as {out.with_suffix('.png')}")
    picture = out or (None if html or npz else Path(f"{Path(target).stem}.inspect.png"))

    from asr.inspection import arrays, page
    from asr.inspection import picture as pictures
    from asr.recognizer import load
    from asr.shipped import find_model

    if picture:
        pictures.require_matplotlib()
    recognizer = load(find_model(model), "cpu", greedy=True)
    waveform = _stretch(Path(target), recognizer.sample_rate_hz, start or 0.0, end)
    found = arrays.inspect(
        recognizer, waveform, Path(target).name, start or 0.0, layer, direction, units, head, every=bool(html)
    )
    if picture:
        pictures.draw_inspection(found, picture)
    if html and (left_out := page.write_page(found, html)):
        say(f"{html}: only one of {left_out + 1} layers and directions; in a page of a shorter stretch is room for all")
    if npz:
        arrays.save_arrays(found, npz)
    for path in filter(None, (picture, html, npz)):
        print(path)


def _is_model(target: str) -> bool:
    from asr.shipped import experiments, shipped_models

    path = Path(target)
    if path.is_file():
        return False
    return path.is_dir() or not path.suffix or target in shipped_models() or target in experiments()


def _stretch(path: Path, sample_rate_hz: int, start_s: float, end_s: float | None) -> "Waveform":
    """The samples to look at; where they are the beginning of more, that is told."""
    from asr.inspection.arrays import read_stretch

    waveform, more = read_stretch(path, sample_rate_hz, start_s, end_s)
    if more:
        end_s = start_s + len(waveform) / sample_rate_hz
        say(f"{path}: from {start_s:g} to {end_s:g} s; choose another stretch with --start and --end")
    return waveform


def _tell(model: str, audio: Path | None, start_s: float, end_s: float | None, as_json: bool) -> None:
    """Prints how a model is built."""
    import json
    from dataclasses import asdict

    from asr.checkpoint import load_model
    from asr.inspection.anatomy import anatomy, told
    from asr.inspection.arrays import features_of
    from asr.shipped import find_model

    checkpoint = load_model(find_model(model))
    if audio:
        waveform = _stretch(audio, checkpoint.features.config.sample_rate_hz, start_s, end_s)
        found = anatomy(checkpoint, features_of(checkpoint.features, waveform), audio.name)
    else:
        found = anatomy(checkpoint)
    print(json.dumps(asdict(found), indent=2) if as_json else told(found))
