import os
import random
import signal

import pytest
import torch

from asr.config import to_table
from asr.errors import AsrError, Interrupted, ModelError
from asr.g2p.checkpoint import PronunciationModel, create
from asr.g2p.network import G2PConfig
from asr.g2p.pronouncer import Pronouncer
from asr.g2p.task import PronunciationTask, PronunciationTrainingConfig
from asr.g2p.vocabulary import PronunciationVocabulary
from asr.lexicon.entries import lexicon_of
from asr.optimizer import OptimizerConfig
from asr.training import Trainer

CONFIG = PronunciationTrainingConfig(epochs=4, batch_tokens=60, precision="float32")
OPTIMIZER = OptimizerConfig(learning_rate=2e-2, average_decay=0.9)
TIMES = ("seconds", "dev_seconds", "tokens_per_s", "waiting_share", "memory_gb")


def spelled(count, seed):
    """Made words that are said letter by letter."""
    chance = random.Random(seed)
    words = dict.fromkeys("".join(chance.choices("abcd", k=chance.randint(2, 5))) for _ in range(count))
    return lexicon_of([(word, tuple(word.upper()), 1.0) for word in words])


def trainer(config=CONFIG, optimizer=OPTIMIZER, dev=None, **model):
    torch.manual_seed(3)
    lexicon = spelled(30, 1)
    settings = G2PConfig(**{"embedding": 8, "hidden": 8, "decoder_hidden": 12, "layers": 1, "dropout": 0.1, **model})
    checkpoint = create(settings, PronunciationVocabulary.of(lexicon), {"training": to_table(config)})
    task = PronunciationTask(checkpoint, lexicon, dev or spelled(30, 2), config, torch.device("cpu"))
    return Trainer(task, config, optimizer)


def run(trainer, folder):
    return trainer.run(folder / "training" / "state.pt", folder / "model", "key", lambda p: f"{p.best_per}")


def weights(trainer):
    return {name: value.clone() for name, value in trainer.checkpoint.weights().items()}


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def timeless(progress):
    return [{name: v for name, v in record.items() if name not in TIMES} for record in progress.history]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder, whole = tmp_path_factory.mktemp("unbroken"), trainer()
    return run(whole, folder), weights(whole), folder


def test_thirty_words_are_learned(tmp_path, capsys):
    config = PronunciationTrainingConfig(epochs=25, batch_tokens=40, precision="float32")
    progress = run(trainer(config, dev=spelled(30, 1), hidden=16, dropout=0.0), tmp_path)
    first, *_, last = progress.history
    assert first["dev_per"] > 0.4
    assert last["loss"] < 0.1 * first["loss"]
    assert (progress.best_per, progress.best_wer) == (0, 0)
    saved = Pronouncer.load(tmp_path / "model")
    words = list(spelled(30, 1).entries)[:5]
    assert [best.phones for (best,) in saved.pronounce(words)] == [tuple(word.upper()) for word in words]
    said = capsys.readouterr().err
    assert "check: vocabulary: 4 letters, 4 phones" in said
    assert "M parameters, 28 pronunciations of 28 words, 25 epochs" in said
    assert "PER " in said


def test_the_best_model_by_phone_errors_is_saved(unbroken):
    progress, _, folder = unbroken
    rates = [(record["dev_per"], record["dev_wer"]) for record in progress.history]
    assert (round(progress.best_per, 5), round(progress.best_wer, 5)) == min(rates)
    assert (folder / "model" / "README.md").read_text() == f"{progress.best_per}"


@pytest.mark.parametrize("stop_after_steps", [1, 7])
def test_a_stopped_run_goes_on_to_the_same_weights(unbroken, tmp_path, monkeypatch, stop_after_steps):
    first, steps = trainer(), []
    update = first.learner.update

    def step(done):
        steps.append(1)
        if len(steps) == stop_after_steps:
            os.kill(os.getpid(), signal.SIGTERM)
        return update(done)

    monkeypatch.setattr(first.learner, "update", step)
    with pytest.raises(Interrupted, match="the same command goes on from there"):
        run(first, tmp_path)
    second = trainer()
    progress = run(second, tmp_path)
    assert same(weights(second), unbroken[1])
    assert timeless(progress) == timeless(unbroken[0])


def test_a_batch_loses_what_its_words_lose_one_by_one():
    learner = trainer(dropout=0.0).learner
    examples = learner.task.examples
    numbers = [0, 1, 2, 3, 4]
    losses, tally = learner.losses(examples.batch(numbers), numbers, 0)
    alone = [learner.losses(examples.batch([number]), [number], 0)[0] for number in numbers]
    torch.testing.assert_close(losses, torch.cat(alone), atol=1e-5, rtol=0)
    assert tally.tokens == sum(map(learner.task.tokens, numbers))
    assert (tally.frames, tally.loss) == (0, pytest.approx(float(losses.detach().sum())))


def test_smoothing_takes_from_the_right_phone():
    plain, smooth = (
        trainer(PronunciationTrainingConfig(label_smoothing=share, precision="float32"), dropout=0.0).learner
        for share in (0.0, 0.5)
    )
    batch = plain.task.examples.batch([0, 1])
    assert not torch.allclose(plain.losses(batch, [0, 1], 0)[0], smooth.losses(batch, [0, 1], 0)[0])


def test_dev_is_scored_against_the_nearest_pronunciation():
    task = trainer().task
    before, words = task.evaluate(None).figures, list(task.dev.entries)
    assert list(before) == ["per", "wer"]
    assert before["per"] > 0
    said = [(word, best.phones, 1.0) for word, (best,) in zip(words, task.model.pronounce(words), strict=True)]
    task.dev = lexicon_of([*said, *((word, ("A",), 1.0) for word in words)])
    assert task.evaluate(None).figures == {"per": 0.0, "wer": 0.0}


def test_a_model_that_pronounces_otherwise_than_it_was_trained_does_not_count(tmp_path, monkeypatch):
    spoiled = trainer(PronunciationTrainingConfig(epochs=1, batch_tokens=60))
    load = PronunciationModel.load

    def forgetful(folder):
        checkpoint = load(folder)
        checkpoint.model.head.bias.data[2] += 100
        return checkpoint

    monkeypatch.setattr(PronunciationModel, "load", staticmethod(forgetful))
    with pytest.raises(ModelError, match="what was saved pronounces otherwise than what was trained"):
        run(spoiled, tmp_path)
    assert not (tmp_path / "model").exists()


def test_too_little_memory_is_one_line(monkeypatch):
    narrow = trainer()
    monkeypatch.setattr("asr.preflight.available_memory_bytes", lambda device: 1)
    with pytest.raises(AsrError) as caught:
        narrow.task.try_longest(narrow.learner.rehearse, 0)
    assert "not enough memory: about" in str(caught.value)
    assert "words of up to 5 letters (training.batch_tokens = 60): " in str(caught.value)

    trouble = narrow.task.memory_trouble(narrow.task.examples.batch([0, 1]), "in epoch 3")
    with pytest.raises(AsrError, match="out of memory in epoch 3: the batch holds 2 words .* to about 30$"), trouble:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
