"""Columns become the same floats as their rows, or are left to the rows to say what is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trimtab.errors import PermanentError
from trimtab.inference.columns import ColumnEncoder
from trimtab.inference.encode import RowEncoder
from trimtab.records.model import Column, Feature, Signature

NAMES = ("distance", "carrier", "holiday")
SIGNATURE = Signature(
    task="regression",
    inputs=(
        Column(name="distance", kind="number"),
        Column(name="carrier", kind="category"),
        Column(name="holiday", kind="boolean"),
    ),
    features=(
        Feature(name="distance", kind="number"),
        Feature(name="carrier", kind="category", vocabulary=("AA", "DL", "é")),
        Feature(name="holiday", kind="category", vocabulary=("false", "true")),
    ),
)
CELL = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["AA", "DL", "é", "?"]) | st.just([1])
GOOD = st.tuples(
    st.none() | st.integers(-(10**20), 10**20) | st.floats(),
    st.none() | st.sampled_from(["AA", "DL", "é", "other"]),
    st.none() | st.booleans(),
)


def rows_matrix(rows: list[dict[str, Any]]) -> bytes | None:
    try:
        return RowEncoder(SIGNATURE).matrix(rows).tobytes()
    except PermanentError:
        return None


@given(st.lists(GOOD | st.tuples(CELL, CELL, CELL), min_size=1, max_size=6))
@example([(10**400, "AA", True)])
@example([(True, "AA", True)])
def test_lists_give_what_their_rows_give(table: list[tuple[Any, Any, Any]]) -> None:
    columns = dict(zip(NAMES, map(list, zip(*table, strict=True)), strict=True))
    found = ColumnEncoder(SIGNATURE).matrix(columns, len(table))
    expected = rows_matrix([dict(zip(NAMES, row, strict=True)) for row in table])
    assert (None if found is None else found.tobytes()) == expected


@given(st.data(), st.sampled_from(["<f2", "<f4", "<f8", "<i1", "<i8", "<u8", "<u2"]))
def test_arrays_give_what_their_rows_give(data: st.DataObject, form: str) -> None:
    count = data.draw(st.integers(1, 5))
    numbers = data.draw(hnp.arrays(form, count))
    flags = data.draw(hnp.arrays("?", count))
    words = data.draw(st.lists(st.sampled_from([b"AA", b"DL", "é".encode(), b"?"]), min_size=count, max_size=count))
    found = ColumnEncoder(SIGNATURE).matrix(dict(zip(NAMES, (numbers, words, flags), strict=True)), count)
    table = zip(numbers.tolist(), [word.decode() for word in words], flags.tolist(), strict=True)
    expected = rows_matrix([dict(zip(NAMES, row, strict=True)) for row in table])
    assert found is not None
    assert np.array_equal(found, np.frombuffer(expected or b"", np.float32).reshape(-1, 3), equal_nan=True)


@pytest.mark.parametrize(
    "columns",
    [
        {"distance": [1.0], "carrier": ["AA"]},
        {"distance": [1.0], "carrier": ["AA"], "holidays": [True]},
        {"distance": [1.0], "carrier": ["AA"], "holiday": [True], "more": [1]},
        {"distance": np.array([True]), "carrier": ["AA"], "holiday": [True]},
        {"distance": [1.0], "carrier": np.array([1.0]), "holiday": [True]},
        {"distance": [1.0], "carrier": [b"\xff"], "holiday": [True]},
        {"distance": [1.0], "carrier": ["AA"], "holiday": np.array([1.0])},
    ],
)
def test_what_does_not_fit_is_left_to_the_rows(columns: dict[str, Any]) -> None:
    assert ColumnEncoder(SIGNATURE).matrix(columns, 1) is None
