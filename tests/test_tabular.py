from asr.tabular import markdown, plain


def test_a_markdown_table():
    assert markdown(["word", "times"], [["a|b", "12"], ["日本", "3"]]).split("\n") == [
        "| word | times |",
        "| ---- | ----: |",
        "| a\\|b |    12 |",
        "| 日本 |     3 |",
        "",
    ]


def test_a_plain_table():
    rows = [["part", "size", "of"], ["a", "1,000", "64 x 8"], ["日本", "5", ""]]
    assert plain(rows).split("\n") == ["part   size  of", "a     1,000  64 x 8", "日本      5"]


def test_a_column_with_a_word_in_it_is_set_left():
    assert plain([["a", "b"], ["1", "2"], ["3", "none"]]).split("\n") == ["a  b", "1  2", "3  none"]


def test_figures_with_commas_signs_and_percent_are_set_right():
    lines = plain([["part", "size", "share"], ["a", "10", "-2.5%"], ["bc", "1,005", "10.0%"]]).split("\n")
    assert lines == ["part   size  share", "a        10  -2.5%", "bc    1,005  10.0%"]
