"""A system whose rows lie far away: `trimtab run` is killed while it collects, again and again, and loses nothing."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from tests.adapters.http.server import World, serving
from tests.cli.conftest import MINIMAL, READINGS

from trimtab.data.store.versions import DatasetStore
from trimtab.records.facts import DatasetCommitted
from trimtab.records.layout import Layout
from trimtab.records.ledger import Ledger
from trimtab.wiring.place import declared

COUNT, KILLS = 1500, 4
SPEED = 0.03
"""Seconds that a page takes to come, so that there is a middle to be killed in."""


def rows() -> pl.DataFrame:
    """The readings of the minimal system, the last of them of today."""
    last = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    lines = [READINGS.HEADER, *READINGS.lines(0, COUNT, last)]
    return pl.read_csv("\n".join(lines).encode())


@pytest.fixture(params=["http", "sql"])
def system(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder whose dataset lies behind an address, or in a database."""
    folder = tmp_path / "system"
    shutil.copytree(MINIMAL, folder, ignore=shutil.ignore_patterns("__pycache__", ".trimtab"))
    declaration = folder / "trimtab.toml"
    text = declaration.read_text()
    found = rows()
    if request.param == "sql":
        with closing(sqlite3.connect(folder / "readings.db")) as database, database:
            names = ", ".join(found.columns)
            database.execute(f"create table readings ({names})")
            places = ", ".join("?" * len(found.columns))
            database.executemany(f"insert into readings values ({places})", found.rows())
        source = 'source = "sql+sqlite:///readings.db"\noptions = { table = "readings", page_rows = 20 }'
        declaration.write_text(text.replace('source = "readings.csv"', source))
        yield folder
        return
    trouble = random.Random(3)

    def fault(handler: object) -> bool:
        time.sleep(SPEED)
        if trouble.random() < 0.1:
            handler.give(b"{}", 503)  # type: ignore[attr-defined]
            return True
        return False

    world = World(rows=found.to_dicts(), size=40, faults=iter(lambda: fault, None))
    with serving(world) as address:
        options = 'items = "data.items", pages = "cursor", next = "meta.next", parameter = "after", appends = true'
        source = f'source = "{address}/cursor"\noptions = {{ {options} }}'
        declaration.write_text(text.replace('source = "readings.csv"', source))
        yield folder


def run(folder: Path, state: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "trimtab.cli.main", "run", str(folder), "--once", "--state", str(state)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)


def whole(folder: Path, state: Path) -> DatasetStore:
    process = run(folder, state)
    said, _ = process.communicate(timeout=100)
    assert process.returncode in (0, 1), said.decode()
    return DatasetStore(state / "data", declared(folder).labelled)


@pytest.mark.slow
def test_killed_while_it_collects_it_loses_and_doubles_nothing(system: Path, tmp_path: Path) -> None:
    state, dice, committed = tmp_path / "state", random.Random(11), [0]
    undisturbed = whole(system, tmp_path / "undisturbed").version()
    for _ in range(KILLS):
        process = run(system, state)
        folder, more = state / "data" / "readings" / "rows.lance" / "_versions", dice.randrange(2, 8)
        end = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < end:
            there = len(list(folder.iterdir())) if folder.is_dir() else 0
            if there >= committed[-1] + more:
                break
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        store = DatasetStore(state / "data", declared(system).labelled)
        now = store.current()
        assert now is not None
        assert store.verify().sound
        committed.append(len(list(folder.iterdir())))
    left = store.version().rows
    assert left < undisturbed.rows  # it was killed in the middle
    store = whole(system, state)
    assert store.version().rows == undisturbed.rows
    assert store.version().id == undisturbed.id
    assert store.read()["reading"].n_unique() == undisturbed.rows
    assert store.quarantined().total == 0
    assert store.verify().sound
    with Ledger.open(Layout(state).ledger, create=False) as ledger:
        last = ledger.last(DatasetCommitted)
        assert last is not None
        assert (last.fact.rows, last.fact.version) == (undisturbed.rows, undisturbed.id)
