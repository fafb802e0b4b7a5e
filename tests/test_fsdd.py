import importlib.util
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import write_tone

from asr.audio import read
from asr.corpus import Corpus
from asr.errors import DataError

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "fsdd" / "prepare.py"
SIX = {"george", "jackson", "lucas", "nicolas", "theo", "yweweler"}


def load_recipe():
    spec = importlib.util.spec_from_file_location("fsdd_recipe", RECIPE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def fsdd(monkeypatch, tmp_path):
    """The recipe with a short list of strings."""
    module = load_recipe()
    strings = tmp_path / "strings.txt"
    strings.write_text(
        "train ann-train-000 1_ann_10 2_ann_11 1_ann_10\n"
        "dev ann-dev-000 3_ann_5 1_ann_9\n"
        "connected ann-connected-000 0_ann_0 9_ann_4\n"
        "connected bob-connected-000 7_bob_0 7_bob_1\n"
        "connected bob-connected-001 7_bob_0 8_bob_0\n"
    )
    monkeypatch.setattr(module, "STRINGS", strings)
    return module


RECORDINGS = ("0_ann_0", "9_ann_4", "3_ann_5", "1_ann_9", "1_ann_10", "2_ann_11", "7_bob_0", "7_bob_1", "6_bob_30")


@pytest.fixture(params=["wav", "flac"])
def corpus(request, tmp_path):
    for place, name in enumerate(RECORDINGS):
        write_tone(tmp_path / "fsdd" / "recordings" / f"{name}.{request.param}", 300 + 50 * place, 0.2, 8000)
    return Corpus(tmp_path / "fsdd", tmp_path / "made")


def ids(splits):
    return {name: [utterance.id for utterance in utterances] for name, utterances in splits.items()}


def test_the_split_is_by_index(fsdd, corpus):
    splits = fsdd.prepare(corpus)
    assert ids(splits) == {
        "train": ["1_ann_10", "2_ann_11", "6_bob_30", "ann-train-000"],
        "dev": ["1_ann_9", "3_ann_5", "ann-dev-000"],
        "official": ["0_ann_0", "7_bob_0", "7_bob_1", "9_ann_4"],
        "connected": ["ann-connected-000", "bob-connected-000"],  # of the other, bob's eight is not there
    }
    texts = {utterance.id: (utterance.text, utterance.speaker) for split in splits.values() for utterance in split}
    assert texts["9_ann_4"] == ("nine", "ann")
    assert texts["ann-train-000"] == ("one two one", "ann")
    assert texts["bob-connected-000"] == ("seven seven", "bob")


def test_unseen_speakers_are_nowhere_else(fsdd, corpus):
    splits = fsdd.prepare(corpus, unseen_speakers=("bob",))
    assert ids(splits)["unseen"] == ["6_bob_30", "7_bob_0", "7_bob_1", "bob-connected-000"]
    assert {utterance.speaker for name in splits if name != "unseen" for utterance in splits[name]} == {"ann"}


def test_an_unseen_speaker_whom_nobody_knows_is_refused(fsdd, corpus):
    with pytest.raises(DataError, match="fsdd: unseen_speakers: carl, dora not among ann, bob"):
        fsdd.prepare(corpus, unseen_speakers=("dora", "bob", "carl"))


def test_oddly_named_files_are_passed_over_and_said(fsdd, corpus, capsys):
    odd = ("10_ann_0.wav", "x_ann_0.wav", "1_ann_two.wav", "1__3.wav", "1_ann_2_3.flac")
    for name in (*odd, "1_ann_12.txt", "notes.wav", "._1_ann_13.mp3"):
        (corpus.folder / "recordings" / name).write_text("odd")
    found = {name for names in ids(fsdd.prepare(corpus)).values() for name in names}
    assert not found & {"10_ann_0", "x_ann_0", "1_ann_two", "1__3", "1_ann_2_3", "1_ann_12", "notes"}
    assert len(found) == len(RECORDINGS) + 4
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "data-prep: 5 files not called DIGIT_SPEAKER_INDEX are passed over: 10_ann_0.wav, 1__3.wav, 1_ann_2_3.flac"
    )


@pytest.mark.parametrize("content", [[], ["readme.txt"], ["1_ann_2.mp3"], ["hello.wav"], ["x_ann_0.wav"]])
def test_no_recordings_is_said(fsdd, tmp_path, content):
    folder = tmp_path / "empty" / "recordings"
    folder.mkdir(parents=True)
    for name in content:
        (folder / name).write_text("x")
    with pytest.raises(DataError, match=r"empty/recordings: no recordings called DIGIT_SPEAKER_INDEX"):
        fsdd.prepare(Corpus(tmp_path / "empty", tmp_path / "made"))


def test_a_folder_without_recordings_is_said(fsdd, tmp_path):
    with pytest.raises(DataError, match="recordings: no recordings"):
        fsdd.prepare(Corpus(tmp_path, tmp_path / "made"))


def test_a_joined_string_is_its_parts(fsdd, corpus):
    splits = fsdd.prepare(corpus)
    (joined,) = (utterance for utterance in splits["train"] if utterance.id == "ann-train-000")
    assert joined.audio_filepath == corpus.made / "ann-train-000.flac"
    files = {path.stem: path for path in (corpus.folder / "recordings").iterdir()}
    parts = np.concatenate([read(files[name], 8000) for name in ("1_ann_10", "2_ann_11", "1_ann_10")])
    np.testing.assert_allclose(read(joined.audio_filepath, 8000), parts, rtol=0, atol=1.5 / 32768)


def test_parts_of_another_rate_are_joined_at_one(fsdd, corpus):
    for path in (corpus.folder / "recordings").glob("3_ann_5.*"):
        soundfile.write(path, np.zeros(16000 // 5), 16000)
    (joined,) = (utterance for utterance in fsdd.prepare(corpus)["dev"] if utterance.id == "ann-dev-000")
    assert len(read(joined.audio_filepath, 8000)) == 8000 * 2 // 5


@pytest.mark.parametrize("bytes_left", [0, 50])
def test_a_broken_part_does_not_stop_the_rest(fsdd, corpus, capsys, bytes_left):
    (broken,) = (corpus.folder / "recordings").glob("2_ann_11.*")
    broken.write_bytes(broken.read_bytes()[:bytes_left])
    splits = ids(fsdd.prepare(corpus))
    assert splits["train"] == ["1_ann_10", "2_ann_11", "6_bob_30"]  # data-prep lists the broken one itself as dropped
    assert splits["connected"] == ["ann-connected-000", "bob-connected-000"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"data-prep: ann-train-000 not joined: {broken}: ")
    assert not (corpus.made / "ann-train-000.flac").exists()


def test_the_list_of_strings_crosses_no_border():
    fsdd = load_recipe()
    borders = {"connected": range(5), "dev": range(5, 10), "train": range(10, 50)}
    lines = [line.split() for line in fsdd.STRINGS.read_text().splitlines()]
    assert len({name for _, name, *_ in lines}) == len(lines)
    for split, name, *parts in lines:
        speaker, also_split, _ = name.split("-")
        assert also_split == split
        assert len(parts) > 1
        for part in parts:
            digit, also_speaker, index = part.split("_")
            assert digit in "0123456789"
            assert also_speaker == speaker
            assert int(index) in borders[split]


@pytest.mark.corpus
@pytest.mark.parametrize(("unseen", "official"), [((), 300), (("theo", "yweweler"), 200)])
def test_the_real_corpus_is_whole(fsdd, corpora, tmp_path, unseen, official):
    if not (corpora / "fsdd").is_dir():
        pytest.skip("no fsdd")
    splits = fsdd.prepare(Corpus(corpora / "fsdd", tmp_path / "made"), unseen_speakers=unseen)
    assert len(splits["official"]) == len(splits["dev"]) == official
    assert len(splits.get("unseen", [])) == 500 * len(unseen)
    assert sum(map(len, splits.values())) == 3000
    assert {utterance.speaker for split in splits.values() for utterance in split} == SIX
    assert all(utterance.audio_filepath.is_file() for split in splits.values() for utterance in split)


@pytest.mark.corpus
def test_every_string_can_be_joined_from_the_real_corpus(corpora):
    if not (corpora / "fsdd").is_dir():
        pytest.skip("no fsdd")
    fsdd = load_recipe()
    there = {path.stem for path in (corpora / "fsdd" / "recordings").iterdir()}
    lines = [line.split() for line in fsdd.STRINGS.read_text().splitlines()]
    assert {part for _, _, *parts in lines for part in parts} <= there
    assert {name.split("-")[0] for _, name, *_ in lines} == SIX
