"""Rows are completed from a store: what is sent is kept, what is old does not count, what is missing is named."""

from __future__ import annotations

from collections import Counter

import pytest

from trimtab.errors import PermanentError
from trimtab.inference.lookup.filling import Filling
from trimtab.inference.lookup.port import View
from trimtab.inference.lookup.snapshot import FeatureSnapshot

SECOND = 1_000_000
WEATHER = View(name="weather", entity=("origin",), columns=("wind", "rain", "unused"), ttl=60.0, since=100 * SECOND)
PEOPLE = View(name="people", entity=("customer", "shop"), columns=("orders",))


@pytest.fixture
def store(tmp_path):
    made = FeatureSnapshot(tmp_path / "features.db")
    made.publish(WEATHER, "1", [(("EWR",), at * SECOND, (float(at), at % 2 == 0, 9.0)) for at in (100, 160, 170)])
    made.publish(PEOPLE, "1", [((7, "north"), 0, (12.0,))])
    yield made
    made.close()


@pytest.fixture
def filling(store):
    return Filling(store, ["origin", "distance", "wind", "rain", "orders"])


def filled(filling, store, rows, at):
    counts: dict[str, Counter[str]] = {}
    at = [moment * SECOND for moment in at]
    return filling.fill(rows, at, filling.needed(rows, store.views()), counts), counts


def test_rows_are_as_of_their_own_moments(filling, store):
    row = {"origin": "EWR", "distance": 1, "customer": 7, "shop": "north"}
    rows, counts = filled(filling, store, [row] * 4, [159, 160, 165, 231])
    assert [(one["wind"], one["rain"]) for one in rows] == [(100.0, True), (160.0, True), (160.0, True), (None, None)]
    assert [one["orders"] for one in rows] == [12.0] * 4
    assert counts == {"weather": Counter(fresh=3, stale=1), "people": Counter(fresh=4)}


def test_only_what_the_model_takes_is_added_and_what_it_does_not_take_goes(filling, store):
    (row,), _ = filled(filling, store, [{"origin": "EWR", "distance": 1, "customer": 7, "shop": "north"}], [200])
    assert set(row) == {"origin", "distance", "wind", "rain", "orders"}


def test_what_is_sent_is_kept(filling, store):
    sent = {"origin": "EWR", "distance": 1, "wind": -1.0, "rain": None, "orders": 3}
    assert filling.needed([sent], store.views()) == []
    part = {"origin": "EWR", "distance": 1, "wind": -1.0, "customer": 7, "shop": "north"}
    rows, counts = filled(filling, store, [sent, part], [200, 200])
    assert rows[0] == sent
    assert rows[1] == {"origin": "EWR", "distance": 1, "wind": -1.0, "orders": 12.0}  # `rain` is told as missing later
    assert counts["people"] == Counter(fresh=1)


def test_nobody_known_is_null_and_counted(filling, store):
    rows, counts = filled(filling, store, [{"origin": None, "distance": 1, "customer": 8, "shop": "north"}], [200])
    assert rows[0] == {"origin": None, "distance": 1, "wind": None, "rain": None, "orders": None}
    assert counts == {"weather": Counter(missing=1), "people": Counter(missing=1)}


@pytest.mark.parametrize(("row", "moment", "message"), [
    ({"distance": 1, "orders": 1}, 200, "row 1: column 'origin' is missing, by which the features of view 'weather'"),
    ({"origin": ["EWR"], "orders": 1}, 200, "row 1, column 'origin': expected a text or a number, got ['EWR']"),
    ({"origin": "EWR", "orders": 1}, 99, "row 1: view 'weather' remembers what was known from 1970-01-01T00:01:40Z on"),
])  # fmt: skip
def test_what_cannot_be_looked_up_is_named(filling, store, row, moment, message):
    whole = {"origin": "EWR", "distance": 1, "wind": 0, "rain": True, "orders": 1}
    with pytest.raises(PermanentError) as raised:
        filled(filling, store, [whole, row], [200, moment])
    assert message in raised.value.message


def test_rows_that_are_no_rows_are_left_to_whoever_checks_them(filling, store):
    rows, _ = filled(filling, store, [3, {"origin": "EWR", "distance": 1, "orders": 1}], [200, 200])
    assert rows[0] == 3
    assert rows[1]["wind"] == 170.0
