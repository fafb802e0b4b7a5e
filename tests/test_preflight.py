import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchaudio
from torch.nn.functional import ctc_loss

from asr import preflight
from asr.dataset import Batch
from asr.errors import AsrError, DataError
from asr.features import FeatureConfig, LogMel, frame_count
from asr.lexicon.entries import lexicon_of
from asr.manifest import Utterance
from asr.model import CTCModel, ModelConfig, output_frames
from asr.preflight import Finding, Memory, Trial, cut, memory_trouble
from asr.targets import Targets
from asr.text import BLANK, Vocabulary, frames_needed

CPU = torch.device("cpu")
FEATURES = FeatureConfig(16000, hop_ms=10)  # 1 + 100 frames a second
MB = 2**20


def batch(rows=8, samples=16000, tokens=10):
    lengths = torch.tensor([samples - 100 * row for row in range(rows)])
    ids = [f"u{row}" for row in range(rows)]
    texts = torch.arange(1, tokens + 1).repeat(rows, 1)
    return Batch(ids, torch.ones(rows, samples, dtype=torch.int16), lengths, ((texts, torch.full((rows,), tokens)),))


def test_a_finding_in_words():
    assert str(Finding("disk", "61 GB free")) == "disk: 61 GB free"
    assert str(Finding("disk", "1 GB free", "little room")) == "disk: 1 GB free; warning: little room"


# environment


def test_the_environment_in_words():
    torch.manual_seed(1)
    detail = preflight.environment(CPU).detail
    assert detail.startswith("Python 3.")
    assert f"torch {torch.__version__}, torchaudio {torchaudio.__version__}, on cpu, " in detail
    drawn = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.rand(3))  # the weights of the model are drawn from the same numbers as without it


@pytest.mark.parametrize(
    ("version", "fits"), [("2.11.1+cpu", True), ("2.11.0", True), ("2.10.0+cu128", False), ("3.11.0", False)]
)
def test_torch_and_torchaudio_belong_together(monkeypatch, version, fits):
    monkeypatch.setattr(torch, "__version__", "2.11.0+cpu")
    monkeypatch.setattr(torchaudio, "__version__", version)
    if fits:
        preflight.environment(CPU)
    else:
        with pytest.raises(AsrError, match=r"^torch 2\.11\.0\+cpu and torchaudio " + version.replace("+", r"\+")):
            preflight.environment(CPU)


def test_a_device_that_cannot_compute_is_one_line(monkeypatch):
    def fail(*_):
        raise RuntimeError("CUDA error: no kernel image is available\nCompile with TORCH_USE_CUDA_DSA")

    monkeypatch.setattr(torch.nn.LSTM, "forward", fail)
    with pytest.raises(AsrError) as caught:
        preflight.environment(CPU)
    assert str(caught.value) == (
        "device cpu: PyTorch cannot compute on it (CUDA error: no kernel image is available); try --device cpu"
    )


# disk


@pytest.fixture
def room(monkeypatch):
    def has(free):
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, free))

    return has


def test_the_disk_of_a_folder_that_is_yet_to_come(tmp_path, room):
    room(61_000_000_000)
    finding = preflight.disk(tmp_path / "exp" / "toy", 300_000_000)
    assert str(finding) == "disk: 61.0 GB free, about 0.3 GB needed"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("free", "advice"), [(2_000_000, ""), (1_999_999, "little room"), (1_000_000, "little room")])
def test_little_room_is_mentioned(tmp_path, room, free, advice):
    room(free)
    assert preflight.disk(tmp_path, 1_000_000).advice == (f"{advice} to spare in {tmp_path}" if advice else "")


def test_too_little_room_is_refused(tmp_path, room):
    room(1_200_000_000)
    with pytest.raises(AsrError) as caught:
        preflight.disk(tmp_path / "exp", 3_000_000_000)
    assert str(caught.value) == f"{tmp_path}: about 3.0 GB needed there, and 1.2 GB free"


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(AsrError, match=rf"^{tmp_path}/file: cannot be written \(Not a directory\)$"):
        preflight.disk(tmp_path / "file" / "exp", 1)

    def refuse(dir):
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(preflight.tempfile, "TemporaryFile", refuse)
    with pytest.raises(AsrError, match=rf"^{tmp_path}: cannot be written \(Read-only file system\)$"):
        preflight.disk(tmp_path / "exp", 1)


# manifests


@pytest.fixture
def recordings(tmp_path):
    """Makes utterances whose files are there."""

    def make(*names, **more):
        made = [Utterance(name, tmp_path / f"{name}.wav", "a", duration_s=1800.0, **more) for name in names]
        for utterance in made:
            utterance.audio_filepath.touch()
        return made

    return make


def test_manifests_in_words(recordings):
    splits = {"train": recordings("a", "b", speaker="s1") + recordings("c", speaker="s2"), "dev": recordings("d")}
    finding = preflight.manifests(splits)
    assert str(finding) == "manifests: train 3 utterances, 1.50 h; dev 1 utterance, 0.50 h"
    splits["dev"] += recordings("e", speaker="s2") + recordings("f", speaker="s1") + recordings("g", speaker="s3")
    assert preflight.manifests(splits).detail.endswith("; 2 speakers in both train and dev")


@pytest.mark.parametrize("twin", ["id", "samples"])
def test_an_utterance_in_two_splits_is_mentioned(recordings, twin):
    train, dev = recordings("a", "b", crc32="11"), recordings("c", "d", crc32="22")
    dev[1] = replace(dev[1], **({"id": "a"} if twin == "id" else {"crc32": "11"}))
    advice = preflight.manifests({"train": train, "dev": dev}).advice
    assert advice == f"1 utterance of dev in train too, such as '{dev[1].id}': the WER on dev will flatter"
    dev[1] = replace(dev[1], id="d", duration_s=2.0)  # one sum of other samples
    assert preflight.manifests({"train": train, "dev": dev}).advice == ""


def test_without_sums_nothing_is_the_same(recordings):
    assert preflight.manifests({"train": recordings("a"), "dev": recordings("b")}).advice == ""


def test_segments_of_one_recording_are_looked_for_once(recordings, monkeypatch):
    asked = []
    monkeypatch.setattr(preflight, "_is_there", lambda path: asked.append(path) or True)
    (first,) = recordings("a")
    preflight.manifests({"train": [first, replace(first, id="a@2", offset_s=2.0)]})
    assert asked == [first.audio_filepath]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda train, dev: dev.clear(), "dev: no utterances"),
        (lambda train, dev: train.append(replace(train[1], duration_s=None)), "train: 'b' has no duration (1 in all)"),
        (lambda train, dev: train.append(train[1]), "train: 2 utterances with the id 'b'"),
        (lambda train, dev: dev[0].audio_filepath.unlink(), "c.wav: not there (1 of 3 recordings are gone)"),
    ],
)
def test_manifests_that_cannot_be_used(recordings, spoil, message):
    train, dev = recordings("a", "b"), recordings("c")
    spoil(train, dev)
    with pytest.raises(DataError) as caught:
        preflight.manifests({"train": train, "dev": dev})
    assert message in str(caught.value)


# alphabet


def learned(vocabulary, *texts):
    return preflight.alphabet(vocabulary, Targets(vocabulary, [("u", text) for text in texts]))


def said(*texts, duration_s=1.0):
    return [Utterance(f"u{n}", Path("a.wav"), text, duration_s=duration_s) for n, text in enumerate(texts)]


def test_tokens_that_never_occur_are_mentioned():
    vocabulary = Vocabulary.of_characters(" abcq")
    assert str(learned(vocabulary, "a b", "qc")) == "alphabet: 5 of 5 tokens occur in training"
    finding = learned(vocabulary, "a b", "a")
    assert str(finding) == "alphabet: 3 of 5 tokens occur in training; warning: never in training: 'c', 'q'"


def test_many_of_them_are_shown_shortly():
    vocabulary = Vocabulary.of_characters("abcdefghijklm")
    advice = learned(vocabulary, "a").advice
    assert advice == "never in training: 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k' and 2 more"


def test_each_head_has_its_tokens():
    vocabulary = Vocabulary((BLANK, "a", "b"), phones=(BLANK, "A", "B"))
    targets = Targets(vocabulary, [("u", "ab")], lexicon_of([("ab", ("A",), 1.0)]))
    expected = "2 of 2 tokens and 1 of 2 phones occur in training; warning: never in training: 'B'"
    assert str(preflight.alphabet(vocabulary, targets)) == f"alphabet: {expected}"


# ctc


def feasible(utterances, subsampling=4, speeds=(1.0,), tempo=0.0):
    targets = Targets(Vocabulary.of_characters("ab"), [(each.id, each.text) for each in utterances])
    return preflight.ctc(utterances, targets, FEATURES, subsampling, speeds, tempo)


def test_the_tightest_utterance():
    # 1 s: 101 frames, then 51, then 26. "aabb" needs 4 and a blank between a and a, b and b: 6.
    assert str(feasible(said("aabb", "ab"))) == "ctc: the tightest utterance needs 6 of its 26 frames"
    assert feasible(said("aabb", "ab"), subsampling=2).detail.endswith("6 of its 51 frames")
    assert feasible(said("abababab", "aabb")).detail.endswith("8 of its 26 frames")
    assert feasible([*said("abababab"), *said("ab", duration_s=0.05)]).detail.endswith("2 of its 2 frames")


def test_too_few_frames_are_refused():
    texts = ["ab", "ab" * 13, "ab" * 13 + "a", "a" * 14, "ab" * 20, "ab" * 21]  # 2, 26, 27, 27, 40, 42
    with pytest.raises(DataError) as caught:
        feasible(said(*texts))
    assert str(caught.value) == (
        "4 utterances with too few frames for CTC: 'u2' (26 frames, 27 needed), 'u3' (26 frames, 27 needed), "
        "'u4' (26 frames, 40 needed); lower model.subsampling (4) or features.hop_ms (10), or run data-prep again"
    )


def test_too_few_frames_at_the_fastest_speed_are_mentioned():
    # 16000 samples at 1.25: 12800, 81 frames, 41, 21
    texts = ["ab" * 10 + "a", "ab" * 11, "ab" * 12]  # 21, 22, 24
    finding = feasible(said(*texts), speeds=(0.8, 1.0, 1.25))
    assert finding.advice == "2 utterances with too few frames at speed 1.25: drawn at it, they teach nothing"
    assert feasible(said(*texts), speeds=(0.8, 1.0)).advice == ""


def test_too_few_frames_at_the_quickest_tempo_are_mentioned():
    # 81 frames at speed 1.25, as above; 0.8 of them 65, 33, 17. At speed 1: 81, 41, 21.
    texts = ["ab" * 8 + "a", "ab" * 10, "ab" * 11]  # 17, 20, 22
    finding = feasible(said(*texts), speeds=(1.25, 0.9), tempo=0.2)
    ending = "too few frames at speed 1.25 and a tempo that takes 20% off: drawn at it, they teach nothing"
    assert finding.advice == f"2 utterances with {ending}"
    assert feasible(said(*texts), tempo=0.2).advice.startswith("1 utterance with too few frames at speed 1 and a tempo")


# the longest batch


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("share", [1 / 16, 1 / 4, 1 / 2, 1])
def test_a_cut_batch_is_that_share(rows, share):
    whole = batch(rows)
    part = cut(whole, share)
    assert part.waveforms.numel() / whole.waveforms.numel() == pytest.approx(share, rel=0.001)
    ((part_tokens, token_lengths),) = part.targets
    assert len(part.ids) == len(part.waveforms) == len(part.waveform_lengths) == len(token_lengths)
    assert part.waveform_lengths.max() <= part.waveforms.shape[1]
    assert part_tokens.shape[1] == token_lengths.max() >= 1
    for tokens, count in zip(part_tokens, token_lengths, strict=True):
        assert tokens[:count].all()
        assert not tokens[count:].any()


def test_a_whole_share_is_the_batch():
    whole, part = batch(), cut(batch(), 1)
    assert part.ids == whole.ids
    for name in ("waveforms", "waveform_lengths"):
        assert torch.equal(getattr(part, name), getattr(whole, name)), name
    assert all(map(torch.equal, part.targets[0], whole.targets[0]))


def test_ctc_can_spell_what_is_cut():
    whole = batch(rows=1, samples=16000, tokens=25)
    for share in (0.1, 0.25, 0.5, 0.9):
        part = cut(whole, share)
        frames = output_frames(frame_count(int(part.waveform_lengths[0]), FEATURES), 4)
        assert frames_needed(part.targets[0][0][0].tolist()) <= frames


@pytest.fixture
def machine(monkeypatch):
    """A device with as much memory as a test says, on which a batch takes 1 MB and 100 bytes a sample."""

    class Machine:
        available: int | None = None
        peak = 0
        tried: list[int]

        def rehearse(self, part):
            self.tried.append(part.waveforms.numel())
            self.peak = max(self.peak, 1_000_000 + 100 * part.waveforms.numel())

        def reset(self, device):
            self.peak = 0

    machine = Machine()
    machine.tried = []
    monkeypatch.setattr(preflight, "peak_memory_bytes", lambda device: machine.peak)
    monkeypatch.setattr(preflight, "available_memory_bytes", lambda device: machine.available)
    monkeypatch.setattr(preflight, "reset_peak_memory", machine.reset)
    return machine


def test_the_trial_foretells_and_measures(machine):
    memory = Trial(batch(), 1.0, 8.0, CPU).run(machine.rehearse, later_bytes=5)
    assert machine.tried == [8000, 32000, 64000, 128000]
    assert memory == Memory(13_800_000, 13_800_000, 613_800_005, None)


def test_memory_in_words():
    memory = Memory(2_000_000_000, 1_900_000_000, 2_400_000_000, None)
    assert str(memory.finding) == ("memory: 1.9 GB at the longest batch (predicted 2.0 GB), about 2.4 GB in training")
    memory = Memory(20_000_000, 19_000_000, 300_000_000, 22_400_000_000)
    assert str(memory.finding) == (
        "memory: 19 MB at the longest batch (predicted 20 MB), about 0.3 GB in training, 22.4 GB there"
    )


@pytest.mark.parametrize(
    ("available", "later", "tried", "advice"),
    [
        (13_800_000, 0, 4, None),
        # 13.799 MB: 12.799 of 12.8 MB for samples fit, and nine tenths of that are advised
        (13_799_999, 0, 3, "lower training.batch_s to about 7.2"),
        (13_800_000, 1, 3, "lower training.batch_s to about 7.2"),
        (7_400_000, 0, 3, "lower training.batch_s to about 3.6"),
        (7_399_999, 0, 2, "lower training.batch_s to about 3.6"),
        (2_000_000, 0, 2, "lower training.batch_s to about 0.56 and leave out utterances longer than 0.56 s"),
        (1_000_000, 0, 2, "no batch would fit: lower training.keep_hours, or make the model smaller"),
        (9_000_000, 8_500_000, 2, "no batch would fit: lower training.keep_hours, or make the model smaller"),
    ],
)
def test_what_would_not_fit_is_not_tried(machine, available, later, tried, advice):
    machine.available = available
    trial = Trial(batch(), 1.0, 8.0, CPU)
    if advice is None:
        assert trial.run(machine.rehearse, later).available_bytes == available
    else:
        with pytest.raises(AsrError) as caught:
            trial.run(machine.rehearse, later)
        held = "the batch holds 8 utterances of up to 1.0 s (training.batch_s = 8)"
        assert str(caught.value).startswith("not enough memory: about ")
        assert str(caught.value).endswith(f"{available / 1e6:.0f} MB there: {held}: {advice}")
    assert len(machine.tried) == tried


def test_a_line_that_bends_is_found_out_by_the_whole(machine):
    def rehearse(part):
        machine.rehearse(part)
        machine.peak += 10_000_000 * (len(part.ids) == 8)

    machine.available = 20_000_000
    with pytest.raises(AsrError, match="not enough memory: about 24 MB needed, 20 MB there"):
        Trial(batch(), 1.0, 8.0, CPU).run(rehearse)


def test_one_long_utterance_is_not_cut_by_a_smaller_budget(machine):
    machine.available = 8_000_000
    with pytest.raises(AsrError) as caught:
        Trial(batch(rows=1, samples=128000), 16.0, 12.0, CPU).run(machine.rehearse)
    assert str(caught.value) == (
        "not enough memory: about 14 MB needed, 8 MB there: the batch holds one utterance of 16.0 s "
        "(training.batch_s = 12): leave out utterances longer than about 7.9 s; a lower batch_s would not cut them"
    )


def test_real_memory_is_foretold():
    def rehearse(part):
        held = np.ones(MB * part.waveforms.numel() // 100, np.uint8)
        assert held[-1]

    memory = Trial(batch(rows=8, samples=2000), 1.0, 8.0, CPU).run(rehearse)  # 160 MB
    assert memory.measured_bytes == pytest.approx(memory.predicted_bytes, rel=0.05)
    assert memory.available_bytes is None or memory.available_bytes > memory.measured_bytes


@pytest.mark.parametrize("encoder", ["lstm", "lstm_1997", "lstm_peephole", "gru", "rnn", "transformer"])
def test_the_memory_of_a_model_is_foretold(encoder):
    features, model = LogMel(FEATURES), CTCModel(80, (29,), ModelConfig(encoder=encoder, layers=1, hidden=64))

    def rehearse(part):
        part = part.to(CPU)
        log_probabilities, frames = model(*features(part.waveforms, part.waveform_lengths))
        losses = ctc_loss(
            log_probabilities.transpose(0, 1), part.targets[0][0], frames, part.targets[0][1], zero_infinity=True
        )
        losses.backward()
        model.zero_grad()

    memory = Trial(batch(rows=4, samples=2 * 16000), 2.0, 8.0, CPU).run(rehearse)
    assert memory.measured_bytes == pytest.approx(memory.predicted_bytes, rel=0.25)


# out of memory


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:98] data. DefaultCPUAllocator: not enough memory: you tried"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
)
def test_out_of_memory_is_one_line(error):
    with pytest.raises(AsrError) as caught, memory_trouble(batch(7), 16.4, 120.0, "in epoch 3"):
        raise error
    assert str(caught.value) == (
        "out of memory in epoch 3: the batch holds 7 utterances of up to 16.4 s (training.batch_s = 120): "
        "lower training.batch_s to about 60"
    )


def test_other_errors_keep_their_traceback():
    for error in (RuntimeError("size mismatch"), ValueError("out of memory"), AsrError("else")):
        with pytest.raises(type(error), match=str(error)), memory_trouble(batch(), 1.0, 8.0, "now"):
            raise error


@pytest.mark.parametrize(("fails_at", "batch_s"), [(16000 * 8, 4), (16000 * 4, 2), (16000 * 2, 1)])
def test_out_of_memory_in_the_trial_advises_half_of_what_failed(machine, fails_at, batch_s):
    def rehearse(part):
        machine.rehearse(part)
        if part.waveforms.numel() == fails_at:
            raise MemoryError

    with pytest.raises(AsrError) as caught:
        Trial(batch(), 1.0, 8.0, CPU).run(rehearse)
    assert str(caught.value) == (
        "out of memory before the first step: the batch holds 8 utterances of up to 1.0 s (training.batch_s = 8): "
        f"lower training.batch_s to about {batch_s}"
    )


def test_a_real_allocation_that_fails_is_one_line():
    with pytest.raises(AsrError, match="out of memory"), memory_trouble(batch(), 1.0, 8.0, "now"):
        torch.empty(2**60, dtype=torch.uint8)
