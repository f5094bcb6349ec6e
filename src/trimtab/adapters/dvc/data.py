"""Rows from files that DVC keeps, as they are at a revision: each file once, until its digest is another."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from trimtab.adapters.dvc.command import run
from trimtab.adapters.dvc.kind import DvcOptions, address_of
from trimtab.data.port import PAGE_BYTES, DataError
from trimtab.data.sources.files import FileSource
from trimtab.data.sources.listing import Found, is_draft, matching
from trimtab.data.sources.patience import Patience, Waiting
from trimtab.data.spec import DatasetSpec


def open_repository(spec: DatasetSpec, folder: Path) -> FileSource:
    """The source of a dataset whose files DVC keeps."""
    return repository(spec, folder, environment=os.environ)


def repository(
    spec: DatasetSpec,
    folder: Path,
    *,
    environment: Mapping[str, str],
    waiting: Waiting | None = None,
    page_bytes: int = PAGE_BYTES,
) -> FileSource:
    """As `open_repository`, with what it reads of the world passed in."""
    options = msgspec.convert(dict(spec.options), DvcOptions)
    patience = Patience(tries=options.tries, waiting=waiting or Waiting())
    shelf = Repository(spec, options, folder, environment=environment, patience=patience)
    return FileSource(spec, folder, page_bytes=page_bytes, shelf=shelf)


class _Entry(msgspec.Struct):
    path: str
    isdir: bool = False
    md5: str | None = None
    size: int | None = None


class Repository:
    """A shelf of the files that DVC keeps in a repository at a revision. Each is fetched when it is read, from the
    remote or the cache that its repository names, and its copy goes when it has been read."""

    def __init__(
        self,
        spec: DatasetSpec,
        options: DvcOptions,
        folder: Path,
        *,
        environment: Mapping[str, str],
        patience: Patience,
    ) -> None:
        self._spec, self._options, self._folder = spec, options, folder
        self._environment, self._patience = environment, patience
        self._address = address_of(spec.source)

    def listed(self) -> list[Found]:
        """The files at that revision, in order of name."""
        pattern = self._address.pattern
        plain = "/".join(_while_plain(pattern.split("/")[:-1]))
        asked = [*self._where, self._address.repository, *([plain] if plain else [])]
        words = ["list", "--recursive", "--dvc-only", "--json", "--show-hash", *asked]
        text = self._patience.ask(lambda: self._run(words))
        try:
            entries = msgspec.json.decode(text, type=list[_Entry])
        except msgspec.MsgspecError as error:
            raise DataError(f"{self._named}: DVC's list cannot be understood", hint="use DVC 3") from error
        matches = matching(pattern)
        found = list[Found]()
        for entry in entries:
            name = f"{plain}/{entry.path}" if plain else entry.path
            if not entry.isdir and matches.fullmatch(name) and not is_draft(name):
                found.append(Found(place="", name=name, size=entry.size or 0, mark=entry.md5 or "", fresh=False))
        if not found:
            raise DataError(
                f"{self._named}: DVC keeps no file there that matches {pattern!r}",
                hint="a path is relative to the root of the repository; `dvc list -R` shows what there is",
            )
        return sorted(found, key=lambda one: one.name)

    @contextmanager
    def at_hand(self, found: Found) -> Iterator[Found]:
        """A copy of the file."""
        with tempfile.TemporaryDirectory(prefix="trimtab-dvc-") as folder:
            copy = Path(folder) / "file"
            words = [
                "get",
                "--quiet",
                "--force",
                "--out",
                str(copy),
                *self._where,
                self._address.repository,
                found.name,
            ]
            self._patience.ask(lambda: self._run(words))
            yield Found(place=str(copy), name=found.name, size=copy.stat().st_size, mark=found.mark, fresh=False)

    @property
    def _where(self) -> list[str]:
        remote = ["--remote", self._options.remote] if self._options.remote else []
        return ["--rev", self._address.revision, *remote]

    @property
    def _named(self) -> str:
        return f"dataset {self._spec.name!r}: {self._address.repository}@{self._address.revision}"

    def _run(self, words: list[str]) -> str:
        return run(words, self._folder, self._environment, seconds=self._options.timeout, named=self._named)


def _while_plain(parts: list[str]) -> list[str]:
    """The parts of a path before the first that stands for several."""
    plain = list[str]()
    for part in parts:
        if set(part) & set("*?["):
            break
        plain.append(part)
    return plain
