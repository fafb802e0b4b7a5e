import numpy as np
import pytest

from asr.config import build
from asr.errors import ConfigError, DataError
from asr.lm.counts import count_ngrams
from asr.lm.from_texts import NGramConfig, in_words, train_ngrams
from asr.lm.kneser_ney import estimate
from asr.lm.stored import read_ngrams

SENTENCES = ["the cat sat on the mat", "the dog number five sat on the cat", "a dog and a cat sat"] * 3


@pytest.fixture
def text(tmp_path):
    """The sentences as they would be written, in two files."""
    (tmp_path / "a.txt").write_text("The cat sat on the mat.\nThe dog, No. 5, sat -- on the cat!\n" * 3)
    (tmp_path / "b.txt").write_text("A dog & a cat sat.\n" * 3)
    return [tmp_path / "a.txt", tmp_path / "b.txt"]


def test_texts_are_counted_and_estimated(text, tmp_path):
    model = train_ngrams(text, tmp_path / "new" / "lm.arpa", NGramConfig(order=2, prune="0 3"))
    expected = estimate(count_ngrams(SENTENCES, 2), [0, 3])
    assert model.words == expected.words
    for found, wanted in zip(model.tables, expected.tables, strict=True):
        assert np.array_equal(found.keys, wanted.keys)
        assert np.array_equal(found.log10_probability, wanted.log10_probability)
    assert read_ngrams(tmp_path / "new" / "lm.arpa").counts == model.counts == [13, 5]


def test_no_more_ngrams_are_left_than_asked_for(text, tmp_path):
    whole, few, more = (
        train_ngrams(text, tmp_path / "lm.ngram", NGramConfig(ngrams=ngrams)) for ngrams in (0, 20, 1000)
    )
    assert sum(few.counts) <= 20 < sum(whole.counts)
    assert few.counts[0] == whole.counts[0]
    assert more.counts == whole.counts
    with pytest.raises(ConfigError, match="ngrams = 5: fewer n-grams than words, 8 too few"):
        train_ngrams(text, tmp_path / "lm.ngram", NGramConfig(ngrams=5))
    assert read_ngrams(tmp_path / "lm.ngram").counts == whole.counts


def test_rare_words_and_other_letters_are_left_out(text, tmp_path):
    two = train_ngrams(text, tmp_path / "lm.arpa", NGramConfig(order=1, vocabulary_size=2))
    assert set(two.words[3:]) == {"the", "cat"}
    (tmp_path / "c.txt").write_text("über die Brücke\n")
    for alphabet, word in ((" bcdeikrüu", "brücke"), (" bcdeikru", "brucke")):
        assert word in train_ngrams([tmp_path / "c.txt"], tmp_path / "lm.arpa", NGramConfig(order=1), alphabet).words
    letters = train_ngrams([tmp_path / "c.txt"], tmp_path / "lm.arpa", NGramConfig("characters", 1), " bcdeikrüu")
    assert {"b", "ü"} < set(letters.words)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"prune": "1"}, r"r\.toml: prune '1': unigrams are never left out; begin with 0"),
        ({"prune": "0 0 1", "order": 2}, r"r\.toml: prune '0 0 1': 3 thresholds for a model of order 2"),
        ({"order": 0}, r"r\.toml: order = 0: input should be greater than or equal to 1"),
        ({"ngrams": -1}, r"r\.toml: ngrams = -1: "),
        ({"units": "phones"}, r"r\.toml: units = 'phones': "),
        ({"size": 3}, r"r\.toml: unknown key size; "),
    ],
)
def test_settings_that_cannot_be(table, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        build(NGramConfig, table, "r.toml")


def test_a_text_that_is_gone_is_named(text, tmp_path):
    text[1].unlink()
    with pytest.raises(DataError, match=r"b\.txt: No such file"):
        train_ngrams(text, tmp_path / "lm.arpa", NGramConfig())
    assert not (tmp_path / "lm.arpa").exists()


def test_counts_in_words():
    assert in_words([13, 5]) == "13 1-grams, 5 2-grams"
