from asr.lm.units import split, units_of


def test_words_and_characters():
    assert split("a cat", "words") == ["a", "cat"]
    assert split("a cat", "characters") == ["a", "▁", "c", "a", "t"]
    assert split("", "characters") == split("", "words") == []


def test_a_model_tells_its_units():
    assert units_of(["<unk>", "<s>", "</s>", "a", "▁", "t"]) == "characters"
    assert units_of(["<unk>", "<s>", "</s>", "a", "cat"]) == "words"
    assert units_of(["<unk>", "<s>", "</s>"]) == "words"
