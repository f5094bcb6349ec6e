"""The bytes of media: each content once, many of them in one file, every one checked by its digest when it is read.

A pack is written once and never changed. It is named by the digest of its index:

    contents, one after the other
    index:  for each content, ascending: blake3 (32 bytes), begin and length (8 bytes each, little-endian)
    end:    blake3 of the index (32), number of contents (8), "TTPACK 1" (8)

So a flipped byte is found wherever it lies, and a reader needs the end and the index of a pack, never all of it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from trimtab.data.port import DataError
from trimtab.errors import TrimtabError
from trimtab.records.durable import write_atomically
from trimtab.records.objects import Objects

_FOLDER = "packs"
_ENTRY = struct.Struct("<32sQQ")
_END = struct.Struct("<32sQ8s")
_MAGIC = b"TTPACK 1"
_PACK = 32 * 2**20
"""Bytes that are brought together in one pack; a larger content has a pack of its own."""


class _At(NamedTuple):
    pack: str
    begin: int
    length: int


class Packs:
    """The contents kept with one dataset, in `objects`. `cache` is a folder of this machine for copies of indexes,
    where the packs lie elsewhere."""

    def __init__(self, objects: Objects, cache: Path | None = None) -> None:
        self._objects = objects
        self._cache = cache
        self._at: dict[bytes, _At] = {}
        self._packs: dict[str, int] = {}

    def afresh(self) -> Packs:
        """The same, as one who knows nothing of them yet and trusts no copy."""
        return Packs(self._objects)

    def put(self, contents: Iterable[bytes]) -> list[bytes]:
        """Keep each content, unless it is kept already; their digests, in order. They last when this returns."""
        digests: list[bytes] = []
        waiting: dict[bytes, bytes] = {}
        size = 0
        self._look()
        for content in contents:
            digest = blake3(content).digest()
            digests.append(digest)
            if digest in self._at or digest in waiting:
                continue
            waiting[digest] = bytes(content)
            size += len(content)
            if size >= _PACK:
                self._write(waiting)
                waiting, size = {}, 0
        if waiting:
            self._write(waiting)
        return digests

    def has(self, digest: bytes) -> bool:
        """Whether a content is kept, as far as was looked last."""
        return digest in self._at

    def missing(self, digests: Iterable[bytes]) -> list[bytes]:
        """Those that are not kept."""
        wanted = [digest for digest in digests if digest not in self._at]
        if wanted:
            self._look()
        return [digest for digest in wanted if digest not in self._at]

    def get(self, digests: Sequence[bytes]) -> list[bytes]:
        """The contents of some digests, in order. Raises DataError for one that is missing, or damaged."""
        found: list[bytes | None] = []
        for digest, content in self._read(digests):
            if content is None:
                at = self._at.get(digest)
                place = f"in {self._objects.where}/{_FOLDER}/{at.pack}" if at else f"in {self._objects.where}"
                raise DataError(
                    f"the content {digest.hex()[:16]} {place} is {'damaged' if at else 'missing'}",
                    hint="`trimtab data verify` names every row that is damaged",
                )
            found.append(content)
        return [content for content in found if content is not None]

    def wrong(self, digests: Iterable[bytes]) -> dict[bytes, str]:
        """Read every content again; those that are missing or damaged, with the pack they should be in."""
        wanted = list(dict.fromkeys(digests))
        self.missing(wanted)
        wanted.sort(key=lambda digest: self._at.get(digest, _At("", 0, 0)))
        bad: dict[bytes, str] = {}
        for start in range(0, len(wanted), 1000):
            for digest, content in self._read(wanted[start : start + 1000]):
                if content is None:
                    bad[digest] = self._at[digest].pack if digest in self._at else ""
        return bad

    def sweep(self, keep: set[bytes], *, dry: bool, before: datetime | None = None) -> tuple[int, int]:
        """Let go of every content that is not in `keep`, unless it came after `before`: contents and bytes. What stays
        of a pack is written again before the old one goes, so that being killed in the middle leaves one of the two; a
        pack of which little would go stays as it is."""
        self._look()
        came = self._objects.written(_FOLDER) if before is not None else {}
        contents = freed = 0
        by_pack: dict[str, list[tuple[bytes, _At]]] = {}
        for digest, at in self._at.items():
            by_pack.setdefault(at.pack, []).append((digest, at))
        for pack, held in by_pack.items():
            gone = [at for digest, at in held if digest not in keep]
            if not gone or (before is not None and came[f"{_FOLDER}/{pack}"] >= before):
                continue
            stay = [digest for digest, _ in held if digest in keep]
            if sum(at.length for at in gone) * 4 < sum(at.length for _, at in held) and stay:
                continue  # not worth the writing: a quarter at least must be out of use
            contents += len(gone)
            freed += sum(at.length + _ENTRY.size for at in gone)
            if not dry:
                if stay:
                    self._write(dict(zip(stay, self.get(stay), strict=True)))
                self._objects.delete(f"{_FOLDER}/{pack}")
                self._packs.pop(pack, None)
                for digest, at in held:
                    if self._at.get(digest) == at:
                        del self._at[digest]
        return contents, freed

    def size(self) -> int:
        """Bytes of all packs."""
        return sum(self._names().values())

    def refresh(self) -> None:
        """See what others have brought or let go meanwhile."""
        self._look()

    def _write(self, contents: dict[bytes, bytes]) -> None:
        at, entries = 0, list[tuple[bytes, int, int]]()
        for digest, content in contents.items():
            entries.append((digest, at, len(content)))
            at += len(content)
        index = b"".join(_ENTRY.pack(*entry) for entry in sorted(entries))
        name = blake3(index).hexdigest()
        end = _END.pack(blake3(index).digest(), len(entries), _MAGIC)
        self._objects.put(f"{_FOLDER}/{name}", b"".join((*contents.values(), index, end)))
        self._packs[name] = at + len(index) + _END.size
        self._at.update({digest: _At(name, begin, length) for digest, begin, length in entries})

    def _read(self, digests: Sequence[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
        self.missing(digests)
        by_pack: dict[str, list[bytes]] = {}
        for digest in dict.fromkeys(digests):
            if digest in self._at:
                by_pack.setdefault(self._at[digest].pack, []).append(digest)
        found: dict[bytes, bytes] = {}
        for pack, wanted in by_pack.items():
            begins = [self._at[digest].begin for digest in wanted]
            ends = [self._at[digest].begin + self._at[digest].length for digest in wanted]
            with suppress(TrimtabError):
                found.update(zip(wanted, self._ranges(pack, begins, ends), strict=True))
        for digest in digests:
            content = found.get(digest)
            yield digest, content if content is not None and blake3(content).digest() == digest else None

    def _ranges(self, pack: str, begins: list[int], ends: list[int]) -> Iterator[bytes]:
        """Parts of a pack; nothing is asked for an empty one, which is no range at all."""
        some = [(begin, end) for begin, end in zip(begins, ends, strict=True) if end > begin]
        parts = iter(self._objects.get_ranges(f"{_FOLDER}/{pack}", [b for b, _ in some], [e for _, e in some]))
        return (next(parts) if end > begin else b"" for begin, end in zip(begins, ends, strict=True))

    def _names(self) -> dict[str, int]:
        return {name: size for name, size in self._objects.sizes(_FOLDER).items() if "." not in name}

    def _look(self) -> None:
        """Read the indexes of packs that came, and forget packs that went."""
        there = {name.rpartition("/")[2]: size for name, size in self._names().items()}
        for pack in self._packs.keys() - there.keys():
            self._at = {digest: at for digest, at in self._at.items() if at.pack != pack}
            del self._packs[pack]
        for pack in sorted(there.keys() - self._packs.keys()):
            with suppress(DataError):  # what it holds counts as missing: collecting it again brings it back
                entries = self._index(pack, there[pack])
                self._at.update({digest: _At(pack, begin, length) for digest, begin, length in entries})
                self._packs[pack] = there[pack]

    def _index(self, pack: str, size: int) -> list[tuple[bytes, int, int]]:
        copy = self._cache / f"{pack}.index" if self._cache is not None else None
        if copy is not None and copy.is_file():
            index = copy.read_bytes()
            if blake3(index).hexdigest() == pack:
                return list(_ENTRY.iter_unpack(index))
        name = f"{_FOLDER}/{pack}"
        (end,) = self._objects.get_ranges(name, [max(0, size - _END.size)], [size])
        digest, count, magic = _END.unpack(end) if len(end) == _END.size else (b"", 0, b"")
        begin = size - _END.size - count * _ENTRY.size
        if magic == _MAGIC and digest.hex() == pack and begin >= 0:
            index = b""
            if count:
                (index,) = self._objects.get_ranges(name, [begin], [size - _END.size])
            if blake3(index).digest() == digest:
                if copy is not None:
                    with suppress(OSError):
                        write_atomically(copy, index)
                return list(_ENTRY.iter_unpack(index))
        raise DataError(
            f"{self._objects.where}/{name} is damaged: its index is not what was written",
            hint="`trimtab data verify` names the rows it should hold; restore the file from a backup",
        )
