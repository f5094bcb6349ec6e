"""Files as sources: the shared suite over every format, and what becomes of files that are not as they should be."""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from tests.data.conftest import hours

from trimtab.data.port import DataError, Page, Source
from trimtab.data.sources.files import FileSource
from trimtab.data.spec import DatasetSpec
from trimtab.data.store.state import Taken
from trimtab.data.store.versions import DatasetStore
from trimtab.testing.sources import END, SourceSuite, moment, trips

OLD = time.time() - 3600


def spec_of(source: str, **changes: Any) -> DatasetSpec:
    return DatasetSpec(**({"name": "trips", "source": source, "key": ("id",), "time": "at"} | changes))


def settle(path: Path) -> None:
    """Nobody has written to it for an hour."""
    os.utime(path, (OLD, OLD))


def read(source: Source, cursor: str = "", until: Any = END) -> tuple[list[Page], list[str]]:
    """All pages, and everything they say."""
    assert isinstance(source, FileSource)
    pages = list(source.pages(cursor, None, until))
    return pages, [note for page in pages for note in page.notes]


def keys(pages: list[Page]) -> list[str]:
    return sorted(key for page in pages if page.rows.height for key in page.rows["id"].to_list())


def as_csv(rows: pl.DataFrame) -> bytes:
    return rows.write_csv().encode()


def as_ndjson(rows: pl.DataFrame) -> bytes:
    return rows.with_columns(pl.col("at").dt.to_string("iso:strict")).write_ndjson().encode()


def as_array(rows: pl.DataFrame) -> bytes:
    plain = rows.with_columns(pl.col("at").dt.to_string("iso:strict")).to_dicts()
    return json.dumps(plain, indent=1).encode()


def as_parquet(rows: pl.DataFrame) -> bytes:
    import io

    out = io.BytesIO()
    rows.write_parquet(out, row_group_size=64)
    return out.getvalue()


def as_arrow(rows: pl.DataFrame) -> bytes:
    import io

    out = io.BytesIO()
    rows.write_ipc(out)
    return out.getvalue()


class Files(SourceSuite):
    """Files of one format in the test's folder."""

    ending = "csv"
    written: Callable[[pl.DataFrame], bytes] = staticmethod(as_csv)
    typed = False

    def put(self, folder: Path, part: str, rows: pl.DataFrame) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{part}.{self.ending}"
        path.write_bytes(self.written(rows))
        settle(path)

    def open(self, folder: Path, page_rows: int) -> Source:
        return FileSource(self.spec(f"*.{self.ending}"), folder, page_bytes=page_rows * 60)

    def spoil(self, folder: Path) -> bool:
        if self.typed:
            return False
        row = trips(1, 2).with_columns(id=pl.lit("spoilt"), minutes=pl.lit("twelve"))
        self.put(folder, "spoilt", row)
        return True

    def break_off(self, folder: Path) -> bool:
        path = folder / f"b.{self.ending}"
        path.write_bytes(path.read_bytes()[:-30])
        settle(path)
        return True


class TestCsv(Files):
    """With a header."""


class TestCsvInZstd(Files):
    """Decompressed as it is read."""

    ending = "csv.zst"
    written = staticmethod(lambda rows: pa.compress(as_csv(rows), codec="zstd", asbytes=True))


class TestTabs(Files):
    """The delimiter is found in the header."""

    ending = "tsv"
    written = staticmethod(lambda rows: rows.write_csv(separator="\t").encode())


class TestNdjson(Files):
    """One object a line."""

    ending = "ndjson"
    written = staticmethod(as_ndjson)


class TestNdjsonInGzip(Files):
    """Decompressed as it is read."""

    ending = "jsonl.gz"
    written = staticmethod(lambda rows: gzip.compress(as_ndjson(rows)))


class TestJsonArray(Files):
    """One array, taken apart without ever holding it."""

    ending = "json"
    written = staticmethod(as_array)


class TestUtf16(Files):
    """Turned into UTF-8 as it is read."""

    ending = "csv"
    written = staticmethod(lambda rows: rows.write_csv().encode("utf-16"))


class TestParquet(Files):
    """By groups of rows."""

    ending = "parquet"
    written = staticmethod(as_parquet)
    typed = True


class TestArrow(Files):
    """By batches."""

    ending = "arrow"
    written = staticmethod(as_arrow)
    typed = True


class TestFeatherInZstd(Files):
    """Its parts are found by their place, so it is unwrapped first."""

    ending = "feather.zst"
    written = staticmethod(lambda rows: pa.compress(as_arrow(rows), codec="zstd", asbytes=True))
    typed = True


@pytest.mark.parametrize("ending", ["csv", "ndjson"])
def test_a_file_that_grows_is_read_on_from_its_end(tmp_path: Path, ending: str) -> None:
    write = as_csv if ending == "csv" else as_ndjson
    path = tmp_path / f"log.{ending}"
    path.write_bytes(write(trips(0, 100)))
    source = FileSource(spec_of(f"*.{ending}"), tmp_path)
    first, _ = read(source)
    more = write(trips(100, 150))
    with path.open("ab") as file:
        file.write(more.split(b"\n", 1)[1] if ending == "csv" else more)
    second, _ = read(source, first[-1].cursor)
    assert keys(second) == trips(100, 150)["id"].to_list()
    path.touch()
    assert keys(read(source, second[-1].cursor)[0]) == []
    changed = path.read_bytes().replace(b"trip-00007", b"trip-99997")
    path.write_bytes(changed)
    again, _ = read(source, second[-1].cursor)
    assert "trip-99997" in keys(again)
    assert len(keys(again)) == 150


def test_rows_that_are_not_out_yet_are_given_when_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(as_csv(trips(0, 200)))
    source = FileSource(spec_of("*.csv"), tmp_path, page_bytes=3000)
    cursor, seen = "", list[str]()
    for hour in (-1, 10, 10, 47, 48, 190, 400):
        pages, _ = read(source, cursor, moment(hour))
        given = keys(pages)
        assert not set(given) & set(seen), "each comes once"
        seen += given
        assert sorted(seen) == trips(0, min(200, hour + 1))["id"].to_list()
        cursor = pages[-1].cursor if pages else cursor


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("b.csv", b"id,at,minutes\nx,2026-01-01T00:00:00Z,1\ny,2026-01-0", "last line has no end"),
        ("b.csv", b"id,at,mi", "header has no end"),
        ("b.csv", b"", "it is empty"),
        ("b.ndjson", b'{"id":"x","at":"2026-01-01T00:00:00Z"}\n{"id":"y","a', "last line has no end"),
        ("b.json", b'[{"id":"x","at":"2026-01-01T00:00:00Z"},{"id":"y"', "array has no end"),
        ("b.parquet", as_parquet(trips(0, 9))[:-9], ""),
        ("b.arrow", as_arrow(trips(0, 900))[:-900], ""),
        ("b.csv.gz", gzip.compress(as_csv(trips(0, 900)))[:-40], "breaks off"),
        ("b.csv.zst", pa.compress(as_csv(trips(0, 900)), codec="zstd", asbytes=True)[:-40], "runcated"),
    ],
)
def test_a_half_written_file_is_left_for_later(tmp_path: Path, name: str, content: bytes, word: str) -> None:
    """With a word while it is fresh; when nobody writes to it any more it is an error that names it. What is whole
    counts, the other files too, and once it is whole everything is there once."""
    ending = name.split(".", 1)[1]
    whole = {
        "csv": as_csv, "ndjson": as_ndjson, "json": as_array, "parquet": as_parquet, "arrow": as_arrow,
        "csv.gz": lambda rows: gzip.compress(as_csv(rows)),
        "csv.zst": lambda rows: pa.compress(as_csv(rows), codec="zstd", asbytes=True),
    }[ending]  # fmt: skip
    for part, rows in (("a", trips(2000, 2100)), ("c", trips(3000, 3100))):
        (tmp_path / f"{part}.{ending}").write_bytes(whole(rows))
        settle(tmp_path / f"{part}.{ending}")
    path = tmp_path / name
    path.write_bytes(content)
    store = DatasetStore(tmp_path / "store", spec_of(f"*.{ending}"))
    told: list[Taken] = []
    store.collect(FileSource(store.spec, tmp_path), until=END, now=END, told=told.append)
    said = " ".join(note for taken in told for note in taken.notes)
    assert f"{name} is left for later" in said
    assert word in said
    others = set(trips(2000, 2100)["id"]) | set(trips(3000, 3100)["id"])
    assert others <= set(store.read()["id"])
    assert "y" not in store.read()["id"].to_list()
    settle(path)
    with pytest.raises(DataError, match=f"{name} cannot be read"):
        store.collect(FileSource(store.spec, tmp_path), until=hours(20_000), now=END)
    path.write_bytes(whole(trips(0, 900)))
    store.collect(FileSource(store.spec, tmp_path), until=hours(20_001), now=END)
    assert others | set(trips(0, 900)["id"]) <= set(store.read()["id"])
    assert store.verify().sound


def test_names_that_somebody_is_writing_under_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(as_csv(trips(0, 5)))
    for name in (".b.csv", "~b.csv", "c.csv.part", "d.csv.tmp"):
        (tmp_path / name).write_text("id,at\nhalf")
    assert keys(read(FileSource(spec_of("*csv*"), tmp_path))[0]) == trips(0, 5)["id"].to_list()


def test_an_old_file_may_end_without_the_end_of_a_line(tmp_path: Path) -> None:
    for name, content in (("a.csv", as_csv(trips(0, 5))), ("a.ndjson", as_ndjson(trips(0, 5)))):
        path = tmp_path / name
        path.write_bytes(content.rstrip(b"\n"))
        settle(path)
        source = FileSource(spec_of(f"*{path.suffix}"), tmp_path)
        pages, _ = read(source)
        assert keys(pages) == trips(0, 5)["id"].to_list()
        assert keys(read(source, pages[-1].cursor)[0]) == []


def test_encodings(tmp_path: Path) -> None:
    text = "id,at,town\na,2026-01-01T00:00:00Z,Köln\nb,2026-01-01T01:00:00Z,Zürich\n"
    for number, encoding in enumerate(("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1")):
        path = tmp_path / str(number) / "a.csv"
        path.parent.mkdir()
        path.write_bytes(text.encode(encoding))
        pages, said = read(FileSource(spec_of("a.csv"), path.parent))
        assert pages[0].rows["town"].to_list() == ["Köln", "Zürich"], encoding
        assert bool(said) == (encoding == "latin-1")
        assert encoding != "latin-1" or "a.csv: some lines are not UTF-8" in said[0]
    mixed = text.encode() + "c,2026-01-01T02:00:00Z,Düren\n".encode("latin-1")
    (tmp_path / "m.csv").write_bytes(mixed)
    pages, _ = read(FileSource(spec_of("m.csv"), tmp_path))
    assert pages[0].rows["town"].to_list() == ["Köln", "Zürich", "Düren"], "each line as it is written"
    (tmp_path / "k.csv").write_bytes("id,at,town\na,2026-01-01T00:00:00Z,Łódź\n".encode("cp1250"))
    pages, said = read(FileSource(spec_of("k.csv", encoding="cp1250"), tmp_path))
    assert pages[0].rows["town"].to_list() == ["Łódź"]
    assert not said


def test_delimiters(tmp_path: Path) -> None:
    for mark in ";\t|":
        (tmp_path / "a.csv").write_bytes(trips(0, 5).write_csv(separator=mark).encode())
        pages, said = read(FileSource(spec_of("*.csv"), tmp_path))
        assert keys(pages) == trips(0, 5)["id"].to_list()
        assert "declare `delimiter`" in said[0]
    (tmp_path / "a.csv").write_bytes(trips(0, 5).write_csv(separator="^").encode())
    settle(tmp_path / "a.csv")
    with pytest.raises(DataError, match=r"a.csv cannot be read: it has no column 'at' \(time\)"):
        read(FileSource(spec_of("*.csv"), tmp_path))
    assert keys(read(FileSource(spec_of("*.csv", delimiter="^"), tmp_path))[0]) == trips(0, 5)["id"].to_list()


def test_lines_that_are_no_rows_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        'id,at,n\na,2026-01-01T00:00:00Z,1\nb,2026-01-01T01:00:00Z,2,3,4\n\nc,2026-01-01T02:00:00Z,"3\nx"\n'
        "d,2026-01-01T03:00:00Z,5\n"
    )
    (tmp_path / "a.ndjson").write_text(
        '{"id":"a","at":"2026-01-01T00:00:00Z","n":{"deep":[1,2]}}\nnot json\n'
        '{"id":"d","at":"2026-01-01T03:00:00Z","n":3,"more":true}\n[1,2]\n'
    )
    for name, bad, good in (("a.csv", ["b,2026"], ["a", "c", "d"]), ("a.ndjson", ["not json", "[1,2]"], ["a", "d"])):
        store = DatasetStore(tmp_path / name.replace(".", "-"), spec_of(name))
        store.collect(FileSource(store.spec, tmp_path), until=END, now=END)
        assert sorted(store.read()["id"]) == good
        refused = " ".join(store.quarantined().rows["row"])
        assert store.quarantined().total == len(bad)
        assert all(word in refused for word in bad)
    assert store.read()["n"].to_list() == ['{"deep":[1,2]}', "3"]


def test_keys_that_change_their_type_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,at\n1,2026-01-01T00:00:00Z\n2,2026-01-01T01:00:00Z\n")
    (tmp_path / "b.csv").write_text("id,at\n3,2026-01-01T02:00:00Z\nK4,2026-01-01T03:00:00Z\n")
    store = DatasetStore(tmp_path / "store", spec_of("*.csv"))
    (tmp_path / "b.csv").rename(tmp_path / "b.later")
    store.collect(FileSource(store.spec, tmp_path), until=END, now=END)
    (tmp_path / "b.later").rename(tmp_path / "b.csv")
    commit = store.collect(FileSource(store.spec, tmp_path), until=hours(20_000), now=END)
    assert commit is not None
    assert sorted(store.read()["id"]) == [1, 2, 3]
    assert commit.refused == {"wrong type: id cannot be read as its column's type": 1}


def test_one_bad_file_does_not_hold_up_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name,when\nx,y\n")
    (tmp_path / "b.csv").write_bytes(as_csv(trips(0, 5)))
    store = DatasetStore(tmp_path / "store", spec_of("*.csv"))
    with pytest.raises(DataError, match=r"a\.csv cannot be read") as error:
        store.collect(FileSource(store.spec, tmp_path), until=END, now=END)
    assert "the columns are name, when" in error.value.hint
    assert store.read().height == 5


def test_files_that_go_away_are_said(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.csv").write_bytes(as_csv(trips(0, 5)))
    source = FileSource(spec_of("*.csv"), tmp_path)
    pages, _ = read(source)
    (tmp_path / "a.csv").unlink()
    assert read(source, pages[-1].cursor)[1] == ["1 files that were read before are gone; their rows stay"]


@pytest.mark.parametrize("indent", [None, 2])
def test_arrays_are_taken_apart_between_their_elements(tmp_path: Path, indent: int | None) -> None:
    nasty = ['"}', "\\", '\\"},{"id":"no', "[{", "]}", 'a"b\\\\', "{}"]
    rows = [
        {"id": f"k{n}", "at": "2026-01-01T00:00:00Z", "town": nasty[n % len(nasty)], "deep": {"a": [n, {"b": nasty}]}}
        for n in range(200)
    ]
    (tmp_path / "a.json").write_text(json.dumps(rows, indent=indent))
    for size in (900, 5000, 10**7):
        pages, _ = read(FileSource(spec_of("a.json"), tmp_path, page_bytes=size))
        found = pl.concat([page.rows for page in pages if page.rows.height], how="diagonal_relaxed")
        assert found["id"].to_list() == [row["id"] for row in rows]
        assert found["town"].to_list() == [row["town"] for row in rows]
        assert json.loads(found["deep"][7]) == rows[7]["deep"]
