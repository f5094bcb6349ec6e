"""The tokens of a server: made, kept in a file by their digest alone, and taken away again.

A token is 256 random bits. Nobody can try that many, so that one round of SHA-256 keeps it as safe as a slow password
hash would, which is there for secrets that people think up; and it costs a microsecond where a request is let in.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import msgspec

from trimtab.errors import PermanentError
from trimtab.records.base import Record
from trimtab.records.durable import write_atomically
from trimtab.serving.access.rates import RATES, SLOTS, forgive
from trimtab.serving.access.scopes import SCOPES, Scope

PREFIX = "trimtab_"  # lets a scanner of leaked secrets know one when it sees it
_SHORTEST = 16
_FEWEST_STEPS = 6
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


class Token(Record, kw_only=True):
    """One token. `digest` is the SHA-256 of it in hexadecimal; `requests` and `rows` are how many a second it may ask
    (None: any number); `slot` is where its rates are counted. Moments are UTC."""

    name: str
    digest: str
    scopes: tuple[Scope, ...]
    created: datetime
    expires: datetime | None = None
    requests: float | None = None
    rows: float | None = None
    slot: int = 0

    def expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires is not None and self.expires <= now


class _Kept(Record, kw_only=True):
    tokens: tuple[Token, ...] = ()


def digest_of(token: str | bytes) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token if isinstance(token, bytes) else token.encode()).digest()


def fresh_token() -> str:
    """256 random bits as text."""
    return PREFIX + secrets.token_urlsafe(32)


def weakness(token: str) -> str:
    """Why somebody could guess a token that a person chose, in words; empty where it is long and irregular enough.

    It takes 16 bytes, and 6 different steps from a character to the next: repeated and counted ones have fewer, random
    ones of 16 digits practically never. Words that people think up are not found: a token is to be made, not chosen.
    """
    size = len(token.encode())
    if size < _SHORTEST:
        return f"has {size} byte{'s' if size != 1 else ''}, and takes {_SHORTEST} at least"
    steps = {ord(after) - ord(before) for before, after in pairwise(token)}
    return "" if len(steps) >= _FEWEST_STEPS else "repeats or counts up its characters, so that it can be guessed"


def read_tokens(path: Path) -> tuple[Token, ...]:
    """The tokens in the file; none where there is no file. Raises PermanentError when it cannot be understood, or when
    others than its owner may write it."""
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o022:
                raise PermanentError(f"{path} can be written by others", hint=f"chmod 600 {path}")
            kept = msgspec.json.decode(file.read(), type=_Kept)
    except FileNotFoundError:
        return ()
    except (OSError, msgspec.MsgspecError) as error:
        raise PermanentError(f"{path} cannot be read: {error}") from error
    wrong = next((one.name for one in kept.tokens if not _is_sound(one)), None)
    if wrong is not None:
        raise PermanentError(f"{path}: token {wrong!r} is damaged", hint=f"trimtab token revoke {wrong}")
    return kept.tokens


def add_token(
    path: Path,
    name: str,
    scopes: Sequence[Scope],
    now: datetime,
    *,
    expires: datetime | None = None,
    requests: float | None = None,
    rows: float | None = None,
) -> tuple[str, Token]:
    """Makes a token and keeps its digest; the token itself is in the result and nowhere else. Raises PermanentError for
    a name that is taken or is none, and where there is no room."""
    if not _NAME.fullmatch(name):
        raise PermanentError(
            f"{name!r} is no name for a token", hint="letters, digits, `.`, `_` and `-`, at most 64, no mark first"
        )
    with _edited(path) as tokens:
        if any(one.name == name for one in tokens):
            raise PermanentError(f"there is a token {name!r} already", hint=f"trimtab token revoke {name}")
        taken = {one.slot for one in tokens}
        slot = next((number for number in range(SLOTS) if number not in taken), None)
        if slot is None:
            raise PermanentError(f"there are {SLOTS:,} tokens already, and no more can be kept")
        forgive(path.with_name(RATES), slot)
        secret = fresh_token()
        made = Token(
            name=name,
            digest=digest_of(secret).hex(),
            scopes=tuple(scope for scope in SCOPES if scope in scopes),
            created=now,
            expires=expires,
            requests=requests,
            rows=rows,
            slot=slot,
        )
        tokens.append(made)
    return secret, made


def revoke_token(path: Path, name: str) -> Token:
    """Takes a token away. Raises PermanentError when there is none of that name."""
    with _edited(path) as tokens:
        found = next((one for one in tokens if one.name == name), None)
        if found is None:
            names = ", ".join(one.name for one in tokens)
            raise PermanentError(f"there is no token {name!r}", hint=f"there are {names}" if names else "there is none")
        tokens.remove(found)
    return found


@contextmanager
def _edited(path: Path) -> Iterator[list[Token]]:
    """The tokens, written back whole when nothing was raised; one process at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tokens = list(_readable(path))
        yield tokens
        kept = msgspec.json.format(msgspec.json.encode(_Kept(tokens=tuple(tokens))))
        write_atomically(path, kept, mode=0o600)
    finally:
        os.close(lock)


def _readable(path: Path) -> tuple[Token, ...]:
    """The tokens with damaged ones among them, which may be revoked."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Kept).tokens
    except FileNotFoundError:
        return ()
    except (OSError, msgspec.MsgspecError) as error:
        raise PermanentError(f"{path} cannot be read: {error}") from error


def _is_sound(token: Token) -> bool:
    try:
        digest = bytes.fromhex(token.digest)
    except ValueError:
        return False
    rates = [rate for rate in (token.requests, token.rows) if rate is not None]
    aware = all(one is None or one.tzinfo is not None for one in (token.created, token.expires))
    return len(digest) == 32 and 0 <= token.slot < SLOTS and all(rate > 0 for rate in rates) and aware
