"""Settings: tables of plain values turned into checked, frozen dataclasses."""

import dataclasses
import difflib
import inspect
import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, dataclass_transform, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError, create_model

from asr.errors import ConfigError

Table = dict[str, Any]
Settings = TypeVar("Settings")
Result = TypeVar("Result")

Precision = Literal["auto", "float32", "bfloat16"]
"""What a model computes in: see `asr.device.dtype_of`."""

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


@dataclass_transform(frozen_default=True)
def settings(kind: type[Settings]) -> type[Settings]:
    """Makes a class a frozen dataclass that `build` fills: unknown keys, wrong types and NaN are errors."""
    kind.__pydantic_config__ = STRICT  # type: ignore[attr-defined]
    return dataclasses.dataclass(frozen=True)(kind)


def read_toml(path: Path) -> Table:
    """The table in a TOML file.

    Raises:
        ConfigError: The file cannot be read or is not TOML; names the file, and the line where TOML knows it.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error


def parse_overrides(arguments: Iterable[str]) -> Table:
    """The nested table that `--set section.key=value` arguments describe; a value is read as TOML, else as text.

    >>> parse_overrides(["training.epochs=3", "text.alphabet=ab"])
    {'training': {'epochs': 3}, 'text': {'alphabet': 'ab'}}
    """
    table: Table = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        keys = name.strip().split(".")
        if not equals or not all(keys):
            raise ConfigError(f"--set {argument}: write section.key=value, such as training.epochs=3")
        try:
            parsed = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            parsed = value.strip()
        for key in reversed(keys):
            parsed = {key: parsed}
        table = merge(table, parsed)
    return table


def merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> Table:
    """`base` with the values of `change` laid over it, table by table."""
    merged = dict(base)
    for key, value in change.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def build(kind: type[Settings], table: Mapping[str, Any], source: str) -> Settings:
    """A `kind` (decorated with `settings`, nested ones included) from a table of plain values, every value checked.

    Args:
        kind: Bounds given as `Annotated[int, Gt(0)]` are enforced; a field without a default must be there.
        table: As TOML or JSON gives it; lists stand for tuples.
        source: The file or argument the table came from, for the message.

    Raises:
        ConfigError: The first thing wrong: an unknown key (with the nearest known one), a wrong type, a value out of
            range.
    """
    try:
        # JSON is the one strict mode that takes a table for a dataclass and a list for a tuple.
        return TypeAdapter(kind).validate_json(_as_json(table, source))
    except ValidationError as error:
        raise ConfigError(f"{source}: {_explain(error, kind)}") from error


def call(function: Callable[..., Result], *positional: Any, options: Mapping[str, Any], source: str) -> Result:
    """`function(*positional, **options)`, the options checked against its keyword-only parameters as `build` does."""
    parameters = inspect.signature(function).parameters.values()
    hints = get_type_hints(function, include_extras=True)
    fields: Any = {p.name: (hints[p.name], p.default) for p in parameters if p.kind is p.KEYWORD_ONLY}
    model = create_model("Options", __config__=STRICT, **fields)
    try:
        checked = model.model_validate_json(_as_json(options, source))
    except ValidationError as error:
        raise ConfigError(f"{source}: {_explain(error, model)}") from error
    return function(*positional, **{name: getattr(checked, name) for name in fields})


def to_table(value: Any) -> Table:
    """The plain table that `build` turns back into the same dataclass."""
    table: Table = json.loads(json.dumps(dataclasses.asdict(value)))
    return table


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """What changed from one table to another, as `section.key old -> new`, sorted by key."""
    lines = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            lines += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            lines.append(f"{prefix}{key} {before} -> {after}")
    return lines


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'hidden'?` for a word close to a known one, otherwise all the known ones."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; known: {', '.join(known)}"


def _as_json(table: Mapping[str, Any], source: str) -> str:
    try:
        return json.dumps(table)
    except TypeError as error:  # a TOML date, for one
        raise ConfigError(f"{source}: {error}") from error


def _explain(error: ValidationError, kind: Any) -> str:
    problem = error.errors()[0]
    path = [str(part) for part in problem["loc"]]
    name = ".".join(path)
    match problem["type"]:
        case "unexpected_keyword_argument" | "extra_forbidden":
            return f"unknown key {name}{nearest(path[-1], _keys(kind, path[:-1]))}"
        case "missing" | "missing_argument":
            return f"{name} is missing"
        case "value_error":  # what a `__post_init__` says of values that do not go together
            return f"{name}: {problem['ctx']['error']}" if name else str(problem["ctx"]["error"])
    return f"{name} = {problem['input']!r}: {problem['msg'][0].lower()}{problem['msg'][1:]}"


def _keys(kind: Any, path: list[str]) -> list[str]:
    for part in path:
        kind = get_type_hints(kind)[part]
    return (
        list(get_type_hints(kind)) if not dataclasses.is_dataclass(kind) else [f.name for f in dataclasses.fields(kind)]
    )
