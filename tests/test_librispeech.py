import importlib.util
import shutil
from pathlib import Path

import pytest
from conftest import status_of, write_tone

from asr.config import call
from asr.corpus import Corpus, neighbours
from asr.files import read_json_lines
from asr.manifest import read_manifest
from asr.recipe import read_recipe

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "librispeech" / "prepare.py"


def load_recipe():
    spec = importlib.util.spec_from_file_location("librispeech_recipe", RECIPE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


librispeech = load_recipe()


def write_chapter(folder: Path, split: str, speaker: str, chapter: str, texts: list[str], ending: str) -> Path:
    """A chapter in the publisher's layout, a second of sound for each text."""
    place = folder / split / speaker / chapter
    names = [f"{speaker}-{chapter}-{number:04d}" for number in range(len(texts))]
    for name in names:
        write_tone(place / f"{name}{ending}", 300.0 + len(name))
    lines = [f"{name} {text}\n" for name, text in zip(names, texts, strict=True)]
    (place / f"{speaker}-{chapter}.trans.txt").write_text("".join(lines))
    return place


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "LibriSpeech"
    write_chapter(folder, "train-clean-5", "19", "198", ["NORTHANGER", "THIS LITTLE WORK"], ".flac")
    write_chapter(folder, "train-clean-5", "19", "227", ["IT'S"], ".ogg")
    write_chapter(folder, "train-clean-5", "26", "495", ["SO"], ".wav")
    write_chapter(folder, "dev-clean", "84", "121123", ["GO"], ".flac")
    return folder


def prepare(folder: Path, *beside: Path, **options):
    return librispeech.prepare(Corpus(folder, folder.parent / "made", beside), **options)


def data_prep(folder: Path, exp: Path, recipe: str = "mini", *changes: str) -> int:
    overrides = [word for change in changes for word in ("--set", change)]
    return status_of("data-prep", f"librispeech/{recipe}", "--corpus", folder, "--exp", exp, *overrides)


def write_ljspeech(folder: Path, texts: dict[str, str], ending: str = ".wav") -> Path:
    """LJSpeech in its publisher's layout, a second of sound for each text."""
    for place, name in enumerate(texts):
        write_tone(folder / "wavs" / f"{name}{ending}", 300.0 + place)
    (folder / "metadata.csv").write_text("".join(f"{name}|As 1 was written|{text}\n" for name, text in texts.items()))
    return folder


def test_the_publishers_layout_is_read(folder):
    splits = prepare(folder)
    assert {name: [u.id for u in utterances] for name, utterances in splits.items()} == {
        "dev-clean": ["84-121123-0000"],
        "train-clean-5": ["19-198-0000", "19-198-0001", "19-227-0000", "26-495-0000"],
    }
    second = splits["train-clean-5"][1]
    assert (second.text, second.speaker) == ("THIS LITTLE WORK", "19")
    assert second.audio_filepath == folder / "train-clean-5" / "19" / "198" / "19-198-0001.flac"


def test_recordings_of_any_ending_are_used(folder, tmp_path):
    assert data_prep(folder, tmp_path / "exp") == 0
    train = read_manifest(tmp_path / "exp" / "data" / "train-clean-5.jsonl")
    assert [(u.audio_filepath.suffix, u.text, u.duration_s) for u in train] == [
        (".flac", "northanger", 1.0),
        (".flac", "this little work", 1.0),
        (".ogg", "it's", 1.0),
        (".wav", "so", 1.0),
    ]
    assert read_json_lines(tmp_path / "exp" / "data" / "dropped.jsonl") == []


def test_a_text_or_a_recording_alone_is_listed_as_dropped(folder, tmp_path, capsys):
    chapter = folder / "train-clean-5" / "19" / "198"
    (chapter / "19-198-0000.flac").unlink()
    write_tone(chapter / "19-198-0007.flac")
    with (chapter / "19-198.trans.txt").open("a") as stream:
        stream.write("\n19-198-0008\n")
    assert data_prep(folder, tmp_path / "exp") == 0
    dropped = {line["id"]: line["reason"] for line in read_json_lines(tmp_path / "exp" / "data" / "dropped.jsonl")}
    assert dropped == {
        "19-198-0000": "No such file or directory",
        "19-198-0007": "no transcript",
        "19-198-0008": "no transcript",
    }
    assert "data-prep: 3 left out (2 no transcript, 1 No such file or directory)" in capsys.readouterr().err


def test_of_two_recordings_with_one_id_the_second_is_listed_as_dropped(folder, tmp_path):
    write_tone(folder / "train-clean-5" / "26" / "495" / "26-495-0000.flac")
    assert data_prep(folder, tmp_path / "exp") == 0
    (dropped,) = read_json_lines(tmp_path / "exp" / "data" / "dropped.jsonl")
    assert (dropped["id"], dropped["reason"]) == ("26-495-0000", "the id stands twice")
    assert dropped["audio_filepath"].endswith(".wav")


def test_a_chapter_without_its_list_of_texts_is_listed_as_dropped(folder, tmp_path):
    (folder / "train-clean-5" / "26" / "495" / "26-495.trans.txt").unlink()
    assert data_prep(folder, tmp_path / "exp") == 0
    assert [line["id"] for line in read_json_lines(tmp_path / "exp" / "data" / "dropped.jsonl")] == ["26-495-0000"]


def test_bytes_that_are_no_text_cost_their_own_line_only(folder, tmp_path):
    path = folder / "dev-clean" / "84" / "121123" / "84-121123.trans.txt"
    path.write_bytes(path.read_bytes().replace(b"GO", b"G\xff", 1))
    texts = {utterance.id: utterance.text for utterance in prepare(folder)["dev-clean"]}
    assert sum("\N{REPLACEMENT CHARACTER}" in text for text in texts.values()) == 1


def test_hidden_folders_and_loose_files_are_no_splits(folder):
    before = prepare(folder)
    (folder / "SPEAKERS.TXT").write_text("; who they are\n")
    (folder / "notes" / "more").mkdir(parents=True)
    shutil.copytree(folder / "dev-clean", folder / ".unpacking-dev-other")
    assert prepare(folder) == before


def test_hidden_files_and_folders_within_a_split_are_no_utterances(folder):
    before = prepare(folder)
    speaker = folder / "dev-clean" / "84"
    (speaker / ".DS_Store").write_text("x")
    (speaker / "121123" / ".DS_Store").write_text("x")
    shutil.copytree(speaker / "121123", speaker / ".ipynb_checkpoints")
    shutil.copytree(speaker, folder / "dev-clean" / ".Trash")
    assert prepare(folder) == before


def test_missing_splits_are_named(folder, tmp_path, capsys):
    assert data_prep(folder, tmp_path / "exp") == 0
    line = "data-prep: test-clean, test-other (test) not in the corpus, which has dev-clean, train-clean-5"
    assert line in capsys.readouterr().err.splitlines()


def test_a_corpus_without_training_data_stops(folder, tmp_path, capsys):
    shutil.rmtree(folder / "train-clean-5")
    assert data_prep(folder, tmp_path / "exp") == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"asr: {folder}: nothing to train on: no train-clean-5"


def test_a_split_without_a_usable_utterance_stops(folder, tmp_path, capsys):
    (folder / "dev-clean" / "84" / "121123" / "84-121123-0000.flac").write_bytes(b"")
    assert data_prep(folder, tmp_path / "exp") == 1
    data = tmp_path / "exp" / "data"
    error = f"asr: {data}: no usable utterance in dev-clean; see {data / 'dropped.jsonl'}"
    assert capsys.readouterr().err.splitlines()[-1] == error
    assert [line["reason"] for line in read_json_lines(data / "dropped.jsonl")] == ["the file is empty"]


def test_some_speakers_and_chapters_of_a_split(folder, capsys):
    everything = prepare(folder)
    some = prepare(folder, speakers={"train-clean-5": ("26", "19/227")})
    assert [utterance.id for utterance in some["train-clean-5"]] == ["19-227-0000", "26-495-0000"]
    assert some["dev-clean"] == everything["dev-clean"]
    assert prepare(folder, speakers={"train-clean-5": ("19", "19/227", "26")}) == everything
    assert capsys.readouterr().err == ""


def test_speakers_that_are_not_there_are_named(folder, capsys):
    some = prepare(folder, speakers={"train-clean-5": ("26", "7", "19/228"), "train-clean-10": ("26",)})
    assert [utterance.id for utterance in some["train-clean-5"]] == ["26-495-0000"]
    assert capsys.readouterr().err.splitlines() == [
        f"data-prep: train-clean-5: no speaker or chapter 19/228, 7 in {folder / 'train-clean-5'}",
        f"data-prep: speakers of train-clean-10: no such split in {folder}",
    ]


@pytest.mark.parametrize(
    ("ranges", "every", "numbers"),
    [
        ([("LJ001-0001", "LJ001-0011")], 5, ["001-0001", "001-0006", "001-0011"]),
        ([("LJ001-0001", "LJ001-0010")], 5, ["001-0001", "001-0006"]),
        ([("LJ001-0009", "LJ001-0011")], 1, ["001-0009", "001-0010", "001-0011"]),
        ([("LJ001-0098", "LJ001-0100"), ("LJ050-0003", "LJ050-0003")], 2, ["001-0098", "001-0100", "050-0003"]),
        ([], 1, []),
    ],
)
def test_the_ids_of_ranges(ranges, every, numbers):
    assert list(librispeech.Passages(tuple(ranges), every).ids()) == [f"LJ{number}" for number in numbers]


TEXTS = {f"LJ001-{number:04d}": f'One, "two" -- {word}s; caf\u00e9' for number, word in enumerate("abcdefghijk", 1)}


def test_the_same_is_taken_of_the_whole_ljspeech_and_of_a_piece(folder, tmp_path):
    whole = write_ljspeech(tmp_path / "whole" / "LJSpeech-1.1", TEXTS)
    piece = write_ljspeech(tmp_path / "LJSpeech-1.1", dict(list(TEXTS.items())[::5]), ".ogg")
    only = librispeech.Passages((("LJ001-0001", "LJ001-0011"),), every=5)
    found = [prepare(folder, place, ljspeech=only)["LJSpeech-1.1"] for place in (whole, piece)]
    assert [[(u.id, u.text, u.speaker) for u in utterances] for utterances in found] == 2 * [
        [
            ("LJ001-0001", "one two as cafe", "LJ"),
            ("LJ001-0006", "one two fs cafe", "LJ"),
            ("LJ001-0011", "one two ks cafe", "LJ"),
        ]
    ]
    assert found[1][0].audio_filepath == piece / "wavs" / "LJ001-0001.ogg"
    assert [u.id for u in prepare(folder, whole)["LJSpeech-1.1"]] == list(TEXTS)


def test_what_ljspeech_lacks_is_listed_as_dropped(folder, tmp_path):
    names = ["LJ001-0001", "LJ001-0006", "LJ001-0181", "LJ003-0096"]
    place = write_ljspeech(tmp_path / "LJSpeech-1.1", dict.fromkeys([*names, "LJ001-0002"], "So it goes"))
    (place / "wavs" / "LJ001-0006.wav").unlink()
    write_tone(place / "wavs" / "LJ001-0011.wav")
    (place / "wavs" / ".DS_Store").write_text("x")
    assert data_prep(folder, tmp_path / "exp", "english-small") == 0
    kept = read_manifest(tmp_path / "exp" / "data" / "LJSpeech-1.1.jsonl")
    assert [u.id for u in kept] == ["LJ001-0001", "LJ001-0181", "LJ003-0096"]
    dropped = {line["id"]: line["reason"] for line in read_json_lines(tmp_path / "exp" / "data" / "dropped.jsonl")}
    assert len(dropped) == 97 - len(kept)
    assert dropped["LJ001-0006"] == "No such file or directory"
    assert dropped["LJ001-0011"] == dropped["LJ002-0116"] == "no transcript"


def test_a_corpus_beside_that_is_not_there_is_named_and_taken_when_it_comes(folder, tmp_path, capsys):
    assert data_prep(folder, tmp_path / "exp", "english-small") == 0
    line = "data-prep: train-clean-100, LJSpeech-1.1 (train) not in the corpus, which has dev-clean, train-clean-5"
    assert line in capsys.readouterr().err.splitlines()
    write_ljspeech(tmp_path / "LJSpeech-1.1", {"LJ001-0001": "So it goes"})
    assert data_prep(folder, tmp_path / "exp", "english-small") == 0
    assert "data-prep: again, because " in capsys.readouterr().err
    assert [u.text for u in read_manifest(tmp_path / "exp" / "data" / "LJSpeech-1.1.jsonl")] == ["so it goes"]
    assert data_prep(folder, tmp_path / "exp", "english-small") == 0
    assert "data-prep: up to date" in capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("ljspeech.every=5", "ljspeech: every = 5: needs ranges to count from"),
        ("ljspeech.every=0", "ljspeech.every = 0: input should be greater than or equal to 1"),
        ("ljspeech.evry=5", "unknown key ljspeech.evry; did you mean 'every'?"),
        ('ljspeech.ranges=[["LJ001-1", "LJ001-0009"]]', "ljspeech: ranges: LJ001-1 to LJ001-0009: two ids such as"),
        ('ljspeech.ranges=[["LJ001-0009", "LJ001-0008"]]', "ranges: LJ001-0009 to LJ001-0008: two ids such as"),
        ('ljspeech.ranges=[["LJ001-0009", "LJ002-0010"]]', "ranges: LJ001-0009 to LJ002-0010: two ids such as"),
        ("speakers.train-clean-5=[26]", "speakers.train-clean-5.0 = 26: input should be a valid string"),
        ("speaker.train-clean-5=[26]", "unknown key speaker; did you mean 'speakers'?"),
    ],
)
def test_options_that_are_wrong(folder, tmp_path, capsys, change, message):
    assert data_prep(folder, tmp_path / "exp", "mini", f"corpus.options.{change}") == 1
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith("asr: librispeech/mini: corpus.options: ")
    assert message in error


@pytest.fixture
def real(corpora) -> Path:
    if not (corpora / "LibriSpeech" / "train-clean-5").is_dir():
        pytest.skip("no LibriSpeech")
    return corpora / "LibriSpeech"


@pytest.mark.corpus
def test_the_real_corpus_is_whole(real):
    splits = prepare(real)
    for name, count in (("dev-clean", 1313), ("train-clean-5", 1519)):
        assert len(splits[name]) == len({utterance.id for utterance in splits[name]}) == count
        assert all(utterance.text and utterance.audio_filepath.is_file() for utterance in splits[name])


@pytest.mark.corpus
def test_the_speech_of_english_small_is_whole(real):
    config = read_recipe("librispeech/english-small").config
    if not all((real / config.splits.train[1] / name).is_dir() for name in ("19/227", "8226")):
        pytest.skip("no train-clean-100")
    if not (beside := neighbours(config.corpus, real)):
        pytest.skip("no LJSpeech")
    found = call(librispeech.prepare, Corpus(real, real, beside), options=config.corpus.options, source="options")
    train = [utterance for name in config.splits.train for utterance in found[name]]
    assert [len(found[name]) for name in config.splits.train] == [1519, 825, 97]
    assert len({utterance.id for utterance in train}) == len(train)
    assert all(utterance.text and utterance.audio_filepath.is_file() for utterance in train)


@pytest.mark.corpus
def test_real_recordings_can_be_prepared(real, tmp_path):
    """The shortest chapter of each split, whatever format its recordings are in."""
    counts = {}
    for split in ("train-clean-5", "dev-clean"):
        chapter = min(sorted((real / split).glob("*/*/")), key=lambda path: len(list(path.iterdir())))
        shutil.copytree(chapter, tmp_path / "LibriSpeech" / chapter.relative_to(real))
        counts[split] = len(list(chapter.iterdir())) - 1
    assert data_prep(tmp_path / "LibriSpeech", tmp_path / "exp") == 0
    for split, count in counts.items():
        utterances = read_manifest(tmp_path / "exp" / "data" / f"{split}.jsonl")
        assert len(utterances) == count
        assert all(1 < utterance.duration_s < 40 for utterance in utterances)
    assert read_json_lines(tmp_path / "exp" / "data" / "dropped.jsonl") == []
