"""What the processes do that the tests of this folder start, let race, and kill."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from trimtab.records.base import SystemClock
from trimtab.records.blobs import Blobs
from trimtab.records.durable import write_atomically
from trimtab.records.facts import PassFinished
from trimtab.records.journal import Draft
from trimtab.records.lease import Lease
from trimtab.records.ledger import Ledger

START = datetime(2013, 1, 1, tzinfo=UTC)


def fact_for(key: str) -> PassFinished:
    return PassFinished(number=key, causes=(), actions=(), reason="all requirements met " * 20)


def moment(number: int) -> datetime:
    return START + timedelta(minutes=number)


def append_until_killed(path: Path, told: Path) -> None:
    """Begin where the ledger ends; write one fact, then a group of three, and so on; tell of each that stands."""
    acknowledged = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with Ledger.open(path) as ledger:
        number = ledger.count(PassFinished, "one:")
        while True:
            ledger.append(f"one:{number}", fact_for(f"one:{number}"), at=moment(number), measured={"pid": os.getpid()})
            os.write(acknowledged, f"one:{number}\n".encode())
            keys = [f"group:{number}:{part}" for part in range(3)]
            ledger.append_all([Draft(key=key, fact=fact_for(key), at=moment(number)) for key in keys])
            os.write(acknowledged, "".join(f"{key}\n" for key in keys).encode())
            number += 1


def append_keys(path: Path, numbers: list[int], told: Path) -> None:
    """Append these; leave how many were written by this process in `told`."""
    with Ledger.open(path) as ledger:
        written = [ledger.append(f"key:{n}", fact_for(f"key:{n}"), at=moment(n)) for n in numbers]
    told.write_text(str(sum(written)))


def lead_until_killed(path: Path, told: Path, ttl: float) -> None:
    """Take the lease, tell its token, and hold it."""
    with Ledger.open(path) as ledger, Lease(ledger, holder="first", ttl=ttl, clock=SystemClock()) as lease:
        write_atomically(told, str(lease.token).encode())
        time.sleep(600)


def rewrite_until_killed(path: Path, size: int) -> None:
    """Put one letter, `size` times, at `path`, again and again."""
    number = 0
    while True:
        write_atomically(path, bytes([ord("a") + number % 26]) * size)
        number += 1


def keep_until_killed(root: Path) -> None:
    """Keep one blob after another, and name each once it is kept."""
    blobs = Blobs(root)
    number = time.monotonic_ns()
    while True:
        digest = blobs.put(b"content %d " % number * 2000)
        blobs.set_ref("newest", digest)
        number += 1
