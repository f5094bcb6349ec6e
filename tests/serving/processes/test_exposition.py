"""Prometheus texts of several processes as one: counters and histograms add, gauges are kept apart."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from tests.serving.telemetry.disks import memory_disk, needs_mounts

from trimtab.serving.execution.metrics import Metrics
from trimtab.serving.processes.exposition import (
    Families,
    add_up,
    joined,
    labelled,
    merge,
    read_text,
    write_text,
)
from trimtab.serving.processes.tally import Tally, tally_name

LATENCIES = st.lists(st.floats(0, 20), max_size=20)
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=5)
RELEASES = st.dictionaries(NAMES, LATENCIES, max_size=3)


def counted(releases: dict[str, list[float]], gauge: float = 1.0) -> str:
    metrics = Metrics()
    for release, latencies in releases.items():
        counts = metrics.of(release)
        if latencies:
            counts.time(latencies)
        counts.rows["live"] += len(latencies)
        metrics.requests[200] += len(latencies)
    return metrics.text({"trimtab_generation": ("The generation.", gauge)})


def total(families: Families, name: str) -> float:
    return sum(value for (sample, _), value in families[name].samples.items() if sample.endswith(("_total", "_count")))


@given(st.lists(RELEASES, min_size=1, max_size=4))
def test_what_all_have_counted_is_added(parts: list[dict[str, list[float]]]) -> None:
    texts = {str(slot): read_text(counted(part)) for slot, part in enumerate(parts)}
    found = merge(texts, "process")
    asked = sum(len(latencies) for part in parts for latencies in part.values())
    assert total(found, "trimtab_requests_total") == asked
    assert total(found, "trimtab_rows_total") == asked
    assert total(found, "trimtab_request_seconds") == asked
    for (sample, labels), value in found["trimtab_request_seconds"].samples.items():
        own = [part["trimtab_request_seconds"].samples.get((sample, labels), 0) for part in texts.values()]
        assert value == sum(own)
    gauges = found["trimtab_generation"].samples
    assert set(gauges) == {("trimtab_generation", f'process="{slot}"') for slot in texts}


@given(RELEASES)
def test_a_text_is_read_as_it_was_written(part: dict[str, list[float]]) -> None:
    families = read_text(counted(part))
    assert read_text(write_text(families)) == families


def test_systems_are_told_apart_and_labels_escaped() -> None:
    text = '# HELP a_total A.\n# TYPE a_total counter\na_total 3\na_total{b="c"} 4\n'
    found = joined([labelled(read_text(text), "system", name) for name in ("one", 'the "other"\\')])
    assert write_text(found).splitlines()[2:] == [
        'a_total{system="one"} 3',
        'a_total{b="c",system="one"} 4',
        r'a_total{system="the \"other\"\\"} 3',
        r'a_total{b="c",system="the \"other\"\\"} 4',
    ]


def test_lines_that_say_nothing_are_passed_over() -> None:
    assert read_text("lonely 3\n# TYPE a gauge\na not-a-number\n# a remark\n\na 1\n")["a"].samples == {("a", ""): 1}


def test_counters_of_the_dead_are_kept_once(tmp_path) -> None:  # type: ignore[no-untyped-def]
    for turn, latencies in enumerate(([0.1] * 3, [0.2] * 4, [0.3] * 5), 1):
        Tally(tmp_path, tally_name(0, turn)).deposit(counted({"r": latencies}))
    reader = Tally(tmp_path)
    assert total(reader.ended({"0-3"}), "trimtab_requests_total") == 7
    reader.fold("0-1")
    assert total(reader.ended({"0-3"}), "trimtab_requests_total") == 7
    reader.fold("0-2")
    reader.fold("0-2")
    reader.fold("never was")
    assert total(reader.ended({"0-3"}), "trimtab_requests_total") == 7
    assert total(reader.ended(set()), "trimtab_requests_total") == 12
    assert "trimtab_generation" not in reader.ended(set())
    # Killed between keeping the sum and removing the file: it is not counted twice.
    Tally(tmp_path, tally_name(0, 1)).deposit(counted({"r": [0.1] * 3}))
    assert total(reader.ended({"0-3"}), "trimtab_requests_total") == 7
    reader.clear()
    assert reader.ended(set()) == {}


@needs_mounts
def test_a_full_disk_keeps_what_was_counted_before_and_nothing_else(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with memory_disk(disk, "256k"):
        tally = Tally(disk, tally_name(0, 1))
        tally.deposit(counted({"r": [0.1] * 3}))
        ballast = disk / "ballast"
        with suppress(OSError):
            ballast.write_bytes(bytes(2**20))
        tally.deposit(counted({"r": [0.1] * 4, "other": []}))
        assert {one.name for one in disk.iterdir()} == {"0-1.counted", "ballast"}
        assert total(tally.ended(set()), "trimtab_requests_total") == 3
        ballast.unlink()
        tally.deposit(counted({"r": [0.1] * 4, "other": []}))
        assert total(tally.ended(set()), "trimtab_requests_total") == 4
        (disk / ".0-1.counted.tmp").write_text("killed as it wro")
        tally.fold("0-1")
        assert {one.name for one in disk.iterdir()} == {"ended.json"}


def test_gauges_of_nobody_are_added() -> None:
    assert add_up([read_text("# TYPE a gauge\na 1\n# TYPE b_total counter\nb_total 2\n")] * 2).keys() == {"b_total"}
