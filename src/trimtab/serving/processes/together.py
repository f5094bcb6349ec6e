"""What the processes of a server say about themselves, as what the server says."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from trimtab.records.server import ExecutionStatus, ReleaseStatus, ServerStatus


def status_of_all(those: Sequence[ServerStatus], pid: int, *, silent: int = 0, missing: int = 0) -> ServerStatus:
    """One status from that of each process: what is counted is added up, `applied` is the least of all, an error is
    that of any. `pid` is the supervisor's. `silent` processes are there and do not answer: what they have applied is
    not known. `missing` ones died and have not been replaced: each counts as a row that waits, for nobody knows
    whether it owes any to shadow releases."""
    first = those[0]
    newest = max(those, key=lambda one: (one.applied, one.wanted))
    found: dict[str, object] = {}
    for name in ServerStatus.__struct_fields__:
        values = [getattr(one, name) for one in those]
        if isinstance(values[0], bool):
            found[name] = all(values)
        elif isinstance(values[0], int | float):
            found[name] = sum(values)
        elif isinstance(values[0], str):
            found[name] = next((value for value in values if value), values[0])
        else:
            found[name] = values[0]
    found |= {
        "system": first.system,
        "pid": pid,
        "applied": -1 if silent else min(one.applied for one in those),
        "wanted": max(one.wanted for one in those),
        "releases": _releases(those, newest),
        "backlog": sum(one.backlog for one in those) + silent + missing,
    }
    return msgspec.convert(found, ServerStatus)


def _releases(those: Sequence[ServerStatus], newest: ServerStatus) -> tuple[ReleaseStatus, ...]:
    """The releases of the process that is furthest ahead, each with the counts of all."""
    told = []
    for release in newest.releases:
        same = [one for status in those for one in status.releases if one.release == release.release]
        counted = msgspec.structs.replace(
            release,
            answered=sum(one.answered for one in same),
            shadowed=sum(one.shadowed for one in same),
            failed=sum(one.failed for one in same),
            execution=_execution([one.execution for one in same if one.execution is not None]),
        )
        told.append(counted)
    return tuple(told)


def _execution(those: Sequence[ExecutionStatus]) -> ExecutionStatus | None:
    """How a release is run in all processes: the first one's choice, everybody's counts, the longest wait."""
    if not those:
        return None
    return msgspec.structs.replace(
        those[0],
        ready=all(one.ready for one in those),
        wait=max(one.wait for one in those),
        waiting=sum(one.waiting for one in those),
        refused=sum(one.refused for one in those),
        expired=sum(one.expired for one in those),
        cancelled=sum(one.cancelled for one in those),
        given_up=sum(one.given_up for one in those),
    )
