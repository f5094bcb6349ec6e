"""A disk that takes no more: nothing is lost in silence, whether callers are refused or answered all the same."""

from __future__ import annotations

import resource
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from tests.serving import models
from tests.serving.conftest import Make
from tests.serving.running import Running, until
from tests.serving.telemetry.disks import memory_disk, needs_mounts
from tests.serving.telemetry.written import T0, Written

from trimtab import Client, Truth
from trimtab.errors import TemporaryError
from trimtab.records.server import ServerConfig
from trimtab.records.telemetry import TelemetryPolicy
from trimtab.serving.telemetry.maintenance.compaction import compact
from trimtab.serving.telemetry.reading.reader import TelemetryReader
from trimtab.serving.telemetry.segments import GAP, Gap, frames
from trimtab.serving.telemetry.writing.writer import TelemetryWriter

ROW = {"distance": 1.0, "carrier": "AA"}


def served(root: Path, policy: TelemetryPolicy) -> Running:
    server = Running(root, ServerConfig(system=models.SYSTEM, port=0, telemetry=policy)).start()
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([0.001, 0.5]))))
    return server


def gaps(folder: Path) -> list[Gap]:
    found = []
    for path in sorted(folder.glob("*.seg")):
        found += [
            msgspec.msgpack.decode(frame.meta, type=Gap)
            for frame in frames(path.read_bytes()[8:], 8)
            if frame.kind == GAP
        ]
    return found


def metric(client: Client, name: str) -> int:
    return next(int(float(line.split()[1])) for line in client.metrics().splitlines() if line.startswith(f"{name} "))


def fill(client: Client) -> tuple[list[str], int]:
    """Asks until the disk is full; the ids that were answered, and the first number that was not."""
    answered: list[str] = []
    for number in range(10_000):
        ids = [f"{number}-{row}" for row in range(200)]
        try:
            client.predict([ROW] * 200, ids)
        except TemporaryError:
            return answered, number
        answered += ids
        if metric(client, "trimtab_telemetry_dropped_rows_total"):
            return answered[:-200], number
    raise AssertionError("the disk was never full")


@needs_mounts
def test_by_default_a_full_disk_refuses_and_keeps_all_that_was_answered(tmp_path: Path) -> None:
    telemetry = tmp_path / "state" / "telemetry"
    with memory_disk(telemetry, "1m"):
        (telemetry / "ballast").write_bytes(bytes(200_000))
        server = served(tmp_path / "state", TelemetryPolicy())
        try:
            with server.client(patience=0.0) as client:
                answered, refused = fill(client)
                for _ in range(3):
                    with pytest.raises(TemporaryError, match="telemetry cannot be written: No space left on device"):
                        client.predict([ROW] * 200, [f"{refused}-{row}" for row in range(200)])
                with pytest.raises(TemporaryError, match="No space left"):
                    client.feedback([Truth(name, "late") for name in answered[:200]])
                assert "No space left" in client.status().telemetry_error
                until(lambda: f"No space left on device; see {telemetry}" in server.local.log.read_text())
                assert metric(client, "trimtab_telemetry_dropped_rows_total") == 0
                assert metric(client, "trimtab_telemetry_write_failures_total") == 5
                (telemetry / "ballast").unlink()
                client.predict([ROW] * 200, [f"{refused}-{row}" for row in range(200)])
                assert client.status().telemetry_error == ""
                until(lambda: "telemetry is written again; the disk has refused 5 " in server.local.log.read_text())
                assert server.local.log.read_text().count("cannot be written") == 1
            answered += [f"{refused}-{row}" for row in range(200)]
            assert server.reader().predictions()["id"].sort().to_list() == sorted(answered)
            assert gaps(telemetry) == []
        finally:
            server.local.stop()


@needs_mounts
def test_where_it_is_declared_a_full_disk_is_answered_and_what_it_took_is_told(tmp_path: Path) -> None:
    telemetry = tmp_path / "state" / "telemetry"
    with memory_disk(telemetry, "1m"):
        (telemetry / "ballast").write_bytes(bytes(200_000))
        server = served(tmp_path / "state", TelemetryPolicy(full="answer"))
        try:
            with server.client(patience=0.0) as client:
                answered, _ = fill(client)
                assert len(client.predict([ROW] * 300, [f"late-{row}" for row in range(300)])) == 300
                assert metric(client, "trimtab_telemetry_dropped_rows_total") == 500
                assert client.status().telemetry_dropped == 500
                until(lambda: "500 in all: telemetry cannot be written: No space" in server.local.log.read_text())
                with pytest.raises(TemporaryError, match="No space left"):  # a truth is never thrown away
                    client.feedback([Truth(name, "late") for name in answered[:200]])
                (telemetry / "ballast").unlink()
                until(lambda: sum(gap.rows for gap in gaps(telemetry)) == 500)  # written down without anybody asking
                client.predict([ROW], ["after"])
                assert client.feedback([Truth("late-0", "late")]) == []  # it was given out
            for gap in gaps(telemetry):
                assert gap.reason.endswith("No space left on device")
                assert gap.first <= gap.last
            assert server.reader().predictions()["id"].sort().to_list() == sorted([*answered, "after"])
        finally:
            server.local.stop()


def test_a_limit_on_file_sizes_is_a_full_disk_too(make: Make) -> None:
    server = make(telemetry=TelemetryPolicy(full="answer"))
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([0.001, 0.5]))))
    pid = server.local.pid
    assert pid is not None
    with server.client(patience=0.0) as client:
        client.predict([ROW], ["before"])
        (segment,) = server.layout.telemetry.glob("*.seg")
        limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (segment.stat().st_size + 10, limits[1]))
        client.predict([ROW] * 3, ["a", "b", "c"])
        assert client.status().telemetry_dropped == 3
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
        client.predict([ROW], ["after"])
        assert client.status().telemetry_dropped == 3
    assert [gap.rows for gap in gaps(server.layout.telemetry)] == [3]
    assert server.reader().predictions()["id"].sort().to_list() == ["after", "before"]


def test_a_gap_grows_until_it_can_be_written_down(tmp_path: Path) -> None:
    writer = TelemetryWriter(tmp_path)
    writer.drop(50, 60, 2, "full")
    writer.drop(10, 20, 3, "full still")
    assert writer.dropped == 5
    writer.close()
    assert gaps(tmp_path) == [Gap(10, 60, 5, "full")]


@needs_mounts
def test_a_compaction_that_finds_no_room_leaves_the_frames(tmp_path: Path) -> None:
    with memory_disk(tmp_path / "disk", "1m"):
        folder = tmp_path / "disk" / "telemetry"
        written = Written(folder)
        for number in range(60):
            written.answer([f"{number}-{row}" for row in range(200)], T0 + timedelta(minutes=number))
        written.close()
        before = TelemetryReader(folder)
        before.refresh()
        rows = before.predictions()
        (tmp_path / "disk" / "ballast").write_bytes(bytes(450_000))
        with pytest.raises(OSError, match="No space left"):
            compact(folder)
        assert [path.name for path in folder.iterdir() if path.is_dir()] == []
        after = TelemetryReader(folder)
        after.refresh()
        assert after.predictions().equals(rows)
        command = [sys.executable, "-m", "trimtab.serving.telemetry", str(folder)]
        child = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (child.returncode, child.stdout) == (1, "0\n")
        assert "telemetry cannot be compacted: " in child.stderr
        assert "No space left" in child.stderr
