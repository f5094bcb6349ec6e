"""Transcripts that agree: worked examples, and what must hold of any."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trimtab.measures.words import edit_distance, spoken, word_agreement, word_error_rate


def test_worked_examples() -> None:
    assert edit_distance("kitten", "sitting") == 3
    assert word_error_rate("the cat sat on the mat", "the cat sit on mat") == 2 / 6
    assert word_error_rate("Hello, world!", "hello world") == 0.0
    assert word_error_rate("", "") == 0.0
    assert word_error_rate("", "noise") == float("inf")
    assert word_agreement("one two", "one two three four") == 0.5
    assert word_agreement("", "") == 1.0


def test_words_as_they_are_compared() -> None:
    assert spoken("Don't  STOP\u2014now, caf\u00e9!") == ["don't", "stop", "now", "caf\u00e9"]


sentence = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=7)


@given(sentence, sentence, sentence)
def test_the_distance_is_one(x: list[str], y: list[str], z: list[str]) -> None:
    assert (edit_distance(x, y) == 0) == (x == y)
    assert edit_distance(x, y) == edit_distance(y, x)
    assert edit_distance(x, z) <= edit_distance(x, y) + edit_distance(y, z)
    assert abs(len(x) - len(y)) <= edit_distance(x, y) <= max(len(x), len(y))
    assert 0.0 <= word_agreement(" ".join(x), " ".join(y)) <= 1.0
