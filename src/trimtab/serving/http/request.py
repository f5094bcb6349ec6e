"""One whole request, as a connection hands it over."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trimtab.serving.http.spool import Spool


class Request:
    """`fields` are its header lines, names and values as they were sent; `keep` whether the caller wants to go on with
    this connection afterwards; `token` is the value of the authorization line. A body that the desk took aside is in
    `spool`, and `body` is empty; whoever answers closes it. `bare`: only the head of the answer is wanted (HEAD, whose
    `method` then is GET). `encoding` and `origin` are the values of those header lines, `reserved` the bytes of memory
    that the body was given."""

    # what few requests have is set only where it is there
    spool: Spool | None = None
    bare: bool = False
    encoding: bytes = b""
    origin: bytes = b""
    reserved: int = 0

    def __init__(  # noqa: PLR0917 - one is made for every request
        self, method: bytes, url: bytes, fields: list[tuple[bytes, bytes]], body: bytes, keep: bool, token: bytes
    ) -> None:
        self.method = method
        self.url = url
        self.fields = fields
        self.body = body
        self.keep = keep
        self.token = token

    def field(self, name: bytes) -> bytes:
        """The value of the first header line of that name (in lower case), empty where there is none."""
        size = len(name)
        for key, value in self.fields:
            if len(key) == size and key.lower() == name:
                return value
        return b""
