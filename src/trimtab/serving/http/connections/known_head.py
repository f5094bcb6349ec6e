"""The head of a request, known again: callers that keep a connection send the same one over and over.

Parsing a head costs more than scoring a row of a small model. One that is the same, byte for byte but for the length of
the body, means the same; so its request is made without the parser. Only what the parser has taken in is ever known,
and only a head that asks for nothing out of the ordinary.
"""

from __future__ import annotations

from trimtab.serving.http.request import Head, Request

_END = b"\r\n\r\n"
_OWN = b"content-length"
_LENGTH = b"\r\n" + _OWN + b":"
_DIGITS = 9


class KnownHead:
    """`before` and `after` are what stands around the digits of the body's length; bodies of more than `most` bytes are
    the parser's."""

    __slots__ = ("_after", "_before", "_like", "_most", "_size", "_start", "_whole")

    def __init__(self, before: bytes, after: bytes, like: Request, most: int) -> None:
        self._before = before
        self._start = len(before)
        self._after = after
        like.head = Head()
        self._like = Request(like.method, like.url, like.fields, b"", True, like.token, like.head)  # without its body
        self._most = most
        self._size = len(like.body)
        self._whole = before + b"%d" % self._size + after

    def again(self, data: bytes) -> Request | None:
        """The request, where `data` is one whole request with this head and nothing else; otherwise None."""
        like, whole = self._like, self._whole
        if data.startswith(whole):  # the same length as well: nothing has to be read
            body = data[len(whole) :]
            if len(body) != self._size:
                return None
            fields = like.fields
        elif data.startswith(self._before):
            digits = data.find(b"\r", self._start)
            if not data.startswith(self._after, digits):
                return None
            length, body = data[self._start : digits], data[digits + len(self._after) :]
            if not length.isdigit() or len(length) > _DIGITS:
                return None
            if int(length) > self._most or len(body) != int(length):
                return None
            fields = [(name, length if name.lower() == _OWN else value) for name, value in like.fields]
        else:
            return None
        return Request(like.method, like.url, fields, body, True, like.token, like.head)


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
    return KnownHead(head[:start], head[digits:], request, most)
