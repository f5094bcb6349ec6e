"""Nothing known after the first validation moment is learned from, and no row is lost without a word."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from trimtab.data.spec import DatasetSpec
from trimtab.errors import PermanentError
from trimtab.training.split import LEAST_TRAIN, LEAST_VALID, split

START = datetime(2013, 1, 1, tzinfo=UTC)
HOUR = 3600.0
UTC_MICRO = pl.Datetime("us", "UTC")


def spec(delay: float = 0.0, before: float = 0.0) -> DatasetSpec:
    return DatasetSpec(
        name="d", source="x", key=("id",), time="at", label="y", label_delay=delay, predict_before=before
    )


def frame(hours: list[float | None], labels: list[int | None]) -> pl.DataFrame:
    at = [None if h is None else START + timedelta(hours=h) for h in hours]
    return pl.DataFrame(
        {"id": list(range(len(hours))), "at": pl.Series(at, dtype=UTC_MICRO), "y": pl.Series(labels, dtype=pl.Int64)}
    )


@given(
    seed=st.integers(0, 10**6),
    spread=st.integers(80, 400),
    delay=st.integers(0, 40),
    before=st.integers(0, 12),
    now=st.integers(150, 450),
    window=st.none() | st.integers(100, 450),
    holdout=st.integers(10, 80),
)
def test_no_leak_and_no_row_lost(seed, spread, delay, before, now, window, holdout) -> None:
    dice = random.Random(seed)
    hours = [dice.choice([None, *range(spread)]) for _ in range(400)]
    data = frame(hours, [dice.choice([0, 1, 0, 1, None]) for _ in hours])
    moment = START + timedelta(hours=now)
    try:
        made = split(
            data,
            spec=spec(delay * HOUR, before * HOUR),
            now=moment,
            window=None if window is None else window * HOUR,
            holdout=holdout * HOUR,
        )
    except PermanentError as error:
        event("refused")
        assert "too few" in error.message or "one class only" in error.message
        return
    event("split")
    asked = {
        name: part["at"] - timedelta(hours=before) for name, part in (("train", made.train), ("valid", made.valid))
    }
    first = asked["valid"].min()
    assert (asked["train"] + timedelta(hours=delay)).max() <= first
    for moments in asked.values():
        assert (moments + timedelta(hours=delay)).max() <= moment
        assert moments.is_sorted()
        if window is not None:
            assert moments.min() >= moment - timedelta(hours=window)
    assert asked["valid"].max() - first < timedelta(hours=holdout)
    assert made.train.height + made.valid.height + made.gap + sum(made.dropped.values()) == data.height
    assert not set(made.train["id"]) & set(made.valid["id"])
    assert made.train["y"].null_count() == made.valid["y"].null_count() == 0
    assert made.train.height >= LEAST_TRAIN
    assert made.valid.height >= LEAST_VALID


def test_each_row_left_out_is_counted_by_its_reason() -> None:
    hours: list[float | None] = [float(h) for h in range(200)]
    labels: list[int | None] = [h % 2 for h in range(200)]
    hours[50], labels[60] = None, None
    made = split(
        frame(hours, labels),
        spec=spec(8 * HOUR, 2 * HOUR),
        now=START + timedelta(hours=190),
        window=150 * HOUR,
        holdout=24 * HOUR,
    )
    # A row at h is asked at h-2 and known at h+6: known rows go to 184, moments from 40 on are within the window.
    assert made.dropped == {"no time": 1, "no label": 1, "truth not yet known": 15, "before the window": 42}
    assert made.valid["at"][0] == START + timedelta(hours=161)
    assert made.train["at"][-1] == START + timedelta(hours=153)
    assert made.gap == 7


def test_the_same_rows_in_another_order_give_the_same_split() -> None:
    data = frame([float(h // 3) for h in range(300)], [h % 2 for h in range(300)])
    where = {"spec": spec(HOUR), "now": START + timedelta(days=9), "window": None, "holdout": 24 * HOUR}
    one, other = split(data, **where), split(data.sample(fraction=1.0, shuffle=True, seed=3), **where)
    assert one.train.equals(other.train)
    assert one.valid.equals(other.valid)


def test_clear_errors() -> None:
    where = {"spec": spec(), "now": START + timedelta(days=99), "window": None, "holdout": 24 * HOUR}
    with pytest.raises(PermanentError, match="too few labelled rows: 0, need 30"):
        split(frame([], []), **where)
    with pytest.raises(PermanentError, match="the validation rows hold one class only: y = 1"):
        split(frame([float(h) for h in range(99)], [1 if h > 60 else h % 2 for h in range(99)]), **where)
    with pytest.raises(PermanentError, match="column 'y' is missing"):
        split(frame([1.0], [1]).drop("y"), **where)
    naive = frame([1.0], [1]).with_columns(pl.col("at").dt.replace_time_zone(None))
    with pytest.raises(PermanentError, match="expected moments with a time zone"):
        split(naive, **where)
    numbers = frame([float(h) for h in range(99)], [7] * 99)
    assert split(numbers, **where, task="regression").valid.height == 24
