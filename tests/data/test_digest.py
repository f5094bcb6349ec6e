"""Digests: the same content has the same name, another content another one."""

from __future__ import annotations

import struct
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from blake3 import blake3
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from trimtab.data.port import DataError
from trimtab.data.values.digest import as_array, content_digest, row_digests, set_digest

CELLS: dict[str, tuple[pl.DataType, st.SearchStrategy[Any]]] = {
    "whole": (pl.Int64(), st.integers(-(2**63), 2**63 - 1)),
    "big": (pl.UInt64(), st.integers(0, 2**64 - 1)),
    "real": (pl.Float64(), st.floats(allow_nan=True)),
    "flag": (pl.Boolean(), st.booleans()),
    "text": (pl.String(), st.text(st.characters(exclude_categories=["Cs"]), max_size=6)),
    "more": (pl.String(), st.text("ab", max_size=3)),
    "raw": (pl.Binary(), st.binary(max_size=4)),
    "day": (pl.Date(), st.dates(date(1900, 1, 1), date(2200, 1, 1))),
    "moment": (
        pl.Datetime("us", "UTC"),
        st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(lambda t: t.replace(tzinfo=UTC)),
    ),
    "span": (pl.Duration("us"), st.timedeltas(timedelta(days=-999), timedelta(days=999))),
    "clock": (pl.Time(), st.times()),
    "money": (pl.Decimal(20, 2), st.decimals(-1000, 1000, places=2)),
}
SCHEMA = {name: dtype for name, (dtype, _) in CELLS.items()}
ROW = st.fixed_dictionaries({name: st.none() | cells for name, (_, cells) in CELLS.items()})


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def digests(rows: pl.DataFrame) -> list[bytes]:
    return row_digests(rows).to_list()


def same(a: object, b: object) -> bool:
    """Equal as cells: one zero, one NaN."""
    return a == b or (a != a and b != b)


@given(st.lists(ROW, min_size=1, max_size=6), st.permutations(list(CELLS)), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_order_of_rows_and_columns_does_not_matter(
    rows: list[dict[str, Any]], columns: list[str], shuffler: Any
) -> None:
    plain = frame(rows)
    order = list(range(len(rows)))
    shuffler.shuffle(order)
    turned = plain[order].select(columns)
    assert digests(turned) == [digests(plain)[i] for i in order]
    assert content_digest(plain.with_columns(row_digests(plain))) == content_digest(
        turned.with_columns(row_digests(turned))
    )


@given(ROW, st.sampled_from(list(CELLS)), st.data())
@settings(max_examples=150)
def test_changing_any_cell_changes_row_and_set(row: dict[str, Any], column: str, data: st.DataObject) -> None:
    other = row | {column: data.draw(st.none() | CELLS[column][1])}
    assume(not same(row[column], other[column]))
    before, after = frame([row, row | {"more": "else"}]), frame([other, row | {"more": "else"}])
    assert digests(before)[0] != digests(after)[0]
    assert set_digest(_sorted(before)) != set_digest(_sorted(after))


@given(st.lists(ROW, min_size=1, max_size=5), st.data())
@settings(max_examples=40)
def test_a_column_of_nulls_changes_nothing(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    plain = frame(rows)
    dtype = data.draw(st.sampled_from([*SCHEMA.values(), pl.Null()]))
    assert digests(plain.with_columns(pl.lit(None, dtype=dtype).alias("added"))) == digests(plain)
    assert digests(plain.drop("town", strict=False)) == digests(plain)


def test_moving_text_between_columns_changes_the_row() -> None:
    rows = [
        {"text": "ab", "more": "c"},
        {"text": "a", "more": "bc"},
        {"text": "abc"},
        {"more": "abc"},
        {"text": "abc", "more": ""},
    ]
    assert len(set(digests(frame(rows)))) == len(rows)


def test_type_is_part_of_the_content() -> None:
    cells = [
        pl.Series("x", [1]),
        pl.Series("x", [1.0]),
        pl.Series("x", ["1"]),
        pl.Series("x", [True]),
        pl.Series("x", [b"1"]),
    ]
    assert len({digests(cell.to_frame())[0] for cell in cells}) == len(cells)


def test_column_names_cannot_be_confused() -> None:
    one = pl.DataFrame({"a1:b": [1]})
    two = pl.DataFrame({"a": [1], "b": [1]})
    assert digests(one) != digests(two)
    assert digests(pl.DataFrame({"a": [1]})) != digests(pl.DataFrame({"b": [1]}))


def test_width_in_memory_does_not_matter() -> None:
    wide = pl.DataFrame({"n": [1, 2], "x": [0.5, 1.5], "s": ["a", "b"]})
    narrow = wide.cast({"n": pl.Int8, "x": pl.Float32, "s": pl.Categorical})
    assert digests(narrow) == digests(wide)


def test_one_zero_and_one_nan() -> None:
    quiet = struct.unpack("<d", struct.pack("<Q", 0xFFF8000000000001))[0]
    assert digests(pl.DataFrame({"x": [0.0]})) == digests(pl.DataFrame({"x": [-0.0]}))
    assert digests(pl.DataFrame({"x": [float("nan")]})) == digests(pl.DataFrame({"x": [quiet]}))


def test_the_canonical_form_is_the_documented_one() -> None:
    """Recomputed by hand, so that a change of form, which would rename every stored row, cannot pass unseen."""
    rows = pl.DataFrame(
        {
            "when": [datetime(2026, 1, 1, tzinfo=UTC)],
            "n": [-7],
            "x": [1.5],
            "name": ["Zoë"],
            "none": pl.Series([None], dtype=pl.Int64),
            "price": [Decimal("2.50")],
        }
    )
    shape = blake3(b"trimtab row 1\n" + b"i1:n" + b"s4:name" + b"n5:price" + b"t4:when" + b"f1:x").digest()
    micro = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
    values = struct.pack("<qQQqd", -7, 4, 4, micro, 1.5)
    assert digests(rows) == [blake3(shape + values + "Zoë".encode() + b"2.50").digest()]
    expected = blake3(b"trimtab rows 1\n" + digests(rows)[0]).hexdigest()
    assert content_digest(rows.with_columns(row_digests(rows))) == expected


def test_many_rows_are_digested_in_pieces_alike() -> None:
    many = pl.DataFrame({"n": range(70_000), "s": ["é"] * 70_000})
    assert digests(many)[-1] == digests(many.tail(1))[0]
    assert len(set(digests(many))) == 70_000


def test_what_has_no_canonical_form_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"'boxes' has type List\(Int64\)"):
        row_digests(pl.DataFrame({"boxes": [[1, 2]]}))
    with pytest.raises(DataError, match="carry no digests"):
        content_digest(pl.DataFrame({"n": [1]}))


def test_clock_cells_keep_nanoseconds() -> None:
    assert digests(pl.DataFrame({"c": [time(1, 2, 3)]})) != digests(pl.DataFrame({"c": [time(1, 2, 3, 1)]}))


def _sorted(rows: pl.DataFrame) -> Any:
    import numpy as np

    return np.sort(as_array(row_digests(rows)))
