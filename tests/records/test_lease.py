"""One leader at a time; a leader that was replaced can no longer write."""

from __future__ import annotations

import os
import socket
import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from trimtab.errors import TemporaryError
from trimtab.records.base import SimulatedClock
from trimtab.records.facts import PassFinished
from trimtab.records.lease import Lease, LeaseHeld
from trimtab.records.ledger import Ledger, StaleFence
from trimtab.records.schema import leases

NOW = datetime(2026, 11, 21, 5, tzinfo=UTC)


def passed(number: str) -> PassFinished:
    return PassFinished(number=number, causes=(), actions=(), reason="")


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path / "ledger.db") as opened:
        yield opened


@pytest.fixture
def clock():
    return SimulatedClock(NOW)


def test_the_second_waits_until_the_first_gives_it_back(ledger, clock):
    first, second = (Lease(ledger, holder=name, ttl=60, clock=clock) for name in ("first", "second"))
    assert first.acquire()
    assert not second.acquire()
    assert first.acquire()  # again is a renewal
    token = first.token
    first.release()
    first.release()
    assert second.acquire()
    assert second.token > token
    with pytest.raises(StaleFence, match="the lease `loop` is not held"):
        first.token  # noqa: B018
    assert Lease(ledger, "other", holder="first", clock=clock).acquire()


def test_a_lease_that_ran_out_is_taken_over_and_the_late_holder_cannot_write(ledger, clock):
    first, second = (Lease(ledger, holder=name, ttl=60, clock=clock) for name in ("first", "second"))
    assert first.acquire()
    stale = first.token
    clock.set(NOW + timedelta(seconds=59))
    assert not second.acquire()
    clock.set(NOW + timedelta(seconds=61))
    assert ledger.append("pass:1", passed("1"), at=NOW, fence=stale)  # late, but nobody has taken over
    assert second.acquire()
    with pytest.raises(StaleFence, match="nothing was written"):
        ledger.append("pass:2", passed("2"), at=NOW, fence=stale)
    assert ledger.get("pass:2") is None
    with pytest.raises(StaleFence, match=rf"was lost to `second` \(pid {os.getpid()} on .*, since 2026-11-21 05:01:01"):
        first.renew()
    first.release()  # does not take it from the second
    assert ledger.append("pass:2", passed("2"), at=NOW, fence=second.token)
    second.release()
    with pytest.raises(StaleFence):
        ledger.append("pass:3", passed("3"), at=NOW, fence=2)


def test_within_a_fence_every_write_is_refused_once_the_lease_was_lost(ledger, clock):
    first, second = (Lease(ledger, holder=name, ttl=60, clock=clock) for name in ("first", "second"))
    assert first.acquire()
    with ledger.fenced(first.token):
        assert ledger.append("pass:1", passed("1"), at=NOW)
        clock.set(NOW + timedelta(seconds=61))
        assert second.acquire()
        with pytest.raises(StaleFence, match="nothing was written"):
            ledger.append("pass:2", passed("2"), at=NOW)
        assert ledger.append("pass:2", passed("2"), at=NOW, fence=second.token)
    assert ledger.append("pass:3", passed("3"), at=NOW)
    assert ledger.count() == 3


def test_renewing_holds_it(ledger, clock):
    first, second = (Lease(ledger, holder=name, ttl=60, clock=clock) for name in ("first", "second"))
    assert first.acquire()
    for minute in range(1, 5):
        clock.set(NOW + timedelta(seconds=50 * minute))
        first.renew()
        assert not second.acquire()


def test_whoever_is_refused_learns_who_leads(ledger, clock):
    with Lease(ledger, holder="the night shift", ttl=60, clock=clock) as lease:
        where = rf"\(pid {os.getpid()} on {socket.gethostname()}, since 2026-11-21 05:00:00 UTC\)"
        said = rf"the lease `loop` is held by `the night shift` {where}"
        with pytest.raises(LeaseHeld, match=said) as caught, Lease(ledger, ttl=60, clock=clock):
            pass
        assert isinstance(caught.value, TemporaryError)
        assert caught.value.delay == 60
        assert lease.token == 1
    with Lease(ledger, ttl=60, clock=clock) as lease:
        assert lease.token == 2


@pytest.mark.parametrize(
    ("changed", "taken"),
    [
        ({"pid": 2**22 + 1}, True),  # above every pid
        ({"started": 12345.0}, True),  # the pid was given to another process since
        ({"pid": 2**22 + 1, "host": "elsewhere", "origin": "elsewhere pid:[1]"}, False),  # cannot be known from here
    ],
)
def test_a_holder_that_is_gone_is_replaced_before_its_time(ledger, clock, changed, taken):
    assert Lease(ledger, holder="first", ttl=3600, clock=clock).acquire()
    with ledger.database.writing():
        ledger.database.change(update(leases), changed)
    assert Lease(ledger, holder="second", ttl=3600, clock=clock).acquire() is taken


def test_as_a_context_it_renews_itself(ledger, until):
    second = Lease(ledger, holder="second", ttl=0.3)
    with Lease(ledger, holder="first", ttl=0.3) as first:
        deadline = time.monotonic() + 0.9
        while time.monotonic() < deadline:
            assert ledger.append(f"pass:{time.monotonic_ns()}", passed("1"), at=NOW, fence=first.token)
            time.sleep(0.01)
        with ledger.database.writing():
            ledger.database.change(update(leases), {"holder": "thief", "token": 99})
        until(lambda: first._token is None)
    assert ledger.database.first(leases.select())[2] == "thief"  # what was lost is not released
    until(second.acquire)
    assert second.token == 100


def test_a_ledger_in_memory_can_be_led_too():
    with Ledger.open(None) as ledger, Lease(ledger, ttl=0.05) as lease:
        time.sleep(0.2)
        assert ledger.append("pass:1", passed("1"), at=NOW, fence=lease.token)
