"""Everything that is wrong with rows is told at once, and nothing is told of rows that can be encoded."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trimtab.inference.encode import RowEncoder, frame_of_rows
from trimtab.inference.mistakes import MOST_TOLD, MistakenRowsError, mistaken
from trimtab.records.model import Column, Feature, Signature

COLUMNS = (
    Column(name="distance", kind="number"),
    Column(name="carrier", kind="category"),
    Column(name="holiday", kind="boolean"),
)
SIGNATURE = Signature(
    task="regression",
    inputs=COLUMNS,
    features=(
        Feature(name="distance", kind="number"),
        Feature(name="carrier", kind="category", vocabulary=("AA", "DL")),
        Feature(name="holiday", kind="category", vocabulary=("false", "true")),
    ),
)
GOOD = {"distance": 1, "carrier": "AA", "holiday": None}
CELL = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.lists(st.integers(), max_size=1)
)
ROW = st.one_of(
    st.fixed_dictionaries({"distance": CELL, "carrier": CELL, "holiday": CELL}),
    st.dictionaries(st.sampled_from(["distance", "carrier", "holiday", "distanse"]), CELL),
    CELL,
)


@given(st.lists(ROW, max_size=5))
@example([{"distance": 10**400, "carrier": "AA", "holiday": True}])
@example([{**GOOD, "carrier": []}])
def test_rows_are_encoded_or_have_mistakes(rows: list[Any]) -> None:
    wrong = mistaken(rows, COLUMNS)
    for encode in (RowEncoder(SIGNATURE).matrix, lambda those: frame_of_rows(those, SIGNATURE)):
        try:
            encode(rows)
        except MistakenRowsError as error:
            assert wrong is not None
            assert error.message == wrong.message
            assert error.mistakes == wrong.mistakes
            assert error.found == wrong.found >= len(error.mistakes)
        else:
            assert wrong is None


def test_all_is_told_with_the_nearest_name() -> None:
    rows = [GOOD, {"distanse": 3, "carrier": 7, "holiday": "no"}, 5]
    with pytest.raises(MistakenRowsError) as caught:
        RowEncoder(SIGNATURE).matrix(rows)  # type: ignore[list-item]
    assert [(one.row, one.column, one.error) for one in caught.value.mistakes] == [
        (1, "distance", "is missing"),
        (1, "distanse", "unknown column"),
        (1, "carrier", "expected a string or null, got 7"),
        (1, "holiday", "expected true or false or null, got 'no'"),
        (2, "", "expected an object with the columns distance, carrier, holiday"),
    ]
    assert caught.value.mistakes[1].hint == "did you mean 'distance'?"
    assert caught.value.message == "row 1: column 'distance' is missing"


def test_a_flood_of_mistakes_is_counted_and_cut() -> None:
    wrong = mistaken([{"distance": "x", "carrier": "AA", "holiday": None}] * 1000, COLUMNS)
    assert wrong is not None
    assert (len(wrong.mistakes), wrong.found) == (MOST_TOLD, 1000)


def test_moments_at_the_edge_of_time_are_refused() -> None:
    column = Column(name="at", kind="time")
    for moment in ("9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+23:00"):
        wrong = mistaken([{"at": moment}], (column,))
        assert wrong is not None
        assert "expected an ISO 8601 moment with its offset" in wrong.message


def test_a_truth_value_is_told_as_json_has_it() -> None:
    found = mistaken([{"distance": True}], [Column(name="distance", kind="number")])
    assert found is not None
    assert str(found) == "row 0, column 'distance': expected a number or null, got true"
