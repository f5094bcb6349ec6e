"""Content-addressed bytes (models, profiles, plots) and the names that point at them.

A blob is found by the blake3 digest of its content, so it never changes and is checked whenever it is read. Bytes go
through obstore, whose calls are the same for S3, GCS and Azure; what only a local disk needs (flushing) is in `_place`.
Below the root:

    objects/ab/abcdef…   the blobs
    refs/…               one small text a name
    incoming/…           what is being written; `sweep` removes what a killed process left there
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import obstore
from blake3 import blake3
from obstore.exceptions import BaseError, PermissionDeniedError
from obstore.store import LocalStore

from trimtab.errors import PermanentError, TemporaryError
from trimtab.records.durable import flush_file, flush_folder, make_folder

_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,99}){0,7}")


class Blobs:
    """The blob store in folder `root`, which is made when something is first written.

    What `put`, `put_file` and `set_ref` returned is on disk. Safe for several processes at once: two that put the same
    bytes write the same blob, and of two that set one name the later wins, whole. A store that cannot be read or
    written raises PermanentError for want of permission, else TemporaryError.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._opened: LocalStore | None = None

    def put(self, data: bytes) -> str:
        """Keep `data` and return its digest; when it is kept already, and whole, nothing is written."""
        digest = blake3(data).hexdigest()
        with self._translated(f"blob {digest}"):
            if not self._stands(digest, len(data)):
                self._place(data, _object(digest))
        return digest

    def put_file(self, path: Path) -> str:
        """Keep the content of a file without holding it in memory, and return its digest.

        The digest is that of the copy, so a file that changes meanwhile does no harm. Raises PermanentError when there
        is no such file.
        """
        if not path.is_file():
            raise PermanentError(f"no file at {path} to keep as a blob")
        with self._translated(f"a copy of {path}"):
            draft = self._bring_in(path)
            digest = _digest_of(self._local(draft))
            if self._stands(digest, self._local(draft).stat().st_size):
                obstore.delete(self._store(), draft)
            else:
                self._settle(draft, _object(digest))
        return digest

    def get(self, digest: str) -> bytes:
        """The blob's bytes. Raises PermanentError when it is missing, or no longer what its digest says."""
        data = self._read(_object(digest), f"blob {digest}")
        if data is None:
            raise _missing(digest)
        if blake3(data).hexdigest() != digest:
            raise self._damaged(digest)
        return data

    def checked(self, digest: str) -> Path:
        """Where the blob lies on this machine, for whoever reads a large one better from there; its content has been
        checked. Raises PermanentError when it is missing, or no longer what its digest says."""
        path = self.path(digest)
        with self._translated(f"blob {digest}"):
            if _digest_of(path) != digest:
                raise self._damaged(digest)
        return path

    def path(self, digest: str) -> Path:
        """Where the blob lies on this machine; its content is not checked. Raises PermanentError when it is missing."""
        path = self._local(_object(digest))
        if not path.is_file():
            raise _missing(digest)
        return path

    def has(self, digest: str) -> bool:
        """Whether the blob is kept; its content is not checked."""
        return self._local(_object(digest)).is_file()

    def size(self, digest: str) -> int:
        """The blob's length in bytes. Raises PermanentError when it is missing."""
        return self.path(digest).stat().st_size

    def set_ref(self, name: str, text: str) -> None:
        """Let `name` say `text` (mostly a digest), in place of what it said before."""
        with self._translated(f"ref {name}"):
            self._place(text.encode(), _ref(name))

    def get_ref(self, name: str) -> str | None:
        """What `name` says, None when it was never set."""
        data = self._read(_ref(name), f"ref {name}")
        return None if data is None else data.decode()

    def sweep(self, before: datetime) -> int:
        """Remove what killed processes left half written before that moment (by the machine's clock); how many.

        Choose a moment well before any write that may still be under way.
        """
        incoming = self.root / "incoming"
        left = sorted(incoming.iterdir()) if incoming.is_dir() else []
        stale = [path for path in left if datetime.fromtimestamp(path.stat().st_mtime, UTC) < before]
        for path in stale:
            path.unlink(missing_ok=True)
        return len(stale)

    def _store(self) -> LocalStore:
        if self._opened is None:
            make_folder(self.root)
            self._opened = LocalStore(prefix=self.root)
        return self._opened

    def _local(self, place: str) -> Path:
        return self.root / place

    def _read(self, place: str, what: str) -> bytes | None:
        if not self._local(place).is_file():
            return None
        with self._translated(what):
            return bytes(obstore.get(self._store(), place).bytes())

    def _damaged(self, digest: str) -> PermanentError:
        return PermanentError(
            f"blob {digest} is damaged: its content no longer has this digest",
            hint=f"restore {self._local(_object(digest))} from a backup, or make the same content again",
        )

    def _stands(self, digest: str, size: int) -> bool:
        """Whether the blob is kept whole: after a power cut, or by a failing disk, it may not be."""
        path = self._local(_object(digest))
        return path.is_file() and path.stat().st_size == size and _digest_of(path) == digest

    def _place(self, data: bytes, place: str) -> None:
        self._settle(self._bring_in(data), place)

    def _bring_in(self, content: bytes | Path) -> str:
        draft = f"incoming/{secrets.token_hex(16)}"
        obstore.put(self._store(), draft, content)
        return draft

    def _settle(self, draft: str, place: str) -> None:
        """Flush before and after the rename: the name never points at bytes that are not on disk yet."""
        flush_file(self._local(draft))
        make_folder(self._local(place).parent)
        obstore.rename(self._store(), draft, place)
        flush_folder(self._local(place).parent)

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as error:
            first = str(error).partition("\n")[0]
            message = f"{what} in the store at {self.root}: {first}"
            if isinstance(error, (PermissionError, PermissionDeniedError, FileExistsError, NotADirectoryError)):
                raise PermanentError(message, hint="look at the folder's owner and names") from error
            raise TemporaryError(message, delay=10.0, hint="look at the disk") from error


def _object(digest: str) -> str:
    if not _DIGEST.fullmatch(digest):
        raise PermanentError(f"{digest!r} is not a digest", hint="64 hexadecimal digits, as `put` returned them")
    return f"objects/{digest[:2]}/{digest}"


def _ref(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise PermanentError(
            f"{name!r} cannot be the name of a ref", hint="parts of letters, digits, `.`, `_` and `-`, with `/` between"
        )
    return f"refs/{name}"


def _digest_of(path: Path) -> str:
    return blake3().update_mmap(path).hexdigest()


def _missing(digest: str) -> PermanentError:
    return PermanentError(f"no blob {digest}", hint="it was removed, or belongs to another system")
