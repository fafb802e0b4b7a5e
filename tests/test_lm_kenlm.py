"""KenLM itself says whether the files are what it would have made of the ARPA files."""

import io
import math
import random

import numpy as np
import pytest

from asr.lm import kenlm
from asr.lm.arpa import read_arpa, write_arpa
from asr.lm.counts import count_ngrams
from asr.lm.kenlm import kenlm_file, write_kenlm
from asr.lm.kneser_ney import estimate
from asr.lm.ngram import closed

WORDS = [*"abcdefgh", "don't", "naïve", "eightish", "fifteen-letters", "sixteen--letters", "a" * 40]
NOT_THERE = "zebra"


def sentences(seed, count, words=WORDS, most=9):
    generator = random.Random(seed)
    return [" ".join(generator.choices(words, k=generator.randint(0, most))) for _ in range(count)]


def load(path, words):
    kenlm = pytest.importorskip("flashlight.lib.text.decoder.kenlm")
    dictionary = pytest.importorskip("flashlight.lib.text.dictionary")
    return kenlm.KenLM(str(path), dictionary.Dictionary(words))


def scores(model, words, texts):
    """Log10 of every word and every end, each text from its start."""
    found, ids = [], {word: number for number, word in enumerate(words)}
    for text in texts:
        state = model.start(False)
        for word in text.split():
            state, log10 = model.score(state, ids[word])
            found.append(log10)
        found.append(model.finish(state)[1])
    return found


def our_scores(model, texts):
    found = []
    for text in texts:
        state = model.start()
        for word in text.split():
            state, natural = model.score(state, word)
            found.append(natural / math.log(10))
        found.append(model.finish(state) / math.log(10))
    return found


@pytest.fixture(params=[(2, [0, 0]), (3, [0, 0, 1]), (4, [0, 0, 1, 1]), (5, [0] * 5)], ids=lambda each: str(each[0]))
def arpa(request, tmp_path):
    order, prune = request.param
    path = tmp_path / "lm.arpa"
    write_arpa(estimate(count_ngrams(sentences(1, 300), order), prune), path)
    return path


def test_kenlm_scores_alike_what_it_reads_itself(arpa):
    texts, model = sentences(2, 2000, [*WORDS, NOT_THERE]), read_arpa(arpa)
    words = [*model.words, NOT_THERE]
    with kenlm_file(model) as path:
        ours = load(path, words)
    assert scores(ours, words, texts) == pytest.approx(scores(load(arpa, words), words, texts), abs=1e-6)


SRI = """\
\\data\\
ngram 1=6
ngram 2=8
ngram 3=6
ngram 4=2

\\1-grams:
-1.2\t</s>
-99\t<s>\t-0.25
-0.5\ta\t-0.125
-0.8\tb\t-0.375
-0.9\tc
-1.1\td\t0.0625

\\2-grams:
-0.4\t<s> a\t-0.5
-0.3\ta b\t-0.25
-0.7\tc d\t-0.1
-0.2\td a
-0.35\tb a\t-0.05
-0.65\ta c
-0.9\tc a
-1.4\ta </s>

\\3-grams:
-0.1\t<s> a b\t-0.35
-0.6\ta b c\t-0.15
-0.15\tc d b\t-0.05
-0.25\td a b
-0.55\t<s> a c
-0.85\ta b a

\\4-grams:
-0.05\t<s> a b c
-0.45\ta b c d

\\end\\
"""
"""As SRILM prunes: "b c d", "b c" and "d b" are not there, and neither is `<unk>`."""


def test_what_n_grams_end_in_need_not_be_there(tmp_path):
    (tmp_path / "sri.arpa").write_text(SRI)
    model = read_arpa(tmp_path / "sri.arpa")
    whole = closed(model)
    assert whole.counts == [7, 10, 7, 2]
    words, texts = [*model.words, NOT_THERE], sentences(3, 500, [*"abcd", NOT_THERE])
    with kenlm_file(whole) as path:
        found = scores(load(path, words), words, texts)
    assert found == pytest.approx(scores(load(tmp_path / "sri.arpa", words), words, texts), abs=1e-6)
    for each in (model, whole):
        assert found == pytest.approx(our_scores(each, texts), rel=1e-6)
    assert closed(whole) is whole


def test_a_model_of_single_words():
    model = estimate(count_ngrams(sentences(1, 300), 1))
    texts = sentences(2, 100, [*WORDS, NOT_THERE])
    words = [*model.words, NOT_THERE]
    with kenlm_file(model) as path:
        found = scores(load(path, words), words, texts)
    assert sum(found) == pytest.approx(model.perplexity(texts).log10_probability)


def test_where_files_cannot_be_in_memory(arpa, monkeypatch):
    monkeypatch.setattr(kenlm.sys, "platform", "darwin")
    model, stream = read_arpa(arpa), io.BytesIO()
    write_kenlm(model, stream)
    with kenlm_file(model) as path:
        assert path.read_bytes() == stream.getvalue()
    assert not path.parent.exists()


@pytest.mark.parametrize("seed", range(20))
def test_every_entry_is_found_from_its_own_bucket_on(seed):
    """Crowded at the end of the table, so that entries go round it."""
    generator = np.random.default_rng(seed)
    count = int(generator.integers(1, 40))
    buckets = max(count + 1, math.floor(1.5 * count))
    hashes = generator.permutation(1000)[:count] * buckets + buckets - 1 - generator.geometric(0.3, count) % buckets
    hashes = hashes.astype(np.uint64)
    values = np.array(generator.normal(size=count), kenlm.PROBABILITY)
    table = kenlm._probing(hashes, values, count)
    assert len(table) == buckets
    assert (table["hash"] != 0).sum() == count
    for hashed, value in zip(hashes.tolist(), values["probability"], strict=True):
        place = hashed % buckets
        while table["hash"][place] != hashed:
            assert table["hash"][place] != 0
            place = (place + 1) % buckets
        assert table["probability"][place] == value


def test_the_hash_of_words():
    """MurmurHash64A, spelled out for one word."""
    mask, factor = 2**64 - 1, 0xC6A4A7935BD1E995

    def murmur(text):
        hashed = len(text) * factor & mask
        for begin in range(0, len(text) - 7, 8):
            block = int.from_bytes(text[begin : begin + 8], "little") * factor & mask
            hashed = (hashed ^ (block ^ block >> 47) * factor & mask) * factor & mask
        if tail := text[len(text) // 8 * 8 :]:
            hashed = (hashed ^ int.from_bytes(tail, "little")) * factor & mask
        hashed = (hashed ^ hashed >> 47) * factor & mask
        return hashed ^ hashed >> 47

    assert kenlm._hashes_of_words(WORDS).tolist() == [murmur(word.encode()) for word in WORDS]
