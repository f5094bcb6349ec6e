"""A request that is refused, whatever protocol it came by."""

from __future__ import annotations

from trimtab.errors import TrimtabError


class RefusalError(TrimtabError):
    """A request that is answered with `status` and the message; `more` joins the error's JSON object. `retry_after` is
    after how many seconds it is worth asking again (0: nobody knows), `challenge` what a 401 or 403 says about the
    token (the parameters of RFC 6750)."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        hint: str = "",
        allow: str = "",
        more: object = None,
        retry_after: float = 0.0,
        challenge: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.allow = allow
        self.more = more
        self.retry_after = retry_after
        self.challenge = challenge
