"""The ledger keeps each fact once, in order, and says plainly what it refuses."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import create_engine, insert, inspect, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from trimtab.errors import PermanentError, TemporaryError
from trimtab.records import schema
from trimtab.records.facts import ActionFinished, DatasetCommitted, PassFinished, ReleaseMoved
from trimtab.records.ledger import Draft, Ledger, LedgerConflict

AT = datetime(2013, 4, 2, 5, tzinfo=UTC)


def passed(number: str, reason: str = "all requirements met") -> PassFinished:
    return PassFinished(number=number, causes=(), actions=(), reason=reason)


def moved(to: str, release: str = "r-1") -> ReleaseMoved:
    return ReleaseMoved(release=release, model="m-1", source=None, to=to, why="passed 8 of 8 gates")


def filled(ledger: Ledger, count: int) -> Ledger:
    """Passes and moves, turn by turn."""
    for i in range(count):
        fact = passed(f"{i}") if i % 2 else moved("live", f"r-{i}")
        ledger.append(f"pass:{i}" if i % 2 else f"release:r-{i}:live:1", fact, at=AT + timedelta(days=i))
    return ledger


@pytest.fixture(params=["memory", "disk"])
def ledger(request, tmp_path):
    with Ledger.open(None if request.param == "memory" else tmp_path / "state" / "ledger.db") as opened:
        yield opened


def test_what_is_appended_is_read_back(ledger):
    assert ledger.append("pass:1", passed("1"), at=AT, measured={"seconds": 1.5})
    entry = ledger.get("pass:1")
    assert (entry.seq, entry.key, entry.at, entry.kind) == (1, "pass:1", AT, "pass_finished")
    assert entry.fact == passed("1")
    assert entry.measured == {"seconds": 1.5}
    assert ledger.get("pass:2") is None


def test_the_same_fact_again_changes_nothing(ledger):
    ledger.append("pass:1", passed("1"), at=AT, measured={"seconds": 1.5})
    before = ledger.get("pass:1")
    assert ledger.append("pass:1", passed("1"), at=AT + timedelta(days=1), measured={"seconds": 9.0}) is False
    assert ledger.get("pass:1") == before
    assert ledger.count() == 1


def test_another_fact_under_the_key_is_refused_and_both_are_named(ledger):
    ledger.append("release:r-1:1", moved("shadow"), at=AT)
    with pytest.raises(LedgerConflict, match=r'`release:r-1:1` already holds .* to = "shadow", not "canary"') as caught:
        ledger.append("release:r-1:1", moved("canary"), at=AT)
    assert isinstance(caught.value, PermanentError)
    with pytest.raises(LedgerConflict, match="release_moved, not pass_finished"):
        ledger.append("release:r-1:1", passed("1"), at=AT)
    assert ledger.get("release:r-1:1").fact == moved("shadow")


def test_a_moment_in_another_zone_is_the_same_moment(ledger):
    def committed(until: datetime) -> DatasetCommitted:
        return DatasetCommitted(
            dataset="flights", version="v1", parent=None, rows=1, added=1, until=until, quarantined={}
        )

    new_york = timezone(timedelta(hours=-4))
    assert ledger.append("data:1", committed(AT), at=AT.astimezone(new_york))
    assert ledger.get("data:1").at.utcoffset() == timedelta(0)
    assert ledger.append("data:1", committed(AT.astimezone(new_york)), at=AT) is False
    with pytest.raises(PermanentError, match="`data:2`: until has no time zone"):
        ledger.append("data:2", committed(datetime(2013, 4, 2)), at=AT)
    with pytest.raises(PermanentError, match=r"`data:2` is dated .* without a time zone"):
        ledger.append("data:2", committed(AT), at=datetime(2013, 4, 2))


@pytest.mark.parametrize("key", ["", " pass:1", "pass\n1", "pass\x00", "pass:\ud800"])
def test_a_key_that_cannot_be_printed_is_refused(ledger, key):
    with pytest.raises(PermanentError, match="cannot be a key"):
        ledger.append(key, passed("1"), at=AT)


def test_a_batch_stands_whole_or_not_at_all(ledger):
    ledger.append("pass:2", passed("2"), at=AT)
    batch = [Draft(key=f"pass:{i}", fact=passed(f"{i}"), at=AT) for i in (1, 2, 3, 1)]
    assert ledger.append_all(batch) == [True, False, True, False]
    bad = [Draft(key="pass:4", fact=passed("4"), at=AT), Draft(key="pass:2", fact=passed("other"), at=AT)]
    with pytest.raises(LedgerConflict):
        ledger.append_all(bad)
    assert ledger.get("pass:4") is None
    assert [entry.key for entry in ledger.entries()] == ["pass:2", "pass:1", "pass:3"]
    assert ledger.append_all([]) == []
    assert ledger.verify() is None


def test_entries_are_chosen_by_kind_prefix_place_and_number(ledger):
    filled(ledger, 20)
    assert [e.seq for e in ledger.entries()] == list(range(1, 21))
    assert [e.seq for e in ledger.entries(PassFinished)] == list(range(2, 21, 2))
    assert [e.seq for e in ledger.entries((PassFinished, ReleaseMoved), after=17)] == [18, 19, 20]
    assert [e.key for e in ledger.entries(prefix="pass:1")] == ["pass:1"] + [f"pass:{i}" for i in range(11, 20, 2)]
    assert [e.seq for e in ledger.entries(ReleaseMoved, newest_first=True, limit=2)] == [19, 17]
    assert [e.seq for e in ledger.entries(PassFinished, prefix="release:")] == []
    assert [e.seq for e in ledger.entries(ActionFinished)] == []
    assert [e.seq for e in ledger.entries(limit=0)] == []
    assert ledger.last(PassFinished).seq == 20
    assert ledger.last(ReleaseMoved, "release:r-4:").key == "release:r-4:live:1"
    assert ledger.last(ActionFinished) is None
    assert (ledger.count(), ledger.count(PassFinished), ledger.count((PassFinished, ReleaseMoved))) == (20, 10, 20)
    assert (ledger.count(PassFinished, "pass:1"), ledger.count(None, "release:r-1")) == (6, 5)


def test_long_reads_go_page_by_page_and_see_what_stood_at_their_start(ledger):
    ledger.append_all([Draft(key=f"pass:{i}", fact=passed(f"{i}"), at=AT) for i in range(1234)])
    seen = []
    for entry in ledger.entries():
        seen.append(entry.seq)
        if entry.seq % 400 == 0:
            ledger.append(f"again:{entry.seq}", passed("x"), at=AT)
    assert seen == list(range(1, 1235))
    assert [e.seq for e in ledger.entries(newest_first=True)] == list(range(1237, 0, -1))
    assert [e.seq for e in ledger.entries(newest_first=True, limit=700)] == list(range(1237, 537, -1))


def test_prefixes_are_taken_letter_by_letter(ledger):
    for key in ("a%b", "axb", "a_b", "A%b", "a%", "ä:1", "ä:2"):
        ledger.append(key, passed(key), at=AT)
    assert {e.key for e in ledger.entries(prefix="a%")} == {"a%b", "a%"}
    assert {e.key for e in ledger.entries(prefix="a_")} == {"a_b"}
    assert {e.key for e in ledger.entries(prefix="ä:")} == {"ä:1", "ä:2"}


def test_a_ledger_is_read_again_after_it_was_closed(tmp_path):
    path = tmp_path / "ledger.db"
    with Ledger.open(path) as first:
        filled(first, 5)
        entries, head = list(first.entries()), first.head()
    with Ledger.open(path, create=False) as second:
        assert list(second.entries()) == entries
        assert second.head() == head
        assert second.verify(anchor=head) is None
        second.append("pass:new", passed("new"), at=AT)
        assert second.get("pass:new").seq == 6
    second.close()


def test_a_missing_ledger_says_what_to_run(tmp_path):
    path = tmp_path / "none" / "ledger.db"
    with pytest.raises(PermanentError, match=r"no ledger at .*ledger\.db\n.*run `trimtab run` first"):
        Ledger.open(path, create=False)
    assert not path.parent.exists()
    empty = tmp_path / "empty.db"
    empty.touch()
    with pytest.raises(PermanentError, match="no ledger at"):
        Ledger.open(empty, create=False)
    with Ledger.open(empty) as ledger:
        assert ledger.count() == 0


def test_a_ledger_from_a_newer_trimtab_is_refused(tmp_path):
    path = tmp_path / "ledger.db"
    Ledger.open(path).close()
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE trimtab_schema SET version = 99")
    raw.close()
    with pytest.raises(
        PermanentError, match="has schema version 99, and this Trimtab knows versions up to 1"
    ) as caught:
        Ledger.open(path)
    assert "upgrade" in caught.value.hint


def test_an_older_ledger_is_migrated_and_a_failed_migration_leaves_it_as_it_was(tmp_path):
    path = tmp_path / "ledger.db"
    with Ledger.open(path) as ledger:
        filled(ledger, 3)

    def add_note(connection):
        connection.exec_driver_sql("ALTER TABLE leases ADD COLUMN note TEXT")

    def fail(connection):
        connection.exec_driver_sql("ALTER TABLE leases ADD COLUMN other TEXT")
        raise RuntimeError("half way")

    engine = create_engine(f"sqlite:///{path}", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:

        def migrate(*migrations):
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                schema.migrate(connection, "here", migrations)
            except BaseException:
                connection.exec_driver_sql("ROLLBACK")
                raise
            connection.exec_driver_sql("COMMIT")

        migrate(add_note)
        assert schema.found_version(connection, "here") == 2
        with pytest.raises(RuntimeError):
            migrate(add_note, fail)
        assert schema.found_version(connection, "here") == 2
        columns = {column["name"] for column in inspect(connection).get_columns("leases")}
        assert "note" in columns
        assert "other" not in columns
        assert len(connection.execute(select(schema.facts.c.seq)).all()) == 3
    engine.dispose()


def test_a_file_that_is_no_ledger_is_left_alone(tmp_path):
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as raw:
        raw.execute("CREATE TABLE customers (name TEXT)")
    raw.close()
    with pytest.raises(PermanentError, match="is a database with the table `customers`, not a ledger"):
        Ledger.open(foreign)
    text = tmp_path / "text.db"
    text.write_text("not a database at all, but long enough to look like one" * 50)
    with pytest.raises(PermanentError, match=r"text\.db is corrupt: file is not a database"):
        Ledger.open(text)
    assert text.read_text().startswith("not a database")


def test_a_corrupt_ledger_gives_one_clear_line(tmp_path):
    path = tmp_path / "ledger.db"
    with Ledger.open(path) as ledger:
        filled(ledger, 400)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\x00" * (len(content) - 4096)  # the header stands, every page after it is gone
    path.write_bytes(content)
    with pytest.raises(PermanentError, match=r"ledger\.db is corrupt: database disk image is malformed"):  # noqa: SIM117
        with Ledger.open(path) as ledger:
            list(ledger.entries())


def test_a_locked_ledger_says_so(tmp_path):
    path = tmp_path / "ledger.db"
    Ledger.open(path).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with Ledger.open(path, wait=0.1) as ledger:
        assert ledger.count() == 0  # readers do not wait for a writer
        with pytest.raises(TemporaryError, match=r"is locked by another process for over 0\.1 s"):
            ledger.append("pass:1", passed("1"), at=AT)
        other.execute("COMMIT")
        assert ledger.append("pass:1", passed("1"), at=AT)
    other.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE facts SET fact = '{}'",
        "DELETE FROM facts WHERE seq = 2",
        "INSERT OR REPLACE INTO facts SELECT seq, key, at, kind, 'x', measured, chain FROM facts WHERE seq = 1",
        "INSERT OR REPLACE INTO facts SELECT 4, key, at, kind, 'x', measured, chain FROM facts WHERE seq = 1",
        "INSERT INTO facts SELECT 9, 'new', at, kind, fact, measured, chain FROM facts WHERE seq = 1",
    ],
)
def test_the_database_itself_refuses_to_change_a_fact(tmp_path, statement):
    path = tmp_path / "ledger.db"
    with Ledger.open(path) as ledger:
        filled(ledger, 3)
        raw = sqlite3.connect(path)
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            raw.execute(statement)
        raw.close()
        assert ledger.verify() is None
        assert ledger.count() == 3


def test_a_full_disk_loses_nothing(tmp_path):
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        raw = ledger.database._raw
        (pages,) = raw.execute("PRAGMA page_count").fetchone()
        raw.execute(f"PRAGMA max_page_count = {pages + 4}")
        written = []
        with pytest.raises(TemporaryError, match="cannot be written: database or disk is full"):
            for n in range(100):
                ledger.append(f"pass:{n}", passed(f"{n}", "a long reason " * 50), at=AT)
                written.append(f"pass:{n}")
        assert written
        assert [entry.key for entry in ledger.entries()] == written
        raw.execute("PRAGMA max_page_count = 1000000")
        assert ledger.append("pass:later", passed("later"), at=AT)
        assert ledger.verify() is None


def test_every_write_is_flushed_unless_one_says_otherwise(tmp_path):
    with Ledger.open(tmp_path / "one.db") as safe, Ledger.open(tmp_path / "two.db", survive_power_cut=False) as quick:
        assert safe.database._raw.execute("PRAGMA synchronous").fetchone() == (2,)
        assert quick.database._raw.execute("PRAGMA synchronous").fetchone() == (1,)
        for ledger in (safe, quick):
            assert ledger.database._raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_threads_take_turns(ledger):
    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(lambda n: ledger.append(f"pass:{n % 50}", passed(f"{n % 50}"), at=AT), range(200)))
    assert sum(written) == 50
    assert ledger.verify() is None
    assert ledger.count() == 50


def test_an_entry_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "ledger.db"
    with Ledger.open(path) as ledger:
        filled(ledger, 3)
        raw = sqlite3.connect(path)
        raw.execute("DROP TRIGGER facts_are_never_changed")
        raw.execute("""UPDATE facts SET fact = '{"kind":"seance_held"}' WHERE seq = 2""")
        raw.commit()
        raw.close()
        with pytest.raises(PermanentError, match=r"entry 2 of the ledger \(`pass:1`\) cannot be read: .*seance_held"):
            ledger.get("pass:1")
        assert ledger.get("release:r-2:live:1").seq == 3
        assert ledger.verify() == 2


def test_facts_in_one_ledger_are_chained_alike(tmp_path):
    with Ledger.open(None) as one, Ledger.open(tmp_path / "ledger.db") as other:
        assert filled(one, 10).head() == filled(other, 10).head()


def test_the_schema_is_spelt_for_postgresql_too():
    dialect = postgresql.dialect()
    for table in schema.tables.sorted_tables:
        text = str(CreateTable(table).compile(dialect=dialect))
        assert table.name in text
        for index in table.indexes:
            assert index.name in str(CreateIndex(index).compile(dialect=dialect))
    assert "seq BIGINT NOT NULL" in str(CreateTable(schema.facts).compile(dialect=dialect))
    assert 'key TEXT COLLATE "C"' in str(CreateTable(schema.facts).compile(dialect=dialect))
    assert "INSERT INTO facts" in str(insert(schema.facts).compile(dialect=dialect))


def test_the_ledger_loads_nothing_heavy():
    code = (
        "import sys; import trimtab.records.ledger, trimtab.records.describe;"
        "print([m for m in ('sqlalchemy.orm', 'polars', 'numpy', 'pyarrow', 'psutil', 'obstore') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
    contracts = "import sys; import trimtab.records.facts, trimtab.records.model; print('sqlalchemy' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", contracts], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"


def test_the_path_may_not_be_a_folder(tmp_path: Path):
    with pytest.raises(PermanentError, match="unable to open database file"):
        Ledger.open(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(PermanentError, match="no folder for the ledger"):
        Ledger.open(tmp_path / "file" / "ledger.db")
