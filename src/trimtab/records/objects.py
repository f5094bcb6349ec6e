"""Named bytes in a folder of this machine or in a bucket: written whole or not at all, and never half seen.

A bucket's region, endpoint and keys come from the environment (`AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`), as every S3 client takes them; they are kept nowhere else.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import urlsplit

from trimtab.errors import PermanentError, TemporaryError, TrimtabError
from trimtab.records.durable import flush_folder, make_folder, write_atomically

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Store

_PROBE = "probe"
_PATIENCE = "60s"


class Objects(Protocol):
    """Bytes under names such as `a/b`.

    What `put` returned from lasts, and is seen whole or not at all. Errors: PermanentError for want of permission, else
    TemporaryError where the store cannot be reached or is full.
    """

    @property
    def where(self) -> str:
        """The place, for people."""
        ...

    def put(self, name: str, data: bytes) -> None:
        """Keep `data` under `name`, in place of what was there."""
        ...

    def create(self, name: str, data: bytes) -> bool:
        """Keep `data` under `name` unless something is there; whether it was kept."""
        ...

    def get(self, name: str) -> bytes | None:
        """What lies under a name; None where nothing does."""
        ...

    def get_ranges(self, name: str, starts: Sequence[int], ends: Sequence[int]) -> list[bytes]:
        """Parts of what lies under a name. Raises PermanentError where nothing does."""
        ...

    def sizes(self, prefix: str) -> dict[str, int]:
        """The names below a folder, and their sizes in bytes."""
        ...

    def written(self, prefix: str) -> dict[str, datetime]:
        """The names below a folder, and when they were written, by the store's clock."""
        ...

    def first(self, prefix: str) -> str:
        """The first name below a folder in the order of the alphabet, with what changes when it is written anew; empty
        where there is none."""
        ...

    def delete(self, name: str) -> None:
        """Remove what lies under a name, if anything does."""
        ...


class LocalObjects:
    """Files below a folder, which is made when something is first written."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def where(self) -> str:
        return str(self._root)

    def put(self, name: str, data: bytes) -> None:
        with self._translated(name):
            write_atomically(self._root / name, data)

    def create(self, name: str, data: bytes) -> bool:
        path = self._root / name
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
        with self._translated(name):
            make_folder(path.parent)
            try:
                write_atomically(draft, data)
                os.link(draft, path)
            except FileExistsError:
                return False
            finally:
                draft.unlink(missing_ok=True)
            flush_folder(path.parent)
        return True

    def get(self, name: str) -> bytes | None:
        with self._translated(name):
            try:
                return (self._root / name).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def get_ranges(self, name: str, starts: Sequence[int], ends: Sequence[int]) -> list[bytes]:
        with self._translated(name):
            try:
                descriptor = os.open(self._root / name, os.O_RDONLY)
            except FileNotFoundError as error:
                raise _missing(name, self.where) from error
            try:
                return [os.pread(descriptor, end - start, start) for start, end in zip(starts, ends, strict=True)]
            finally:
                os.close(descriptor)

    def sizes(self, prefix: str) -> dict[str, int]:
        found: dict[str, int] = {}
        with self._translated(prefix):
            for path in (self._root / prefix).rglob("*"):
                with suppress(FileNotFoundError):
                    if path.is_file():
                        found[path.relative_to(self._root).as_posix()] = path.stat().st_size
        return found

    def written(self, prefix: str) -> dict[str, datetime]:
        found = {}
        for name in self.sizes(prefix):
            with suppress(FileNotFoundError):
                found[name] = datetime.fromtimestamp((self._root / name).stat().st_mtime, UTC)
        return found

    def first(self, prefix: str) -> str:
        try:
            name = min((entry.name for entry in os.scandir(self._root / prefix)), default="")
        except OSError:
            return ""
        return name and f"{name} {(self._root / prefix / name).stat().st_mtime_ns}"

    def delete(self, name: str) -> None:
        with self._translated(name):
            (self._root / name).unlink(missing_ok=True)

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            message = f"{name} in {self._root}: {error.strerror or error}"
            if isinstance(error, (PermissionError, NotADirectoryError)):
                raise PermanentError(message, hint="look at the folder's owner and names") from error
            raise TemporaryError(message, delay=10.0, hint="look at the disk") from error


class BucketObjects:
    """Objects below a prefix of an S3 bucket: `s3://bucket/prefix`."""

    def __init__(self, url: str, environ: Mapping[str, str]) -> None:
        self._url = url.rstrip("/")
        self._environ = environ
        self._opened: S3Store | None = None

    @property
    def where(self) -> str:
        return self._url

    def put(self, name: str, data: bytes) -> None:
        with self._translated(name):
            self._store().put(name, data)

    def create(self, name: str, data: bytes) -> bool:
        from obstore.exceptions import AlreadyExistsError

        with self._translated(name):
            try:
                self._store().put(name, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
        return True

    def get(self, name: str) -> bytes | None:
        with self._translated(name):
            try:
                return bytes(self._store().get(name).bytes())
            except FileNotFoundError:
                return None

    def get_ranges(self, name: str, starts: Sequence[int], ends: Sequence[int]) -> list[bytes]:
        with self._translated(name):
            try:
                return [bytes(part) for part in self._store().get_ranges(name, starts=starts, ends=ends)]
            except FileNotFoundError as error:
                raise _missing(name, self.where) from error

    def sizes(self, prefix: str) -> dict[str, int]:
        with self._translated(prefix):
            return {meta["path"]: meta["size"] for batch in self._store().list(prefix) for meta in batch}

    def written(self, prefix: str) -> dict[str, datetime]:
        with self._translated(prefix):
            return {meta["path"]: meta["last_modified"] for batch in self._store().list(prefix) for meta in batch}

    def first(self, prefix: str) -> str:
        with self._translated(prefix):
            for batch in self._store().list(prefix, chunk_size=1):
                for meta in batch:
                    return f"{meta['path']} {meta['e_tag']} {meta['last_modified']}"
        return ""

    def delete(self, name: str) -> None:
        with self._translated(name), suppress(FileNotFoundError):
            self._store().delete(name)

    def _store(self) -> S3Store:
        if self._opened is None:
            from obstore.store import S3Store

            parts = urlsplit(self._url)
            endpoint = endpoint_of(self._environ)
            self._opened = S3Store(
                parts.netloc,
                prefix=parts.path.strip("/") or None,
                client_options={"allow_http": endpoint.startswith("http://"), "timeout": _PATIENCE},
                config=_config(self._environ),
            )
        return self._opened

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

        try:
            yield
        except TrimtabError:
            raise
        except (BaseError, OSError) as error:
            message = f"{name} in {self._url}: {without_keys(str(error), self._environ)}"
            if isinstance(error, (PermissionError, PermissionDeniedError, UnauthenticatedError)):
                raise PermanentError(message, hint="look at the keys in the environment and their rights") from error
            raise TemporaryError(message, delay=10.0, hint="look at the endpoint and the network") from error


def objects_at(place: Path | str, environ: Mapping[str, str]) -> Objects:
    """The objects in a folder, or at `s3://bucket/prefix`."""
    return LocalObjects(place) if isinstance(place, Path) else BucketObjects(place, environ)


def keeps_one_of_two(objects: Objects) -> bool:
    """Whether, of two writers that create one name, only one succeeds: S3's conditional PUT (`If-None-Match: *`), which
    some servers take and pass over."""
    name = f"{_PROBE}/{secrets.token_hex(8)}"
    try:
        return objects.create(name, b"first") and not objects.create(name, b"second")
    finally:
        with suppress(TrimtabError):
            objects.delete(name)


def endpoint_of(environ: Mapping[str, str]) -> str:
    """The address of the S3 server that the environment names; empty for Amazon's own."""
    return environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or environ.get("AWS_ENDPOINT") or ""


def s3_options(environ: Mapping[str, str]) -> dict[str, str]:
    """What the environment says of an S3 store, by the names that object store clients give it: for whoever opens one
    by itself. It holds keys: never keep or print it."""
    named = {f"aws_{name}": value for name, value in _named(environ).items()}
    if endpoint_of(environ).startswith("http://"):
        named["allow_http"] = "true"
    return named


def without_keys(text: str, environ: Mapping[str, str]) -> str:
    """The first line of a message, without any key that the environment holds."""
    said = text.strip().partition("\n")[0]
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID"):
        if environ.get(name):
            said = said.replace(environ[name], "(key)")
    return said


def _named(environ: Mapping[str, str]) -> dict[str, str]:
    found = {
        "region": environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1",
        "endpoint": endpoint_of(environ),
        "access_key_id": environ.get("AWS_ACCESS_KEY_ID", ""),
        "secret_access_key": environ.get("AWS_SECRET_ACCESS_KEY", ""),
        "session_token": environ.get("AWS_SESSION_TOKEN", ""),
    }
    return {name: value for name, value in found.items() if value}


def _config(environ: Mapping[str, str]) -> S3Config:
    named: Any = _named(environ)
    return cast("S3Config", named)


def _missing(name: str, where: str) -> PermanentError:
    return PermanentError(f"{name} is not in {where}", hint="it was removed behind the store's back")
