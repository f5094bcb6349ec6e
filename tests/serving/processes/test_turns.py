"""Who takes the next connection, and who asks callers to come again: without sockets, on a real board."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trimtab.serving.processes.board import SERVING, Board, new_board
from trimtab.serving.processes.turns import Turns


def a_board(*connections: int) -> Board:
    board = new_board(len(connections))
    for slot, count in enumerate(connections):
        board.tell(slot, SERVING)
        board.count_connections(slot, count)
    return board


def take(board: Board, slot: int, count: int) -> None:
    for _ in range(count):
        board.take(slot)


def test_who_has_more_leaves_it_to_the_others() -> None:
    board = a_board(3, 2, 5)
    assert Turns(board, 0).leaves(3)
    assert not Turns(board, 1).leaves(2)
    assert Turns(board, 2).leaves(5)
    assert not Turns(a_board(7), 0).leaves(7)  # there is nobody else


def test_a_turn_that_another_used_is_over() -> None:
    board = a_board(1, 0)
    turns = Turns(board, 0)
    for _ in range(10):
        assert turns.leaves(1)
        assert turns.goes_on(1)
        board.take(1)
        assert not turns.goes_on(1)


def test_turns_that_nobody_uses_get_shorter_until_the_next_look() -> None:
    """The other process hangs: what that costs is bounded, however many connections come."""
    turns = Turns(a_board(100, 0), 0)
    for _ in range(3):
        steps = 0
        for _ in range(64):
            if turns.leaves(100):
                steps += 1
                while turns.goes_on(100):
                    steps += 1
        assert steps == 4 + 2 + 1
        turns.look(100)


def test_brief_connections_are_evened_out_by_how_many_each_took() -> None:
    board = a_board(0, 0)
    turns = Turns(board, 0)
    for _ in range(16):
        turns.ended(0.001)
    take(board, 0, 16)
    assert not turns.leaves(0)
    take(board, 0, 1)
    assert turns.leaves(0)
    take(board, 1, 100)
    take(board, 0, 149)
    assert not turns.leaves(0)
    take(board, 0, 1)
    assert turns.leaves(0)
    for _ in range(8):  # what was long ago does not count
        turns.look(0)
        for _ in range(16):
            turns.ended(0.001)
    assert not turns.leaves(8)
    assert turns.leaves(9), "some of them may stay"


def test_callers_move_once_it_has_been_uneven_for_a_second() -> None:
    board = a_board(20, 0)
    turns = Turns(board, 0)
    assert [turns.look(20) for _ in range(6)] == [0, 0, 0, 0, 8, 8]
    board.count_connections(0, 12)
    board.count_connections(1, 8)
    assert turns.look(12) == 2
    board.count_connections(0, 10)
    board.count_connections(1, 10)
    assert turns.look(10) == 0
    board.count_connections(0, 12)
    assert turns.look(12) == 0, "the second begins anew"


def test_callers_that_come_and_go_do_not_keep_those_that_stay_from_moving() -> None:
    board = a_board(20, 12)
    turns = Turns(board, 0)
    moved = []
    for here in (20, 20, 20, 20, 20, 20, 24, 24, 24, 24, 24):
        board.count_connections(0, here)
        board.count_connections(1, 32 - here)
        for _ in range(16):
            turns.ended(0.001)
        moved.append(turns.look(here))
    assert moved == [0] * 10 + [4]


def test_one_that_just_starts_is_nobody_to_move_to() -> None:
    board = a_board(20, 0)
    board.enter(1)
    turns = Turns(board, 0)
    assert [turns.look(20) for _ in range(10)] == [0] * 10


@given(st.lists(st.integers(0, 200), min_size=2, max_size=8))
def test_moving_comes_to_an_end_with_all_even(counts: list[int]) -> None:
    board = a_board(*counts)
    those = [Turns(board, slot) for slot in range(len(counts))]
    for _ in range(400):
        for slot, turns in enumerate(those):
            for _ in range(turns.look(counts[slot])):
                counts[slot] -= 1
                counts[counts.index(min(counts))] += 1
            for seat, count in enumerate(counts):
                board.count_connections(seat, count)
    assert max(counts) - min(counts) <= len(counts)
    assert max(counts) <= -(-sum(counts) // len(counts))
    assert [turns.look(counts[slot]) for slot, turns in enumerate(those)] == [0] * len(counts)
