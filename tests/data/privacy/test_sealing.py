"""Personal cells on the real store: sealed at rest, opened for those who have the keys, gone with them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.data.conftest import hours

from trimtab.data.port import DIGEST, DataError
from trimtab.data.privacy.keys import KeyName, KeyStore
from trimtab.data.privacy.master import read_master_key
from trimtab.data.privacy.sealing import Sealing
from trimtab.data.spec import ColumnRule, DatasetSpec, PrivacySpec
from trimtab.data.store.personal import FORGOTTEN
from trimtab.data.store.versions import DatasetStore

NOW = hours(100_000)
MASTER = bytes(range(32))
SPEC = DatasetSpec(
    name="stays",
    source="x.parquet",
    key=("stay",),
    time="at",
    label="late",
    subject="guest",
    personal=("name", "email", "born", "height"),
    valid=(ColumnRule(column="height", low=0.5),),
)


@pytest.fixture(autouse=True)
def _master(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMTAB_MASTER_KEY", MASTER.hex())


def stays(first: int, last: int, **columns: Any) -> pl.DataFrame:
    """One stay an hour; guest 7 of ten sleeps here every tenth hour."""
    numbers = range(first, last)
    rows: dict[str, Any] = {
        "stay": [f"stay-{n}" for n in numbers],
        "at": [hours(n) for n in numbers],
        "guest": [f"guest-number-{n % 10}" for n in numbers],
        "name": [f"Ännchen Guestname{n % 10}" for n in numbers],
        "email": [f"guest{n % 10}@secretmail.example" if n % 3 else None for n in numbers],
        "born": [date(1960 + n % 10, 1, 2) for n in numbers],
        "height": [1.5 + n % 10 / 8 for n in numbers],
        "nights": [n % 4 for n in numbers],
        "late": [bool(n % 2) for n in numbers],
    }
    return pl.DataFrame(rows | columns)


@pytest.fixture
def store(tmp_path: Path) -> DatasetStore:
    return DatasetStore(tmp_path / "data", SPEC)


def every_byte(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path, path.read_bytes()


def test_rows_come_back_as_they_were_and_lie_sealed(store: DatasetStore, tmp_path: Path) -> None:
    rows = stays(0, 60)
    commit = store.collect(rows, until=NOW, now=NOW)
    assert commit is not None
    again = store.read()
    assert again.equals(rows.select(again.columns).cast({"at": pl.Datetime("us", "UTC")}))
    assert store.verify().sound
    store.recent(hours(0))
    time.sleep(0.1)  # a commit of this moment has no mark yet
    store.remember()
    assert list((tmp_path / "data" / "stays").glob("recent-*.arrow"))
    for path, content in every_byte(tmp_path):
        for secret in (b"guest-number", b"Guestname", b"secretmail"):
            assert secret not in content, path
    lying = store.read(sealed=True)
    told = lying.select("guest", "name", "email", "born", "height").to_dicts()
    assert not [cell for row in told for cell in row.values() if cell and ("guest" in cell or "Guest" in cell)]
    assert commit.version.personal == {"guest": "s", "name": "s", "email": "s", "born": "d", "height": "f"}


def test_the_same_row_is_the_same_row(store: DatasetStore, tmp_path: Path) -> None:
    first = store.collect(stays(0, 40), until=hours(40), now=NOW)
    assert first is not None
    assert store.collect(stays(0, 40), until=hours(41), now=NOW) is None
    other = DatasetStore(tmp_path / "data", SPEC)
    more = other.collect(stays(20, 50), until=hours(60), now=NOW)
    assert more is not None
    assert (more.version.added, more.same) == (10, 20)
    # a cell that was null is filled in, and one that says otherwise is refused
    late = stays(0, 2, name=["Somebody Else", "Ännchen Guestname1"], email=["x@y.example", "guest1@secretmail.example"])
    assert other.collect(late.tail(1), until=NOW, now=NOW) is None
    third = other.collect(late, until=NOW, now=NOW)
    assert third is None
    assert sum(other.quarantined().reasons.values()) == 1


def test_no_two_cells_look_alike(store: DatasetStore) -> None:
    store.collect(stays(0, 40), until=NOW, now=NOW)
    lying = store.read(sealed=True)
    for column in ("name", "born", "height", "guest"):
        assert lying[column].drop_nulls().n_unique() == lying[column].drop_nulls().len(), column
    assert lying["guest"].str.slice(0, 32).n_unique() == 10


def test_a_forgotten_person_reads_as_null_and_versions_stay_sound(store: DatasetStore, tmp_path: Path) -> None:
    store.collect(stays(0, 40), until=hours(40), now=NOW)
    before = store.version()
    assert store.personal is not None
    keys = store.personal.sealing.keys
    person = keys.pseudonym("guest-number-3")
    assert store.recent(hours(0)).height == 39
    assert keys.forget(person) == 1
    assert keys.forget(person) == 1
    mine = store.read().filter(pl.col("guest").is_null())
    assert mine.height == 4
    assert mine.select("name", "email", "born", "height").null_count().sum_horizontal().item() == 16
    assert store.read(gone="left out").height == 36
    assert store.recent(hours(0)).height == 35
    assert store.verify().sound
    assert store.version().id == before.id
    # what the source still gives of this person is not taken in again
    more = store.collect(stays(30, 50), until=hours(60), now=NOW)
    assert more is not None
    assert more.version.added == 9
    assert more.refused == {FORGOTTEN: 2}
    with pytest.raises(DataError, match="keys are missing"):
        keys.keys([KeyName(b"x" * 16)])


def test_refused_rows_are_sealed_too(store: DatasetStore, tmp_path: Path) -> None:
    rows = stays(0, 20, height=[0.1 if n < 4 else 1.8 for n in range(20)])
    rows = rows.with_columns(guest=pl.when(pl.col("stay") == "stay-9").then(None).otherwise(pl.col("guest")))
    store.collect(rows, until=NOW, now=NOW)
    found = store.quarantined()
    assert found.total == 5
    assert all(text.startswith("sealed:") for text in found.rows["row"])
    for path, content in every_byte(tmp_path):
        for secret in (b"guest-number", b"Guestname", b"secretmail"):
            assert secret not in content, path
    assert store.personal is not None
    opened = store.personal.sealing.open_refused(found.rows, "row")
    assert opened["row"].str.contains("Guestname").all()
    keys = store.personal.sealing.keys
    keys.forget(keys.pseudonym("guest-number-1"))
    opened = store.personal.sealing.open_refused(found.rows, "row")
    assert opened["row"].null_count() == 1


def test_export_leaves_out_what_is_personal_unless_asked(store: DatasetStore, tmp_path: Path) -> None:
    store.collect(stays(0, 20), until=NOW, now=NOW)
    store.export(tmp_path / "a.parquet")
    assert set(pl.read_parquet(tmp_path / "a.parquet").columns) == {"stay", "at", "nights", "late"}
    store.export(tmp_path / "b.parquet", personal=True)
    assert "name" in pl.read_parquet(tmp_path / "b.parquet").columns


def test_another_master_key_opens_nothing(store: DatasetStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store.collect(stays(0, 20), until=NOW, now=NOW)
    monkeypatch.setenv("TRIMTAB_MASTER_KEY", "11" * 32)
    with pytest.raises(DataError, match="master key is not the one"):
        DatasetStore(tmp_path / "data", SPEC).read()
    assert DatasetStore(tmp_path / "data", SPEC).verify().sound
    monkeypatch.delenv("TRIMTAB_MASTER_KEY")
    with pytest.raises(DataError, match="not set") as told:
        DatasetStore(tmp_path / "data", SPEC).read()
    assert "openssl rand" in told.value.hint


def test_what_became_personal_later_is_refused(tmp_path: Path) -> None:
    plain = DatasetSpec(name="stays", source="x.parquet", key=("stay",), time="at")
    DatasetStore(tmp_path / "data", plain).collect(stays(0, 20), until=hours(20), now=NOW)
    with pytest.raises(DataError, match="readable, which the declaration changed"):
        DatasetStore(tmp_path / "data", SPEC).collect(stays(20, 30), until=NOW, now=NOW)


def test_a_changed_cell_is_found(store: DatasetStore) -> None:
    store.collect(stays(0, 5), until=NOW, now=NOW)
    assert store.personal is not None
    lying = store.read(sealed=True)
    swapped = lying.with_columns(name=pl.col("name").shift(1).fill_null(pl.col("name").last()))
    with pytest.raises(DataError, match="was changed"):
        store.personal.sealing.open(swapped, store.version().personal)


def test_retention_shreds_whole_stretches_of_time(tmp_path: Path) -> None:
    kept = 60 * 86_400.0
    spec = DatasetSpec(
        name="stays", source="x", key=("stay",), time="at", subject="guest", personal=("name",), retention=kept
    )
    store = DatasetStore(tmp_path / "data", spec)
    rows = stays(0, 24 * 90).select("stay", "at", "guest", "name", "nights")
    store.collect(rows, until=NOW, now=hours(24 * 90))
    assert store.personal is not None
    now = hours(24 * 90)
    assert store.personal.sealing.expire(now) > 0
    assert store.personal.sealing.expire(now) == 0
    readable = store.read().filter(pl.col("name").is_not_null())
    oldest = readable["at"].min()
    assert oldest is not None
    assert timedelta(0) <= (now - oldest) - timedelta(seconds=kept) < timedelta(days=5)  # type: ignore[operator]
    assert store.verify().sound


def test_the_file_of_keys_is_private_and_survives_a_kill(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from trimtab.data.privacy.keys import KeyName, KeyStore
store = KeyStore(Path(sys.argv[1]), lambda: bytes(range(32)))
for n in range(10**6):
    store.keys([KeyName(store.pseudonym(f"p{n}-{k}")) for k in range(3)], create=True)
    if n % 5 == 4:
        store.forget(store.pseudonym(f"p{n - 1}-0"))
    print(n, flush=True)
"""
    folder = tmp_path / "keys"
    done = -1
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            done = max(done, int(line))
            if int(line) >= 12:
                process.kill()
                break
        process.wait()
        process.stdout.close()
        store = KeyStore(folder, lambda: MASTER)
        names = [KeyName(store.pseudonym(f"p{n}-{k}")) for n in range(done + 1) for k in range(3)]
        found = store.keys(names)
        gone = {KeyName(store.pseudonym(f"p{n - 1}-0")) for n in range(4, done + 1, 5)}
        assert {name for name, key in found.items() if key is None} == gone
    assert (folder / "people.keys").stat().st_mode & 0o077 == 0
    whole = (folder / "people.keys").read_bytes()
    assert b"p3-0" not in whole


def test_a_destroyed_key_is_overwritten_where_it_lay(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys", lambda: MASTER)
    person = store.pseudonym("ann")
    store.keys([KeyName(person)], create=True)
    file = tmp_path / "keys" / "people.keys"
    before = file.read_bytes()
    other = KeyStore(tmp_path / "keys", lambda: MASTER)
    assert other.keys([KeyName(person)])[KeyName(person)] is not None
    store.forget(person)
    after = file.read_bytes()
    wrapped = before[256 + 44 : 256 + 104]
    assert wrapped != bytes(60)
    assert wrapped not in after
    assert [
        path.name for path in (tmp_path / "keys").iterdir() if path.is_file() and wrapped in path.read_bytes()
    ] == []
    assert other.keys([KeyName(person)], create=True)[KeyName(person)] is None
    assert other.forgotten_at(person) is not None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    cells=st.lists(
        st.tuples(
            st.text(max_size=40),
            st.integers(-(2**63), 2**63 - 1),
            st.floats(allow_nan=False),
            st.binary(max_size=20),
            st.one_of(st.none(), st.booleans()),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_every_cell_comes_back(tmp_path: Path, cells: list[tuple[Any, ...]]) -> None:
    spec = DatasetSpec(name="d", source="x", key=("k",), time="t", subject="s", personal=("i", "f", "x", "b", "s"))
    rows = pl.DataFrame(
        {"k": range(len(cells)), "t": [hours(n) for n in range(len(cells))]}
        | {name: [cell[place] for cell in cells] for place, name in enumerate("sifxb")},
        schema_overrides={"s": pl.String, "i": pl.Int64, "f": pl.Float64, "x": pl.Binary, "b": pl.Boolean},
    )
    sealing = Sealing(spec, KeyStore(tmp_path / "keys", lambda: MASTER))
    sealed, gone = sealing.seal(rows)
    assert gone == 0
    assert sealing.open(sealed, sealing.types(rows)).equals(rows)
    assert sealing.seal(rows)[0].equals(sealed)
    assert DIGEST not in sealed.columns


@pytest.mark.parametrize("text", ["", "zz", "11" * 31, "not a key at all"])
def test_a_master_key_that_is_none_is_refused_without_being_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(text)
    with pytest.raises(DataError) as told:
        read_master_key(f"file:{tmp_path / 'key'}")
    assert not text or text not in str(told.value)
    assert read_master_key("env:K", {"K": "0f" * 32}) == bytes([15] * 32)


def test_spec_without_people_needs_no_cryptography(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from trimtab.data.spec import DatasetSpec;"
        "from trimtab.data.store.versions import DatasetStore;"
        "DatasetStore(Path(sys.argv[1]), DatasetSpec(name='a', source='b', key=('c',), time='d'));"
        "assert 'cryptography' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    assert PrivacySpec().master_key == "env:TRIMTAB_MASTER_KEY"
