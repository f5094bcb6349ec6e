"""Files that a real DVC keeps, with a remote that is a folder and one that is a bucket."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.adapters.conftest import absent
from tests.adapters.seaweedfs.server import BUCKET, SECRET, Seaweed
from tests.data.test_file_sources import as_csv

from trimtab.adapters.dvc.data import repository
from trimtab.adapters.dvc.kind import KIND, DvcOptions, address_of
from trimtab.data.port import DataError
from trimtab.data.sources.files import FileSource
from trimtab.data.sources.patience import Waiting
from trimtab.data.spec import DatasetSpec
from trimtab.data.store.versions import DatasetStore
from trimtab.errors import DeclarationError, TemporaryError
from trimtab.testing.sources import END, trips

DVC = Path(__file__).parents[3] / "build" / "components" / "dvc" / "bin" / "dvc"


class Kept:
    """A repository of git and DVC."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder / "repository"
        self.folder.mkdir()
        site = {"DVC_SITE_CACHE_DIR": str(folder / "site"), "HOME": str(folder), "DVC_NO_ANALYTICS": "1"}
        self.environment = {**os.environ, **environment, **site, "TRIMTAB_DVC": str(DVC)}
        self.run("git", "init", "-q", "-b", "main")
        self.run("git", "config", "user.email", "someone@example.com")
        self.run("git", "config", "user.name", "Someone")
        self.run(DVC, "init", "-q")

    def run(self, *words: str | Path) -> None:
        subprocess.run(words, cwd=self.folder, env=self.environment, check=True, capture_output=True)

    def release(self, tag: str, **files: bytes) -> None:
        """Commit files under `data`, push them, tag that, and forget what lies here."""
        for name, content in files.items():
            path = self.folder / "data" / f"{name}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self.run(DVC, "add", "-q", "data")
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "-m", tag)
        self.run("git", "tag", tag)
        self.run(DVC, "push", "-q")
        shutil.rmtree(self.folder / ".dvc" / "cache")

    def source(self, revision: str, pattern: str = "data/*.csv", **options: Any) -> FileSource:
        spec = DatasetSpec(
            name="trips", source=f"dvc:repository@{revision}:{pattern}", key=("id",), time="at", options=options
        )
        waiting = Waiting(sleep=lambda _: None)
        return repository(spec, self.folder.parent, environment=self.environment, waiting=waiting)


@pytest.fixture(params=["folder", "bucket"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    if not DVC.exists():
        absent("DVC", "tools/component dvc")
    if request.param == "folder":
        found = Kept(tmp_path, {})
        found.run(DVC, "remote", "add", "-q", "-d", "store", str(tmp_path / "remote"))
        return found
    seaweed: Seaweed = request.getfixturevalue("seaweed")
    found = Kept(tmp_path, seaweed.environment)
    found.run(DVC, "remote", "add", "-q", "-d", "store", f"s3://{BUCKET}/dvc/{tmp_path.name}")
    found.run(DVC, "remote", "modify", "-q", "store", "endpointurl", seaweed.endpoint)
    return found


@pytest.mark.component
def test_rows_as_they_are_at_a_revision(kept: Kept, tmp_path: Path) -> None:
    """One revision after the other: files that are the same are not fetched again, and every row is there once."""
    kept.release("v1", a=as_csv(trips(0, 40)), b=as_csv(trips(40, 60)))
    kept.release("v2", b=as_csv(trips(40, 90)), c=as_csv(trips(90, 100)))
    first = kept.source("v1").fetch(None, END)
    assert sorted(first["id"]) == trips(0, 60)["id"].to_list()
    store = DatasetStore(tmp_path / "store", DatasetSpec(name="trips", source="x", key=("id",), time="at"))
    store.collect(kept.source("v1"), until=END, now=END)
    assert store.version().rows == 60
    taken: list[Any] = []
    store.collect(kept.source("v2"), until=END + timedelta(days=1), now=END, told=taken.append)
    assert store.version().rows == 100
    assert taken[-1].rows == 40  # what c has, and what b has grown by
    assert store.verify().sound
    with pytest.raises(DataError, match="unknown Git revision 'v3'"):
        kept.source("v3").fetch(None, END)
    with pytest.raises(DataError, match=r"repository@v1: DVC keeps no file there that matches 'data/\*.parquet'"):
        kept.source("v1", "data/*.parquet").fetch(None, END)


@pytest.mark.component
def test_a_remote_that_is_gone_is_named(kept: Kept) -> None:
    kept.release("v1", a=as_csv(trips(0, 5)))
    kept.run(DVC, "remote", "add", "-q", "-f", "other", "s3://nothing/here")
    kept.run(DVC, "remote", "modify", "-q", "other", "endpointurl", "http://127.0.0.1:1")
    with pytest.raises((DataError, TemporaryError)) as caught:
        kept.source("v1", remote="missing", tries=1).fetch(None, END)
    assert caught.value.message.startswith("dataset 'trips':")
    assert SECRET not in str(caught.value)


def test_without_dvc_it_says_what_to_install(tmp_path: Path) -> None:
    spec = DatasetSpec(name="trips", source="dvc:.@v1:a.csv", key=("id",), time="at")
    source = repository(spec, tmp_path, environment={"PATH": str(tmp_path)})
    with pytest.raises(DataError, match="DVC is not installed") as caught:
        source.fetch(None, END)
    assert "TRIMTAB_DVC" in caught.value.hint


def test_one_that_hangs_is_ended(tmp_path: Path) -> None:
    program = tmp_path / "dvc"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    spec = DatasetSpec(
        name="trips", source="dvc:.@v1:a.csv", key=("id",), time="at", options={"timeout": 0.2, "tries": 1}
    )
    with pytest.raises(TemporaryError, match="did not finish within"):
        repository(spec, tmp_path, environment={"PATH": f"{tmp_path}:/bin:/usr/bin"}).fetch(None, END)


@pytest.mark.parametrize(
    ("source", "repository", "revision", "pattern"),
    [
        ("dvc:../data@v1.2:trips/**/*.csv", "../data", "v1.2", "trips/**/*.csv"),
        ("dvc:git@github.com:org/data.git@main:a.csv", "git@github.com:org/data.git", "main", "a.csv"),
        ("dvc:https://example.com/d.git@0a1b2c:x/a.parquet", "https://example.com/d.git", "0a1b2c", "x/a.parquet"),
    ],
)
def test_addresses(source: str, repository: str, revision: str, pattern: str) -> None:
    found = address_of(source)
    assert (found.repository, found.revision, found.pattern) == (repository, revision, pattern)
    KIND.check(source, DvcOptions())


@pytest.mark.parametrize(
    "source",
    [
        "dvc:data", "dvc:.:a.csv", "dvc:@v1:a.csv", "dvc:.@:a.csv", "dvc:.@v1:", "dvc:--help@v1:a.csv",
        "dvc:.@--rev:a.csv", "dvc:.@v1:-a.csv", "dvc:https://u:s3cret@example.com/d@v1:a.csv",
    ],
)  # fmt: skip
def test_what_names_nothing_is_refused(source: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        KIND.check(source, DvcOptions())
    assert "s3cret" not in str(caught.value)
