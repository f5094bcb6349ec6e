"""The table of who has which question: what was noted lately is found, whoever noted it."""

from __future__ import annotations

from hashlib import blake2b

from hypothesis import given
from hypothesis import strategies as st

from trimtab.serving.processes.marks import Marks, new_marks


def mark(number: int) -> bytes:
    return blake2b(b"%d" % number, digest_size=16).digest()


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), max_size=60))
def test_the_last_to_note_a_question_has_it(noted: list[tuple[int, int]]) -> None:
    one = new_marks(4)
    other = Marks(one.descriptor, 4)  # as another process sees it
    held: dict[int, int] = {}
    for number, slot in noted:
        one.note(mark(number), slot)
        held[number] = slot
    assert {number: other.holder(mark(number)) for number in held} == held
    assert other.holder(mark(41)) == -1


def test_as_many_as_all_processes_remember_are_found() -> None:
    """16,000 for each process; of those only what shares a bucket with seven newer ones is forgotten."""
    marks = new_marks(2)
    for number in range(32_000):
        marks.note(mark(number), number % 2)
    wrong = [number for number in range(32_000) if marks.holder(mark(number)) not in {number % 2, -1}]
    found = sum(marks.holder(mark(number)) == number % 2 for number in range(32_000))
    assert wrong == []
    assert found > 0.995 * 32_000


def test_a_seat_that_cannot_be_named_is_not_noted() -> None:
    marks = new_marks(300)
    marks.note(mark(1), 254)
    marks.note(mark(2), 255)
    assert (marks.holder(mark(1)), marks.holder(mark(2))) == (254, -1)
