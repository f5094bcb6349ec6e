"""What is known at a moment: the same from a store as from a history, and nothing that came out later."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.loop.conftest import BAKERY

from trimtab.data.port import DIGEST
from trimtab.data.sources.opening import open_source
from trimtab.declaration.load import load
from trimtab.errors import PermanentError
from trimtab.loop.past.history import KNOWN_AT, MOMENT, HistoricDatasets, load_history
from trimtab.loop.past.stored import StoredDatasets
from trimtab.records.ledger import Ledger

START = datetime(2024, 1, 6, 6, tzinfo=UTC)
SYSTEM = load(BAKERY)
SINCE_THE_FIRST = st.integers(0, 45 * 24 * 60).map(lambda minutes: START + timedelta(minutes=minutes))


@pytest.fixture(scope="module")
def raw() -> dict[str, pl.DataFrame]:
    """What the sources give, before anything is done to it."""
    folder, end = Path(SYSTEM.folder), datetime(2024, 3, 1, tzinfo=UTC)
    return {spec.name: open_source(spec, folder).fetch(None, end) for spec in SYSTEM.data}


def sun_at(weather: pl.DataFrame, moment: datetime) -> float | None:
    """The newest report that was out then and is not older than five hours: a plain loop."""
    newest = None
    for observed, sun in weather.select("observed", "sun").iter_rows():
        if observed <= moment and (newest is None or observed > newest[0]):
            newest = (observed, sun)
    return newest[1] if newest and moment - newest[0] <= timedelta(hours=5) else None


def test_every_row_has_what_was_known_at_its_moment(history: pl.DataFrame, raw: dict[str, pl.DataFrame]) -> None:
    assert history[MOMENT].is_sorted()
    assert (history[KNOWN_AT] - history[MOMENT]).unique().to_list() == [timedelta(hours=14)]
    assert (history["baked"] - history[MOMENT]).unique().to_list() == [timedelta(hours=2)]
    sample = random.Random(1).sample(range(history.height), 60)
    found = history[sample].select(MOMENT, "sun").rows()
    assert [sun for _, sun in found] == [sun_at(raw["weather"], moment) for moment, _ in found]
    assert history["sun"].null_count() > 0


def test_rows_that_the_rules_refuse_are_in_neither(history: pl.DataFrame, raw: dict[str, pl.DataFrame]) -> None:
    refused = raw["batches"].filter(pl.col("flour") < 0)
    assert refused.height > 5
    assert history.filter(pl.col("flour") < 0).is_empty()
    until = SYSTEM.replay.end if SYSTEM.replay else START
    assert history.height == raw["batches"].filter((pl.col("flour") >= 0) & (pl.col("baked") <= until)).height
    assert history["sold_out"].null_count() > 5


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(now=SINCE_THE_FIRST)
def test_nothing_known_later_is_ever_there(history: pl.DataFrame, now: datetime) -> None:
    datasets = HistoricDatasets(SYSTEM, history)
    rows = datasets.labelled(now)
    assert rows.filter(pl.col(KNOWN_AT) > now).is_empty()
    assert rows.filter(pl.col(MOMENT) + timedelta(hours=14) > now).is_empty()
    assert rows.height == history.filter(pl.col(KNOWN_AT) <= now).height
    count, newest = datasets.known(now)
    assert count == rows.height
    assert newest == (rows["baked"].max() if count else None)
    earlier = datasets.labelled(now - timedelta(days=1))
    assert rows.head(earlier.height).equals(earlier)


def test_a_store_and_a_history_say_the_same_at_every_moment(history: pl.DataFrame, tmp_path: Path) -> None:
    """As a replay collects day by day, with a restart between and a moment at which nothing is new."""
    dice = random.Random(7)
    moments = [START + timedelta(days=day, minutes=dice.randrange(1440)) for day in range(0, 44, 4)]
    historic = HistoricDatasets(SYSTEM, history)
    with Ledger.open(None) as ledger:
        stored = StoredDatasets(SYSTEM, tmp_path, ledger)
        for number, now in enumerate(moments):
            if number == 5:
                stored = StoredDatasets(SYSTEM, tmp_path, ledger)
            commits = stored.collect(now)
            assert {commit.dataset for commit in commits} <= {"batches", "weather"}
            ledger_keys = [(f"data:{c.dataset}:{c.version}", c) for c in commits]
            for key, commit in ledger_keys:
                ledger.append(key, commit, at=now)
            assert stored.collect(now) == []
            _same(stored, historic, now)
        first, as_it_was = stored.labelled(moments[0]), historic.labelled(moments[0])
        assert first.select(as_it_was.columns).equals(as_it_was), "the past has changed"


def _same(stored: StoredDatasets, historic: HistoricDatasets, now: datetime) -> None:
    ours, theirs = stored.labelled(now), historic.labelled(now)
    assert ours.height > 100
    columns = sorted(theirs.columns)
    assert sorted(ours.columns) == sorted([*columns, DIGEST])
    assert ours.select(columns).equals(theirs.select(columns), null_equal=True)
    assert ours.select(columns).schema == theirs.select(columns).schema
    assert stored.version(now) == historic.version(now)
    assert stored.known(now) == historic.known(now)


def test_both_judge_what_a_person_would_look_at(history: pl.DataFrame, tmp_path: Path) -> None:
    now = START + timedelta(days=20)
    with Ledger.open(None) as ledger:
        stored = StoredDatasets(SYSTEM, tmp_path, ledger)
        assert stored.labelled(now).is_empty()
        stored.collect(now)
        ours = {v.metric: v for v in stored.verdicts(now)}
        theirs = {v.metric: v for v in HistoricDatasets(SYSTEM, history).verdicts(now)}
    assert {name: v.status for name, v in ours.items()} == {"data.completeness": "met", "data.validity": "met"}
    assert {name: v.status for name, v in theirs.items()} == {"data.completeness": "met", "data.validity": "met"}
    validity = ours["data.validity"].figure
    assert validity is not None
    assert validity < 1.0


def test_a_version_names_rows_and_nothing_else(history: pl.DataFrame) -> None:
    datasets = HistoricDatasets(SYSTEM, history)
    now = START + timedelta(days=10)
    names = {datasets.version(now + timedelta(days=days)) for days in range(5)}
    assert len(names) == 5
    mixed = HistoricDatasets(SYSTEM, history.head(datasets.known(now)[0]))
    assert mixed.version(now) == datasets.version(now)
    assert mixed.version(now + timedelta(days=5)) == datasets.version(now)


def test_a_span_without_rows_is_named() -> None:
    with pytest.raises(PermanentError, match="dataset 'batches' has no row up to 2023-01-01"):
        load_history(SYSTEM, datetime(2023, 1, 1, tzinfo=UTC))
