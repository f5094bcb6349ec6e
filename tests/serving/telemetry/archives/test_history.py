"""Ids that were given out are known for as long as their telemetry is there, whatever form it has; and a server that
starts does not read all of it."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.serving import models
from tests.serving.conftest import Make
from tests.serving.running import until
from tests.serving.telemetry.written import T0, Written

from trimtab.records.telemetry import TelemetryPolicy
from trimtab.serving.client.answers import Truth
from trimtab.serving.telemetry.archives.history import IdHistory, hashed_ids, secret_of
from trimtab.serving.telemetry.maintenance.compaction import compact
from trimtab.serving.telemetry.writing.known import ids_in

ROW = {"distance": 1.0, "carrier": "AA"}


def test_what_is_compacted_is_found_on_disk(tmp_path: Path) -> None:
    history = IdHistory(tmp_path)
    assert history.is_empty()
    assert history.missing(["a"]) == [0]
    written = Written(tmp_path, limit=1)
    for day in range(5):
        written.answer([f"{day}-{row}" for row in range(3)], T0 + timedelta(days=day))
    written.answer(["only in shadow"], T0, stage="shadow")
    written.close()
    assert history.missing(["3-1", "stranger"]) == [0, 1]
    compact(tmp_path)
    history.refresh()
    assert history.missing(["0-0", "stranger", "4-2", "only in shadow"]) == [1, 3]
    assert ids_in(tmp_path, run=0).segments == [""]
    assert (tmp_path / "ids.key").stat().st_mode & 0o777 == 0o600
    for path in tmp_path.glob("*/ids.u64"):
        path.unlink()
        break
    history.refresh()
    assert len(history.missing([f"{day}-0" for day in range(5)])) <= 1


@given(st.lists(st.text(max_size=5)))
def test_hashes_are_of_the_id_and_the_secret(ids: list[str]) -> None:
    found = hashed_ids(ids, b"secret")
    assert found.dtype == np.dtype("<u8")
    assert len(set(found.tolist())) == len(set(ids))
    assert ids == [] or hashed_ids(ids, b"other").tolist() != found.tolist()


def test_a_secret_is_made_once(tmp_path: Path) -> None:
    assert secret_of(tmp_path) == secret_of(tmp_path)
    assert len(secret_of(tmp_path)) == 32


def test_a_server_compacts_what_it_has_sealed_and_knows_its_ids_for_good(make: Make) -> None:
    policy = TelemetryPolicy(segment_bytes=5_000, rest=0.0)
    server = make(telemetry=policy)
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([0.001, 0.5]))))
    folder = server.layout.telemetry
    with server.client() as client:
        for turn in range(12):
            client.predict([ROW] * 50, [f"{turn}-{row}" for row in range(50)])
            client.feedback([Truth(f"{turn}-0", "late")])
        assert client.status().known == 600
        until(lambda: len(list(folder.glob("*/manifest.json"))) >= 1)
        until(lambda: client.status().known < 600)
        assert client.feedback([Truth("0-1", "late"), Truth("11-3", "late"), Truth("nobody", "late")]) == ["nobody"]
        assert client.status().rss < 120 * 2**20  # Arrow was never loaded here
    until(lambda: "segments of telemetry" in server.local.log.read_text())
    server.kill()
    server.start()
    with server.client() as client:
        assert client.feedback([Truth("0-2", "late"), Truth("11-4", "late"), Truth("nobody", "late")]) == ["nobody"]
    rows = server.reader().predictions()
    assert len(rows) == 600
    assert rows["label"].count() == 12 + 4


def test_a_start_does_not_depend_on_how_long_the_history_is(tmp_path: Path) -> None:
    written = Written(tmp_path, limit=1)
    for day in range(100):
        written.answer([f"{day}-{row}" for row in range(20)], T0 + timedelta(days=day))
    written.close()
    compact(tmp_path)
    written = Written(tmp_path)
    written.answer(["open"], T0 + timedelta(days=100))
    start = time.process_time()
    known = ids_in(tmp_path, run=0)
    history = IdHistory(tmp_path)
    assert time.process_time() - start < 0.05
    assert len(known) == 1
    start = time.process_time()
    assert history.missing(["0-0", "99-19", "nobody"]) == [2]
    assert time.process_time() - start < 0.5
    written.close()


def test_what_a_full_segment_owes_is_paid_after_a_kill(make: Make) -> None:
    """A segment that filled up while a shadow was behind is not sealed: the next start finds its debts."""
    server = make(telemetry=TelemetryPolicy(segment_bytes=2_000, rest=0.0))
    good = models.bundle(server.blobs, models.sigmoid([1.0, 0.0]))
    code = "import time\ndef features(rows):\n    time.sleep(0.15)\n    return rows\n"
    slow = models.bundle(server.blobs, models.sigmoid([-1.0, 0.0]), code=code)
    server.route(models.route("r1", good), models.route("r2", slow, "shadow"))
    names = [f"{turn}-{row}" for turn in range(30) for row in range(5)]
    with server.client() as client:
        for low in range(0, len(names), 5):
            client.predict([ROW] * 5, names[low : low + 5])
        assert client.status().backlog > 0
        time.sleep(1.5)  # the server has tended its telemetry at least once
    assert len(list(server.layout.telemetry.glob("*.seg"))) > 2
    server.kill()
    server.start()
    with server.client() as client:
        client.settle()
        frame = server.reader().predictions()
        for stage in ("live", "shadow"):
            assert sorted(frame.filter(stage=stage)["id"]) == sorted(names)
        until(lambda: len(list(server.layout.telemetry.glob("*/manifest.json"))) > 2, 20)  # sealed once nothing is owed
    assert len(server.reader().predictions()) == 2 * len(names)
