"""What an endpoint may ask of whoever sent it a request."""

from __future__ import annotations

from typing import Protocol

from trimtab.serving.access.guard import Grant
from trimtab.serving.execution.questions import Caller
from trimtab.serving.http.replies import JSON
from trimtab.serving.http.stream import Stream


class HttpCaller(Caller, Protocol):
    """Who asked over HTTP. Of `answer`, `refuse` and `stream` one is called, once; `grant` is what the guard gave."""

    grant: Grant

    def answer(self, status: int, body: bytes, kind: bytes = JSON, extra: bytes = b"") -> None:
        """Sends an answer: the type of its content, and further header lines."""
        ...

    def stream(self) -> Stream:
        """In place of `answer`: an answer that comes in pieces."""
        ...

    def charge(self, rows: int) -> None:
        """Counts rows against the rate of the caller's token. Raises RefusalError (429)."""
        ...
