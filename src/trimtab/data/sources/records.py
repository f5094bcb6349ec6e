"""Text files as pieces of whole records, of bounded size: decompressed and decoded as they are read, with the digest of
all that was passed."""

from __future__ import annotations

import codecs
import gzip
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, cast

from blake3 import blake3

from trimtab.data.port import DataError
from trimtab.data.sources.formats import Compression

_BLOCK = 4 * 2**20
_LONGEST_RECORD = 64 * 2**20
_WIDE = {"utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"}
"""Encodings in which a line's end is no single byte: turned into UTF-8 before lines are looked for."""

Cut = Callable[[bytes, bool], int]
"""How many bytes of a buffer are whole records; the flag says whether the file ends with it."""


def opened(path: Path, compression: Compression) -> AbstractContextManager[BinaryIO]:
    """The bytes of a file without the compression around them."""
    if compression == "gzip":
        return cast("AbstractContextManager[BinaryIO]", gzip.open(path))
    if compression == "zstd":
        import pyarrow as pa  # here: only such files need it

        return cast("AbstractContextManager[BinaryIO]", pa.input_stream(str(path), compression="zstd"))
    return path.open("rb", buffering=0)


def sniffed(head: bytes) -> str:
    """The encoding that the first bytes of a file tell: by a byte order mark, or by zeros in every second place."""
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    sample = head[:2000]
    if len(sample) >= 8 and sample[1::2].count(0) > len(sample) // 3:
        return "utf-16-le"
    if len(sample) >= 8 and sample[::2].count(0) > len(sample) // 3:
        return "utf-16-be"
    return "utf-8"


def in_utf8(data: bytes, encoding: str) -> tuple[bytes, bool]:
    """Whole lines in UTF-8, and whether all of them could be read in `encoding`. Of lines that are said to be UTF-8 and
    are not, those are read as Windows-1252, in which every text of western Europe of old is."""
    if encoding in _WIDE:
        return data, True
    if encoding not in ("utf-8", "utf-8-sig"):
        return data.decode(encoding, errors="replace").encode(), True
    try:
        data.decode()
    except UnicodeDecodeError:
        return b"".join(_line(line) for line in data.splitlines(keepends=True)), False
    return data, True


def _line(line: bytes) -> bytes:
    try:
        line.decode()
    except UnicodeDecodeError:
        return line.decode("cp1252", errors="replace").encode()
    return line


class Records:
    """Goes through a stream once. `at` counts the bytes passed, `digest` is theirs."""

    def __init__(self, stream: BinaryIO, encoding: str, size: int, cut: Cut) -> None:
        self._stream, self._size, self._cut = stream, size, cut
        self._buffer, self._ended = b"", False
        self._hasher = blake3()
        self.at = 0
        first = stream.read(min(_BLOCK, max(size, 4096)))
        self.encoding = encoding or sniffed(first)
        self._decoder: codecs.IncrementalDecoder | None = None
        if self.encoding in _WIDE:
            self._decoder = codecs.getincrementaldecoder(self.encoding)(errors="replace")
        self._take(first)
        self.bom = self._buffer.startswith(codecs.BOM_UTF8)

    @property
    def digest(self) -> str:
        """Of everything that was passed, in hex."""
        return blake3(self._hasher.digest()).hexdigest()[:32]

    def head(self) -> bytes:
        """What comes next, without passing it: as much as is at hand."""
        return self._buffer

    def skip(self, upto: int) -> bool:
        """Pass what lies before `upto`; False where the file ends before it."""
        while self.at < upto:
            if not self._buffer and not self._more():
                return False
            self._pass(min(len(self._buffer), upto - self.at))
        return True

    def pieces(self) -> Iterator[bytes]:
        """Whole records, about `size` bytes at a time; `at` lies behind them. What is left in the end is no record that
        has an end: see `head`."""
        while True:
            while len(self._buffer) < self._size and self._more():
                pass
            upto = self._cut(self._buffer, self._ended)
            while upto == 0 and self._more():
                if len(self._buffer) > _LONGEST_RECORD:
                    raise DataError(f"a record is longer than {_LONGEST_RECORD // 2**20} MiB")
                upto = self._cut(self._buffer, self._ended)
            if upto == 0:
                return
            yield self._pass(upto)

    def _pass(self, count: int) -> bytes:
        piece, self._buffer = self._buffer[:count], self._buffer[count:]
        self._hasher.update(piece)
        self.at += count
        return piece

    def _more(self) -> bool:
        if self._ended:
            return False
        data = self._stream.read(min(_BLOCK, max(self._size, 4096)))
        self._take(data)
        if not data:
            self._ended = True
        return bool(data)

    def _take(self, data: bytes) -> None:
        if self._decoder is not None:
            text = self._decoder.decode(data, final=not data)
            data = text.removeprefix("\ufeff").encode() if self.at == 0 and not self._buffer else text.encode()
        self._buffer = self._buffer + data if self._buffer else data


def whole_lines(buffer: bytes, ended: bool) -> int:
    """Cuts behind the last line that has an end."""
    del ended
    return buffer.rfind(b"\n") + 1


def whole_rows(buffer: bytes, ended: bool) -> int:
    """Cuts behind the last line that has an end outside of quotes."""
    end = len(buffer)
    quotes = buffer.count(b'"')
    while True:
        at = buffer.rfind(b"\n", 0, end)
        if at < 0:
            break
        quotes -= buffer.count(b'"', at, end)
        if quotes % 2 == 0:
            return at + 1
        end = at
    # A quote that is never closed: once there is nothing more to wait for, each line has to speak for itself.
    return buffer.rfind(b"\n") + 1 if ended or len(buffer) > _LONGEST_RECORD // 4 else 0
