"""What a system says where several processes serve it: what each of them says, put together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from trimtab.serving.open_inference.repository import add_statistics, model_statistics
from trimtab.serving.processes.siblings import AGAIN
from trimtab.serving.system import ServedSystem

KNOWN, STATISTICS = "known", "statistics"


async def answer(systems: Sequence[ServedSystem], verb: str, body: bytes) -> bytes:
    """What this process says when another asks. Raises LookupError for what it does not know."""
    name, rest = msgspec.msgpack.decode(body, type=tuple[str, msgspec.Raw])
    system = next((one for one in systems if one.config.system == name), None)
    if system is None:
        raise LookupError(f"system {name!r} is not served here")
    if verb == KNOWN:
        ids = msgspec.msgpack.decode(rest, type=list[str])
        await system.recalled.wait()
        return msgspec.msgpack.encode(system.book.known.missing(ids))
    if verb == STATISTICS:
        return msgspec.msgpack.encode(_statistics(system, msgspec.msgpack.decode(rest, type=str)))
    if verb == AGAIN and system.elsewhere is not None:
        return system.elsewhere.tell(msgspec.msgpack.decode(rest, type=bytes))
    raise LookupError(f"nobody answers {verb!r}")


async def statistics(system: ServedSystem, version: str = "") -> list[dict[str, Any]]:
    """What each model version (or that one) did since the server started, in all processes."""
    told = [_statistics(system, version)]
    if system.siblings is not None:
        found = await system.siblings.ask(STATISTICS, msgspec.msgpack.encode((system.config.system, version)))
        told += [msgspec.msgpack.decode(one) for one in found.values() if one is not None]
    return add_statistics(told)


async def never_given(system: ServedSystem, ids: Sequence[str]) -> list[int]:
    """Positions in `ids` of those that no process has given out, nor any former one. Raises TemporaryError when a
    process cannot be asked: then nobody knows."""
    missing = system.book.known.missing(ids)
    if missing and not system.history.is_empty():
        asked = [ids[place] for place in missing]
        missing = [missing[place] for place in await asyncio.to_thread(system.history.missing, asked)]
    if not missing or system.siblings is None:
        return missing
    body = msgspec.msgpack.encode((system.config.system, [ids[place] for place in missing]))
    nowhere = set(range(len(missing)))
    for found in await system.siblings.ask_each(KNOWN, body):
        nowhere.intersection_update(msgspec.msgpack.decode(found, type=list[int]))
    return [missing[place] for place in sorted(nowhere)]


def _statistics(system: ServedSystem, version: str) -> list[dict[str, Any]]:
    return model_statistics(system.config.system, system.desired, system.metrics, version)
