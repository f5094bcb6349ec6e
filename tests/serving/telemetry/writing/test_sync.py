"""When what was answered is on the disk: before the answer, within a while, or whenever the kernel likes."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path

import pytest
from tests.serving import models
from tests.serving.conftest import Make
from tests.serving.running import Running, until
from tests.serving.telemetry.disks import Cable, needs_mounts

from trimtab import Truth
from trimtab.errors import TemporaryError
from trimtab.records.server import ServerConfig
from trimtab.records.telemetry import TelemetryPolicy
from trimtab.serving.telemetry.reading.reader import TelemetryReader
from trimtab.serving.telemetry.writing.commits import GroupCommit
from trimtab.serving.telemetry.writing.writer import TelemetryWriter

ROW = {"distance": 1.0, "carrier": "AA"}


def kept(folder: Path) -> list[str]:
    reader = TelemetryReader(folder)
    reader.refresh()
    return reader.predictions().filter(stage="live")["id"].to_list()


@needs_mounts
@pytest.mark.parametrize(("sync", "survives"), [(0.0, True), (0.05, True), (None, False)])
def test_what_a_power_cut_leaves(tmp_path: Path, sync: float | None, survives: bool) -> None:
    """The disk's file is copied right after an answer: what is not in it is what the cut would have taken."""
    cable = Cable(tmp_path / "disk", tmp_path / "plugged")
    with cable.plugged():
        config = ServerConfig(system=models.SYSTEM, port=0, telemetry=TelemetryPolicy(sync=sync))
        server = Running(tmp_path / "plugged", config).start()
        try:
            server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([0.001, 0.5]))))
            with server.client() as client:
                for number in range(3):
                    client.predict([ROW], [f"row-{number}"])
                    if sync:
                        until(lambda: client.metrics().count("trimtab_telemetry_unsynced_rows 0\n") == 1)
                    if sync is not None or number == 2:
                        with cable.pulled(f"cut-{number}") as after:
                            expected = [f"row-{one}" for one in range(number + 1)] if survives else []
                            assert kept(after / "telemetry") == expected
                client.feedback([Truth("row-0", "late")])
                if sync == 0:
                    with cable.pulled("cut-truth") as after:
                        reader = TelemetryReader(after / "telemetry")
                        reader.refresh()
                        assert reader.predictions()["label"].to_list() == [1.0, None, None]
        finally:
            server.local.stop()


@pytest.mark.parametrize("sync", [0.0, 1.0, None])
def test_a_killed_server_keeps_what_it_answered_whatever_the_policy(make: Make, sync: float | None) -> None:
    server = make(telemetry=TelemetryPolicy(sync=sync))
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([0.001, 0.5]))))
    answered: list[str] = []

    def ask() -> None:
        with server.client(patience=0.0) as client:
            for number in range(100_000):
                try:
                    client.predict([ROW] * 4, [f"{number}-{row}" for row in range(4)])
                except TemporaryError:
                    return
                answered.extend(f"{number}-{row}" for row in range(4))

    thread = threading.Thread(target=ask)
    thread.start()
    until(lambda: len(answered) > 100)
    server.kill()
    thread.join()
    found = kept(server.layout.telemetry)
    assert set(answered) <= set(found)
    assert len(found) <= len(answered) + 4  # the one it was about to answer


def commit_and_wait(sync: object, most: int, rows: list[int]) -> tuple[list[str], int]:
    """What came of answers of so many rows each, submitted at once; and how often `sync` ran."""
    told: list[str] = []
    calls = 0

    def counted() -> None:
        nonlocal calls
        calls += 1
        sync()  # type: ignore[operator]

    async def main() -> None:
        commits = GroupCommit(asyncio.get_running_loop(), counted, most)
        for number, count in enumerate(rows):
            try:
                commits.admit()
            except TemporaryError:
                told.append(f"{number} turned away")
                continue
            commits.after(
                lambda number=number: told.append(f"{number} done"),  # type: ignore[misc]
                lambda error, number=number: told.append(f"{number} {error.message}"),  # type: ignore[misc]
                count,
            )
        while commits.rows:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0)
        commits.close()

    asyncio.run(main())
    return told, calls


def test_many_answers_share_one_sync() -> None:
    told, calls = commit_and_wait(lambda: time.sleep(0.01), 1000, [1] * 50)
    assert told == [f"{number} done" for number in range(50)]
    assert calls == 1


def test_a_slow_disk_turns_callers_away_before_too_much_waits() -> None:
    told, _ = commit_and_wait(lambda: time.sleep(0.05), 100, [40, 40, 40, 40, 40])
    assert told == ["3 turned away", "4 turned away", "0 done", "1 done", "2 done"]


def test_an_answer_whose_sync_fails_is_not_given() -> None:
    def fails() -> None:
        raise OSError(5, "Input/output error")

    told, _ = commit_and_wait(fails, 100, [1, 1])
    assert told == [f"{number} telemetry cannot be synced: Input/output error" for number in range(2)]


def test_after_a_failed_sync_the_file_is_not_trusted(tmp_path: Path) -> None:
    """A kernel may forget what it could not write: rows on their way count as unsure, later ones go elsewhere."""
    broken: set[int] = set()

    def fsync(fd: int) -> None:
        if fd in broken:
            raise OSError(5, "Input/output error")
        os.fsync(fd)

    writer = TelemetryWriter(tmp_path, fsync=fsync)
    writer.write([b"one"], 1, 1, 5)
    writer.sync()
    assert (writer.unsynced[0], writer.unsure) == (0, 0)
    writer.write([b"two"], 1, 1, 7)
    assert writer.unsynced[0] == 7
    broken.add(writer._fd)
    with pytest.raises(OSError, match="Input/output error"):
        writer.sync()
    assert writer.unsure == 7
    writer.write([b"three"], 1, 1, 1)
    broken.clear()
    writer.close()
    first, second = sorted(path.read_bytes() for path in tmp_path.glob("*.seg"))
    assert (first[8:], second[8:13]) == (b"onetwo", b"three")


def test_a_segment_is_sealed_when_it_is_old(tmp_path: Path) -> None:
    now = 0.0
    writer = TelemetryWriter(tmp_path, age=60.0, clock=lambda: now)
    writer.write([b"frame"], 1, 1, 1)
    now = 59.0
    writer.tend()
    assert writer.sealed == 0
    now = 60.0
    writer.tend()
    assert writer.sealed == 1
    writer.write([b"frame"], 1, 1, 1)
    assert len(list(tmp_path.glob("*.seg"))) == 2
    writer.close()


def test_a_writer_that_never_syncs_leaves_it_to_the_kernel(tmp_path: Path) -> None:
    writer = TelemetryWriter(tmp_path, fsync=None)
    writer.write([b"frame"], 1, 1, 1)
    writer.close()
    assert writer.sealed == 1


def test_a_disk_that_hangs_is_told(tmp_path: Path) -> None:
    """What a power cut would take grows, and is seen, while a sync does not come to an end."""
    now, syncing, released = 0.0, threading.Event(), threading.Event()

    def fsync(fd: int) -> None:
        syncing.set()
        assert released.wait(10)
        os.fsync(fd)

    writer = TelemetryWriter(tmp_path, fsync=fsync, clock=lambda: now, slow=10.0)
    writer.write([b"frame"], 1, 1, 3)
    thread = threading.Thread(target=writer.sync)
    thread.start()
    assert syncing.wait(10)
    now = 11.0
    writer.write([b"frame"], 1, 1, 4)
    assert writer.unsynced == (7, 11.0)
    assert writer.trouble == "the disk is slow: 7 rows wait to be synced since 11 s"
    released.set()
    thread.join()
    assert writer.unsynced == (4, 0.0)
    assert writer.trouble == ""
    writer.close()
    assert writer.unsynced == (0, 0.0)
