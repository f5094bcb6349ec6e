"""Truth and its prediction find each other in whatever order they come; against a plain model of what should hold."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serving.telemetry.written import T0, Written

from trimtab.serving.telemetry.maintenance.compaction import compact
from trimtab.serving.telemetry.reading.index import KeyIndex
from trimtab.serving.telemetry.reading.reader import TelemetryReader

MINUTE = timedelta(minutes=1)
IDS = ["a", "b", "c", "d", "e"]
answers = st.tuples(st.just("answer"), st.lists(st.sampled_from(IDS), min_size=1, max_size=4), st.sampled_from("xy"))
tellings = st.tuples(
    st.just("tell"),
    st.dictionaries(st.sampled_from(IDS), st.sampled_from([0.0, 1.0, "?"]), min_size=1, max_size=3),
    st.just(""),
)
moments = st.integers(0, 5)
steps = st.lists(
    st.tuples(answers | tellings, moments, st.sampled_from(["", "", "read", "seal", "compact"])), max_size=14
)


class Model:
    """What should hold, said plainly."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], int] = {}
        self.truths: dict[str, list[tuple[int, float]]] = {}
        self.asked_again = 0
        self.unreadable = 0

    def answer(self, ids: list[str], release: str, at: int) -> None:
        for name in ids:
            before = self.rows.get((name, release))
            self.asked_again += before is not None
            self.rows[name, release] = at if before is None else min(before, at)

    def tell(self, truths: dict[str, float | str], at: int) -> None:
        for name, truth in truths.items():
            if isinstance(truth, str):
                self.unreadable += 1
            else:
                self.truths.setdefault(name, []).append((at, truth))

    def holds(self, name: str) -> tuple[int, float] | None:
        found = self.truths.get(name)
        return max(enumerate(found), key=lambda one: (one[1][0], one[0]))[1] if found else None

    def predictions(self) -> set[tuple[str, str, int, int | None, float | None]]:
        return {(name, release, at, *(self.holds(name) or (None, None))) for (name, release), at in self.rows.items()}


def minutes(moment: object) -> int | None:
    return None if moment is None else round((moment - T0) / MINUTE)  # type: ignore[operator]


def seen(reader: TelemetryReader) -> set[tuple[str, str, int, int | None, float | None]]:
    rows = reader.predictions()
    found = [
        (row["id"], row["release"], minutes(row["at"]), minutes(row["truth_at"]), row["label"])
        for row in rows.iter_rows(named=True)
    ]
    assert len(set(found)) == len(found)
    assert rows.sort("at", "id", "release").equals(rows)
    return set(found)  # type: ignore[arg-type]


@settings(max_examples=40)
@given(steps)
def test_whatever_comes_in_whatever_order(those: list[tuple[tuple[str, object, str], int, str]]) -> None:
    """Asked again, told early, late, twice, differently; read all along, sealed and compacted in between."""
    with TemporaryDirectory() as name:
        folder, model = Path(name), Model()
        run = 1
        written = Written(folder, run=run)
        long_lived = TelemetryReader(folder)
        for (kind, what, release), at, then in those:
            moment = T0 + at * MINUTE
            if kind == "answer":
                written.answer(what, moment, release)  # type: ignore[arg-type]
                model.answer(what, release, at)  # type: ignore[arg-type]
            else:
                written.tell(what, moment)  # type: ignore[arg-type]
                model.tell(what, at)  # type: ignore[arg-type]
            if then in ("seal", "compact"):
                written.close()
                run += 1
                written = Written(folder, run=run)
            if then == "compact":
                compact(folder)
            if then:
                long_lived.refresh()
                assert seen(long_lived) == model.predictions()
        written.close()
        for reader in (long_lived, TelemetryReader(folder)):
            reader.refresh()
            assert seen(reader) == model.predictions()
            assert reader.duplicates == model.asked_again
            assert reader.unreadable_truths == model.unreadable
            assert reader.orphans == len(model.truths.keys() - {name for name, _ in model.rows})
            assert reader.repeated_truths == sum(len(found) - 1 for found in model.truths.values())
            assert reader.contested_truths == sum(len({truth for _, truth in f}) > 1 for f in model.truths.values())


def test_a_truth_of_long_ago_is_joined_when_its_prediction_comes(tmp_path: Path) -> None:
    """The segment that has it has ended before what is asked for, and is opened for its orphans alone."""
    written = Written(tmp_path, limit=1)
    written.tell({"early": 1.0, "other": 0.0}, T0, orphans=["early"])
    written.answer(["then"], T0 + timedelta(days=1))
    written.answer(["early"], T0 + timedelta(days=100))
    written.close()
    for _ in range(2):
        reader = TelemetryReader(tmp_path)
        reader.refresh()
        rows = reader.predictions(since=T0 + timedelta(days=90))
        assert rows["label"].to_list() == [1.0]
        assert rows["truth_at"].to_list() == [T0]
        assert reader.predictions()["id"].to_list() == ["then", "early"]
        assert reader.orphans == 1
        assert reader.repeated_truths == 0
        compact(tmp_path)


def test_what_nobody_asks_for_any_more_is_let_go_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab.serving.telemetry.reading.reader._SLACK", 50)
    monkeypatch.setattr("trimtab.serving.telemetry.reading.reader._MEMORY", 2)
    written = Written(tmp_path, limit=1)
    for day in range(40):
        written.answer([f"{day}-{row}" for row in range(5)], T0 + timedelta(days=day))
        written.tell({f"{day}-0": 1.0}, T0 + timedelta(days=day, hours=8))
    written.close()
    reader = TelemetryReader(tmp_path)
    reader.refresh()
    whole = reader.predictions()
    assert len(whole) == 200
    week = T0 + timedelta(days=33)
    for _ in range(4):
        reader.refresh()
        assert len(reader.predictions(since=week)) == 35
    assert len(reader._table) <= 50
    assert reader.predictions().equals(whole)
    assert reader.repeated_truths == 0


def test_a_long_segment_that_comes_back_whole_is_not_let_go_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab.serving.telemetry.reading.reader._SLACK", 50)
    monkeypatch.setattr("trimtab.serving.telemetry.reading.reader._MEMORY", 2)
    written = Written(tmp_path)
    reader = TelemetryReader(tmp_path)
    read = []
    for day in range(60):
        now = T0 + timedelta(days=day)
        written.answer([f"{day}-{row}" for row in range(5)], now)
        reader.refresh()
        assert len(reader.predictions(since=now - timedelta(days=3))) == 5 * min(day + 1, 4)
        read += [held for held in reader._open.values() if held not in read]
    assert 1 < len(read) < 5
    assert len(reader.predictions()) == 300


def pairs(found: tuple[np.ndarray, np.ndarray]) -> Iterator[tuple[int, int]]:
    return zip(*(part.tolist() for part in found), strict=True)


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9)), max_size=20), max_size=12),
    st.lists(st.integers(0, 40)),
)
def test_an_index_finds_every_number_of_a_key(added: list[list[tuple[int, int]]], asked: list[int]) -> None:
    index = KeyIndex((1, 2))
    held: dict[int, list[int]] = {}
    for batch in added:
        keys = index.keys(pl.Series([str(key) for key, _ in batch], dtype=pl.String))
        index.add(keys, np.array([number for _, number in batch], np.int64))
        for key, number in batch:
            held.setdefault(key, []).append(number)
    found = index.find(index.keys(pl.Series([str(key) for key in asked], dtype=pl.String)))
    expected = [(place, number) for place, key in enumerate(asked) for number in held.get(key, [])]
    assert sorted(pairs(found)) == sorted(expected)
