import pytest

from asr.errors import ModelError
from asr.lm.counts import count_ngrams
from asr.lm.kneser_ney import estimate
from asr.lm.stored import read_ngrams, read_vocabulary, write_ngrams

TEXTS = ["the cat sat", "the dog sat on the cat", "a cat"]


@pytest.mark.parametrize("units", ["words", "characters"])
@pytest.mark.parametrize(("name", "begins"), [("lm.arpa", b"\\"), ("lm.arpa.gz", b"\x1f\x8b"), ("lm.ngram", b"PK")])
def test_the_name_chooses_the_form_and_the_content_tells_it(name, begins, units, tmp_path):
    model = estimate(count_ngrams(TEXTS, 2, units))
    write_ngrams(model, tmp_path / name)
    path = (tmp_path / name).rename(tmp_path / "model")
    assert path.read_bytes().startswith(begins)
    found = read_ngrams(path)
    assert (found.words, found.counts) == (model.words, model.counts)
    assert found.perplexity(TEXTS).perplexity == pytest.approx(model.perplexity(TEXTS).perplexity)
    assert read_vocabulary(path) == (units, model.words[3:])


def test_what_is_not_there(tmp_path):
    for read in (read_ngrams, read_vocabulary):
        with pytest.raises(ModelError, match=r"nowhere\.ngram: No such file"):
            read(tmp_path / "nowhere.ngram")
