"""A request that is refused, whatever protocol it came by."""

from __future__ import annotations

from trimtab.errors import TrimtabError


class RefusalError(TrimtabError):
    """A request that is answered with `status` and the message; `more` joins the error's JSON object."""

    def __init__(self, status: int, message: str, *, hint: str = "", allow: str = "", more: object = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.allow = allow
        self.more = more
