import errno
import os
import re
import subprocess
import sys
from pathlib import Path, PurePath

import pytest

from asr import outputs
from asr.errors import AsrError
from asr.inputs import Input, find
from asr.outputs import Job, Plan, plan, write

ROOT = Path(__file__).resolve().parents[1]
SUFFIXES = {"txt": ".txt", "json": ".json"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("before")


def inputs_of(*arguments):
    inputs, errors = find(arguments)
    assert errors == []
    return inputs


def written(result):
    """What a plan would write, by input."""
    return {job.input.source: [str(path) for path in job.paths.values()] for job in result.jobs}


def complaints(result):
    return [str(error) for error in result.errors]


def test_below_a_folder_the_tree_is_kept(here):
    touch("c/a.b.wav", "c/d/a.flac", "e.mp3")
    result = plan(inputs_of("c", "e.mp3"), SUFFIXES, Path("out/new"))
    assert written(result) == {
        "c/a.b.wav": ["out/new/a.b.txt", "out/new/a.b.json"],
        "c/d/a.flac": ["out/new/d/a.txt", "out/new/d/a.json"],
        "e.mp3": ["out/new/e.txt", "out/new/e.json"],
    }
    assert list(result.jobs[0].paths) == ["txt", "json"]
    assert list(Path("out/new").iterdir()) == []
    assert (result.kept, result.errors) == ([], [])


def test_without_a_folder_outputs_lie_beside_the_recording(here):
    touch("c/a.b.wav", "c/d/a.flac", "m/b.wav", "m/m.jsonl")
    Path("m/m.jsonl").write_text('{"audio_filepath": "b.wav", "duration": 1, "id": "../x"}')
    stdin = Input("-", here / "spooled" / "stdin", PurePath("stdin"))
    assert written(plan([*inputs_of("c", "m/m.jsonl"), stdin], {"srt": ".srt"})) == {
        "c/a.b.wav": ["c/a.b.srt"],
        "c/d/a.flac": ["c/d/a.srt"],
        "m/b.wav": ["m/%2E.%2Fx.srt"],
        "-": ["stdin.srt"],
    }


def test_what_is_there_is_kept(here):
    touch("a.wav", "b.wav", "c.wav", "out/a.txt", "out/a.json", "out/b.json")
    result = plan(inputs_of("a.wav", "b.wav", "c.wav"), SUFFIXES, Path("out"))
    assert [each.source for each in result.kept] == ["a.wav"]
    assert written(result) == {"b.wav": ["out/b.txt"], "c.wav": ["out/c.txt", "out/c.json"]}
    result = plan(inputs_of("a.wav", "b.wav"), SUFFIXES, Path("out"), overwrite=True)
    assert result.kept == []
    assert written(result) == {"a.wav": ["out/a.txt", "out/a.json"], "b.wav": ["out/b.txt", "out/b.json"]}


def test_a_plan_carried_out_leaves_nothing_to_do(here):
    touch("c/a.wav", "c/d/b.wav")
    inputs = inputs_of("c")
    for job in plan(inputs, SUFFIXES, Path("out")).jobs:
        for format, path in job.paths.items():
            write(path, f"{job.input.source} as {format}")
    assert Path("out/d/b.json").read_text() == "c/d/b.wav as json"
    assert plan(inputs, SUFFIXES, Path("out")) == Plan([], inputs, [])


@pytest.mark.parametrize("out", [None, Path("out")])
def test_two_inputs_for_one_file_are_both_refused(here, out):
    touch("a.wav", "a.mp3", "b.wav")
    result = plan(inputs_of("a.wav", "b.wav", "a.mp3"), {"txt": ".txt"}, out)
    path = "out/a.txt" if out else "a.txt"
    assert complaints(result) == [
        f"{path}: a.wav is not transcribed, for a.mp3 would be written here as well",
        f"{path}: a.mp3 is not transcribed, for a.wav would be written here as well",
    ]
    assert list(written(result)) == ["b.wav"]


def test_a_clash_is_one_even_when_the_file_is_there(here):
    """Otherwise a second run would take it for the output of both."""
    touch("a.wav", "a.mp3", "out/a.txt")
    result = plan(inputs_of("a.wav", "a.mp3"), {"txt": ".txt"}, Path("out"))
    assert (result.jobs, result.kept, len(result.errors)) == ([], [], 2)


def test_ids_tell_which_stretches_clash(here):
    touch("x/a.wav", "y/a.wav")
    for folder in "xy":
        Path(folder, "m.jsonl").write_text('{"audio_filepath": "a.wav", "duration": 1, "id": "u1"}')
    result = plan(inputs_of("x/m.jsonl", "y/m.jsonl"), {"txt": ".txt"}, Path("out"))
    assert complaints(result)[0] == (
        "out/u1.txt: x/a.wav (u1) is not transcribed, for y/a.wav (u1) would be written here as well"
    )


def test_one_file_by_two_ways_is_a_clash(here):
    touch("c/a.wav", "c/a.mp3", "c/a.ogg")
    Path("linked").symlink_to("c")
    result = plan(inputs_of("c/a.wav", str(here / "c" / "a.mp3"), "linked/a.ogg"), {"txt": ".txt"})
    assert [message.split(":")[0] for message in complaints(result)] == ["c/a.txt", f"{here}/c/a.txt", "linked/a.txt"]


@pytest.mark.parametrize("folded", [False, True])
def test_names_that_differ_in_case_clash_where_the_file_system_says_so(here, monkeypatch, folded):
    touch("x/A.wav", "y/a.wav")
    inputs = inputs_of("x/A.wav", "y/a.wav")
    if folded:
        identity = outputs._identity
        monkeypatch.setattr(outputs, "_identity", lambda path: identity(Path(str(path).replace("OUT", "out"))))
    result = plan(inputs, {"txt": ".txt"}, Path("out"))
    if folded:
        assert (
            complaints(result)[0] == "out/A.txt: x/A.wav is not transcribed, for y/a.wav would be written here as well"
        )
        assert len(result.errors) == 2
    else:
        assert written(result) == {"x/A.wav": ["out/A.txt"], "y/a.wav": ["out/a.txt"]}


@pytest.mark.parametrize("overwrite", [False, True])
def test_no_input_is_overwritten(here, overwrite):
    touch("talks.wav", "m.wav", "b.wav", "b.json.wav", "c.wav", "link.txt")
    Path("talks.txt").write_text("talks.wav\nc.wav\n")
    Path("m.json").write_text('{"audio_filepath": "m.wav", "duration": 1, "id": "m"}')
    Path("c.json").symlink_to("m.json")
    arguments = ["talks.txt", "m.json", "b.wav"]
    result = plan(inputs_of(*arguments), SUFFIXES, None, overwrite, arguments)
    assert complaints(result) == [
        "talks.txt: the output of talks.wav cannot be written (it is an input)",
        "c.json: the output of c.wav cannot be written (it is an input)",
        "m.json: the output of m.wav (m) cannot be written (it is an input)",
    ]
    assert written(result) == {"b.wav": ["b.txt", "b.json"]}


def test_no_recording_is_overwritten(here):
    touch("a", "a.txt")
    result = plan([Input("a", Path("a"), PurePath("a")), Input("a.txt", Path("a.txt"), PurePath("b"))], {"txt": ".txt"})
    assert complaints(result) == ["a.txt: the output of a cannot be written (it is an input)"]
    assert list(written(result)) == ["a.txt"]


def test_a_folder_where_a_file_should_be(here):
    touch("a.wav", "a.txt/x")
    result = plan(inputs_of("a.wav"), {"txt": ".txt"})
    assert complaints(result) == ["a.txt: the output of a.wav cannot be written (it is a folder)"]


def test_an_out_that_is_a_file(here):
    touch("a.wav", "out")
    with pytest.raises(AsrError, match=r"^out: the folder cannot be made \(File exists\)$"):
        plan(inputs_of("a.wav"), SUFFIXES, Path("out"))
    with pytest.raises(AsrError, match=r"^out/deep: the folder cannot be made \(Not a directory\)$"):
        plan(inputs_of("a.wav"), SUFFIXES, Path("out/deep"))


def shut(monkeypatch, name):
    """Lets no file be made in folders of that name, as permissions do, but also for root."""
    make = outputs.tempfile.TemporaryFile

    def refuse(dir):
        if dir.name == name:
            raise PermissionError(errno.EACCES, "Permission denied")
        return make(dir=dir)

    monkeypatch.setattr(outputs.tempfile, "TemporaryFile", refuse)


def test_an_out_that_cannot_be_written(here, monkeypatch):
    touch("a.wav")
    shut(monkeypatch, "out")
    with pytest.raises(AsrError, match=r"^out: nothing can be written in this folder \(Permission denied\)$"):
        plan(inputs_of("a.wav"), SUFFIXES, Path("out"))


def test_a_recording_in_a_folder_that_cannot_be_written(here, monkeypatch):
    touch("shut/a.wav", "shut/b.wav", "open/c.wav", "shut/d.wav", "shut/d.txt", "shut/d.json")
    shut(monkeypatch, "shut")
    result = plan(inputs_of("shut", "open"), SUFFIXES)
    assert complaints(result) == ["shut: nothing can be written in this folder (Permission denied)"]
    assert list(written(result)) == ["open/c.wav"]
    assert [each.source for each in result.kept] == ["shut/d.wav"]


def test_names_for_which_there_can_be_no_file(here):
    touch("a.wav", "b.wav", "out/a.txt")
    long, below = (Input("a.wav", Path("a.wav"), PurePath(name)) for name in ("x" * 252, "a.txt/b"))
    assert complaints(plan([long, below], {"txt": ".txt"}, Path("out"))) == [
        f"out/{'x' * 252}.txt: the output of a.wav cannot be written (File name too long)",
        "out/a.txt/b.txt: the output of a.wav cannot be written (Not a directory)",
    ]


def test_names_that_are_no_text_can_be_written_and_told_of(here):
    name = os.fsdecode(b"two\nlines \xff: ")
    touch(f"{name}/{name}.wav")
    (job,) = plan(inputs_of(name), {"txt": ".txt"}, Path("out")).jobs
    write(job.paths["txt"], f"é {job.input.source}")
    assert (here / "out" / f"{name}.txt").read_bytes() == "é two\nlines \\udcff: /two\nlines \\udcff: .wav".encode()


@pytest.mark.parametrize("before", [None, "old"])
def test_a_full_disk_is_one_line_and_leaves_no_half_of_a_file(tmp_path, before):
    """A limit on the size of files stands for the disk: 8 KiB fit, the text does not."""
    path = tmp_path / "a.txt"
    if before:
        path.write_text(before)
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom asr.errors import AsrError\n"
        "from asr.outputs import write\nresource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
        "try: write(Path(sys.argv[1]), 'word ' * 10000)\nexcept AsrError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.fullmatch(rf"{re.escape(str(path))}: cannot be written \(File too large\)\n", done.stdout)
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == ({"a.txt": before} if before else {})


def test_a_device_without_room_is_one_line(tmp_path, monkeypatch):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")

    def full(dir, prefix, suffix):
        link = Path(dir, f"{prefix}x{suffix}")
        link.symlink_to("/dev/full")
        return os.open(os.devnull, os.O_RDONLY), str(link)

    monkeypatch.setattr("asr.files.tempfile.mkstemp", full)
    with pytest.raises(AsrError, match=r"a\.txt: cannot be written \(No space left on device\)$"):
        write(tmp_path / "a.txt", "word")
    assert list(tmp_path.iterdir()) == []


def test_a_job_knows_its_input(here):
    touch("a.wav")
    (each,) = inputs_of("a.wav")
    assert plan([each], {"txt": ".txt"}).jobs == [Job(each, {"txt": Path("a.txt")})]
