"""Bodies that travel compressed: taken in within a bound, however much they hold, and sent when asked for."""

from __future__ import annotations

import gzip
import zlib

from trimtab.serving.refusals import RefusalError

_AT_ONCE = 65_536  # bytes, before and after, that are inflated on the event loop; more is work for a thread
_GZIP, _DEFLATE = 31, 15  # what zlib calls the two forms
_FORMS = {b"gzip": _GZIP, b"x-gzip": _GZIP, b"deflate": _DEFLATE}
_MEMBERS = 64  # gzip may come in several parts, of which each costs time however short it is
_FAST = 1
_NEVER = frozenset((b"q=0", b"q=0.0", b"q=0.00", b"q=0.000"))


class Inflation:
    """The inflating of one body to at most `most` bytes. `first` does what is quickly done; where it returns None,
    `rest` does all of it, in a thread. Both raise RefusalError (400 or 413), and making one does too (415)."""

    def __init__(self, encoding: bytes, body: bytes, most: int) -> None:
        form = _FORMS.get(encoding.strip().lower())
        if form is None:
            told = encoding.decode("latin-1")[:40]
            raise RefusalError(415, f"content-encoding {told!r} is not supported", hint="send it as gzip, or as it is")
        self._form = form
        self._body = body
        self._most = most

    def first(self) -> bytes | None:
        """The whole body where it is small."""
        return self._inflate(min(_AT_ONCE, self._most)) if len(self._body) <= _AT_ONCE else None

    def rest(self) -> bytes:
        """The whole body."""
        body = self._inflate(self._most)
        if body is None:
            told = f"the body is larger than {self._most:,} bytes once it is inflated"
            raise RefusalError(413, told, hint="send fewer rows at a time")
        return body

    def _inflate(self, most: int) -> bytes | None:
        """All that it holds; None when that is more than `most` bytes."""
        parts: list[bytes] = []
        size, data = 0, self._body
        for _ in range(_MEMBERS):
            one = zlib.decompressobj(self._form)
            try:
                part = one.decompress(data, most - size + 1)
            except zlib.error as error:
                raise _damaged(str(error)) from error
            size += len(part)
            if size > most:
                return None
            parts.append(part)
            if not one.eof:
                raise _damaged("it ends too early")
            data = one.unused_data.lstrip(b"\0") if self._form == _GZIP else one.unused_data
            if not data:
                return b"".join(parts)
            if self._form == _DEFLATE:
                raise _damaged("something follows its end")
        raise _damaged(f"it has more than {_MEMBERS} members")


def _damaged(why: str) -> RefusalError:
    return RefusalError(400, f"the compressed body is damaged: {why}")


def chosen(accepted: bytes) -> bytes:
    """The form of an answer for a caller that sent this `accept-encoding`: gzip, deflate, or nothing for as it is."""
    taken = {}
    for one in accepted.lower().split(b","):
        name, _, quality = one.partition(b";")
        taken[name.strip()] = quality.replace(b" ", b"") not in _NEVER
    return next((form for form in (b"gzip", b"deflate") if taken.get(form, taken.get(b"*", False))), b"")


def compressed(body: bytes, form: bytes) -> bytes:
    """The body in that form; meant for a thread."""
    return gzip.compress(body, _FAST, mtime=0) if form == b"gzip" else zlib.compress(body, _FAST)
