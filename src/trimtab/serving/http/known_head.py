"""The head of a request, known again: callers that keep a connection send the same one over and over.

Parsing a head costs more than scoring a row of a small model. One that is the same, byte for byte but for the length of
the body, means the same; so its request is made without the parser. Only what the parser has taken in is ever known,
and only a head that asks for nothing out of the ordinary.
"""

from __future__ import annotations

from trimtab.serving.http.request import Request

_END = b"\r\n\r\n"
_OWN = b"content-length"
_LENGTH = b"\r\n" + _OWN + b":"
_DIGITS = 9


class KnownHead:
    """`before` and `after` are what stands around the digits of the body's length; bodies of more than `most` bytes are
    the parser's."""

    __slots__ = ("_after", "_before", "_like", "_most", "_start")

    def __init__(self, before: bytes, after: bytes, like: Request, most: int) -> None:
        self._before = before
        self._start = len(before)
        self._after = after
        self._like = like
        self._most = most

    def again(self, data: bytes) -> Request | None:
        """The request, where `data` is one whole request with this head and nothing else; otherwise None."""
        if not data.startswith(self._before):
            return None
        digits = data.find(b"\r", self._start)
        body = digits + len(self._after)
        if not data.startswith(self._after, digits):
            return None
        length = data[self._start : digits]
        if not length.isdigit() or len(length) > _DIGITS:
            return None
        size = int(length)
        if size > self._most or len(data) - body != size:
            return None
        like = self._like
        fields = like.fields
        if size != len(like.body):
            fields = [(name, length if name.lower() == _OWN else value) for name, value in fields]
        request = Request(like.method, like.url, fields, data[body:], True, like.token)
        request.notes = like.notes
        return request


def known_head(data: bytes, request: Request, most: int) -> KnownHead | None:
    """What to know `request` by, when `data` was that request and nothing else; None where it is not sure to be."""
    end = len(data) - len(request.body)
    if not request.keep or data.find(_END) != end - len(_END):
        return None
    head = data[:end]
    place = head.lower().find(_LENGTH)
    if place < 0:
        return None
    start = place + len(_LENGTH)
    while head[start : start + 1] in (b" ", b"\t"):
        start += 1
    digits = head.find(b"\r", start)
    if head[start:digits] != b"%d" % len(request.body):
        return None
    request.notes = {}
    return KnownHead(head[:start], head[digits:], request, most)
