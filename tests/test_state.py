import math
import os
import pickle
from dataclasses import asdict

import pytest
import torch

from asr.checkpoint import create
from asr.errors import AsrError
from asr.features import FeatureConfig
from asr.model import ModelConfig
from asr.optimizer import Optimizer, OptimizerConfig
from asr.state import Progress, read_state, write_state
from asr.task import Tally
from asr.text import Vocabulary

PROGRESS = Progress(
    epoch=3,
    step=7,
    best_epoch=2,
    skipped_in_a_row=1,
    silent_epochs=2,
    tally=Tally(loss=0.1 + 0.2, tokens=12.0, blanks=1e-9, updates=7.0),
    history=[{"epoch": 1, "loss": 1 / 3, "memory_gb": 0.0}, {"epoch": 2, "loss": math.inf, "note": "é"}],
)
"""With no model yet: the best error rates are infinite."""


def begun(seed=0):
    """A model with random weights, and its optimiser."""
    torch.manual_seed(seed)
    model = ModelConfig(channels=2, layers=1, hidden=4)
    checkpoint = create(FeatureConfig(8000, 16), model, Vocabulary.of_characters("ab"), {})
    return checkpoint, Optimizer(checkpoint.model, OptimizerConfig(average_decay=0.9))


def update(checkpoint, optimizer, seed):
    chance = torch.Generator().manual_seed(seed)
    for parameter in checkpoint.model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=chance)
    optimizer.update(0.3)


def under_way():
    checkpoint, optimizer = begun()
    checkpoint.features.fit(torch.rand(50, 16))
    for seed in (1, 2):
        update(checkpoint, optimizer, seed)
    return checkpoint, optimizer


def flat(checkpoint, optimizer):
    """All that a run's next update depends on, by name; tensors as copies."""
    flattened = {}

    def visit(name, value):
        if isinstance(value, dict | list | tuple):
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            for key, below in pairs:
                visit(f"{name} {key}", below)
        else:
            flattened[name] = value.clone() if isinstance(value, torch.Tensor) else value

    visit("weights", checkpoint.weights())
    visit("optimizer", optimizer.state())
    return flattened


def same(left, right):
    return left.keys() == right.keys() and all(
        torch.equal(value, right[name]) if isinstance(value, torch.Tensor) else value == right[name]
        for name, value in left.items()
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "training" / "state.pt"


def test_a_run_comes_back_to_the_bit(path):
    before = under_way()
    write_state(path, "key", *before, PROGRESS)
    after = begun(seed=9)
    assert not same(flat(*after), flat(*before))
    progress = read_state(path, "key", *after)
    assert same(flat(*after), flat(*before))
    assert after[1].updates == 2
    assert len(after[1].average) == len(list(after[0].model.parameters()))
    assert any("exp_avg_sq" in name for name in flat(*after))
    assert asdict(progress) == asdict(PROGRESS)
    assert isinstance(progress.tally, Tally)
    assert progress.best_wer == progress.best_cer == math.inf
    assert list(path.parent.iterdir()) == [path]


def test_what_comes_back_goes_on_alike(path):
    before, after = under_way(), begun(seed=9)
    write_state(path, "key", *before, PROGRESS)
    read_state(path, "key", *after)
    for run in (before, after):
        update(*run, seed=3)
    assert same(flat(*after), flat(*before))


def test_writing_changes_nothing(path):
    run = under_way()
    before = flat(*run)
    write_state(path, "key", *run, PROGRESS)
    assert same(flat(*run), before)


def test_a_state_with_another_key_is_not_taken_up(path):
    write_state(path, "one", *under_way(), PROGRESS)
    run = begun(seed=9)
    before = flat(*run)
    assert read_state(path, "two", *run) is None
    assert same(flat(*run), before)


def test_there_may_be_none(path):
    run = begun()
    before = flat(*run)
    assert read_state(path, "key", *run) is None
    path.parent.mkdir()
    assert read_state(path, "key", *run) is None
    assert same(flat(*run), before)


class Code:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def with_code(path):
    torch.save({"run_key": Code(path.parent / "made")}, path)


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        with_code,
        lambda path: path.write_bytes(pickle.dumps(Code(path.parent / "made"), 2)),
        lambda path: path.write_text("no state"),
        lambda path: path.write_bytes(b""),
        lambda path: torch.save([1], path),
        lambda path: torch.save({"run_key": "key"}, path),
    ],
)
def test_a_file_that_is_no_state_is_named_and_runs_no_code(path, damage):
    run = under_way()
    write_state(path, "key", *run, PROGRESS)
    damage(path)
    before = flat(*run)
    with pytest.raises(AsrError, match=r"training/state\.pt: not a training state that can be read; remove it"):
        read_state(path, "key", *run)
    assert same(flat(*run), before)
    assert not (path.parent / "made").exists()


def test_code_would_have_run(tmp_path):
    """The oracle of the test above."""
    with_code(tmp_path / "state.pt")
    torch.load(tmp_path / "state.pt", weights_only=False)
    assert (tmp_path / "made").is_dir()


@pytest.mark.parametrize("part", ["features.mean", "model.head.bias"])
def test_a_disk_that_gives_back_something_else_costs_nothing(path, monkeypatch, part):
    write_state(path, "old", *under_way(), PROGRESS)
    content, load = path.read_bytes(), torch.load

    def forgetful(*arguments, **options):
        state = load(*arguments, **{**options, "mmap": False})
        state["weights"][part].view(torch.int32)[-1] ^= 1  # the last bit of the last number
        return state

    monkeypatch.setattr(torch, "load", forgetful)
    with pytest.raises(AsrError, match=r"state\.pt: what the disk gives back is not what was written; the state bef"):
        write_state(path, "new", *under_way(), PROGRESS)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("room_bytes", [0, 3000, 20000])
def test_a_full_disk_is_one_line_and_costs_nothing(path, room_bytes):
    resource = pytest.importorskip("resource")
    write_state(path, "old", *under_way(), PROGRESS)
    content, run = path.read_bytes(), under_way()
    assert len(content) > room_bytes
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room_bytes, limits[1]))  # no file may be larger
    try:
        with pytest.raises(AsrError, match=r"training/state\.pt: cannot be written \(.*too large"):
            write_state(path, "new", *run, PROGRESS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "training").write_text("a file")
    with pytest.raises(AsrError, match=r"training/state\.pt: cannot be written"):
        write_state(tmp_path / "training" / "state.pt", "key", *begun(), PROGRESS)


def test_a_folder_that_cannot_be_written_is_named(path, monkeypatch):
    write_state(path, "old", *begun(), PROGRESS)
    content = path.read_bytes()

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("asr.files.tempfile.mkstemp", refuse)  # as permissions do, but also for root
    with pytest.raises(AsrError, match=r"training/state\.pt: cannot be written \(Permission denied\)"):
        write_state(path, "new", *begun(), PROGRESS)
    assert path.read_bytes() == content


def test_what_counts_as_better():
    """The first figure decides, the second where it is a tie; what is not a number is never better."""
    progress = Progress()
    tries = [(0.5, 0.3), (0.5, 0.3), (0.5, 0.2), (0.6, 0.1), (math.nan, 0.0), (0.4, 0.9)]
    better = [progress.improves(epoch, {"wer": w, "cer": c}) for epoch, (w, c) in enumerate(tries, start=1)]
    assert better == [True, False, True, False, False, True]
    assert (progress.best_wer, progress.best_cer, progress.best_epoch) == (0.4, 0.9, 6)
    assert progress.best_perplexity == math.inf
    assert progress.improves(9, {"wer": 1.0, "cer": 1.0}, anyhow=True)
    assert (progress.best_epoch, progress.best_wer) == (9, 1.0)
    assert not Progress().improves(1, {"perplexity": math.nan})


def test_a_state_from_before_there_were_language_models(path):
    run = under_way()
    write_state(path, "key", *run, PROGRESS)
    state = torch.load(path, weights_only=True)
    del state["progress"]["best_perplexity"]
    torch.save(state, path)
    assert asdict(read_state(path, "key", *begun(seed=9))) == asdict(PROGRESS)
