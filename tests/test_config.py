from pathlib import Path
from typing import Annotated

import pytest
from annotated_types import Gt

from asr.config import build, call, differences, merge, parse_overrides, read_toml, settings, to_table
from asr.errors import ConfigError


@settings
class Inner:
    hidden: Annotated[int, Gt(0)] = 8
    rates: tuple[float, ...] = (1.0,)


@settings
class Outer:
    model: Inner = Inner()
    name: str = "x"
    rate: float = 0.5


def test_a_table_becomes_the_dataclass_and_back():
    table = {"model": {"hidden": 3, "rates": [1, 0.9]}, "rate": 1}
    config = build(Outer, table, "t")
    assert config == Outer(model=Inner(hidden=3, rates=(1.0, 0.9)), rate=1.0)
    assert build(Outer, to_table(config), "t") == config


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"model": {"hiden": 3}}, "r.toml: unknown key model.hiden; did you mean 'hidden'?"),
        ({"zzz": 3}, "r.toml: unknown key zzz; known: model, name, rate"),
        ({"model": {"hidden": "3"}}, "r.toml: model.hidden = '3': input should be a valid integer"),
        ({"model": {"hidden": True}}, "r.toml: model.hidden = True: input should be a valid integer"),
        ({"model": {"hidden": 0}}, "r.toml: model.hidden = 0: input should be greater than 0"),
        ({"model": 3}, "r.toml: model = 3: "),
        ({"rate": float("nan")}, "r.toml: rate = nan: input should be a finite number"),
    ],
)
def test_what_is_wrong_is_one_line(table, message):
    with pytest.raises(ConfigError) as caught:
        build(Outer, table, "r.toml")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_overrides():
    assert parse_overrides(["a.b=3", "a.c=[1.5]", "name=word", "flag=true"]) == {
        "a": {"b": 3, "c": [1.5]},
        "name": "word",
        "flag": True,
    }
    for wrong in ("a.b", "=3", "a..b=3"):
        with pytest.raises(ConfigError, match="write section.key=value"):
            parse_overrides([wrong])


def test_merge_lays_tables_over_tables():
    assert merge({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"c": 5}}) == {"a": {"b": 1, "c": 5}, "d": 3}


def test_differences_name_the_key_and_both_values():
    assert differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 5}, "d": 1}) == ["a.c 2 -> 5", "d None -> 1"]


def test_call_checks_keyword_options():
    def prepare(corpus: Path, *, seed: Annotated[int, Gt(0)] = 1, speakers: tuple[str, ...] = ()) -> tuple:
        return corpus, seed, speakers

    assert call(prepare, Path("c"), options={"speakers": ["a"]}, source="s") == (Path("c"), 1, ("a",))
    with pytest.raises(ConfigError, match="s: unknown key sed; did you mean 'seed'"):
        call(prepare, Path("c"), options={"sed": 2}, source="s")
    with pytest.raises(ConfigError, match="s: seed = -1"):
        call(prepare, Path("c"), options={"seed": -1}, source="s")


def test_toml_errors_name_the_file(tmp_path):
    (tmp_path / "bad.toml").write_text("a = \n")
    with pytest.raises(ConfigError, match=r"bad\.toml: Invalid value"):
        read_toml(tmp_path / "bad.toml")
    with pytest.raises(ConfigError, match=r"none\.toml"):
        read_toml(tmp_path / "none.toml")
