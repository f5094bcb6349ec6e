"""Frames and plain dicts give the same matrix, and bad rows are named."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import PermanentError
from trimtab.inference.encode import RowEncoder, decode_matrix, encode_frame, frame_of_rows, normalise
from trimtab.inference.signature import fit_signature

TRAIN = pl.DataFrame(
    {"hour": [1, 2, None], "fare": [0.5, None, 2.0], "carrier": ["UA", None, "AA"], "late": [True, None, False]}
)
SIGNATURE = fit_signature(TRAIN, TRAIN, "binary_classification", classes=("0", "1"))
ROWS = RowEncoder(SIGNATURE)

numbers = st.none() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False)
rows = st.lists(
    st.fixed_dictionaries(
        {
            "hour": st.none() | st.integers(-(2**63), 2**63 - 1),
            "fare": numbers,
            "carrier": st.none() | st.sampled_from(["UA", "AA", "ZZ", ""]) | st.text(max_size=3),
            "late": st.none() | st.booleans(),
        }
    ),
    max_size=20,
)


@given(rows)
def test_frames_and_plain_rows_give_the_same_floats(given_rows: list[dict]) -> None:
    types = {"hour": pl.Int64, "fare": pl.Float64, "carrier": pl.String, "late": pl.Boolean}
    floats = [{**row, "fare": None if row["fare"] is None else float(row["fare"])} for row in given_rows]
    frame = pl.DataFrame(floats, schema=types)
    from_frame = encode_frame(frame, SIGNATURE)
    assert from_frame.dtype == np.float32
    assert from_frame.shape == (len(given_rows), 4)
    for other in (ROWS.matrix(given_rows), encode_frame(frame_of_rows(given_rows, SIGNATURE), SIGNATURE)):
        np.testing.assert_array_equal(from_frame, other)


def test_vocabulary_is_sorted_and_unknown_or_null_is_minus_one() -> None:
    assert [f.vocabulary for f in SIGNATURE.features] == [(), (), ("AA", "UA"), ("false", "true")]
    matrix = ROWS.matrix(
        [
            {"hour": 3, "fare": None, "carrier": "UA", "late": True},
            {"hour": None, "fare": 1.5, "carrier": "DL", "late": None},
        ]
    )
    np.testing.assert_array_equal(matrix, np.array([[3, np.nan, 1, 1], [np.nan, 1.5, -1, -1]], dtype=np.float32))


def test_categorical_and_enum_columns_encode_as_their_strings() -> None:
    for dtype in (pl.Categorical(), pl.Enum(["UA", "AA", "XX"])):
        frame = TRAIN.with_columns(pl.col("carrier").cast(dtype))
        assert fit_signature(frame, frame, "regression").features == SIGNATURE.features
        np.testing.assert_array_equal(encode_frame(frame, SIGNATURE), encode_frame(TRAIN, SIGNATURE))


def test_decoding_gives_the_values_back() -> None:
    back = decode_matrix(encode_frame(TRAIN, SIGNATURE), SIGNATURE)
    assert back["carrier"].to_list() == ["UA", None, "AA"]
    assert back["late"].to_list() == ["true", None, "false"]
    assert back["hour"].to_list() == [1.0, 2.0, None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hour": "3"}, "row 1, column 'hour': expected a number or null, got '3'"),
        ({"hour": True}, "row 1, column 'hour': expected a number or null, got true"),
        ({"hour": 10**400}, "row 1, column 'hour': expected a number"),
        ({"carrier": 7}, "row 1, column 'carrier': expected a string or null, got 7"),
        ({"carrier": ["UA"]}, "row 1, column 'carrier'"),
        ({"late": "true"}, "row 1, column 'late': expected true or false or null, got 'true'"),
        ({"late": 1}, "row 1, column 'late'"),
        ({"extra": 1}, "row 1: unknown column 'extra'"),
        ({"fare": ...}, "row 1: column 'fare' is missing"),
    ],
)
def test_a_bad_row_is_named(change: dict, message: str) -> None:
    good = {"hour": 1, "fare": 1.0, "carrier": "UA", "late": True}
    bad = {key: cell for key, cell in {**good, **change}.items() if cell is not ...}
    for read in (RowEncoder(SIGNATURE).matrix, lambda rows: frame_of_rows(rows, SIGNATURE)):
        with pytest.raises(PermanentError) as raised:
            read([good, bad])
        assert message in raised.value.message


def test_what_is_not_a_row_is_named() -> None:
    with pytest.raises(PermanentError, match="row 0: expected an object"):
        ROWS.matrix([[1, 2]])  # type: ignore[list-item]


def test_a_moment_left_in_the_features_is_an_error_that_names_it() -> None:
    frame = TRAIN.with_columns(at=pl.lit(datetime(2013, 1, 1, tzinfo=UTC)))
    with pytest.raises(PermanentError, match="column 'at' is a moment"):
        fit_signature(frame, frame, "regression")


def test_a_type_that_no_caller_can_send_is_an_error_that_names_it() -> None:
    frame = TRAIN.with_columns(parts=pl.lit([1, 2]))
    with pytest.raises(PermanentError, match="column 'parts' of type List"):
        fit_signature(frame, frame, "regression")


def test_frames_with_a_missing_or_wrong_column_are_refused() -> None:
    with pytest.raises(PermanentError, match="column 'carrier' is missing"):
        encode_frame(TRAIN.drop("carrier"), SIGNATURE)
    with pytest.raises(PermanentError, match="column 'hour' is String; expected a number"):
        encode_frame(TRAIN.with_columns(pl.col("hour").cast(pl.String)), SIGNATURE)


def test_moments_become_utc_for_the_users_features() -> None:
    inputs = TRAIN.select(at=pl.lit(datetime(2013, 6, 1, 12)).dt.replace_time_zone("America/New_York"))
    signature = fit_signature(inputs, inputs.select(hour=pl.col("at").dt.hour()), "regression")
    moment = datetime(2013, 6, 1, 16, tzinfo=UTC)
    assert normalise(inputs, signature.inputs)["at"][0] == moment
    assert frame_of_rows([{"at": "2013-06-01T12:00:00-04:00"}], signature)["at"][0] == moment
    for bad in ("2013-06-01T12:00:00", "noon", 5):
        with pytest.raises(PermanentError, match="column 'at': expected an ISO 8601 moment"):
            frame_of_rows([{"at": bad}], signature)
