"""Truth that comes back: known, unknown, late, twice, and from before a restart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.serving import models
from tests.serving.running import Running

from trimtab.records.model import Signature
from trimtab.serving.client.answers import Truth
from trimtab.serving.execution.feedback import class_index

ROW = {"distance": 1.0, "carrier": "AA"}
T0 = datetime(2013, 6, 1, tzinfo=UTC)


def test_known_and_unknown_ids(running: Running) -> None:
    with running.client() as client:
        client.predict([ROW] * 3, ["a", "b", "c"], T0)
        assert client.feedback([Truth("a", "late", T0), Truth("x", "on time", T0), Truth("b", False, T0)]) == ["x"]
    status, told = running.ask("POST", "/feedback", {"id": "c", "truth": 1})
    assert (status, told) == (200, {"accepted": 1, "unknown": []})
    status, told = running.ask("POST", "/feedback", {"id": "y", "truth": 1})
    assert status == 404
    assert told["unknown"] == ["y"]
    assert "id 'y' was never given out: its truth is kept" in told["error"]
    status, told = running.ask("POST", "/feedback", [{"id": "a", "truth": "late"}, {"id": "y", "truth": 0}])
    assert (status, told) == (200, {"accepted": 1, "unknown": ["y"]})
    reader = running.reader()
    frame = reader.predictions()
    assert frame["label"].to_list() == [1.0, 0.0, 1.0]
    assert reader.orphans == 2
    assert reader.repeated_truths == 2
    with running.client() as client:  # an orphan finds its prediction when that comes
        client.predict([ROW], ["x"], T0)
    told_later = running.reader()
    assert told_later.predictions().filter(id="x")["label"].to_list() == [0.0]
    assert told_later.orphans == 1


def test_the_last_truth_by_time_wins(running: Running) -> None:
    with running.client() as client:
        client.predict([ROW], ["a"], T0)
        for truth, hours in (("late", 3), ("on time", 5), ("late", 4)):
            client.feedback([Truth("a", truth, T0 + timedelta(hours=hours))])
    reader = running.reader()
    assert reader.predictions()["label"].to_list() == [0.0]
    assert reader.predictions()["truth_at"].to_list() == [T0 + timedelta(hours=5)]
    assert reader.repeated_truths == 2


def test_ids_from_before_a_restart_are_known(running: Running) -> None:
    with running.client() as client:
        client.predict([ROW] * 500, [f"flight-{number}" for number in range(500)], T0)
    for stop in (running.kill, running.local.stop):
        stop()
        running.start()
        with running.client() as client:
            assert client.feedback([Truth("flight-7", "late"), Truth("flight-500", "late")]) == ["flight-500"]
            assert client.status().known == 500


def test_one_bad_item_and_none_is_taken(running: Running) -> None:
    with running.client() as client:
        client.predict([ROW] * 2, ["a", "b"], T0)
    status, told = running.ask("POST", "/feedback", [{"id": "a", "truth": 1}, {"id": "b", "truth": "blue"}])
    assert status == 422
    assert "items[1].truth" in told["error"]
    assert told["hint"] == "classes: on time, late"
    assert running.reader().predictions()["label"].to_list() == [None, None]


@pytest.mark.parametrize(
    ("classes", "truth", "index"),
    [
        (("no", "yes"), "yes", 1),
        (("no", "yes"), 1, 1),
        (("no", "yes"), False, 0),
        (("no", "yes"), "maybe", None),
        (("0", "1"), 1, 1),
        (("0", "1"), 1.0, 1),
        (("0", "1"), "1", 1),
        (("0", "1"), True, 1),
        (("false", "true"), True, 1),
        (("False", "True"), False, 0),
        ((), 1, 1),
        ((), "1", None),
    ],
)
def test_a_truth_names_a_class(classes: tuple[str, ...], truth: object, index: int | None) -> None:
    assert class_index(truth, models.signature(classes=classes)) == index


def test_a_truth_of_many_classes_is_named_by_its_class() -> None:
    several: Signature = models.signature("multiclass_classification", classes=("3", "5", "7"))
    assert [class_index(truth, several) for truth in ("5", 5, 5.0, 1, 0)] == [1, 1, 1, None, None]
