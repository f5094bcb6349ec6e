"""Files in a bucket of a real S3 server: the shared suite, what changes there, and what goes wrong on the way."""

from __future__ import annotations

import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.adapters.seaweedfs.server import BUCKET, KEY, SECRET, Seaweed
from tests.data.test_file_sources import as_csv, as_ndjson, as_parquet

from trimtab.adapters.s3.data import objects
from trimtab.adapters.s3.kind import KIND, S3Options
from trimtab.data.port import DataError
from trimtab.data.sources.files import FileSource
from trimtab.data.sources.listing import matching
from trimtab.data.sources.patience import Waiting
from trimtab.data.spec import DatasetSpec
from trimtab.data.store.versions import DatasetStore
from trimtab.errors import DeclarationError, TemporaryError
from trimtab.testing.sources import END, SourceSuite, trips


def source(server: Seaweed | None, pattern: str, *, page_bytes: int = 10**6, **options: Any) -> FileSource:
    spec = DatasetSpec(
        name="trips", source=f"s3://{BUCKET}/{pattern}", key=("id",), time="at", options={"tries": 2, **options}
    )
    nobody = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    environment = server.environment if server is not None else nobody
    waiting = Waiting(sleep=lambda _: None)
    return objects(spec, Path(), environment=environment, waiting=waiting, page_bytes=page_bytes)


def prefix(folder: Path) -> str:
    """A place in the bucket for one test's folder."""
    return "/".join(folder.parts[-2:]).replace("[", "-").replace("]", "-")


class Objects(SourceSuite):
    ENDING = ""
    ROW = 40

    @pytest.fixture(autouse=True)
    def _server(self, seaweed: Seaweed) -> None:
        self.server = seaweed

    def open(self, folder: Path, page_rows: int) -> FileSource:
        return source(self.server, f"{prefix(folder)}/**/*.{self.ENDING}", page_bytes=page_rows * self.ROW)

    def write(self, folder: Path, name: str, content: bytes) -> None:
        self.server.store(prefix(folder)).put(f"{name}.{self.ENDING}", content)

    def put(self, folder: Path, part: str, rows: pl.DataFrame) -> None:
        self.write(folder, f"year/{part}", self.content(rows))

    def content(self, rows: pl.DataFrame) -> bytes:
        raise NotImplementedError


@pytest.mark.component
class TestCsv(Objects):
    ENDING = "csv"

    def content(self, rows: pl.DataFrame) -> bytes:
        return as_csv(rows)

    def spoil(self, folder: Path) -> bool:
        self.write(folder, "spoilt", b"id,at,minutes,fare,town,wet\nspoilt,2026-01-01T01:00:00Z,twelve,1,,\n")
        return True


@pytest.mark.component
class TestParquet(Objects):
    ENDING = "parquet"

    def content(self, rows: pl.DataFrame) -> bytes:
        return as_parquet(rows)

    def break_off(self, folder: Path) -> bool:
        self.write(folder, "zzz", b"PAR1 and no more")
        return True


@pytest.mark.component
class TestNdjson(Objects):
    ENDING = "ndjson"

    def content(self, rows: pl.DataFrame) -> bytes:
        return as_ndjson(rows)


@pytest.mark.component
def test_only_objects_that_changed_are_read_again(seaweed: Seaweed, tmp_path: Path) -> None:
    place = seaweed.store("changing")
    store = DatasetStore(tmp_path, DatasetSpec(name="trips", source="x", key=("id",), time="at"))
    place.put("a.csv", as_csv(trips(0, 50)))
    place.put("b.csv", as_csv(trips(50, 100)))
    place.put("c.csv.tmp", b"half")
    place.put(".d.csv", b"hidden")
    place.put("inner/e.csv", as_csv(trips(900, 910)))
    store.collect(source(seaweed, "changing/*.csv"), until=END, now=END)
    assert store.version().rows == 100
    place.put("b.csv", as_csv(trips(50, 130)))
    taken: list[Any] = []
    store.collect(source(seaweed, "changing/*.csv"), until=END + timedelta(days=1), now=END, told=taken.append)
    assert store.version().rows == 130
    assert taken[-1].added == 30
    assert taken[-1].rows <= 80


@pytest.mark.component
def test_keys_are_never_told(seaweed: Seaweed) -> None:
    wrong = {"WRONG_KEY": KEY, "WRONG_SECRET": "another-secret"}
    spec = DatasetSpec(
        name="trips", source=f"s3://{BUCKET}/x/*.csv", key=("id",), time="at",
        options={"key_env": "WRONG_KEY", "secret_env": "WRONG_SECRET", "tries": 2},
    )  # fmt: skip
    asked = objects(spec, Path(), environment={**seaweed.environment, **wrong}, waiting=Waiting(sleep=lambda _: None))
    with pytest.raises(DataError, match="access is denied") as caught:
        asked.fetch(None, END)
    told = "".join(traceback.format_exception(caught.value))
    assert not any(secret in told for secret in ("another-secret", SECRET))


@pytest.mark.component
def test_what_is_not_there_is_named(seaweed: Seaweed) -> None:
    with pytest.raises(DataError, match=f"dataset 'trips': no object matches 's3://{BUCKET}/nothing"):
        source(seaweed, "nothing/*.csv").fetch(None, END)


def test_nobody_there() -> None:
    with pytest.raises(TemporaryError, match="dataset 'trips': s3://trimtab/ cannot be listed") as caught:
        source(None, "x/*.csv").fetch(None, END)
    assert "2 tries" in caught.value.message


def test_a_key_that_is_not_there_is_named() -> None:
    with pytest.raises(DataError, match="environment variable NO_KEY, which holds a key, is not set"):
        source(None, "x/*.csv", key_env="NO_KEY", secret_env="NO_SECRET")


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("a/*.csv", ["a/b.csv", "a/.csv"], ["a/b/c.csv", "b.csv", "a/b.csvx"]),
        ("a/**/*.csv", ["a/b.csv", "a/b/c/d.csv"], ["b/a/c.csv"]),
        ("**/[a-c]?.csv", ["a1.csv", "x/c2.csv"], ["d1.csv", "a.csv"]),
        ("[!a].csv", ["b.csv"], ["a.csv", "ab.csv"]),
        ("a+(b).csv", ["a+(b).csv"], ["aab.csv"]),
    ],
)
def test_patterns(pattern: str, yes: list[str], no: list[str]) -> None:
    assert all(matching(pattern).fullmatch(name) for name in yes)
    assert not any(matching(pattern).fullmatch(name) for name in no)


@pytest.mark.parametrize(
    ("address", "options", "said"),
    [
        ("s3://B/x.csv", {}, "names no bucket"),
        ("s3:bucket/x.csv", {}, "names no bucket"),
        ("s3://bucket/", {}, "names no objects"),
        ("s3://bucket/x.csv", {"endpoint": "s3.example.com"}, "the endpoint is no address"),
        ("s3://bucket/x.csv", {"endpoint": "https://u:p@s3.example.com"}, "do not belong in the declaration"),
        ("s3://bucket/x.csv", {"key_env": "A"}, "belong together"),
        ("s3://bucket/x.csv", {"key_env": "a b", "secret_env": "B"}, "is not the name of an environment variable"),
        ("s3://bucket/x.csv", {"key_env": "A", "secret_env": "B", "anonymous": True}, "anonymous has no meaning"),
    ],
)
def test_what_does_not_fit_is_refused(address: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        KIND.check(address, S3Options(**options))
