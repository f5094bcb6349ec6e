"""A key for each person, in one file of fixed records that is apart from the data and can be overwritten in place.

A record has 128 bytes: it never spans two sectors, so that overwriting it is done or not done. A key lies there wrapped
(AES-256-GCM) by the master key, which is not here. To destroy a key its record is overwritten and brought to the disk;
that it was there, and for which pseudonym, stays, so that nobody makes it again.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import secrets
import struct
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from trimtab.data.port import DataError
from trimtab.records.durable import flush_folder

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_RECORD = struct.Struct("<c3xI16s8siq60s24x")
_HEAD, _SYSTEM, _KEY, _DESTROYED, _FORGOTTEN = b"H", b"S", b"K", b"D", b"F"
_MAGIC = b"trimtab keys 1\0\0"
_NOWHERE = b"\0" * 8
_BLANK = b"\0" * 60


class KeyName(NamedTuple):
    """Which key: of whom (16 bytes, a pseudonym), and where rows are kept for a time only, in which dataset (`scope`)
    and which stretch of time (`epoch`)."""

    person: bytes
    scope: bytes = _NOWHERE
    epoch: int = 0


class _Kept(NamedTuple):
    place: int
    kind: bytes
    wrapped: bytes


class KeyStore:
    """The keys in `folder`; the master key is asked for when one is needed. Any number of processes may use one."""

    def __init__(self, folder: Path, master: Callable[[], bytes]) -> None:
        self._path = folder / "people.keys"
        self._lock_path = folder / ".lock"
        self._master = master
        self._kept: dict[KeyName, _Kept] = {}
        self._open: dict[KeyName, bytes] = {}
        self._forgotten: dict[bytes, int] = {}
        self._read = 0
        self._generation = -1
        self._naming = b""
        self._wrapping = b""

    def exists(self) -> bool:
        """Whether any key was ever made."""
        return self._path.is_file()

    @property
    def generation(self) -> int:
        """Grows whenever keys are destroyed, by whichever process; 0 before the first key is made."""
        return self._header() if self.exists() else 0

    def pseudonym(self, subject: str) -> bytes:
        """What a person is called here: HMAC-SHA256 of the name under a secret of this system, 16 bytes."""
        if not self._naming:
            self._refresh(create=True)
        return hmac.digest(self._naming, subject.encode("utf-8", "surrogatepass"), hashlib.sha256)[:16]

    def is_known(self, person: bytes) -> bool:
        """Whether there was ever a key of this person."""
        self._refresh()
        return person in self._forgotten or any(name.person == person for name in self._kept)

    def forgotten_at(self, person: bytes) -> float | None:
        """When all keys of a person were destroyed for good, in seconds since 1970; None when they were not."""
        self._refresh()
        found = self._forgotten.get(person)
        return None if found is None else found / 1e6

    def anyone_forgotten(self) -> bool:
        """Whether somebody was forgotten."""
        self._refresh()
        return bool(self._forgotten)

    def keys(self, names: Iterable[KeyName], *, create: bool = False) -> dict[KeyName, bytes | None]:
        """Each key as 32 bytes, None where it was destroyed. With `create` those that never were are made, but none of
        a person who was forgotten. Raises DataError for one that never was, and where the master key is another one."""
        self._refresh(create=create)
        wanted = set(names)
        lacking = [name for name in wanted if name not in self._kept and name.person not in self._forgotten]
        if lacking and create:
            self._make(lacking)
        elif lacking:
            raise DataError(
                f"{len(lacking)} keys are missing from {self._path}: it is not the file that this data was sealed with",
                hint="restore the keys folder that belongs to this state",
            )
        return {name: self._unwrapped(name) for name in wanted}

    def forget(self, person: bytes) -> int:
        """Destroy every key of a person, and let none be made again; returns how many of theirs are destroyed. Doing so
        again changes nothing."""
        with self._locked():
            self._refresh()
            if person not in self._forgotten:
                self._append([_packed(_FORGOTTEN, KeyName(person), time.time_ns() // 1000, _BLANK)])
            mine = [name for name in self._kept if name.person == person]
            self._destroy(mine)
            return len(mine)

    def count_before(self, scope: bytes, epoch: int) -> int:
        """How many keys `destroy_before` would destroy."""
        self._refresh()
        return sum(
            kept.kind == _KEY and name.scope == scope and name.epoch < epoch for name, kept in self._kept.items()
        )

    def destroy_before(self, scope: bytes, epoch: int) -> int:
        """Destroy every key of a dataset whose stretch of time is before `epoch`; returns how many."""
        with self._locked():
            self._refresh()
            return self._destroy([name for name in self._kept if name.scope == scope and name.epoch < epoch])

    def _destroy(self, names: list[KeyName]) -> int:
        those = [name for name in names if self._kept[name].kind == _KEY]
        fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        try:
            for name in those:
                os.pwrite(fd, _packed(_DESTROYED, name, time.time_ns() // 1000, _BLANK), self._kept[name].place)
            os.fsync(fd)
            os.pwrite(fd, _packed(_HEAD, KeyName(_MAGIC), self._header() + 1, _BLANK), 0)
            os.fsync(fd)
        finally:
            os.close(fd)
        self._refresh()
        return len(those)

    def _make(self, names: list[KeyName]) -> None:
        with self._locked():
            self._refresh()
            new = [name for name in names if name not in self._kept and name.person not in self._forgotten]
            now = time.time_ns() // 1000
            self._append([_packed(_KEY, name, now, self._wrap(name, secrets.token_bytes(32))) for name in new])

    def _append(self, records: list[bytes]) -> None:
        fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        try:
            whole = os.fstat(fd).st_size // _RECORD.size * _RECORD.size
            os.ftruncate(fd, whole)  # half a record is what a killed process left
            os.write(fd, b"".join(records))
            os.fsync(fd)
        finally:
            os.close(fd)
        self._refresh()

    def _refresh(self, *, create: bool = False) -> None:
        """Take in what this or another process changed."""
        if not self.exists():
            if not create:
                return
            self._begin()
        generation = self._header()
        if generation != self._generation:
            self._kept, self._open, self._forgotten, self._read = {}, {}, {}, _RECORD.size
        with self._path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        for start in range(0, len(data) // _RECORD.size * _RECORD.size, _RECORD.size):
            record = data[start : start + _RECORD.size]
            if not _is_sound(record):
                if start + 2 * _RECORD.size <= len(data):
                    raise DataError(f"{self._path} is damaged at byte {self._read}", hint="restore it from a copy")
                break  # it is being written at this moment
            self._take(record, self._read)
            self._read += _RECORD.size
        self._generation = generation

    def _take(self, record: bytes, place: int) -> None:
        kind, _, person, scope, epoch, moment, wrapped = _RECORD.unpack(record)
        name = KeyName(person, scope, epoch)
        if kind == _FORGOTTEN:
            self._forgotten[person] = moment
        elif kind == _SYSTEM:
            self._naming = self._unwrap(name, wrapped)
        else:
            self._kept[name] = _Kept(place, kind, wrapped)

    def _begin(self) -> None:
        folder = self._path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            if self.exists():
                return
            system = KeyName(b"system".ljust(16, b"\0"))
            now = time.time_ns() // 1000
            draft = self._path.with_suffix(".new")
            fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                naming = self._wrap(system, secrets.token_bytes(32))
                os.write(fd, _packed(_HEAD, KeyName(_MAGIC), 1, _BLANK) + _packed(_SYSTEM, system, now, naming))
                os.fsync(fd)
            finally:
                os.close(fd)
            draft.rename(self._path)
            flush_folder(folder)

    def _header(self) -> int:
        with self._path.open("rb") as file:
            record = file.read(_RECORD.size)
        if len(record) < _RECORD.size or record[8:24] != _MAGIC:
            raise DataError(f"{self._path} is no file of keys", hint="restore it from a copy")
        return int(_RECORD.unpack(record)[5])

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fd = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _unwrapped(self, name: KeyName) -> bytes | None:
        kept = self._kept.get(name)
        if kept is None or kept.kind == _DESTROYED or name.person in self._forgotten:
            return None
        if name not in self._open:
            self._open[name] = self._unwrap(name, kept.wrapped)
        return self._open[name]

    def _cipher(self) -> AESGCM:
        try:  # here: only a dataset with personal columns needs it
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as error:
            raise DataError(
                "personal columns need the package cryptography", hint="pip install 'trimtab[privacy]'"
            ) from error

        if not self._wrapping:
            self._wrapping = self._master()
        return AESGCM(self._wrapping)

    def _wrap(self, name: KeyName, key: bytes) -> bytes:
        nonce = secrets.token_bytes(12)
        return nonce + bytes(self._cipher().encrypt(nonce, key, _about(name)))

    def _unwrap(self, name: KeyName, wrapped: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag

        try:
            return bytes(self._cipher().decrypt(wrapped[:12], wrapped[12:], _about(name)))
        except InvalidTag as error:
            raise DataError(
                f"the master key is not the one that the keys in {self._path} were wrapped with",
                hint="set the one that was in force when they were made",
            ) from error


def _about(name: KeyName) -> bytes:
    return b"trimtab key 1" + name.person + name.scope + struct.pack("<i", name.epoch)


def _packed(kind: bytes, name: KeyName, moment: int, wrapped: bytes) -> bytes:
    bare = _RECORD.pack(kind, 0, name.person, name.scope, name.epoch, moment, wrapped)
    return _RECORD.pack(kind, zlib.crc32(bare), name.person, name.scope, name.epoch, moment, wrapped)


def _is_sound(record: bytes) -> bool:
    return zlib.crc32(record[:4] + b"\0\0\0\0" + record[8:]) == int(_RECORD.unpack(record)[1])
