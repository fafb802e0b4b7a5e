import random
import subprocess
import sys
from pathlib import Path, PurePath

import av
import numpy as np
import pytest
from conftest import tone, write_tone

from asr.audio import duration_s
from asr.errors import AsrError
from asr.inputs import Input
from asr.shards import BYTES_PER_S, lengths_s, parse_shard, shard_of_environment, share

ROOT = Path(__file__).resolve().parents[1]


def named(*names):
    return [Input(f"{name}.wav", Path(f"{name}.wav"), PurePath(name)) for name in names]


def shares(inputs, durations_s, count):
    return [share(inputs, durations_s, number, count) for number in range(1, count + 1)]


@pytest.mark.parametrize(("text", "shard"), [("1/1", (1, 1)), ("3/16", (3, 16)), ("16/16", (16, 16))])
def test_shards(text, shard):
    assert parse_shard(text) == shard


@pytest.mark.parametrize(
    "text", ["0/4", "5/4", "x/y", "3", "", "-1/4", "1/0", "1/2/3", "1.0/4", " 1/4", "1/4\n", "²/4"]
)
def test_no_shards(text):
    with pytest.raises(AsrError, match=r"^--shard .*: such as 3/16 was expected, the third of sixteen"):
        parse_shard(text)


@pytest.mark.parametrize(
    ("environment", "shard"),
    [({}, None), ({"RANK": "0"}, None), ({"RANK": "0", "WORLD_SIZE": "1"}, (1, 1)),
     ({"RANK": "3", "WORLD_SIZE": "4"}, (4, 4))],
)  # fmt: skip
def test_shards_of_torchrun(environment, shard):
    assert shard_of_environment(environment) == shard


@pytest.mark.parametrize(("rank", "count"), [("4", "4"), ("-1", "4"), ("x", "4"), ("0", "")])
def test_no_shards_of_torchrun(rank, count):
    with pytest.raises(AsrError, match=f"^RANK={rank} and WORLD_SIZE={count} name no shard of the work$"):
        shard_of_environment({"RANK": rank, "WORLD_SIZE": count})


def test_shares_by_hand():
    """Longest first: e 5 to the first, c 4 to the second, a 3 to the second (4 < 5), b 2 to the first, d 2 as well."""
    inputs = named("a", "b", "c", "d", "e")
    first, second = shares(inputs, [3, 2, 4, 2, 5], 2)
    assert [str(each.name) for each in first] == ["b", "d", "e"]
    assert [str(each.name) for each in second] == ["a", "c"]


def test_shares_are_whole_disjoint_and_even():
    rng = random.Random(0)
    for _ in range(200):
        inputs = named(*(str(number) for number in range(rng.randrange(40))))
        durations_s = [rng.choice([0.0, 1.0, rng.expovariate(0.1)]) for _ in inputs]
        parts = shares(inputs, durations_s, rng.randrange(1, 9))
        assert sorted(each.source for part in parts for each in part) == sorted(each.source for each in inputs)
        by_source = {each.source: length for each, length in zip(inputs, durations_s, strict=True)}
        loads = [sum(by_source[each.source] for each in part) for part in parts]
        assert max(loads) - min(loads) <= max(durations_s, default=0.0) + 1e-9
        assert [part == [each for each in inputs if each in part] for part in parts] == [True] * len(parts)


def test_what_is_of_no_known_length_is_shared_by_number():
    parts = shares(named(*"abcdefg"), [0.0] * 7, 3)
    assert sorted(map(len, parts)) == [2, 2, 3]


def test_shares_do_not_depend_on_the_order_of_a_listing():
    rng = random.Random(1)
    inputs = named(*(str(number) for number in range(30)))
    durations_s = [float(rng.randrange(4)) for _ in inputs]
    expected = [{each.source for each in part} for part in shares(inputs, durations_s, 4)]
    for _ in range(20):
        pairs = list(zip(inputs, durations_s, strict=True))
        rng.shuffle(pairs)
        shuffled = shares([each for each, _ in pairs], [length for _, length in pairs], 4)
        assert [{each.source for each in part} for part in shuffled] == expected


def test_shares_are_the_same_in_every_process():
    code = (
        "from pathlib import Path, PurePath\nfrom asr.inputs import Input\nfrom asr.shards import share\n"
        "inputs = [Input(f'{n}.wav', Path(f'{n}.wav'), PurePath(str(n))) for n in range(20)]\n"
        "print([each.source for each in share(inputs, [1.0] * 20, 2, 3)])"
    )
    run = [sys.executable, "-c", code]
    found = {
        subprocess.run(run, cwd=ROOT, env={"PYTHONHASHSEED": seed}, capture_output=True, check=True).stdout
        for seed in "123"
    }
    assert len(found) == 1


def test_lengths_are_those_of_the_manifest_the_header_or_the_size(tmp_path):
    wav = write_tone(tmp_path / "a.wav", duration_s=2.0)
    (tmp_path / "b.wav").write_bytes(b"x" * BYTES_PER_S * 3)
    name = PurePath("x")
    inputs = [
        Input("", tmp_path / "none.wav", name, 1.0, 7.0),
        Input("", wav, name),
        Input("", wav, name, 0.5),
        Input("", wav, name, 5.0),
        Input("", tmp_path / "b.wav", name),
        Input("", tmp_path / "none.wav", name),
    ]
    assert lengths_s(inputs) == [7.0, 2.0, 1.5, 0.0, 3.0, 0.0]


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.m4a", "a.webm", "a.aac"])
def test_a_header_tells_the_length(tmp_path, name):
    path = tmp_path / name
    if path.suffix in (".m4a", ".webm", ".aac"):
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libopus" if name == "a.webm" else "aac", rate=48000, layout="mono")
            frame = av.AudioFrame.from_ndarray(tone(440, 3.0, 48000)[None], "fltp", "mono")
            frame.sample_rate = 48000
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    else:
        write_tone(path, duration_s=3.0)
    assert duration_s(path) == pytest.approx(3.0, abs=0.1 if name != "a.aac" else 3.0)  # of bare AAC it is a guess


@pytest.mark.parametrize("content", [b"", b"text", np.random.default_rng(0).bytes(5000)])
def test_no_header_no_length(tmp_path, content):
    (tmp_path / "a.wav").write_bytes(content)
    assert duration_s(tmp_path / "a.wav") is None
    assert duration_s(tmp_path / "none.wav") is None
    assert duration_s(tmp_path) is None
