import gzip
import os
import select
import signal
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from asr import decoder as decoder_module
from asr.decoder import Decoder, DecodingConfig
from asr.errors import AsrError, ConfigError, ModelError
from asr.lexicon.entries import Lexicon, Pronunciation
from asr.lm.stored import read_ngrams, write_ngrams
from asr.search import flashlight
from asr.search.prefix import Hypothesis
from asr.text import BLANK, SPACE_IN_PIECES, Vocabulary

VOCABULARY = Vocabulary.of_characters(" abc")

WORDS = {"ab": -0.5, "ba": -1.0, "c": -1.5}
CHARACTERS = {"a": -0.5, "b": -0.7, "c": -0.9, SPACE_IN_PIECES: -0.6}


def arpa(path, unigrams):
    """A language model of words, with the log10 probabilities given, and a little better at a sentence's start."""
    signs = {"<unk>": -3.0, "<s>": -99.0, "</s>": -1.0}
    words = {**signs, **unigrams}
    first = [f"{value}\t{word}\t-0.2" for word, value in words.items()]
    second = [f"{value + 0.1}\t<s> {word}" for word, value in words.items() if word != "<s>"]
    header = ["\\data\\", f"ngram 1={len(first)}", f"ngram 2={len(second)}", ""]
    text = "\n".join([*header, "\\1-grams:", *first, "", "\\2-grams:", *second, "", "\\end\\", ""])
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def matrices(count, frames=12, contrast=3):
    chance = np.random.default_rng(0)
    logits = contrast * chance.standard_normal((count, frames, len(VOCABULARY)))
    return list(logits - np.log(np.exp(logits).sum(2, keepdims=True)))


def text(decoder, hypotheses):
    return decoder.vocabulary.decode(hypotheses[0].tokens)


@pytest.mark.parametrize("engine", ["python", "flashlight"])
@pytest.mark.parametrize("name", ["lm.arpa", "lm.arpa.gz"])
def test_a_language_model_of_words_lets_through_its_words_only(tmp_path, engine, name):
    if engine == "flashlight":
        pytest.importorskip("flashlight.lib.text")
    decoder = Decoder(VOCABULARY, DecodingConfig(engine=engine), arpa(tmp_path / name, WORDS))
    for matrix in matrices(10):
        assert set(text(decoder, decoder.decode(matrix)).split()) <= WORDS.keys()


@pytest.mark.parametrize("engine", ["python", "flashlight"])
@pytest.mark.parametrize("unigrams", [WORDS, CHARACTERS], ids=["words", "characters"])
def test_a_compact_file_is_as_good(tmp_path, engine, unigrams):
    if engine == "flashlight":
        pytest.importorskip("flashlight.lib.text")
    paths = [arpa(tmp_path / "lm.arpa", unigrams), tmp_path / "lm.ngram"]
    write_ngrams(read_ngrams(paths[0]), paths[1])
    one, other = (Decoder(VOCABULARY, DecodingConfig(engine=engine), path, nbest=3) for path in paths)
    assert one.lexicon == other.lexicon
    for matrix in matrices(5):
        assert one.decode(matrix) == other.decode(matrix)


@pytest.mark.parametrize("engine", ["python", "flashlight"])
def test_a_damaged_compact_file_is_named(tmp_path, engine):
    if engine == "flashlight":
        pytest.importorskip("flashlight.lib.text")
    path = tmp_path / "lm.ngram"
    write_ngrams(read_ngrams(arpa(tmp_path / "lm.arpa", WORDS)), path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ModelError, match=r"lm\.ngram: damaged or cut off"):
        Decoder(VOCABULARY, DecodingConfig(engine=engine), path)


@pytest.mark.parametrize("unigrams", [None, WORDS, CHARACTERS], ids=["none", "words", "characters"])
def test_both_engines_find_the_same(tmp_path, unigrams):
    pytest.importorskip("flashlight.lib.text")
    path = arpa(tmp_path / "lm.arpa", unigrams) if unigrams else None
    hotwords = {} if unigrams else {"ab": 2.0}
    config = DecodingConfig(beam=500, engine="flashlight", lm_weight=0.8, word_score=0.3, score_threshold=50.0)
    fast = Decoder(VOCABULARY, config, path, hotwords=hotwords)
    own = replace(fast, config=replace(config, engine="python"))
    for matrix in matrices(5, contrast=5):
        ours, theirs = own.decode(matrix), fast.decode(matrix)
        assert text(own, ours) == text(fast, theirs)
        assert ours[0].score == pytest.approx(theirs[0].score, abs=0.05)


def test_a_beam_of_one_without_a_language_model_is_the_best_path():
    config = DecodingConfig(beam=1, word_score=0.0, engine="python")
    for matrix in matrices(20):
        best = Decoder(VOCABULARY, config).decode(matrix)[0].tokens
        path = [token for before, token in pairwise([-1, *matrix.argmax(1)]) if token != before]
        assert list(best) == [token for token in path if token != 0]


def test_many_are_decoded_as_one_by_one_and_in_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2}, raising=False)
    decoder = Decoder(VOCABULARY, DecodingConfig(engine="python"), arpa(tmp_path / "lm.arpa", WORDS), nbest=3)
    some = matrices(11)
    try:
        together = decoder.decode_many(some)
        assert decoder._workers is not None
        assert decoder.decode_many(some) == together
    finally:
        decoder.close()
    assert together == [decoder.decode(matrix) for matrix in some]
    assert decoder._workers is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there are workers on Linux only")
def test_workers_end_with_a_parent_that_is_killed(monkeypatch):
    """They hold the pipes that they are started with: when nobody does any more, all have ended."""
    receiver, sender = os.pipe()
    child = os.fork()
    if not child:
        os.close(receiver)
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2})
        Decoder(VOCABULARY, DecodingConfig(engine="python")).decode_many(matrices(3))
        os.write(sender, b"x")
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(sender)
    os.waitpid(child, 0)
    assert os.read(receiver, 1) == b"x"
    assert select.select([receiver], [], [], 20)[0]
    assert os.read(receiver, 1) == b""
    os.close(receiver)


def test_one_matrix_or_one_core_needs_no_workers(monkeypatch):
    decoder = Decoder(VOCABULARY, DecodingConfig(engine="python"))
    decoder.decode_many(matrices(1))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)
    decoder.decode_many(matrices(3))
    assert decoder._workers is None


def test_other_settings_take_effect(tmp_path):
    config = DecodingConfig(engine="python", score_threshold=100.0)
    decoder = Decoder(VOCABULARY, config, arpa(tmp_path / "lm.arpa", WORDS))
    other = decoder.reweighted(replace(decoder.config, lm_weight=5.0, word_score=-20.0), nbest=4)
    (matrix,) = matrices(1)
    assert len(other.decode(matrix)) == 4
    assert len(text(other, other.decode(matrix)).split()) < len(text(decoder, decoder.decode(matrix)).split())


@pytest.mark.parametrize("engine", ["python", "flashlight"])
def test_what_is_expected_anyhow_counts_less(engine):
    if engine == "flashlight":
        pytest.importorskip("flashlight.lib.text")
    config = DecodingConfig(engine=engine, lm_weight=0, word_score=0, prior_weight=0.5)
    priors = np.log([0.6, 0.1, 0.1, 0.1, 0.1])
    plain, fair = Decoder(VOCABULARY, replace(config, prior_weight=0)), Decoder(VOCABULARY, config, log_priors=priors)
    for matrix in matrices(5):
        before, heard = matrix.copy(), fair.decode(matrix)
        assert np.array_equal(matrix, before)
        scaled = np.exp(matrix) / np.exp(priors) ** 0.5
        expected = plain.decode(np.log(scaled / scaled.sum(1, keepdims=True)))
        assert [each.tokens for each in heard] == [each.tokens for each in expected]
        assert [each.score for each in heard] == pytest.approx([each.score for each in expected], abs=1e-4)
        assert len(heard[0].tokens) >= len(plain.decode(matrix)[0].tokens)


def test_priors_that_nobody_knows():
    with pytest.raises(ModelError, match=r"^decoding.prior_weight = 0.3: it is not known how likely"):
        Decoder(VOCABULARY, DecodingConfig(prior_weight=0.3))


def test_without_flashlight_it_says_so_and_works(monkeypatch, capsys):
    monkeypatch.setattr(flashlight, "installed", lambda: False)
    assert Decoder(VOCABULARY, DecodingConfig()).decode(matrices(1)[0])
    assert capsys.readouterr().err == (
        "decoding: by our own beam search; flashlight-text, for Python up to 3.12, would be faster\n"
    )


@pytest.mark.parametrize(
    ("unigrams", "message"),
    [
        ({"AB": -1, "BA": -1, "c": -1}, r"can spell 33.3% of its 3 words, such as not 'AB'; it has no 'A' 'B' "
         r"\(it is in upper case, the model in lower\)"),
        ({"да": -1, "нет": -1}, r"can spell 0.0% of its 2 words.*another alphabet"),
        ({"a": -1, "b": -1}, r"knows 50% of the model's 4; it lacks 'c' '▁'"),
        ({"A": -1, "B": -1, "C": -1}, r"knows 0% of the model's 4"),
        ({}, "a language model of no words"),
    ],
    ids=["upper case", "script", "few characters", "upper-case characters", "empty"],
)  # fmt: skip
def test_a_language_model_that_does_not_fit_is_refused(tmp_path, unigrams, message):
    path = arpa(tmp_path / "lm.arpa", unigrams)
    with pytest.raises(ModelError, match=rf"lm.arpa: .*{message}"):
        Decoder(VOCABULARY, DecodingConfig(), path)


@pytest.mark.parametrize("engine", ["python", "flashlight"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_damaged_language_model_is_refused(tmp_path, engine, share):
    for name in ("lm.arpa", "lm.arpa.gz"):
        path = arpa(tmp_path / name, WORDS)
        whole = path.read_bytes()
        path.write_bytes(whole[: round(share * len(whole))])
        with pytest.raises(ModelError, match=name):
            Decoder(VOCABULARY, DecodingConfig(engine=engine), path)


def test_a_lexicon_is_for_words(tmp_path):
    path = arpa(tmp_path / "lm.arpa", CHARACTERS)
    with pytest.raises(ConfigError, match="lm.arpa: a language model of characters takes no lexicon"):
        Decoder(VOCABULARY, DecodingConfig(), path, ["ab"])
    decoder = Decoder(VOCABULARY, DecodingConfig(engine="python"), lexicon=["cab"])
    assert {text(decoder, decoder.decode(matrix)) for matrix in matrices(5)} <= {"", "cab", "cab cab", "cab cab cab"}


def test_flashlight_asked_for_and_not_there(monkeypatch):
    monkeypatch.setattr(decoder_module.flashlight, "find_spec", lambda name: None)
    monkeypatch.setitem(__import__("sys").modules, "flashlight.lib.text.decoder", None)
    with pytest.raises(AsrError, match="which is for Python up to 3.12: pip install flashlight-text"):
        Decoder(VOCABULARY, DecodingConfig(engine="flashlight"))


def test_texts_that_differ_in_spaces_only_are_one():
    decoder = Decoder(VOCABULARY, DecodingConfig(engine="python"))
    space, a = 1, 2
    found = [Hypothesis((a,), -1.0), Hypothesis((a, a), -1.1), Hypothesis((a, space), -1.5), Hypothesis((space, a), -2)]
    best, other = decoder._by_text(found)
    assert (best.tokens, other.tokens) == ((a,), (a, a))
    assert best.score == pytest.approx(np.log(np.exp(-1.0) + np.exp(-1.5) + np.exp(-2.0)))


def test_the_folder_of_an_lstm_is_no_arpa_file(tmp_path):
    with pytest.raises(ModelError, match="a folder, where an ARPA file is needed"):
        Decoder(VOCABULARY, DecodingConfig(), tmp_path)


def test_other_settings_read_nothing_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(flashlight, "installed", lambda: False)
    path = arpa(tmp_path / "lm.arpa", WORDS)
    decoder = Decoder(VOCABULARY, DecodingConfig(), path)
    assert capsys.readouterr().err.count("our own beam search") == 1
    path.unlink()
    assert decoder.reweighted(replace(decoder.config, lm_weight=0.1)).decode(matrices(1)[0])
    assert not capsys.readouterr().err


def test_a_language_model_that_was_written_anew_is_read_anew(tmp_path):
    pytest.importorskip("flashlight.lib.text")
    config = DecodingConfig(engine="flashlight")
    (matrix,) = matrices(1)
    before, after = (
        Decoder(VOCABULARY, config, arpa(tmp_path / "lm.arpa", {**WORDS, "ab": value})).decode(matrix)[0].score
        for value in (-0.5, -3.5)
    )
    assert before != after


PHONES = (BLANK, "A", "B", "C", "SIL")
TWO_HEADS = Vocabulary(VOCABULARY.tokens, phones=PHONES)
PHONES_ONLY = Vocabulary((), phones=PHONES)
LEXICON = Lexicon(
    {
        "ab": (Pronunciation(("A", "B")), Pronunciation(("B", "B", "A"), 0.4)),
        "ba": (Pronunciation(("B", "A")),),
        "c": (Pronunciation(("C",)),),
        "sea": (Pronunciation(("C",)),),
    }
)


def heard(path, vocabulary, spelled=""):
    """A matrix in which phones are heard along a path, and letters in the same frames; silence is `-`, a blank `.`."""
    rows = np.full((len(path), len(vocabulary)), -9.0)
    for frame, phone in enumerate(path):
        rows[frame, len(vocabulary.tokens) + ".ABC-".index(phone)] = 0.0
        if spelled:
            rows[frame, vocabulary.tokens.index(BLANK if spelled[frame] == "." else spelled[frame])] = 0.0
    return rows


@pytest.fixture(params=["python", "flashlight"])
def engine(request):
    if request.param == "flashlight":
        pytest.importorskip("flashlight.lib.text")
    return request.param


@pytest.mark.parametrize("vocabulary", [TWO_HEADS, PHONES_ONLY], ids=["two heads", "phones only"])
def test_words_are_heard_in_phones(tmp_path, engine, vocabulary, capsys):
    path = arpa(tmp_path / "lm.arpa", {**WORDS, "sea": -2.5})
    decoder = Decoder(vocabulary, DecodingConfig(engine=engine), path, pronunciations=LEXICON, nbest=2)
    best, second = decoder.decode(heard("-AAB..C-BA", vocabulary, "" if not vocabulary.spells else "cccccccccc"))
    assert best.words == (("", 1), ("ab", 2), ("c", 1), ("", 1), ("ba", 2))
    assert decoder_module.text_of(best, vocabulary) == "ab c ba"
    assert decoder_module.text_of(second, vocabulary) == "ab sea ba"  # said alike, and less likely
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("kind", ["words", "characters", "phones"])
def test_what_of_a_score_the_language_model_gives_is_told(tmp_path, engine, kind):
    path = arpa(tmp_path / "lm.arpa", CHARACTERS if kind == "characters" else WORDS)
    config = DecodingConfig(engine=engine, lm_weight=0.8, word_score=0.0 if kind == "characters" else 0.3)
    phones = {"pronunciations": LEXICON} if kind == "phones" else {}
    decoder = Decoder(PHONES_ONLY if phones else VOCABULARY, config, path, nbest=3, **phones)
    matrix = heard("-AAB..C-BA", PHONES_ONLY) if phones else matrices(1)[0]
    found = decoder.decode(matrix)
    assert len(found) == 3
    model = read_ngrams(path)
    for hypothesis in found:
        said = decoder_module.text_of(hypothesis, decoder.vocabulary)
        if phones or "".join(decoder.vocabulary.spellings[token] for token in hypothesis.tokens) == said:
            units = said.replace(" ", SPACE_IN_PIECES) if kind == "characters" else said.split()
            assert hypothesis.language == pytest.approx(0.8 * model.log_probability(units), abs=1e-3)
    without = decoder.reweighted(replace(config, lm_weight=0.0))
    assert {each.language for each in without.decode(matrix)} == {0.0}


def test_of_alike_texts_the_best_counts():
    vocabulary = PHONES_ONLY
    found = [Hypothesis((1, 2), -1.0, (("ab", 2),)), Hypothesis((4, 1, 2), -2.0, (("", 1), ("ab", 2)))]
    other = Hypothesis((3,), -3.0, (("c", 1),))
    assert decoder_module.distinct([*found, other], vocabulary) == {"ab": found[0], "c": other}


def test_a_pronunciation_weighs_what_it_is_told_to(engine):
    matrix = heard("B.BA", PHONES_ONLY)
    lexicon = LEXICON | Lexicon({"odd": (Pronunciation(("B", "B", "A")),)})
    found = {}
    for weight in (0.0, 2.0):  # halved once, and so 0.69 below
        config = DecodingConfig(engine=engine, word_score=0.0, pronunciation_weight=weight)
        decoder = Decoder(PHONES_ONLY, config, pronunciations=lexicon, hotwords={"ab": 0.5})
        found[weight] = decoder.decode(matrix)[0].words
    assert found == {0.0: (("ab", 3),), 2.0: (("odd", 3),)}


def test_which_head_is_searched(tmp_path):
    path = arpa(tmp_path / "lm.arpa", WORDS)
    matrix = heard("AABBBBB", TWO_HEADS, "c......")
    texts = {
        head: decoder_module.text_of(
            Decoder(TWO_HEADS, DecodingConfig(head=head), path, pronunciations=LEXICON).decode(matrix)[0], TWO_HEADS
        )
        for head in ("auto", "phones", "text")
    }
    assert texts == {"auto": "ab", "phones": "ab", "text": "c"}
    without = Decoder(TWO_HEADS, DecodingConfig(), path)
    assert decoder_module.text_of(without.decode(matrix)[0], TWO_HEADS) == "c"


@pytest.mark.parametrize(
    ("vocabulary", "head", "lexicon", "message"),
    [
        (VOCABULARY, "phones", LEXICON, "the model hears no phones"),
        (PHONES_ONLY, "text", LEXICON, "the model hears phones, not letters"),
        (PHONES_ONLY, "auto", None, "needs a pronunciation lexicon: --lexicon"),
        (TWO_HEADS, "phones", None, "needs a pronunciation lexicon: --lexicon"),
    ],
)
def test_a_head_that_is_not_there(vocabulary, head, lexicon, message):
    with pytest.raises(ModelError, match=message):
        Decoder(vocabulary, DecodingConfig(head=head), pronunciations=lexicon)


def test_words_that_nobody_can_say_are_counted(tmp_path, capsys):
    path = arpa(tmp_path / "lm.arpa", WORDS)
    some = Lexicon({word: LEXICON[word] for word in ("ab", "c")})
    Decoder(PHONES_ONLY, DecodingConfig(), path, pronunciations=some, hotwords={"zzz": 1.0, "c ab": 1.0})
    told = capsys.readouterr().err
    assert told == "decoding: 2 of 4 words have no pronunciation, such as 'ba'; they are not heard\n"
    with pytest.raises(ModelError, match="lm.arpa: 2 of 3 words .* such as 'ab': the lexicon does not fit"):
        Decoder(PHONES_ONLY, DecodingConfig(), path, pronunciations=some.only(["c"]))
    with pytest.raises(ConfigError, match="a language model of characters takes no lexicon"):
        Decoder(TWO_HEADS, DecodingConfig(), arpa(path, CHARACTERS), pronunciations=LEXICON)
