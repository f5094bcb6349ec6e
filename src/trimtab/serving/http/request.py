"""One whole request, as a connection hands it over."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from trimtab.serving.access.guard import Guard
from trimtab.serving.execution.questions import Question
from trimtab.serving.http.caller import HttpCaller
from trimtab.serving.http.spool import Spool
from trimtab.serving.routing.releases import Release

_OWN = b"content-length"  # the one line that is not the same in every request of a head


class Answerer(Protocol):
    """Whom a connection hands a whole request."""

    def handle(self, connection: HttpCaller, request: Request) -> None:
        """Answers, now or later, with `connection.answer`."""
        ...


class Filler(Protocol):
    """What fills questions from bodies that begin alike."""

    def fill(self, question: Question, body: bytes) -> bool:
        """Fills a question from such a body; false where it is another."""
        ...


class Address(NamedTuple):
    """`endpoint` answers `method` for a token with one of the flags of `scope` (0: without any); `release` is the model
    version that the address names, if it does."""

    method: bytes
    scope: int
    endpoint: Endpoint
    release: Release | None = None


class Head:
    """What was made of a head that comes over and over, by whoever looked into it: `fields` are values of its lines by
    name, `silent` tells that it says nothing of how it wants to be answered, `plain` that its body is JSON alone;
    `desk`, `address` and `admission` (the guard, and the scopes of which a token needs one) are there once it is known
    that they will be the same again, and `tensors` where bodies have begun alike."""

    __slots__ = ("address", "admission", "desk", "fields", "plain", "silent", "tensors")

    def __init__(self) -> None:
        self.fields: dict[bytes, bytes] = {}
        self.silent: bool | None = None
        self.plain = False
        self.desk: Answerer | None = None
        self.address: Address | None = None
        self.admission: tuple[Guard, int] | None = None
        self.tensors: Filler | None = None


class Request:
    """`fields` are its header lines, names and values as they were sent; `keep` whether the caller wants to go on with
    this connection afterwards; `token` is the value of the authorization line. A body that the desk took aside is in
    `spool`, and `body` is empty; whoever answers closes it. `bare`: only the head of the answer is wanted (HEAD, whose
    `method` then is GET). `encoding` and `origin` are the values of those header lines, `reserved` the bytes of memory
    that the body was given. Requests whose heads differ in the length of the body alone share a `head`.
    """

    __slots__ = (
        "bare", "body", "encoding", "fields", "head", "keep", "method", "origin", "reserved", "spool", "token", "url",
    )  # fmt: skip

    def __init__(  # noqa: PLR0917 - one is made for every request
        self,
        method: bytes,
        url: bytes,
        fields: list[tuple[bytes, bytes]],
        body: bytes,
        keep: bool,
        token: bytes,
        head: Head | None = None,
    ) -> None:
        self.method = method
        self.url = url
        self.fields = fields
        self.body = body
        self.keep = keep
        self.token = token
        self.head = head
        self.spool: Spool | None = None
        self.bare = False
        self.encoding = self.origin = b""
        self.reserved = 0

    def field(self, name: bytes) -> bytes:
        """The value of the first header line of that name (in lower case), empty where there is none."""
        head = self.head
        if head is None or name == _OWN:
            return self._find(name)
        value = head.fields.get(name)
        if value is None:
            value = head.fields[name] = self._find(name)
        return value

    def _find(self, name: bytes) -> bytes:
        size = len(name)
        for key, value in self.fields:
            if len(key) == size and key.lower() == name:
                return value
        return b""


Endpoint = Callable[[HttpCaller, Request, Release | None], None]
