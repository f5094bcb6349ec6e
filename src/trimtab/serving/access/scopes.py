"""What a token may be allowed: flags, so that one operation tells whether it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

Scope = Literal["predict", "feedback", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

OPEN = 0  # asked of an address that needs no token at all
PREDICT, FEEDBACK, ADMIN = 1, 2, 4
ANY = PREDICT | FEEDBACK | ADMIN  # any valid token will do; as a token's own: it may do everything
_FLAGS: dict[Scope, int] = {"predict": PREDICT, "feedback": FEEDBACK, "admin": ADMIN}


def flags(scopes: Iterable[Scope]) -> int:
    """The flags of scopes by name."""
    found = 0
    for scope in scopes:
        found |= _FLAGS[scope]
    return found


def named(wanted: int) -> str:
    """The names of flags, for a person: `predict or admin`."""
    return " or ".join(scope for scope in SCOPES if _FLAGS[scope] & wanted)
