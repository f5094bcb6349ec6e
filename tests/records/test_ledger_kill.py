"""Real processes, really killed: what was acknowledged stands, once, and nothing is half there."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest
from tests.records.writers import START, append_keys, append_until_killed, fact_for, lead_until_killed

from trimtab.records.lease import Lease
from trimtab.records.ledger import Ledger, StaleFence

KILLS = 20


def test_a_writer_killed_at_any_instant_leaves_a_whole_ledger(tmp_path, start):
    path, told = tmp_path / "ledger.db", tmp_path / "told"
    told.touch()
    instants = random.Random(20130101)
    growth = []
    for _ in range(KILLS):
        writer = start(append_until_killed, path, told)
        time.sleep(instants.uniform(0.0, 0.2))  # from before it opens the ledger to well into its writing
        writer.kill()
        writer.join()
        assert writer.exitcode == -9
        with Ledger.open(path) as ledger:
            assert ledger.verify() is None
            entries = list(ledger.entries())
        growth.append(len(entries))
        keys = [entry.key for entry in entries]
        assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
        assert len(set(keys)) == len(keys)
        assert all(entry.fact == fact_for(entry.key) for entry in entries)
        acknowledged = told.read_text().split()
        assert set(acknowledged) <= set(keys)
        assert len(keys) - len(acknowledged) <= 3 * len(growth)  # at most the write under way at each kill
        groups = Counter(key.rpartition(":")[0] for key in keys if key.startswith("group:"))
        assert set(groups.values()) <= {3}
    assert growth == sorted(growth)
    assert len(set(growth)) > KILLS // 4
    assert growth[-1] > 2 * KILLS


def test_two_processes_that_append_the_same_keys_end_with_each_once(tmp_path, start):
    path = tmp_path / "ledger.db"  # made by both at once, too
    numbers = list(range(300))
    shuffled = random.Random(7).sample(numbers, len(numbers))
    workers = [
        start(append_keys, path, order, tmp_path / f"told{i}") for i, order in enumerate((numbers, shuffled, numbers))
    ]
    for worker in workers:
        worker.join(50)
        assert worker.exitcode == 0
    written = [int((tmp_path / f"told{i}").read_text()) for i in range(3)]
    assert sum(written) == 300
    with Ledger.open(path, create=False) as ledger:
        assert ledger.verify() is None
        assert {entry.key for entry in ledger.entries()} == {f"key:{n}" for n in numbers}
        assert ledger.count() == 300


def test_the_lease_of_a_killed_leader_is_taken_over_at_once(tmp_path, start, until):
    path, told = tmp_path / "ledger.db", tmp_path / "token"
    leader = start(lead_until_killed, path, told, 3600.0)
    until(told.exists)
    token = int(told.read_text())
    with Ledger.open(path) as ledger:
        lease = Lease(ledger, holder="second", ttl=3600.0)
        assert not lease.acquire()
        assert ledger.append("key:1", fact_for("key:1"), at=START, fence=token)
        leader.kill()
        leader.join()
        assert lease.acquire()
        assert lease.token > token
        with pytest.raises(StaleFence):
            ledger.append("key:2", fact_for("key:2"), at=START, fence=token)
        assert ledger.append("key:2", fact_for("key:2"), at=START, fence=lease.token)
