"""Who asks, whether they may, and whether they have asked too often: the one check in front of every protocol."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from trimtab.errors import PermanentError
from trimtab.records.layout import Layout
from trimtab.records.server import ServerConfig
from trimtab.serving.access.rates import Bucket, Rates
from trimtab.serving.access.scopes import ANY, OPEN, flags, named
from trimtab.serving.access.tokens import Token, digest_of, read_tokens
from trimtab.serving.refusals import RefusalError

_LOG = logging.getLogger("trimtab.serving")
_HINT = "send the header 'authorization: Bearer <token>'"


class Grant:
    """What a token that was recognised allows. `void`: it was taken away since, so that it must be looked up again."""

    __slots__ = ("asked", "expires", "limited", "name", "requests", "rows", "scopes", "void")

    def __init__(
        self, name: str, scopes: int, expires: float = 0.0, requests: Bucket | None = None, rows: Bucket | None = None
    ) -> None:
        self.name = name
        self.scopes = scopes
        self.expires = expires  # seconds since 1970; 0: never
        self.requests = requests
        self.rows = rows
        self.void = False
        self.asked = 0
        self.limited = 0


NOBODY = Grant("", OPEN)  # somebody who has shown nothing yet


class Guard:
    """Belongs to the event loop. `path` is the file of tokens; `standing` are digests of tokens that may do everything,
    by name (the one from the environment); `owner` is that of the state folder's owner, who alone does not make the
    server ask for tokens. `rates` counts; without it the tokens' rates are not held.

    What a look-up costs depends neither on how many tokens there are nor on which it is, and what it compares is a
    digest, of which a caller can choose nothing: its time tells nothing about a token.
    """

    def __init__(
        self,
        path: Path,
        standing: Mapping[str, bytes],
        owner: bytes | None = None,
        rates: Rates | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._rates = rates
        self._monotonic = monotonic
        self._now = now
        self._seen: tuple[int, int, int] | None = None
        self._complaint = ""
        self._kept: dict[Token, Grant] = {}
        self._standing = {digest: Grant(name, ANY) for name, digest in standing.items()}
        self._others = self._standing | ({owner: Grant("owner", ANY)} if owner is not None else {})
        self._grants: dict[bytes, Grant] = {}
        self.anybody = Grant("", ANY)
        self.refused = 0
        self.required = False
        if path.exists():
            self._read()  # at the start a file that cannot be read is an error; later the former tokens stay
        else:
            self._put(())

    @property
    def grants(self) -> Iterable[Grant]:
        """Everybody who may ask; nobody in particular where no token is asked for."""
        return self._grants.values() if self.required else ()

    def refresh(self) -> None:
        """Looks whether the file has changed; when it has, its tokens are in force from here on. When it has gone or
        cannot be read, the former ones stay, and the log says so, once. A few microseconds when nothing has changed."""
        try:
            if self._signature() != self._seen:
                before = {one.name for one in self._kept}
                self._read()
                after = {one.name for one in self._kept}
                _LOG.info("tokens: %s new, %s gone", _listed(after - before), _listed(before - after))
            self._complaint = ""
        except (OSError, PermanentError) as error:
            told = error.in_one_line() if isinstance(error, PermanentError) else str(error)
            if self._seen is not None and told != self._complaint:
                _LOG.error("tokens stay as they were: %s", told)
                self._complaint = told

    def admit(self, authorization: bytes, scope: int, rows: int = 0) -> Grant:
        """Who asks, by the value of the authorization header, for what needs one of the flags of `scope`; `rows` are
        counted where they are known already. Raises RefusalError: 401 for no token or a wrong one, 403 for one that may
        not do this, 429 for one that has asked too often."""
        grant = self.recognise(authorization)
        self.check(grant, scope)
        if rows:
            self.charge(grant, rows)
        return grant

    def recognise(self, authorization: bytes) -> Grant:
        """Whose token that is. Raises RefusalError (401)."""
        if not self.required:
            return self.anybody
        if authorization[:7].lower() != b"bearer ":
            self.refused += 1
            raise RefusalError(401, "a bearer token is required", hint=_HINT)
        grant = self._grants.get(digest_of(authorization[7:].strip()))
        if grant is None:
            self.refused += 1
            raise _invalid("the bearer token is not known here")
        return grant

    def check(self, grant: Grant, scope: int) -> None:
        """Whether a known caller may ask for this now; counts the request. Raises RefusalError (401, 403 or 429)."""
        if grant.expires or not grant.scopes & scope:
            self.allow(grant, scope)
        if grant.requests is not None or grant.rows is not None:
            self._hold_rate(grant)
        grant.asked += 1

    def allow(self, grant: Grant, scope: int) -> None:
        """Whether a known caller may ask for this at all. Raises RefusalError (401 or 403)."""
        if grant.expires and self._now() >= grant.expires:
            self.refused += 1
            raise _invalid(f"token {grant.name!r} has expired", hint="`trimtab token add` makes another")
        if not grant.scopes & scope:
            self.refused += 1
            raise RefusalError(
                403,
                f"token {grant.name!r} may not do this: it needs {named(scope)}",
                challenge=f'error="insufficient_scope", scope="{named(scope).replace(" or ", " ")}"',
            )

    def charge(self, grant: Grant, rows: int) -> None:
        """Counts rows once it is known how many they are. Never refuses: what is too much delays the next request."""
        if grant.rows is not None:
            grant.rows.take(self._monotonic(), rows)

    def text(self) -> str:
        """What it counted, as Prometheus text: by the names of tokens."""
        asked = [f'trimtab_token_requests_total{{token="{one.name}"}} {one.asked}' for one in self.grants]
        limited = [f'trimtab_token_limited_total{{token="{one.name}"}} {one.limited}' for one in self.grants]
        lines: list[str] = []
        for name, meaning, series in (
            ("trimtab_token_requests_total", "Requests let in, by the name of the token.", asked),
            ("trimtab_token_limited_total", "Requests above the rate of their token (429).", limited),
            (
                "trimtab_refused_callers_total",
                "Requests without a token that may ask this (401, 403).",
                [f"trimtab_refused_callers_total {self.refused}"],
            ),
        ):
            lines += [f"# HELP {name} {meaning}", f"# TYPE {name} counter", *series]
        return "\n".join([*lines, ""])

    def _hold_rate(self, grant: Grant) -> None:
        now, what = self._monotonic(), "rows"
        wait = 0.0 if grant.rows is None else grant.rows.wait(now)
        if wait <= 0.0 and grant.requests is not None:
            wait, what = grant.requests.take_one(now), "requests"
        if wait > 0.0:
            grant.limited += 1
            raise RefusalError(429, f"token {grant.name!r} asks for more {what} a second than it may", retry_after=wait)

    def _signature(self) -> tuple[int, int, int]:
        found = self._path.stat()
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> None:
        seen = self._signature()
        tokens = read_tokens(self._path)
        self._seen = seen
        self._put(tokens)

    def _put(self, tokens: Iterable[Token]) -> None:
        """Puts tokens in force; those that stay as they were keep their counts."""
        began = self._grants != {}
        kept = {one: self._kept.get(one) or self._grant(one, fresh=began) for one in tokens}
        for token, grant in self._kept.items():
            grant.void = token not in kept
        self._kept = kept
        self._grants = self._others | {bytes.fromhex(token.digest): grant for token, grant in kept.items()}
        self.required = bool(self._standing) or self._seen is not None
        self.anybody.void = self.required

    def _grant(self, token: Token, *, fresh: bool) -> Grant:
        """`fresh`: made while the server runs; its slot may still have been charged by the token that had it before."""
        expires = token.expires.timestamp() if token.expires is not None else 0.0
        grant = Grant(token.name, flags(token.scopes), expires)
        if self._rates is not None:
            if token.requests is not None:
                grant.requests = self._rates.of_requests(token.slot, token.requests)
            if token.rows is not None:
                grant.rows = self._rates.of_rows(token.slot, token.rows)
        for bucket in (grant.requests, grant.rows):
            if fresh and bucket is not None:
                bucket.forgive()
        return grant


def guard_of(layout: Layout, config: ServerConfig, owner: str) -> Guard:
    """The guard of a server on a state folder: the token of the environment, if any, that of the folder's owner, and
    those that were made. Raises PermanentError where the file of tokens cannot be read."""
    standing = {"environment": bytes.fromhex(config.token_digest)} if config.token_digest else {}
    return Guard(layout.tokens, standing, digest_of(owner), Rates(layout.rates))


def _invalid(message: str, hint: str = _HINT) -> RefusalError:
    return RefusalError(401, message, hint=hint, challenge='error="invalid_token"')


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
