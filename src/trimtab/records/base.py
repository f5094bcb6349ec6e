"""What every record shares: frozen, typed, closed to unknown fields, and one JSON form for hashing and storage."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Protocol, dataclass_transform

import msgspec


# for type checkers: what derives from Record is frozen too
@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An immutable record that stages exchange."""


class Clock(Protocol):
    """Where 'now' comes from: the system's clock, or a simulated one in replays and backtests."""

    def now(self) -> datetime:
        """The present moment, timezone-aware, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class SimulatedClock:
    """A clock that stands still until it is set; it never goes back."""

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        return self._now

    def set(self, moment: datetime) -> None:
        if moment < self._now:
            raise ValueError(f"a simulated clock cannot go back from {self._now} to {moment}")
        self._now = moment


def canonical_json(value: Any) -> bytes:
    """The one JSON form of a value: keys sorted, no spaces; equal values give equal bytes."""
    return msgspec.json.encode(value, order="deterministic")
