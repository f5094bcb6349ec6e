"""A process that collects is killed at random instants; whoever comes after ends with the very same versions."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from tests.data.conftest import hours, trips

from trimtab.data.spec import ColumnRule, DatasetSpec
from trimtab.data.store.tables.table import Table
from trimtab.data.store.versions import DatasetStore

DAYS = 80
KILLS = 10
STEPS = 36
SPEC = DatasetSpec(
    name="trips",
    source="x.parquet",
    key=("id",),
    time="at",
    label="late",
    label_delay=7200.0,
    valid=(ColumnRule(column="fare", high=3500),),
)

_CHILD = """
import lance, polars, pathlib
from tests.data import test_kill
print("ready", flush=True)
test_kill.collect_all(pathlib.Path({root!r}))
"""


class History:
    """Rows as they could be had on each day: labels two hours late, some rows bad, a column more from day 30 on."""

    def __init__(self) -> None:
        rows = trips(0, 24 * DAYS).with_columns(
            fare=pl.when(pl.int_range(pl.len()) % 97 == 0).then(9999.0).otherwise("fare"),
            id=pl.when(pl.int_range(pl.len()) % 89 == 5).then(None).otherwise("id"),
        )
        self.rows = rows.with_columns(wind=pl.when(pl.int_range(pl.len()) >= 24 * 30).then(pl.lit(1.5)))

    def expect(self, schema: object) -> None:
        """Typed already."""

    def fetch(self, since: object, until: object) -> pl.DataFrame:
        low = pl.lit(hours(-1)) if since is None else pl.lit(since)
        found = self.rows.filter((pl.col("at") > low) & (pl.col("at") <= pl.lit(until)))
        return found.with_columns(late=pl.when(pl.col("at") <= pl.lit(until) - pl.duration(hours=2)).then("late"))


def collect_all(root: Path, days: int = DAYS) -> None:
    """Go through all days from wherever the store is."""
    store, source = DatasetStore(root, SPEC), History()
    for day in range(1, days + 1):
        store.collect(source, until=hours(24 * day), now=hours(24 * day))


@pytest.mark.timeout(180)
def test_killed_at_any_instant_and_run_again(tmp_path: Path) -> None:
    killed_and_run_again(tmp_path, KILLS)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_fifty_instants(tmp_path: Path) -> None:
    """Each version that was there after a kill is whole."""
    killed_and_run_again(tmp_path, 50, each=True)


def killed_and_run_again(tmp_path: Path, kills: int, *, each: bool = False) -> None:
    """Kill the child so many times, then let it finish, and compare with one that was left alone."""
    collect_all(tmp_path / "whole")
    whole = DatasetStore(tmp_path / "whole", SPEC)
    dice = random.Random(7)
    script = _CHILD.format(root=str(tmp_path / "killed"))
    reached = []
    share = 0.2 * KILLS / kills
    for _ in range(kills):
        if not (reached and reached[-1]):
            share *= 1.3  # a machine that is busy comes to its first commit later
        kill_child(script, 0.02 + share * dice.random())
        current = DatasetStore(tmp_path / "killed", SPEC).current()
        reached.append(current.rows if current else 0)
        if each and current is not None:
            assert DatasetStore(tmp_path / "killed", SPEC).verify().sound
    assert reached == sorted(reached), "what was committed stays"
    assert 0 < reached[-1] < whole.version().rows, "the kills fell into the work"
    collect_all(tmp_path / "killed")
    killed = DatasetStore(tmp_path / "killed", SPEC)
    assert [version.fact for version in killed.versions()] == [version.fact for version in whole.versions()]
    assert killed.read(digests=True).equals(whole.read(digests=True))
    assert killed.quarantined().reasons == whole.quarantined().reasons
    assert killed.verify().sound
    if each:
        assert all(killed.verify(version.id).sound for version in killed.versions())


def kill_child(script: str, seconds: float, environ: dict[str, str] | None = None) -> None:
    """Start a process, and kill it so long after it says that it is ready."""
    root = Path(__file__).parents[2]
    words = [sys.executable, "-c", script]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=root, env=os.environ | (environ or {}))
    assert child.stdout is not None
    child.stdout.readline()
    time.sleep(seconds)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()


_MERGER = """
import lance, polars, pathlib
from tests.data import test_kill
store = test_kill.DatasetStore(pathlib.Path({root!r}), test_kill.SPEC)
store.version()
print("ready", flush=True)
store.merge("try")
store.let_go(test_kill.timedelta(0), {{}}, now=test_kill.hours(9999))
"""


@pytest.mark.parametrize("kills", [4, pytest.param(25, marks=pytest.mark.slow)])
def test_killed_while_merging_and_letting_go(tmp_path: Path, kills: int) -> None:
    """What stays is whole at every instant, and doing it again does the rest."""
    root = tmp_path / "store"
    collect_all(root, 5)
    store = DatasetStore(root, SPEC)
    store.tag("kept", store.versions()[1].id)
    branch, source = store.create_branch("try"), History()
    for day in range(6, 30):
        branch.collect(source, until=hours(24 * day), now=hours(24 * day))
    line = [version.id for version in branch.versions()]
    held = branch.read(digests=True)
    script, dice = _MERGER.format(root=str(root)), random.Random(3)
    for _ in range(kills):
        kill_child(script, 0.6 / kills * dice.random())
        found = DatasetStore(root, SPEC)
        assert found.verify().sound
        assert found.verify("kept").sound
        assert found.version().id in line, "the trunk stands at a version of the branch"
        assert found.on("try").read(digests=True).equals(held)
        assert all(found.verify(version.id).sound for version in found.versions()[-3:])
    found = DatasetStore(root, SPEC)
    found.merge("try")
    assert found.version().id == line[-1]
    assert found.version().fact == branch.version().fact
    found.let_go(timedelta(0), {}, now=hours(9999))
    assert set(found.let_go(timedelta(0), {}, now=hours(9999)).kept.values()) == {
        "the newest",
        "tag kept",
        "branch try",
    }
    assert found.read(digests=True).equals(held)
    assert found.on("try").verify().sound


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> DatasetStore:
    """A store that went through its days in one go."""
    root = tmp_path_factory.mktemp("undisturbed")
    collect_all(root, STEPS)
    return DatasetStore(root, SPEC)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", ["append", "replace", "add_columns", "tag", "compact"])
def test_stopped_at_each_step_and_run_again(
    tmp_path: Path, undisturbed: DatasetStore, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    """The instants a kill seldom hits: right before and right after each write of the store, quarantine included."""
    plain = getattr(Table, step)

    def stopping(at: int) -> Callable[..., object]:
        calls = 0

        def stops(self: Table, *args: object, **named: object) -> object:
            nonlocal calls
            calls += 1
            if calls == at and not after:
                raise KeyboardInterrupt
            result = plain(self, *args, **named)
            if calls == at:
                raise KeyboardInterrupt
            return result

        return stops

    for at in (1, 2, 5):
        with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
            patched.setattr(Table, step, stopping(at))
            collect_all(tmp_path / "stopped", STEPS)
    collect_all(tmp_path / "stopped", STEPS)
    whole, found = undisturbed, DatasetStore(tmp_path / "stopped", SPEC)
    assert [version.fact for version in found.versions()] == [version.fact for version in whole.versions()]
    assert [version.new_columns for version in found.versions()] == [v.new_columns for v in whole.versions()]
    assert found.read(digests=True).equals(whole.read(digests=True))
    assert found.quarantined().reasons == whole.quarantined().reasons
    assert found.verify().sound
