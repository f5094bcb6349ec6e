"""Letting go of old versions: never of one that something stands on, and the rest is as it was."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from tests.data.conftest import hours, trips
from tests.data.test_media import files

from trimtab.data.port import DataError
from trimtab.data.store.packs import Packs
from trimtab.data.store.tables.table import Table
from trimtab.data.store.versions import DatasetStore

DAY = timedelta(days=1)
NOW = hours(24 * 40)


def grown(store: DatasetStore, days: int = 40) -> None:
    """A version a day; enough of them for small parts to be joined."""
    for day in range(days):
        store.collect(trips(24 * day, 24 * day + 24), until=hours(24 * day + 24), now=hours(24 * day + 24))


def test_what_something_stands_on_stays(store: DatasetStore) -> None:
    grown(store)
    versions = store.versions()
    rows = {version.id: store.read(version.id, digests=True) for version in versions}
    store.tag("paper", versions[3].id)
    branch = store.create_branch("try", versions[5].id)
    branch.collect(trips(150, 170), until=hours(170), now=NOW)
    held = branch.read(digests=True)
    needed = {versions[7].id: "model abc"}
    told = store.let_go(5 * DAY, needed, now=NOW, dry=True)
    assert store.versions() == versions, "it was only told"
    assert told.kept[versions[3].id] == "tag paper"
    assert told.kept[versions[5].id] == "branch try"
    assert told.kept[versions[7].id] == "model abc"
    assert told.kept[versions[-1].id] == "the newest"
    recent = [version.id for version in versions[-6:-1]]
    assert {told.kept[version] for version in recent} == {"not old yet"}
    assert len(told.versions) == 40 - len(told.kept) == 40 - 9
    done = store.let_go(5 * DAY, needed, now=NOW)
    assert (done.versions, done.kept) == (told.versions, told.kept)
    assert done.bytes >= told.bytes > 0
    fresh = DatasetStore(store._folder.parent, store.spec)
    assert {version.id for version in fresh.versions()} == set(told.kept)
    for version in told.kept:
        assert fresh.verify(version).sound
        assert fresh.read(version, digests=True).equals(rows[version])
    with pytest.raises(DataError, match="no version"):
        fresh.read(told.versions[0])
    assert fresh.on("try").read(digests=True).equals(held)
    assert fresh.on("try").verify().sound
    again = fresh.let_go(5 * DAY, needed, now=NOW)
    assert again.versions == ()
    assert fresh.collect(trips(960, 970), until=hours(970), now=hours(970)) is not None
    assert fresh.verify().sound


def test_contents_go_with_the_last_version_that_names_them(
    make_store: Callable[..., DatasetStore], tmp_path: Path
) -> None:
    store = make_store(key=("path",), media=("content",), changes="replace")
    dice = random.Random(2)
    first = {f"{n:02d}": dice.randbytes(400) for n in range(30)}
    store.collect(files(dict(first)), until=hours(1), now=NOW)
    store.create_branch("try").collect(files({"on-a-branch": b"b" * 500}), until=hours(2), now=NOW)
    changed = {name: dice.randbytes(400) for name in list(first)[:20]}
    store.collect(files(dict(changed), at=2), until=hours(3), now=NOW)
    store.collect(files({"more": b"m" * 300}, at=3), until=hours(4), now=NOW)
    assert store.let_go(DAY, {}, now=NOW, dry=True).contents == 0, "the branch begins at the first version"
    store.delete_branch("try")
    told = store.let_go(DAY, {}, now=NOW, dry=True)
    before = store.packs.size()
    done = store.let_go(DAY, {}, now=NOW)
    assert told.contents == done.contents == 21
    assert done.bytes >= 20 * 400 + 500
    assert before - store.packs.size() > 20 * 400
    fresh = DatasetStore(tmp_path, store.spec)
    assert fresh.verify().sound
    row = fresh.read().sort("path")
    assert row.height == 31
    assert fresh.contents(row["content"].to_list())[:20] == list(changed.values())


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", ["untag", "clean", "_write", "delete"])
def test_stopped_at_each_step_what_stays_is_whole(
    make_store: Callable[..., DatasetStore], monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    from trimtab.records.objects import LocalObjects

    store = make_store(key=("path",), media=("content",), changes="replace")
    dice = random.Random(2)
    for day in range(6):
        some = {f"{n:02d}": dice.randbytes(200) for n in range(10 if day else 30)}
        store.collect(files(some, at=24 * day), until=hours(24 * day + 1), now=NOW)
    store.tag("good", store.versions()[2].id)
    owner = {"untag": Table, "clean": Table, "_write": Packs, "delete": LocalObjects}[step]
    plain = getattr(owner, step)
    for at in (1, 2):
        calls = 0

        def stops(self: object, *args: object, at: int = at, **named: object) -> object:
            nonlocal calls
            calls += 1
            if calls == at and not after:
                raise KeyboardInterrupt
            result = plain(self, *args, **named)
            if calls == at:
                raise KeyboardInterrupt
            return result

        with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
            patched.setattr(owner, step, stops)
            store.let_go(DAY, {}, now=NOW)
        for version in [*store.versions()[-1:], store.version("good")]:
            assert store.verify(version.id).sound
    done = store.let_go(DAY, {}, now=NOW)
    assert set(done.kept.values()) == {"the newest", "tag good"}
    assert all(store.verify(version.id).sound for version in store.versions())
    assert store.let_go(DAY, {}, now=NOW).contents == 0


def test_media_are_checked_out_as_files(make_store: Callable[..., DatasetStore], tmp_path: Path) -> None:
    store = make_store(key=("path",), media=("content",), changes="replace")
    contents = {"a/x.png": b"1", "a/y.png": b"", "z.png": b"3" * 1000, "none": None}
    first = store.collect(files(contents), until=hours(1), now=NOW)
    store.collect(files({"z.png": b"new"}, at=1), until=hours(2), now=NOW)
    assert first is not None
    assert store.check_out(tmp_path / "out", first.version.id) == 3
    found = {
        path.relative_to(tmp_path / "out").as_posix(): path.read_bytes() for path in (tmp_path / "out").rglob("*.*")
    }
    assert found == {name: content for name, content in contents.items() if content is not None}
    with pytest.raises(DataError, match="is there already"):
        store.check_out(tmp_path / "out")
    store.collect(files({"../../evil": b"x"}), until=hours(3), now=NOW)
    with pytest.raises(DataError, match="cannot be the name of a file"):
        store.check_out(tmp_path / "evil")
    assert not (tmp_path / "evil").exists()
    with pytest.raises(DataError, match="no media"):
        plain = make_store(name="plain")
        plain.collect(trips(0, 3), until=hours(3), now=NOW)
        plain.check_out(tmp_path / "rows")
