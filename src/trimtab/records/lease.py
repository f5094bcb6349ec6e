"""Who leads: one process at a time turns the loop of a system, and a stale one can no longer write.

The lease lies in the ledger's database. Whoever takes it gets a token greater than any before; `Ledger.append(...,
fence=token)` refuses the token of a holder that was replaced, however late it wakes up.
"""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

import psutil
from sqlalchemy import bindparam, func, insert, select, update

from trimtab.errors import PermanentError, TemporaryError
from trimtab.records.base import Clock, SystemClock
from trimtab.records.ledger import Ledger, StaleFence
from trimtab.records.schema import leases

_COLUMNS = ("token", "holder", "host", "origin", "pid", "started", "since", "expires")
_row = select(*(leases.c[name] for name in _COLUMNS)).where(leases.c.name == bindparam("wanted"))
_greatest = select(func.max(leases.c.token))
_insert = insert(leases)
_update = update(leases).where(leases.c.name == bindparam("wanted"))


class LeaseHeld(TemporaryError):  # noqa: N818 - it says what happened
    """Someone else leads."""


class Lease:
    """The lease `name`, wanted by `holder` (default: a name made for this object), good for `ttl` seconds a time.

    It is free when it was released, when it ran out, and when its holder was a process of this machine that is gone.
    `clock` is the machine's clock even in a replay: a lease is about processes, not about history. As a context manager
    it raises LeaseHeld when someone else leads, and otherwise renews itself, from a thread, until the end.
    """

    def __init__(
        self,
        ledger: Ledger,
        name: str = "loop",
        holder: str | None = None,
        ttl: float = 60.0,
        *,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.ttl = ttl
        self._database = ledger.database
        self._clock = clock or SystemClock()
        self._me = _Process.present()
        self.holder = holder or f"{self._me.host}:{self._me.pid}:{secrets.token_hex(4)}"
        self._token: int | None = None
        self._ended = Event()
        self._keeper: Thread | None = None

    @property
    def token(self) -> int:
        """The fencing token for `Ledger.append(..., fence=lease.token)`. Raises StaleFence when it is not held."""
        if self._token is None:
            raise StaleFence(f"the lease `{self.name}` is not held", delay=0.0)
        return self._token

    def acquire(self) -> bool:
        """Take the lease when it is free, or renew it when this holder has it. False when someone else leads."""
        with self._database.writing():
            now = self._clock.now()
            held = self._held()
            if held is not None and self._is_mine(held):
                self._extend(now)
                self._token = held["token"]
                return True
            if held is not None and held["holder"] and _moment(held["expires"]) > now and not self._is_gone(held):
                self._token = None
                return False
            self._token = self._take(now, first=held is None)
            return True

    def renew(self) -> None:
        """Hold it for another `ttl` seconds. Raises StaleFence when it was lost; what it guards must then stop."""
        token = self.token
        with self._database.writing():
            held = self._held()
            if held is None or held["token"] != token or not held["holder"]:
                self._token = None
                by = f" to {_said(held)}" if held and held["holder"] else ""
                raise StaleFence(f"the lease `{self.name}` was lost{by}", delay=0.0)
            self._extend(self._clock.now())

    def release(self) -> None:
        """Give it back, so that the next may take it at once. Nothing happens when it is not held, or was lost."""
        token, self._token = self._token, None
        if token is None:
            return
        with self._database.writing():
            held = self._held()
            if held is not None and held["token"] == token:
                self._database.change(_update, {"wanted": self.name, "holder": ""})

    def __enter__(self) -> Self:
        if not self.acquire():
            held = self._held()
            raise LeaseHeld(
                f"the lease `{self.name}` is held by {_said(held) if held else 'someone else'}",
                delay=self.ttl,
                hint="wait for it, or stop that process",
            )
        self._ended.clear()
        self._keeper = Thread(target=self._keep, name=f"lease-{self.name}", daemon=True)
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._keeper is not None:
            self._keeper.join()
        self.release()

    def _keep(self) -> None:
        while not self._ended.wait(self.ttl / 3):
            try:
                self.renew()
            except (StaleFence, PermanentError):
                return  # lost: the next fenced append says so to whoever writes
            except TemporaryError:
                continue  # locked for now; two more tries fit into the ttl

    def _held(self) -> dict[str, Any] | None:
        row = self._database.first(_row, {"wanted": self.name})
        return None if row is None else dict(zip(_COLUMNS, row, strict=True))

    def _is_mine(self, held: dict[str, Any]) -> bool:
        return bool(held["holder"] == self.holder) and self._me.is_same(_Process.of(held))

    def _is_gone(self, held: dict[str, Any]) -> bool:
        other = _Process.of(held)
        return other.origin == self._me.origin and not other.lives()

    def _take(self, now: datetime, *, first: bool) -> int:
        newest = self._database.first(_greatest)
        token = (newest[0] if newest and newest[0] else 0) + 1
        values = {
            "token": token,
            "holder": self.holder,
            "host": self._me.host,
            "origin": self._me.origin,
            "pid": self._me.pid,
            "started": self._me.started,
            "since": now.astimezone(UTC).isoformat(),
            "expires": self._until(now),
        }
        if first:
            self._database.change(_insert, {"name": self.name, **values})
        else:
            self._database.change(_update, {"wanted": self.name, **values})
        return token

    def _extend(self, now: datetime) -> None:
        self._database.change(_update, {"wanted": self.name, "expires": self._until(now)})

    def _until(self, now: datetime) -> str:
        return (now.astimezone(UTC) + timedelta(seconds=self.ttl)).isoformat()


@dataclass(frozen=True)
class _Process:
    """A process as others can tell it: `origin` is the machine and the space its pids are counted in (a container has
    its own), `started` tells it from a later one with the same pid."""

    host: str
    origin: str
    pid: int
    started: float

    @classmethod
    def present(cls) -> _Process:
        host = socket.gethostname()
        space = ""
        with suppress(OSError):
            space = str(Path("/proc/self/ns/pid").readlink())
        return cls(host, f"{host} {space}".rstrip(), os.getpid(), psutil.Process().create_time())

    @classmethod
    def of(cls, held: dict[str, Any]) -> _Process:
        return cls(held["host"], held["origin"], held["pid"], held["started"])

    def lives(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - self.started) < 2.0
        except psutil.ZombieProcess:
            return False
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return psutil.pid_exists(self.pid)  # another user's process may be hidden but there

    def is_same(self, other: _Process) -> bool:
        return (self.origin, self.pid) == (other.origin, other.pid) and abs(self.started - other.started) < 2.0


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _said(held: dict[str, Any]) -> str:
    since = _moment(held["since"])
    return f"`{held['holder']}` (pid {held['pid']} on {held['host']}, since {since:%Y-%m-%d %H:%M:%S} UTC)"
