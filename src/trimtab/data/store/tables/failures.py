"""What Lance's errors, and the panics of its decoders, mean to this stage."""

from __future__ import annotations

import errno

from trimtab.data.port import DataError
from trimtab.data.store.tables.place import TablePlace
from trimtab.errors import TemporaryError, TrimtabError

_PREEMPTED = (
    "too many concurrent writers",
    "commit conflict",
    "preempted by concurrent",
    "incompatible with concurrent",
    "dataset already exists",
)
_UNREACHED = ("error sending request", "HTTP error", "Connection refused", "timed out", "403 Forbidden", "AccessDenied")


class ConflictError(TemporaryError):
    """Another writer has committed since this one looked: look again."""


def meaning(error: BaseException, place: TablePlace) -> TrimtabError:
    """What Lance's errors mean, without any key that is in them."""
    where, said = place.uri, str(error)
    if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in said or "os error 28" in said:
        return TemporaryError(f"the disk that holds {where} is full; nothing was committed", delay=60, hint="make room")
    if "Permission denied" in said or "os error 13" in said:
        return DataError(f"{where} may not be read or written by this user")
    if any(words in said.lower() for words in _PREEMPTED):
        return ConflictError(f"another process is writing to {where}", delay=1)
    if place.shared and any(words in said for words in _UNREACHED):
        brief = place.without_keys(said)[:200]
        hint = "look at the endpoint, the bucket and the keys in the environment"
        return TemporaryError(f"{where} cannot be reached: {brief}", delay=10, hint=hint)
    brief = place.without_keys(said.strip().splitlines()[0].split(", /home/")[0]) if said.strip() else ""
    return DataError(
        f"the dataset in {where} is damaged or unreadable: {brief or type(error).__name__}",
        hint="`trimtab data verify` names what is damaged; older versions may still be whole",
    )
