"""Columns as slices."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl

from trimtab.loop.past.slicing import coded

ROWS = 400


def frame() -> pl.DataFrame:
    generator = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "carrier": ["AA"] * 200 + ["BB"] * 150 + ["rare"] * 30 + [None] * 20,
            "distance": [*generator.normal(500, 100, ROWS - 100), *[None] * 100],
            "weekday": [i % 7 for i in range(ROWS)],
            "night": [i % 2 == 0 for i in range(ROWS)],
            "at": [datetime(2024, 1, 1, tzinfo=UTC)] * ROWS,
            "tags": [["a"]] * ROWS,
            "same": [1.0] * ROWS,
        }
    )


def test_frequent_values_and_bins_of_equal_count_are_slices() -> None:
    names = ["carrier", "distance", "weekday", "night", "at", "tags", "same", "not there"]
    found = {one.name: one for one in coded(frame(), names, min_rows=40)}
    assert set(found) == {"carrier", "distance", "weekday", "night"}, "moments, lists and one value alone are none"
    assert found["carrier"].words == ("AA", "BB")
    assert np.bincount(found["carrier"].codes + 1).tolist() == [50, 200, 150], "rare values belong to no slice"
    assert found["night"].words == ("false", "true")
    assert found["weekday"].words == tuple("0123456")
    distance = found["distance"]
    counts = np.bincount(distance.codes, minlength=len(distance.words))
    assert distance.words[0].startswith("below ")
    assert distance.words[-2].startswith("from ")
    assert distance.words[-1] == "missing"
    assert counts[-1] == 100
    assert counts[:-1].min() >= 35
    values = frame()["distance"].to_numpy()
    assert np.nanmax(values[distance.codes == 0]) < np.nanmin(values[distance.codes == 1])


def test_nulls_that_are_frequent_are_a_slice() -> None:
    rows = frame().with_columns(carrier=pl.when(pl.int_range(ROWS) < 100).then(None).otherwise(pl.col("carrier")))
    (carrier,) = coded(rows, ["carrier"], min_rows=40)
    assert carrier.words == ("AA", "BB", "missing")
