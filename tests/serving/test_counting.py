"""What the server counts: metrics, known ids, ids it makes, and the memory it may take."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from tests.serving import models
from tests.serving.conftest import Make
from tests.serving.running import Running

from trimtab.serving.client.answers import Truth
from trimtab.serving.execution.identifiers import Identifiers
from trimtab.serving.execution.metrics import BOUNDS, Metrics
from trimtab.serving.telemetry.writing.known import KnownIds

ROW = {"distance": 1.0, "carrier": "AA"}


@given(st.lists(st.lists(st.text(max_size=3), max_size=30), max_size=20), st.lists(st.text(max_size=3), max_size=30))
def test_known_ids_are_a_set(batches: list[list[str]], asked: list[str]) -> None:
    known = KnownIds()
    held: set[str] = set()
    for batch in batches:
        known.add(batch)
        held.update(batch)
        assert known.missing(batch) == []
    assert known.missing(asked) == [place for place, name in enumerate(asked) if name not in held]
    older = KnownIds()
    older.add(["older"], "segment")
    known.adopt(older)
    assert known.missing(["older", "never given"]) == [1]
    known.forget("segment")
    assert known.missing(["older"]) == [0]


def test_beyond_the_limit_the_oldest_segments_are_not_known() -> None:
    known = KnownIds(limit=200_000)
    for number in range(10):
        known.add([f"{number}-{row}" for row in range(70_000)], f"segment-{number}")
    assert known.missing(["9-0", "9-69999"]) == []
    assert known.missing(["0-0"]) == [0]
    assert len(known) <= 300_000


moments = st.integers(1_700_000_000_000, 1_700_000_000_003)


@given(st.lists(st.tuples(moments, st.integers(1, 3) | st.integers(1, 9000), st.booleans()), max_size=12), st.data())
def test_ids_of_the_process_are_known_exactly(batches: list[tuple[int, int, bool]], data: st.DataObject) -> None:
    made, known, held = Identifiers(), KnownIds(), set[str]()
    passed_over = []
    for number, (moment, count, answered) in enumerate(batches):
        ids = made.several(moment, count)
        if answered:
            known.add(ids, f"segment-{number // 5}", own=True)
            held.update(ids)
        else:
            passed_over += ids[:50]
        gap = data.draw(st.integers(0, 3))
        passed_over += made.several(moment, gap) if gap else []
    assert len(known) == len(held)
    assert known.missing(sorted(held)) == []
    odd = [one.upper() for one in sorted(held)[:20] if one.upper() != one]
    odd += [one.replace("-", "_") for one in sorted(held)[:20]] + [one[:-1] + "\u0663" for one in sorted(held)[:20]]
    for asked in (passed_over, odd):
        assert known.missing(asked) == list(range(len(asked)))
    for number in range(3):
        known.forget(f"segment-{number}")


def test_the_ids_of_many_batches_take_little_room() -> None:
    made, known = Identifiers(), KnownIds()
    for moment in range(2000):
        known.add(made.several(1_700_000_000_000 + moment, 50), own=True)
    spans = known._newest.spans
    assert len(known) == 100_000
    assert len(spans) > 95_000
    assert spans._starts.itemsize * len(spans._starts) < 30_000


@given(st.lists(st.tuples(moments, st.integers(1, 5000)), max_size=8), st.integers(0, 2**23 - 1))
def test_several_ids_are_those_that_come_one_by_one(asked: list[tuple[int, int]], bits: int) -> None:
    several, single = (Identifiers(lambda size: bits % 2**size) for _ in range(2))
    for moment, count in asked:
        assert several.several(moment, count) == [single.next(moment) for _ in range(count)]


def test_made_ids_are_uuids_in_order() -> None:
    made = Identifiers()
    ids = [made.next(1_700_000_000_000 + number // 10_000) for number in range(50_000)]
    assert len(set(ids)) == 50_000
    pattern = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
    assert all(pattern.fullmatch(name) for name in ids[:100])
    assert ids[0] < ids[10_000] < ids[20_000]
    assert {made.next(5) for _ in range(100)}.isdisjoint(Identifiers().next(5) for _ in range(100))


def test_the_histogram_counts_every_latency_once() -> None:
    metrics = Metrics()
    metrics.of('a"b').time([0.0001, 0.00011, 0.3, 99.0])
    text = metrics.text({"trimtab_gauge": ("A gauge.", 12_345_678.0)})
    buckets = [int(count) for count in re.findall(r'request_seconds_bucket\{release="a\\"b",le="[^"]+"\} (\d+)', text)]
    assert len(buckets) == len(BOUNDS) + 1
    assert (buckets[0], buckets[1], buckets[-2], buckets[-1]) == (1, 2, 3, 4)
    assert "trimtab_gauge 12345678\n" in text


def test_a_release_in_force_is_counted_on_however_many_come_and_go_beside_it() -> None:
    metrics = Metrics()
    metrics.route(["live"])
    metrics.of("live").rows["live"] = 7
    for number in range(200):
        metrics.route(["live", f"shadow-{number}"])
        metrics.of(f"shadow-{number}").rows["shadow"] += 1
    assert metrics.of("live").rows["live"] == 7
    text = metrics.text({})
    assert text.count("trimtab_failed_rows_total{") == 64
    assert 'trimtab_rows_total{release="shadow-199",stage="shadow"} 1' in text


def test_metrics_tell_what_happened(make: Make) -> None:
    server: Running = make()
    live = models.bundle(server.blobs, models.sigmoid([1.0, 0.0]))
    server.route(models.route("r1", live), models.route("r2", live, "shadow"))
    with server.client() as client:
        client.predict([ROW] * 7, [f"a{row}" for row in range(7)])
        client.feedback([Truth("a1", "late"), Truth("nobody", "late")])
        client.settle()
        server.ask("GET", "/nowhere")
        text = client.metrics()
    for line in (
        'trimtab_requests_total{code="404"} 1',
        'trimtab_request_seconds_count{release="r1"} 1',
        'trimtab_rows_total{release="r1",stage="live"} 7',
        'trimtab_rows_total{release="r2",stage="shadow"} 7',
        'trimtab_feedback_total{id="known"} 1',
        'trimtab_feedback_total{id="unknown"} 1',
        "trimtab_telemetry_dropped_rows_total 0",
        "trimtab_telemetry_queue_rows 0",
        "trimtab_generation 1",
        "trimtab_model_load_errors_total 0",
    ):
        assert line in text.splitlines()
    names = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    assert len(dict(names)) == len(names)
    resident = next(line for line in text.splitlines() if line.startswith("trimtab_resident_bytes "))
    assert float(resident.split()[1]) < 160e6
