"""flashlight against our own search: the same texts and scores, whatever the tokens, models, words and hotwords."""

import gzip
import multiprocessing
from math import exp, log

import numpy as np
import pytest
import torch
from test_search_fusion import ARPA, CHARACTERS, HOTWORDS, LEXICON, Bigrams, language_score, text_of
from test_search_prefix import random_matrix

from asr.decoding import greedy
from asr.errors import AsrError, DataError, ModelError
from asr.lm.stored import read_ngrams, write_ngrams
from asr.search import flashlight
from asr.search.flashlight import Flashlight, installed
from asr.search.fusion import CharacterFusion, WordFusion
from asr.search.prefix import Hypothesis, beam_search
from asr.text import Vocabulary

pytest.importorskip("flashlight.lib.text")

VOCABULARY = Vocabulary(CHARACTERS)
BEAM = 3000
WEIGHTS = {"lm_weight": 0.7, "word_score": 0.4}
SOME = pytest.mark.parametrize("hotwords", [None, HOTWORDS], ids=["plain", "hotwords"])
WITH_MODEL = pytest.mark.parametrize("with_model", [True, False], ids=["model", "no model"])


@pytest.fixture
def arpa(tmp_path):
    path = tmp_path / "bigrams.arpa"
    path.write_text(ARPA)
    return path


def by_text(spellings, hypotheses):
    """Scores by text: token sequences that differ in spaces only are one text, and their probabilities add up."""
    sums = {}
    for hypothesis in hypotheses:
        text = text_of(spellings, hypothesis.tokens)
        sums[text] = sums.get(text, 0.0) + exp(hypothesis.score)
    return {text: log(value) for text, value in sums.items()}


def best_of(scores, count=3):
    return dict(sorted(scores.items(), key=lambda item: -item[1])[:count])


@pytest.mark.parametrize("seed", range(20))
def test_a_beam_of_one_follows_the_best_path(seed):
    rng = np.random.default_rng(seed)
    matrix = random_matrix(rng, rng.integers(0, 30), 4, sharpness=rng.uniform(0.1, 3))
    (found,) = Flashlight(VOCABULARY, 1).decode(matrix)
    assert list(found.tokens) == greedy(torch.from_numpy(matrix))


@WITH_MODEL
@SOME
@pytest.mark.parametrize("seed", range(3))
def test_characters(arpa, seed, hotwords, with_model):
    matrix = random_matrix(np.random.default_rng(seed), 8, 4, sharpness=2.0)
    path, model = (arpa, Bigrams(ARPA)) if with_model else (None, None)
    found = Flashlight(VOCABULARY, BEAM, path, hotwords=hotwords, nbest=5, **WEIGHTS).decode(matrix)
    expected = beam_search(matrix, BEAM, CharacterFusion(CHARACTERS, model, hotwords=hotwords, **WEIGHTS), nbest=5)
    assert [hypothesis.tokens for hypothesis in found] == [hypothesis.tokens for hypothesis in expected]
    assert [hypothesis.score for hypothesis in found] == pytest.approx([h.score for h in expected], abs=1e-4)


@WITH_MODEL
@SOME
@pytest.mark.parametrize("seed", range(3))
def test_words_of_characters(arpa, seed, hotwords, with_model):
    matrix = random_matrix(np.random.default_rng(seed), 8, 4, sharpness=2.0)
    path, model = (arpa, Bigrams(ARPA)) if with_model else (None, None)
    found = Flashlight(VOCABULARY, BEAM, path, LEXICON, hotwords=hotwords, nbest=3, **WEIGHTS).decode(matrix)
    fusion = WordFusion(CHARACTERS, model, LEXICON, hotwords=hotwords, **WEIGHTS)
    expected = best_of(by_text(CHARACTERS, beam_search(matrix, BEAM, fusion, nbest=BEAM)))
    assert [text_of(CHARACTERS, hypothesis.tokens) for hypothesis in found] == list(expected)
    assert [hypothesis.score for hypothesis in found] == pytest.approx(list(expected.values()), abs=1e-4)
    for hypothesis in found:
        spelled = "".join(CHARACTERS[token] for token in hypothesis.tokens)
        assert spelled == " ".join(spelled.split())


@pytest.fixture(scope="module")
def pieces():
    pytest.importorskip("sentencepiece")
    return Vocabulary.of_pieces(["ab ab aba", "aba b ab", "bb b a ab", "a aba bb"] * 5, " ab", 7)


def peaky(rng, vocabulary, text):
    """A matrix in which a text is heard, each token for one to three frames, and another token may be meant in some."""
    path = []
    for token in vocabulary.encode(text):
        path += [0] * int(rng.integers(path[-1:] == [token], 3)) + [token] * int(rng.integers(1, 4))
    matrix = rng.uniform(-9, -7, (len(path), len(vocabulary)))
    matrix[np.arange(len(path)), rng.integers(0, len(vocabulary), len(path))] = -3.0
    matrix[np.arange(len(path)), path] = 0.0
    return matrix - np.log(np.exp(matrix).sum(1, keepdims=True))


@WITH_MODEL
@pytest.mark.parametrize("hotwords", [None, {"bb": 1.5, "a b": 2.5, "aba": -1.0}], ids=["plain", "hotwords"])
@pytest.mark.parametrize("seed", range(5))
def test_words_of_pieces(arpa, pieces, seed, hotwords, with_model):
    rng = np.random.default_rng(seed)
    words = [LEXICON[number] for number in rng.integers(0, len(LEXICON), 4)]
    matrix = peaky(rng, pieces, " ".join(words))
    path, model = (arpa, Bigrams(ARPA)) if with_model else (None, None)
    (found,) = Flashlight(pieces, 300, path, LEXICON, hotwords=hotwords, lm_weight=0.7, word_score=-3.0).decode(matrix)
    fusion = WordFusion(pieces.spellings, model, LEXICON, hotwords=hotwords, lm_weight=0.7, word_score=-3.0)
    hypotheses = beam_search(matrix, 300, fusion, nbest=300)
    expected = next(h for h in hypotheses if list(h.tokens) == pieces.encode(pieces.decode(h.tokens)))
    assert found.tokens == expected.tokens
    assert found.score == pytest.approx(expected.score, abs=0.05)


def test_a_piece_goes_on_at_the_end_of_a_word(pieces):
    token, other = pieces.encode("ab")[0], pieces.encode("b")[0]
    matrix = np.full((7, len(pieces)), log(0.001))
    for frame, heard in enumerate([token, token, token, 0, token, token, other]):
        matrix[frame, heard] = log(0.99)
    (found,) = Flashlight(pieces, 50, lexicon=["ab", "b"]).decode(matrix)
    assert pieces.decode(found.tokens) == "ab ab b"
    assert found.score == pytest.approx(7 * log(0.99), abs=0.02)


@SOME
def test_characters_of_pieces(arpa, pieces, hotwords):
    matrix = peaky(np.random.default_rng(7), pieces, "ab b aba")
    (found,) = Flashlight(pieces, 200, arpa, hotwords=hotwords, **WEIGHTS).decode(matrix)
    fusion = CharacterFusion(pieces.spellings, Bigrams(ARPA), hotwords=hotwords, **WEIGHTS)
    (expected,) = beam_search(matrix, 200, fusion)
    assert found.tokens == expected.tokens
    assert found.score == pytest.approx(expected.score, abs=0.01)


def test_no_frames(arpa):
    assert Flashlight(VOCABULARY, 5).decode(np.zeros((0, 4))) == [Hypothesis((), 0.0)]
    (found,) = Flashlight(VOCABULARY, 5, arpa, LEXICON).decode(np.zeros((0, 4)))
    score = pytest.approx(language_score(Bigrams(ARPA), []))
    assert found == Hypothesis((), score, language=score)


def test_where_no_word_ends_the_unfinished_are_returned():
    with np.errstate(divide="ignore"):
        matrix = np.log([[0, 0, 1, 0], [0, 0, 0, 1]])
    assert Flashlight(VOCABULARY, 2, lexicon=["aba"]).decode(matrix) == [Hypothesis((2, 3), 0.0)]


def test_not_a_number():
    with pytest.raises(DataError, match="frame 1 of 2 has NaN"):
        Flashlight(VOCABULARY, 5).decode(np.array([[0.0] * 4, [np.nan] * 4]))


def test_without_weight_the_model_is_not_even_read(tmp_path):
    matrix = random_matrix(np.random.default_rng(0), 6, 4)
    found = Flashlight(VOCABULARY, 50, tmp_path / "nowhere.arpa", LEXICON, lm_weight=0.0, hotwords=HOTWORDS)
    assert found.decode(matrix) == Flashlight(VOCABULARY, 50, None, LEXICON, hotwords=HOTWORDS).decode(matrix)


def test_a_gzipped_model_is_read_in_silence(tmp_path, arpa, capfd):
    packed = tmp_path / ("long" * 20) / ("name" * 20) / "bigrams.arpa.gz"
    packed.parent.mkdir(parents=True)
    packed.write_bytes(gzip.compress(ARPA.encode()))
    matrix = random_matrix(np.random.default_rng(1), 6, 4)
    expected = Flashlight(VOCABULARY, 50, arpa, LEXICON).decode(matrix)
    assert Flashlight(VOCABULARY, 50, packed, LEXICON).decode(matrix) == expected
    assert capfd.readouterr().err == ""


def test_a_compact_model_is_read_in_silence(tmp_path, arpa, capfd):
    write_ngrams(read_ngrams(arpa), tmp_path / "bigrams.ngram")
    matrix = random_matrix(np.random.default_rng(1), 6, 4)
    capfd.readouterr()
    found = Flashlight(VOCABULARY, 50, tmp_path / "bigrams.ngram", LEXICON).decode(matrix)
    assert found == Flashlight(VOCABULARY, 50, arpa, LEXICON).decode(matrix)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("content", ["hello\n", "", ARPA.replace("-0.5\ta\t-0.2", "x\ta\t-0.2"), ARPA[:150]])
def test_a_file_that_is_no_model(tmp_path, capfd, content):
    path = tmp_path / "other.arpa"
    path.write_text(content)
    with pytest.raises(ModelError, match="other.arpa: not a language model that KenLM can read") as raised:
        Flashlight(VOCABULARY, 5, path)
    assert "\n" not in str(raised.value)
    assert capfd.readouterr().err == ""


def test_a_model_that_is_not_there(tmp_path):
    with pytest.raises(ModelError, match="nowhere.arpa: not a language model.*No such file"):
        Flashlight(VOCABULARY, 5, tmp_path / "nowhere.arpa")


def test_without_flashlight(monkeypatch):
    assert installed()
    monkeypatch.setattr(flashlight, "find_spec", lambda name: None)
    assert not installed()
    with pytest.raises(AsrError, match="which is for Python up to 3.12: pip install flashlight-text"):
        Flashlight(VOCABULARY, 5)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_forked_processes_share_a_decoder(arpa, monkeypatch):
    matrices = [random_matrix(np.random.default_rng(seed), 10, 4) for seed in range(6)]
    decoder = Flashlight(VOCABULARY, 50, arpa, LEXICON, hotwords=HOTWORDS)
    expected = [decoder.decode(matrix) for matrix in matrices]
    results = multiprocessing.get_context("fork").SimpleQueue()

    def work(number):
        results.put((number, decoder.decode(matrices[number])))

    children = [multiprocessing.get_context("fork").Process(target=work, args=(number,)) for number in range(6)]
    for child in children:
        child.start()
    found = dict(results.get() for _ in children)
    for child in children:
        child.join()
    assert [found[number] for number in range(6)] == expected
